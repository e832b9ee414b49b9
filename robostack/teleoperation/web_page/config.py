"""How the web page is served and what its controls mean."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from hardware.errors import ConfigError


@dataclass(frozen=True)
class WebConfig:
    """The web page as a teleoperation device."""

    robot: str = ""
    """Name of the robot, shown on the page."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs `tls_certificate` and `tls_key`, or `allow_unencrypted`."""
    port: int = 8710
    """TCP port; 0 takes a free one."""
    tls_certificate: str = ""
    """PEM file of the certificate chain; with it the page is served by HTTPS, and phones report their orientation."""
    tls_key: str = ""
    """PEM file of the certificate's private key."""
    allow_unencrypted: bool = False
    """Serve plain HTTP beyond loopback: everyone on that network can read the token and move the robot."""
    host_names: tuple[str, ...] = ()
    """Names by which browsers may call this computer, besides its addresses and localhost ("lab-pc.local")."""
    linear_speed_m_s: float = 0.2
    """Tool speed at full deflection, per axis [m/s]."""
    angular_speed_rad_s: float = 0.5
    """Tool turning speed at full deflection, per axis [rad/s]."""
    silence_s: float = 0.25
    """Without a new input for this long, nobody holds the dead-man switch [s]."""
    blind_s: float = 0.5
    """An input made without having seen a state of the last so many seconds is dropped [s]."""
    release_s: float = 1.0
    """After a longer silence the controls must be let go before they count again [s]."""
    takeover_s: float = 2.0
    """After this silence of the one in control someone else may take over [s]."""
    clients_max: int = 8
    """Browsers connected at the same time."""

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("tls_certificate and tls_key belong together; give both, or neither")
        for path in filter(None, (self.tls_certificate, self.tls_key)):
            if not Path(path).is_file():
                raise ConfigError(f"'{path}' is no file; give the PEM files of the certificate and its key")
        if not self.loopback and not self.tls_certificate and not self.allow_unencrypted:
            raise ConfigError(
                f"the web page would be served unencrypted on {self.host}. Give tls_certificate and tls_key, "
                "or allow_unencrypted on a network on which everyone may move the robot"
            )
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is outside [0, 65535]")
        for name in ("linear_speed_m_s", "angular_speed_rad_s", "silence_s", "blind_s", "release_s", "takeover_s"):
            if not 0.0 < getattr(self, name) < 1e3:
                raise ConfigError(f"{name} = {getattr(self, name)} must be positive")
        if self.silence_s > self.release_s or self.release_s > self.takeover_s:
            raise ConfigError("the times must satisfy silence_s <= release_s <= takeover_s")
        if self.clients_max < 1:
            raise ConfigError(f"clients_max = {self.clients_max} must be at least 1")

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """`host` as an address; localhost is 127.0.0.1.

        Raises:
            ConfigError: `host` is no address of a network interface.
        """
        try:
            return ipaddress.ip_address("127.0.0.1" if self.host == "localhost" else self.host)
        except ValueError as error:
            raise ConfigError(f"host '{self.host}' must be an IP address of this computer, or 0.0.0.0") from error

    @property
    def loopback(self) -> bool:
        """Whether only this computer can reach the page."""
        return self.address.is_loopback
