"""Who may talk to the page: token, host name, origin; and the headers that keep the page to itself.

The Host header is checked because a page elsewhere can make its own name resolve to this computer (DNS rebinding), the
Origin because a browser lets every page open a WebSocket to every server.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from robostack.teleoperation.web_page.config import WebConfig

TOKEN_BYTES = 32
"""Random bytes of the token: nobody guesses 256 bits."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is turned away."""

    status: int
    """HTTP status."""
    reason: str
    """One line for the person in front of the browser."""


class Access:
    """Decides about requests.

    Args:
        config: how the page is served.
        port: the port it is really served on.
    """

    def __init__(self, config: WebConfig, port: int) -> None:
        self._config, self._port = config, port
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        """New with every start."""
        self.cookie = f"robostack_{port}"
        """Name of the cookie that carries the token after the first request; browsers do not tell ports apart."""
        self.scheme = "https" if config.tls_certificate else "http"

    @property
    def url(self) -> str:
        """Where to open the page, with the token."""
        address = self._config.address
        known = "localhost" if address.is_unspecified else self._bracketed(address)
        host = self._config.host_names[0] if self._config.host_names else known
        return f"{self.scheme}://{host}:{self._port}/?token={self.token}"

    def refuse(self, headers: Mapping[str, str], given_token: str, websocket: bool) -> Refusal | None:
        """Why a request is refused, or None if it is welcome.

        Args:
            headers: its headers.
            given_token: the token of its address or cookie; "" for none.
            websocket: whether it asks for a WebSocket, which must name its origin.
        """
        host = headers.get("Host", "")
        if not self._knows(host):
            return Refusal(403, "This page is not served under that name. Use the address that robostack printed.")
        origin = headers.get("Origin")
        if origin != f"{self.scheme}://{host}" and (websocket or origin is not None):
            return Refusal(403, "Requests from other pages are refused.")
        if not hmac.compare_digest(given_token.encode(), self.token.encode()):
            return Refusal(401, "The token is missing or of an earlier start. Open the address that robostack printed.")
        return None

    def headers(self, host: str) -> dict[str, str]:
        """Headers of every response to a request for `host`."""
        socket_scheme = "wss" if self.scheme == "https" else "ws"
        sockets = f" {socket_scheme}://{host}" if self._knows(host) else ""
        return {
            "Server": "robostack",
            "Cache-Control": "no-store",
            "Content-Security-Policy": (
                f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "accelerometer=(self), gyroscope=(self), magnetometer=(self), camera=(), "
            "microphone=(), geolocation=()",
        }

    def _knows(self, host: str) -> bool:
        """Whether the Host header `host` is a name of this server."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        default_port = 443 if self.scheme == "https" else 80
        if parts.netloc != host or "@" in host or (default_port if port is None else port) != self._port:
            return False
        if name in self._config.host_names:
            return True
        bound = self._config.address
        if name == "localhost":
            return bound.is_loopback or bound.is_unspecified
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # An address in place of a name cannot have been rebound; on all interfaces any of them is this computer.
        return bound.is_unspecified or address == bound

    @staticmethod
    def _bracketed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
        return f"[{address}]" if address.version == 6 else str(address)
