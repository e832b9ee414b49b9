"""Intel RealSense cameras through the maker's library, live or from a recording, by one code path."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.camera import CameraEntry, CameraFrame, CameraIntrinsics
from hardware.cameras.frame_thread import FrameThread
from hardware.errors import ConfigError, DeviceNotConnectedError, MissingExtraError
from hardware.host_time import HostTime

_GRAB_MS = 500
_PLAYED_OUT = 4
"""Waits without a frame after which a recording counts as ended."""
_UNMATCHED_S = 3.0
"""Time without a matching pair of images after which the camera counts as lost [s]."""


@dataclass(frozen=True)
class RealSenseConfig:
    """A RealSense camera, or a recording of one."""

    serial_number: str = ""
    """Serial number (rs-enumerate-devices -s); "": the only one that is plugged in."""
    file: Path | None = None
    """Recording (.db3 or .bag) to play instead of a camera."""
    width: int = 640
    """Width of both images [px]."""
    height: int = 480
    """Height of both images [px]."""
    rate_hz: int = 30
    """Frame rate [Hz]."""
    depth: bool = True
    """Whether depth is read, aligned to the colour image."""
    real_time: bool = True
    """Whether a recording is played at its own speed; otherwise as fast as it is read, frame by frame."""

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.rate_hz) <= 0:
            raise ConfigError("width, height and rate_hz of a RealSense camera are positive")


def realsense() -> Any:
    """The maker's library.

    Raises:
        MissingExtraError: it, or libusb that it needs, is not installed.
    """
    try:
        import pyrealsense2
    except ImportError as error:
        package = "libusb-1.0 (apt-get install libusb-1.0-0)" if "libusb" in str(error) else "pyrealsense2"
        raise MissingExtraError(package, "realsense", "a RealSense camera") from error
    return pyrealsense2


class RealSenseSource:
    """Frames from `rs.pipeline`. The camera's own time stamps are put on the computer's monotonic clock.

    Raises:
        MissingExtraError: the library is not installed.
    """

    def __init__(self, config: RealSenseConfig) -> None:
        self._rs = realsense()
        self.config = config
        self._pipeline: Any = None
        self._align = self._rs.align(self._rs.stream.color)
        self._time = HostTime()
        self._serial_number, self._depth_scale_m, self._silent = "", 0.0, 0
        self._number, self._unmatched = -1, 0
        self._intrinsics: CameraIntrinsics | None = None

    def open(self) -> None:
        """See `FrameSource`."""
        rs, config = self._rs, self.config
        settings = rs.config()
        size = (config.width, config.height)
        if config.file is not None:
            if not config.file.is_file():
                raise self._lost("that the recording is there")
            settings.enable_device_from_file(str(config.file), repeat_playback=False)
            settings.enable_stream(rs.stream.color)
            if config.depth:
                settings.enable_stream(rs.stream.depth)
        else:
            self._require_device()
            if config.serial_number:
                settings.enable_device(config.serial_number)
            settings.enable_stream(rs.stream.color, *size, rs.format.rgb8, config.rate_hz)
            if config.depth:
                settings.enable_stream(rs.stream.depth, *size, rs.format.z16, config.rate_hz)
        pipeline = rs.pipeline()
        try:
            profile = pipeline.start(settings)
        except RuntimeError as error:
            raise self._lost(
                f"the USB 3 cable, the serial number (rs-enumerate-devices -s) and the size ({error})"
            ) from error
        self._pipeline, self._time, self._silent = pipeline, HostTime(), 0
        self._number, self._unmatched = -1, 0
        self._describe(profile)

    def grab(self) -> CameraFrame | None:
        """See `FrameSource`."""
        if self._pipeline is None or self._intrinsics is None:
            raise self._lost("that it was opened")
        try:
            came, frames = self._pipeline.try_wait_for_frames(_GRAB_MS)
        except RuntimeError as error:
            raise self._lost(f"its USB cable ({error})") from error
        arrival_s = time.monotonic()
        if not came:
            self._silent += 1
            if self._silent < _PLAYED_OUT:
                return None
            if self.config.file is not None:
                raise EOFError(str(self.config.file))
            raise self._lost("its USB cable; it has been silent")
        self._silent = 0
        if self.config.depth:
            frames = self._align.process(frames)
        color, depth = frames.get_color_frame(), frames.get_depth_frame() if self.config.depth else None
        if not color or color.get_frame_number() == self._number or not self._match(color, depth):
            return None  # only the depth is new, or it is not of this moment
        self._number = color.get_frame_number()
        depth_m = None
        if depth:
            depth_m = np.asanyarray(depth.get_data()).astype(np.float32) * np.float32(self._depth_scale_m)
        capture_s = self._time.capture_time(1e-3 * color.get_timestamp(), arrival_s)
        image = np.array(color.get_data(), dtype=np.uint8)  # a copy: the library takes its memory back
        if color.get_profile().format() == self._rs.format.bgr8:
            image = np.ascontiguousarray(image[..., ::-1])
        return CameraFrame(capture_s, image, depth_m, self._intrinsics, self._serial_number)

    def close(self) -> None:
        """See `FrameSource`."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            with contextlib.suppress(RuntimeError):
                pipeline.stop()

    def _match(self, color: Any, depth: Any) -> bool:
        """Whether both images are of one moment; a camera whose images never are is an error, not a silence."""
        if not self.config.depth:
            return True
        if depth and abs(color.get_timestamp() - depth.get_timestamp()) < 500.0 / self.config.rate_hz:
            self._unmatched = 0
            return True
        self._unmatched += 1
        if self._unmatched > _UNMATCHED_S * self.config.rate_hz:
            raise self._lost("its firmware: colour and depth are not of the same time; or read it without depth")
        return False

    def _require_device(self) -> None:
        """Look first: the library would wait 15 s for a camera that is not there."""
        rs = self._rs
        present = [device.get_info(rs.camera_info.serial_number) for device in rs.context().query_devices()]
        if not present or self.config.serial_number not in ("", *present):
            raise self._lost(f"the USB 3 cable and the serial number (present: {', '.join(present) or 'none'})")

    def _describe(self, profile: Any) -> None:
        """Serial number, depth scale and intrinsics, as the device states them."""
        rs, device = self._rs, profile.get_device()
        if self.config.file is not None:
            device.as_playback().set_real_time(self.config.real_time)
        known = device.supports(rs.camera_info.serial_number)
        self._serial_number = device.get_info(rs.camera_info.serial_number) if known else str(self.config.file)
        if self.config.depth:
            self._depth_scale_m = device.first_depth_sensor().get_depth_scale()
        lens = profile.get_stream(rs.stream.color).as_video_stream_profile().get_intrinsics()
        matrix = np.array([[lens.fx, 0.0, lens.ppx], [0.0, lens.fy, lens.ppy], [0.0, 0.0, 1.0]])
        self._intrinsics = CameraIntrinsics(lens.width, lens.height, matrix, np.array(lens.coeffs, dtype=np.float64))

    def _lost(self, check: str) -> DeviceNotConnectedError:
        address = str(self.config.file or self.config.serial_number or "USB")
        return DeviceNotConnectedError("RealSense camera", address, check)


class RealSenseCamera(FrameThread):
    """A `hardware.camera.Camera` of the RealSense family.

    Args:
        config: which camera, and what to read.

    Raises:
        MissingExtraError: the maker's library is not installed.
    """

    def __init__(self, config: RealSenseConfig) -> None:
        super().__init__(f"RealSense {config.file or config.serial_number}".strip(), RealSenseSource(config))


CAMERA = CameraEntry(
    camera="hardware.cameras.realsense:RealSenseCamera",
    config="hardware.cameras.realsense:RealSenseConfig",
    summary="Intel RealSense, colour and aligned depth, live or from a recording (extra realsense)",
)
