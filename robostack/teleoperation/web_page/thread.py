"""The thread in which the page is served, with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hardware.clock import Clock
from hardware.errors import AddressInUseError, ConfigError, DeviceNotConnectedError, MissingExtraError
from robostack.teleoperation.web_page.access import Access
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.frames import FrameBoard
from robostack.teleoperation.web_page.session import Session

if TYPE_CHECKING:
    from robostack.teleoperation.web_page.server import PageServer

JOIN_S = 5.0
"""Longest wait for the thread to end [s]; it is a daemon and ends with the process at the latest."""


class ServerThread:
    """Serves the page from its construction until `stop`.

    Args:
        config: address and certificate.
        clock: monotonic time.
        session: what the browsers share with the reader.
        frames: the pictures to show.

    Raises:
        MissingExtraError: the package that serves it is not installed.
        AddressInUseError: the port is taken.
        DeviceNotConnectedError: this computer has no such address.
        ConfigError: the certificate or its key cannot be read.
    """

    def __init__(self, config: WebConfig, clock: Clock, session: Session, frames: FrameBoard) -> None:
        try:
            from robostack.teleoperation.web_page.server import PageServer
        except ModuleNotFoundError as error:
            raise MissingExtraError("aiohttp", "teleop", "the web page") from error
        tls = _tls(config)
        listener = _listen(config)
        self.access = Access(config, listener.getsockname()[1])
        """Who may talk to the page."""
        self._page = PageServer(config, clock, session, frames, self.access)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._page, listener, tls), name="web-page", daemon=True
        )
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the page is served."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """There are new pictures."""
        self._call(self._page.wake)

    def show_status(self, status: Mapping[str, object]) -> None:
        """Send `status` to the browsers; numbers that are not finite become null."""
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in status.items()
        }
        text = json.dumps(plain, default=str)
        self._call(lambda: self._page.show_status(text))

    def stop(self) -> None:
        """Close all connections and end the thread. Idempotent, never raises."""
        self._call(self._page.close)
        self._thread.join(JOIN_S)

    def _call(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(function)

    def _run(self, page: PageServer, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(page.serve(listener, tls))
        finally:
            self._loop.close()


def _tls(config: WebConfig) -> ssl.SSLContext | None:
    if not config.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"certificate '{config.tls_certificate}' with key '{config.tls_key}' cannot be used: {error}. "
            "Give PEM files that belong together; the key without a password"
        ) from error
    return context


def _listen(config: WebConfig) -> socket.socket:
    address = config.address
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    where = f"{config.host}:{config.port}"
    try:
        return socket.create_server((str(address), config.port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError("the web page", where) from error
        raise DeviceNotConnectedError(
            "web page", where, f"that this computer has that address and you may use that port ({error.strerror})"
        ) from error
