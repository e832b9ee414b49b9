"""The served page over real sockets, as seen by something that is no browser and may be no friend."""

import asyncio
import ssl
import subprocess
import threading

import aiohttp
import numpy as np
import pytest
from web_client import LIMIT_S, base_of, fetch, headers_of, token_of, until, web_client

from hardware.errors import AddressInUseError, ConfigError, DeviceNotConnectedError
from hardware.teleoperator import OperatorDisplay, OperatorEvent
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.device import WebTeleoperator

pytestmark = pytest.mark.wire


def test_the_page_comes_with_a_cookie_and_without_the_token(device):
    status, headers, text = asyncio.run(fetch(device, f"/?token={token_of(device)}", Cookie=None, Origin=None))
    assert status == 200
    assert "<title>robostack" in text
    assert token_of(device) not in text
    cookie = headers["Set-Cookie"]
    assert token_of(device) in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_with_the_cookie_every_file_of_the_page_is_served_and_nothing_else(device):
    for path, content in (("/", "<!doctype html>"), ("/page.js", "WebSocket"), ("/page.css", ":root")):
        status, _, text = asyncio.run(fetch(device, path))
        assert status == 200
        assert content in text
    for path in ("/server.py", "/../config.py", "/%2e%2e/config.py", "//etc/passwd"):
        assert asyncio.run(fetch(device, path))[0] == 404
    assert asyncio.run(fetch(device, "/", method="POST"))[0] == 405


@pytest.mark.parametrize("path", ["/", "/page.js", "/socket", "/nothing"])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Cookie": None}, 401),
        ({"Cookie": "robostack_0=wrong"}, 401),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
def test_a_request_without_token_or_from_elsewhere_is_refused_whatever_it_asks_for(device, path, changes, expected):
    status, headers, text = asyncio.run(fetch(device, path, **changes))
    assert status == expected
    assert "robostack" not in headers.get("Set-Cookie", "")
    assert headers["Cache-Control"] == "no-store"
    assert token_of(device) not in text


def test_a_wrong_token_in_the_address_is_not_rescued_by_the_cookie(device):
    assert asyncio.run(fetch(device, "/?token=wrong"))[0] == 401
    assert asyncio.run(fetch(device, f"/page.js?token={token_of(device)}", Cookie=None))[0] == 401


def test_a_socket_without_an_origin_is_refused(device):
    assert asyncio.run(fetch(device, "/socket", Origin=None))[0] == 403


def test_held_inputs_become_commands_and_released_ones_do_not(device):
    async def drive():
        async with web_client(device) as client:
            await until(lambda: client.welcome)
            assert client.welcome["robot"] == "ur5e"
            await client.take_control()
            command = await client.hold(device, (0.5, 0.0, -1.0))
            np.testing.assert_allclose(command.tool_linear_velocity, [0.1, 0.0, -0.2])
            await client.input(enabled=False)
            await until(lambda: not device.read().enabled)
            await until(lambda: not client.state["enabled"])

    asyncio.run(drive())


def test_the_second_operator_watches_but_can_stop_the_robot(device):
    stopped = threading.Event()
    device.on_stop = stopped.set

    async def scene():
        async with web_client(device) as first, web_client(device) as second:
            await first.take_control()
            await first.hold(device, (1.0, 0.0, 0.0))
            await second.send(type="control", take=True)
            await until(lambda: second.refused)
            await second.send(type="event", event="success")
            await until(lambda: len(second.refused) == 2)
            await until(lambda: second.state["control"] == "other")
            assert device.read().events == ()
            await second.send(type="stop")
            assert await asyncio.to_thread(stopped.wait, LIMIT_S), "told before anybody read"
            assert device.stop_event.is_set()
            command = device.read()
            assert command.events == (OperatorEvent.STOP,)
            assert not command.enabled
        assert "else is in control" in second.refused[0]

    asyncio.run(scene())


def test_a_cut_connection_disables_and_its_reading_grows_old(device):
    async def scene():
        async with web_client(device) as client:
            await client.take_control()
            await client.hold(device, (1.0, 0.0, 0.0))
            client.socket._response.connection.transport.abort()
            await until(lambda: not device.read().enabled, "the dead-man switch to fall")
            last = device.read()
        async with web_client(device) as other:
            await until(lambda: (other.state or {}).get("control") == "free")
            assert device.read().capture_time_s == last.capture_time_s
            await other.take_control()
            assert device.read().capture_time_s > last.capture_time_s
            assert not device.read().enabled

    asyncio.run(scene())


