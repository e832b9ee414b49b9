"""The web page as a `Teleoperator`: reading and showing never wait, the server runs in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from hardware.clock import Clock, SystemClock
from hardware.errors import DeviceNotConnectedError
from hardware.teleoperator import OperatorCommand
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.frames import FrameBoard
from robostack.teleoperation.web_page.session import Session
from robostack.teleoperation.web_page.thread import ServerThread

HELP = "web page: open the address below, take control, and hold a control to move. STOP acts at once"
"""How to use it, in one line."""


class WebTeleoperator:
    """A web page behind the protocol `Teleoperator`, that can show pictures and status (`OperatorDisplay`).

    Args:
        config: address, security, speeds, time limits.
        clock: monotonic time, for tests.
    """

    def __init__(self, config: WebConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self._session = Session(config, self._clock)
        self._frames = FrameBoard()
        self._server: ServerThread | None = None

    @property
    def url(self) -> str:
        """Where to open the page, with the token of this start; "" before `connect`."""
        return self._server.access.url if self._server is not None else ""

    @property
    def on_stop(self) -> Callable[[], None] | None:
        """Called at once, in the server's thread, when the emergency stop is pressed; it must not block.

        The stop is an event of the next reading as well.
        """
        return self._session.on_stop

    @on_stop.setter
    def on_stop(self, callback: Callable[[], None] | None) -> None:
        self._session.on_stop = callback

    @property
    def stop_event(self) -> threading.Event:
        """Set at once when the emergency stop is pressed; whoever waits for it clears it."""
        return self._session.stop_event

    def connect(self) -> None:
        """Serve the page.

        Raises:
            MissingExtraError: the package that serves it is not installed.
            AddressInUseError: the port is taken.
            DeviceNotConnectedError: this computer has no such address.
            ConfigError: the certificate or its key cannot be read.
        """
        if self._server is None:
            self._server = ServerThread(self.config, self._clock, self._session, self._frames)

    def read(self) -> OperatorCommand:
        """The newest reading.

        Raises:
            DeviceNotConnectedError: the page is not served, or its server has ended.
        """
        if self._server is None or not self._server.running:
            raise DeviceNotConnectedError("web page", f"{self.config.host}:{self.config.port}", "that it was connected")
        return self._session.command()

    def disconnect(self) -> None:
        """Close the page in all browsers and stop serving it. Idempotent, never raises."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def show_frame(self, camera: str, jpeg: bytes, capture_time_s: float) -> None:
        """See `OperatorDisplay`."""
        self._frames.put(camera, jpeg, capture_time_s)
        if self._server is not None:
            self._server.wake()

    def show_status(self, status: Mapping[str, object]) -> None:
        """See `OperatorDisplay`."""
        if self._server is not None:
            self._server.show_status(dict(status))
