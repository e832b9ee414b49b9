"""Cameras through OpenCV: a USB camera by path or index, a network camera by HTTP MJPEG or RTSP, or a video file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.camera import CameraEntry, CameraFrame, CameraIntrinsics
from hardware.cameras.frame_thread import FrameThread, paced
from hardware.cameras.intrinsics import intrinsics_for
from hardware.errors import ConfigError, DeviceNotConnectedError, MissingExtraError

_FILE_RATE_HZ = 30.0


@dataclass(frozen=True)
class OpenCvCameraConfig:
    """A camera that OpenCV can open."""

    source: str = "0"
    """Device path (/dev/v4l/by-id/... survives re-plugging), index, video file, or URL (http://.../video, rtsp://...)."""
    width: int = 0
    """Image width to ask for [px]; 0: as the camera gives."""
    height: int = 0
    """Image height to ask for [px]; 0: as the camera gives."""
    rate_hz: float = 0.0
    """Frame rate to ask for [Hz]; 0: as the camera gives. A file is played at its own rate, or at this one."""
    loop: bool = False
    """Whether a file begins again at its end."""
    timeout_s: float = 2.0
    """A network camera that is silent for this long counts as lost [s]."""
    calibration: Path | None = None
    """File with the intrinsics (camera_info YAML); without one they are assumed."""
    serial_number: str = ""
    """Name of the individual camera in frames; "": the source."""

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError("give the camera's source: a device path, an index, a file or a URL")
        if min(self.width, self.height) < 0 or self.rate_hz < 0.0 or self.timeout_s <= 0.0:
            raise ConfigError("width, height and rate_hz of a camera are not negative, its timeout_s is positive")

    @property
    def is_network(self) -> bool:
        """Whether the source is a URL."""
        return "://" in self.source

    @property
    def is_file(self) -> bool:
        """Whether the source is a video file."""
        return Path(self.source).is_file()


class OpenCvSource:
    """Frames from `cv2.VideoCapture`.

    A capture time is the time at which the frame was handed over: OpenCV tells no earlier one, so exposure and
    transport (some 20 to 60 ms with USB) are not in it.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, config: OpenCvCameraConfig) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError("cv2", "vision", "a camera through OpenCV") from error
        self._cv2: Any = cv2
        self.config = config
        self._capture: Any = None
        self._intrinsics: CameraIntrinsics | None = None
        self._first: Any = None
        self._pace = paced(0.0)

    def open(self) -> None:
        """See `FrameSource`; reads the first image, so that a camera that gives none, or a wrong one, fails here."""
        cv2, config = self._cv2, self.config
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # the error below says it better
        try:
            if config.is_network:
                limit_ms = round(1e3 * config.timeout_s)
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
                self._capture = cv2.VideoCapture(config.source, cv2.CAP_FFMPEG, limits)
            else:
                self._capture = cv2.VideoCapture(int(config.source) if config.source.isdigit() else config.source)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            self.close()
            raise self._lost("that it is plugged in and free (v4l2-ctl --list-devices), or that the address is right")
        for name, value in (("WIDTH", config.width), ("HEIGHT", config.height)):
            if value:
                self._capture.set(getattr(cv2, f"CAP_PROP_FRAME_{name}"), value)
        if config.rate_hz and not config.is_file:
            self._capture.set(cv2.CAP_PROP_FPS, config.rate_hz)
        if config.is_file:
            rate_hz = config.rate_hz or self._capture.get(cv2.CAP_PROP_FPS) or _FILE_RATE_HZ
            self._pace = paced(1.0 / rate_hz)
        try:
            self._first = self._read()
            self._describe(self._first)
        except (DeviceNotConnectedError, ConfigError):
            self.close()
            raise

    def grab(self) -> CameraFrame | None:
        """See `FrameSource`."""
        if self._capture is None or self._intrinsics is None:
            raise self._lost("that it was opened")
        self._pace()
        image, self._first = self._first if self._first is not None else self._read(), None
        now_s = time.monotonic()
        color = self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB)
        return CameraFrame(now_s, color, None, self._intrinsics, self.config.serial_number or self.config.source)

    def close(self) -> None:
        """See `FrameSource`."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _read(self) -> Any:
        """The next image, (height, width, 3), BGR."""
        ok, image = self._capture.read()
        if not ok and self.config.is_file:
            if not self.config.loop:
                raise EOFError(self.config.source)
            self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, 0)
            ok, image = self._capture.read()
        if not ok:
            raise self._lost("its cable, and that nothing else took it")
        return image

    def _describe(self, image: Any) -> None:
        """Check the size of the images, and find their intrinsics."""
        height, width = image.shape[:2]
        wanted = (self.config.width or width, self.config.height or height)
        if wanted != (width, height):
            raise self._lost(f"its sizes: it gives {width}x{height} and was asked for {wanted[0]}x{wanted[1]}")
        self._intrinsics = intrinsics_for(self.config.calibration, width, height)

    def _lost(self, check: str) -> DeviceNotConnectedError:
        return DeviceNotConnectedError("camera", self.config.source, check)


class OpenCvCamera(FrameThread):
    """A `hardware.camera.Camera` through OpenCV.

    Args:
        config: which camera.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, config: OpenCvCameraConfig) -> None:
        super().__init__(f"camera {config.source}", OpenCvSource(config))


CAMERA = CameraEntry(
    camera="hardware.cameras.opencv:OpenCvCamera",
    config="hardware.cameras.opencv:OpenCvCameraConfig",
    summary="USB or network camera, or a video file, through OpenCV (extra vision)",
)