def test_an_operator_who_falls_silent_no_longer_holds(device):
    async def scene():
        async with web_client(device) as client:
            await client.take_control()
            await client.hold(device, (1.0, 0.0, 0.0))
            await until(lambda: not device.read().enabled, "silence to count as letting go")
            assert not device.read().tool_linear_velocity.any()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        ('{"type": "stop", "please": 1}', 1008, b"unknown field 'please'"),
        ("hello", 1008, b"message is not JSON"),
        ("x" * 5000, 1009, b""),
        (b"\0\1", 1003, b"only text is taken"),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection_with_a_reason(device, sent, code, reason):
    async def scene():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            address = f"{base_of(device)}/socket"
            async with http.ws_connect(address, headers=headers_of(device), autoclose=False) as socket:
                await (socket.send_bytes(sent) if isinstance(sent, bytes) else socket.send_str(sent))
                while (message := await socket.receive(LIMIT_S)).type is not aiohttp.WSMsgType.CLOSE:
                    assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
                assert message.data == code
                assert reason in message.extra.encode()
                await socket.close()
        assert device.read().events == ()

    asyncio.run(scene())


def test_a_flood_ends_the_connection(device):
    async def scene():
        async with web_client(device) as client:
            for _ in range(2000):
                if client.socket.closed:
                    break
                await client.send(type="event", event="success")
            assert await client.closed() == 1008

    asyncio.run(scene())


def test_no_more_browsers_than_allowed(device):
    async def scene():
        async with web_client(device), web_client(device) as client:
            await until(lambda: client.welcome)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with web_client(device):
                    pass
            assert refused.value.status == 503
            assert not client.socket.closed

    device.disconnect()
    device.config = WebConfig(port=0, clients_max=2)
    device = WebTeleoperator(device.config)
    device.connect()
    try:
        asyncio.run(scene())
    finally:
        device.disconnect()


def test_pictures_and_status_reach_the_browser_and_a_slow_one_gets_the_newest(device):
    assert isinstance(device, OperatorDisplay)

    async def scene():
        async with web_client(device) as client:
            await until(lambda: client.state)
            device.show_status({"phase": "record", "episode": 3, "state_age_s": float("nan")})
            for number in range(2):
                device.show_frame("front", b"picture %d" % number, float(number))
                await until(lambda wanted=number: len(client.frames) > wanted, "a picture sent ahead")
            for number in range(2, 50):  # this browser has not said that it received any
                device.show_frame("front", b"picture %d" % number, float(number))
            await until(lambda: client.state["status"])
            assert client.state["status"] == {"phase": "record", "episode": 3, "state_age_s": None}
            assert client.state["cameras"] == ["front"]
            assert len(client.frames) == 2
            client.acknowledged = 2
            await client.input(enabled=False)
            await until(lambda: len(client.frames) > 2)
            assert client.frames[-1].endswith(b"picture 49"), "what lay between is not sent any more"

    asyncio.run(scene())


def test_closing_tells_the_browsers_and_ends_the_device(device):
    async def scene():
        async with web_client(device) as client:
            await until(lambda: client.state)
            await asyncio.to_thread(device.disconnect)
            assert await client.closed() == 1001

    asyncio.run(scene())
    with pytest.raises(DeviceNotConnectedError):
        device.read()
    device.disconnect()
    device.show_frame("front", b"", 0.0)
    device.show_status({})
    assert device.url == ""
    assert not any(thread.name == "web-page" for thread in threading.enumerate())


def test_a_taken_port_is_one_clear_error(device):
    port = int(base_of(device).rpartition(":")[2])
    with pytest.raises(AddressInUseError, match=str(port)):
        WebTeleoperator(WebConfig(port=port)).connect()
    with pytest.raises(DeviceNotConnectedError, match="this computer has that address"):
        WebTeleoperator(WebConfig(host="192.0.2.1", port=0, allow_unencrypted=True)).connect()


@pytest.fixture
def certificate(tmp_path):
    files = {"tls_certificate": tmp_path / "certificate.pem", "tls_key": tmp_path / "key.pem"}
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=robot -addext"
    try:
        subprocess.run(
            [
                *command.split(),
                "subjectAltName=IP:127.0.0.1",
                "-out",
                files["tls_certificate"],
                "-keyout",
                files["tls_key"],
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("needs the command openssl to make a certificate")
    return {name: str(path) for name, path in files.items()}


def test_with_a_certificate_it_is_encrypted_and_the_cookie_only_travels_so(certificate):
    device = WebTeleoperator(WebConfig(port=0, **certificate))
    device.connect()
    try:
        trust = ssl.create_default_context(cafile=certificate["tls_certificate"])
        assert device.url.startswith("https://127.0.0.1:")
        status, headers, _ = asyncio.run(fetch(device, f"/?token={token_of(device)}", ssl=trust, Cookie=None))
        assert status == 200
        assert "Secure" in headers["Set-Cookie"]
        assert "wss://127.0.0.1" in headers["Content-Security-Policy"]
        assert asyncio.run(fetch(device, "/", ssl=trust, Origin=base_of(device).replace("https", "http")))[0] == 403
    finally:
        device.disconnect()


def test_a_certificate_that_cannot_be_used_is_one_clear_error(certificate):
    swapped = WebConfig(port=0, tls_certificate=certificate["tls_key"], tls_key=certificate["tls_certificate"])
    with pytest.raises(ConfigError, match="PEM files that belong together"):
        WebTeleoperator(swapped).connect()
