"""Reads a camera in a thread of its own, so that a reader gets the newest frame, or waits for the next, at will."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from hardware.camera import CameraFrame
from hardware.errors import DeviceError, DeviceNotConnectedError, StaleDataError

_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between attempts to open a lost stream again [s]; the last one repeats."""
_JOIN_S = 3.0


class FrameSource(Protocol):
    """What a kind of camera has to provide. All three are called by one thread at a time."""

    def open(self) -> None:
        """Open the stream.

        Raises:
            DeviceNotConnectedError: no such camera.
        """
        ...

    def grab(self) -> CameraFrame | None:
        """Wait for the next frame, for a second or so at most; None when there was none in that time.

        Raises:
            DeviceNotConnectedError: the stream broke.
            EOFError: a recording has ended.
        """
        ...

    def close(self) -> None:
        """Close the stream. Idempotent, never raises."""
        ...


class FrameThread:
    """A `hardware.camera.Camera` over a `FrameSource`.

    A stream that breaks is opened again, with growing waits, until `disconnect`; meanwhile readers get the reason.

    Args:
        name: of the camera, for messages ("camera 'front' at /dev/video0").
        source: where frames come from.
    """

    def __init__(self, name: str, source: FrameSource) -> None:
        self.name, self._source = name, source
        self._thread: threading.Thread | None = None
        self._news = threading.Condition()
        self._ending = threading.Event()
        self._frame: CameraFrame | None = None
        self._read_count = self.frame_count = 0
        """Frames that have come since `connect`."""
        self.reopened = 0
        """How often a broken stream was opened again."""
        self._failure: DeviceError | None = None

    def connect(self) -> None:
        """Open the stream and begin to read.

        Raises:
            DeviceNotConnectedError: no such camera.
        """
        if self._thread is not None:
            return
        self._source.open()
        self._ending.clear()
        self._frame, self._failure, self.frame_count, self._read_count = None, None, 0, 0
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def read_latest(self, max_age_s: float) -> CameraFrame:
        """The newest frame, possibly one already read. See `hardware.camera.Camera`."""
        with self._news:
            frame = self._checked()
            if frame is None:
                raise StaleDataError(f"{self.name}: its first frame", float("inf"), max_age_s)
            self._read_count = self.frame_count
        age_s = time.monotonic() - frame.capture_time_s
        if age_s > max_age_s:
            raise StaleDataError(self.name, age_s, max_age_s)
        return frame

    def read_next(self, timeout_s: float) -> CameraFrame:
        """The next frame that was not read yet. See `hardware.camera.Camera`."""
        with self._news:
            came = self._news.wait_for(lambda: self.frame_count > self._read_count or self._failure, timeout_s)
            frame = self._checked()
            if not came or frame is None:
                raise StaleDataError(f"{self.name}: the next frame", timeout_s, timeout_s)
            self._read_count = self.frame_count
            return frame

    def disconnect(self) -> None:
        """Stop reading and close the stream."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ending.set()
        thread.join(_JOIN_S)  # a read that hangs in a driver ends with the process

    def _checked(self) -> CameraFrame | None:
        if self._thread is None:
            raise DeviceNotConnectedError(
                self.name, "no stream", "that connect() was called, and not disconnect() since"
            )
        if self._failure is not None and self.frame_count == self._read_count:
            raise self._failure
        return self._frame

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                try:
                    frame = self._source.grab()
                except DeviceError as error:
                    self._tell(error)
                    self._reopen()
                    continue
                except EOFError:
                    self._tell(DeviceNotConnectedError(self.name, "its recording", "the recording has ended"))
                    return
                if frame is not None:
                    self._keep(frame)
        finally:
            self._source.close()

    def _keep(self, frame: CameraFrame) -> None:
        with self._news:
            self._frame, self._failure = frame, None
            self.frame_count += 1
            self._news.notify_all()

    def _tell(self, failure: DeviceError) -> None:
        with self._news:
            self._failure = failure
            self._news.notify_all()

    def _reopen(self) -> None:
        """Try again until it works or the end is asked for."""
        waits = iter(_RETRY_S)
        wait_s = next(waits)
        while not self._ending.wait(wait_s):
            self._source.close()
            try:
                self._source.open()
            except DeviceError as error:
                self._tell(error)
                wait_s = next(waits, _RETRY_S[-1])
                continue
            self.reopened += 1
            return


def paced(period_s: float, wait: Callable[[float], object] = time.sleep) -> Callable[[], None]:
    """A function that returns once per `period_s` [s], for recordings that would be read faster than they were made."""
    due_s = time.monotonic()

    def pace() -> None:
        nonlocal due_s
        due_s = max(due_s + period_s, time.monotonic() - period_s)
        wait(max(0.0, due_s - time.monotonic()))

    return pace
