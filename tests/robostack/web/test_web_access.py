"""Token, host name and origin; every rule has one request that breaks only that rule."""

import pytest

from robostack.teleoperation.web_page.access import Access
from robostack.teleoperation.web_page.config import WebConfig

PORT = 8710


@pytest.fixture
def access():
    return Access(WebConfig(), PORT)


def status(access, host=f"127.0.0.1:{PORT}", origin=f"http://127.0.0.1:{PORT}", token=None, websocket=True):
    headers = {name: value for name, value in (("Host", host), ("Origin", origin)) if value is not None}
    refusal = access.refuse(headers, access.token if token is None else token, websocket)
    return refusal.status if refusal else 200


def test_the_right_request_is_welcome(access):
    assert status(access) == 200
    assert status(access, host=f"localhost:{PORT}", origin=f"http://localhost:{PORT}") == 200
    assert status(access, origin=None, websocket=False) == 200


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
def test_another_token_is_refused(access, token):
    assert status(access, token=token) == 401
    assert status(access, token=access.token[:-1]) == 401


def test_every_start_has_its_own_token_of_256_bits():
    tokens = {Access(WebConfig(), PORT).token for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) >= 43 for token in tokens)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:9999",
        f"https://127.0.0.1:{PORT}",
        f"http://localhost:{PORT}",
        f"http://127.0.0.1:{PORT}.evil.example",
    ],
)
def test_a_socket_of_another_origin_is_refused(access, origin):
    assert status(access, origin=origin) == 403


def test_another_page_may_not_even_load_the_page(access):
    assert status(access, origin="http://evil.example", websocket=False) == 403


@pytest.mark.parametrize(
    "host",
    [
        "",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        f"127.0.0.2:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"someone@127.0.0.1:{PORT}",
        f"127.0.0.1:{PORT}/path",
        "127.0.0.1:port",
        f"[127.0.0.1:{PORT}",
    ],
)
def test_another_host_name_is_refused_also_with_its_own_origin(access, host):
    assert status(access, host=host, origin=f"http://{host}") == 403


def test_on_all_interfaces_any_address_is_known_but_only_given_names_are():
    access = Access(WebConfig(host="0.0.0.0", allow_unencrypted=True, host_names=("lab-pc.local",)), PORT)
    for name in ("192.168.1.5", "localhost", "[fe80::1]", "lab-pc.local"):
        assert status(access, host=f"{name}:{PORT}", origin=f"http://{name}:{PORT}") == 200
    assert status(access, host=f"rebound.example:{PORT}", origin=f"http://rebound.example:{PORT}") == 403
    assert access.url.startswith(f"http://lab-pc.local:{PORT}/?token=")


def test_the_standard_port_may_be_left_out():
    access = Access(WebConfig(), 80)
    assert status(access, host="127.0.0.1", origin="http://127.0.0.1") == 200


def test_the_headers_keep_the_page_to_itself(access):
    headers = access.headers(f"127.0.0.1:{PORT}")
    policy = headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f"connect-src 'self' ws://127.0.0.1:{PORT};" in policy
    assert "evil" not in access.headers(f"evil.example:{PORT}")["Content-Security-Policy"]


def test_the_url_carries_address_port_and_token(access):
    assert access.url == f"http://127.0.0.1:{PORT}/?token={access.token}"
    assert Access(WebConfig(host="::1"), PORT).url.startswith(f"http://[::1]:{PORT}/")
