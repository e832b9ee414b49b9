"""The page is not served to others by accident."""

import pytest

from hardware.errors import ConfigError
from hardware.teleoperator import TELEOPERATORS
from robostack.teleoperation.web_page.config import WebConfig


def test_it_is_registered_under_its_name_without_importing_the_server():
    entry = TELEOPERATORS.load("web")
    assert entry.config_type() is WebConfig
    assert entry.open().config == WebConfig()
    assert "web page" in TELEOPERATORS.summary("web")


def test_by_default_only_this_computer_reaches_it():
    assert WebConfig().loopback
    assert WebConfig(host="::1").loopback
    assert WebConfig(host="localhost").loopback


def test_beyond_loopback_it_is_encrypted_or_explicitly_not(tmp_path):
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(ConfigError, match="unencrypted"):
            WebConfig(host=host)
        assert not WebConfig(host=host, allow_unencrypted=True).loopback
    (tmp_path / "certificate.pem").touch()
    (tmp_path / "key.pem").touch()
    files = {"tls_certificate": str(tmp_path / "certificate.pem"), "tls_key": str(tmp_path / "key.pem")}
    assert not WebConfig(host="0.0.0.0", **files).loopback


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tls_certificate": "/nowhere/certificate.pem"}, "belong together"),
        ({"tls_certificate": "/nowhere/c.pem", "tls_key": "/nowhere/k.pem"}, "is no file"),
        ({"host": "lab-pc"}, "must be an IP address"),
        ({"port": 70000}, "port"),
        ({"silence_s": 0.0}, "silence_s"),
        ({"linear_speed_m_s": float("nan")}, "linear_speed_m_s"),
        ({"silence_s": 2.0}, "silence_s <= release_s"),
        ({"clients_max": 0}, "clients_max"),
    ],
)
def test_a_wrong_setting_is_one_clear_error(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        WebConfig(**settings)
