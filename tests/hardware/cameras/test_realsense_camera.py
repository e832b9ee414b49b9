"""The RealSense driver, fed with a recording that the maker's library wrote from synthetic images."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

rs = pytest.importorskip("pyrealsense2", reason="needs the extra 'realsense' and libusb")

from hardware.cameras.realsense import RealSenseCamera, RealSenseConfig  # noqa: E402
from hardware.errors import ConfigError, DeviceNotConnectedError  # noqa: E402

pytestmark = pytest.mark.wire
LONG_S = 30.0
WIDTH, HEIGHT, RATE_HZ, COUNT = 64, 48, 30, 12
FX, FY, CX, CY = 60.0, 61.0, 31.5, 23.5
COEFFICIENTS = [0.01, -0.02, 0.001, 0.002, 0.0]


def stream(kind, uid: int, form, bytes_per_pixel: int):
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = WIDTH, HEIGHT, FX, FY, CX, CY
    lens.model, lens.coeffs = rs.distortion.brown_conrady, COEFFICIENTS
    made = rs.video_stream()
    made.type, made.index, made.uid, made.fmt = kind, 0, uid, form
    made.width, made.height, made.fps, made.bpp, made.intrinsics = WIDTH, HEIGHT, RATE_HZ, bytes_per_pixel, lens
    return made


def frame(number: int, profile, image: np.ndarray):
    made = rs.software_video_frame()
    made.pixels, made.bpp = np.ascontiguousarray(image), image.itemsize * image[0, 0].size
    made.stride, made.frame_number, made.profile = WIDTH * made.bpp, number + 1, profile.as_video_stream_profile()
    made.timestamp, made.domain = 1000.0 + number * 1000.0 / RATE_HZ, rs.timestamp_domain.hardware_clock
    if image.dtype == np.uint16:
        made.depth_units = 0.001
    return made


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Twelve frames at 30 Hz: red counts up by ten, depth by a millimetre from 0.5 m."""
    path = tmp_path_factory.mktemp("realsense") / "synthetic.db3"
    device = rs.software_device()
    depth_sensor, color_sensor = device.add_sensor("Depth"), device.add_sensor("Color")
    depth = depth_sensor.add_video_stream(stream(rs.stream.depth, 0, rs.format.z16, 2))
    color = color_sensor.add_video_stream(stream(rs.stream.color, 1, rs.format.rgb8, 3))
    depth_sensor.add_read_only_option(rs.option.depth_units, 0.001)
    same = rs.extrinsics()
    same.rotation, same.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
    depth.register_extrinsics_to(color, same)
    device.register_info(rs.camera_info.serial_number, "123456")
    recorder, queue = rs.recorder(str(path), device), rs.frame_queue(2 * COUNT)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(queue)
    for number in range(COUNT):
        depth_sensor.on_video_frame(frame(number, depth, np.full((HEIGHT, WIDTH), 500 + number, dtype=np.uint16)))
        color_sensor.on_video_frame(frame(number, color, np.full((HEIGHT, WIDTH, 3), (10 * number, 50, 200), np.uint8)))
        time.sleep(1.0 / RATE_HZ)  # played back at the pace at which it was recorded
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    del recorder
    return path


def play(path: Path, **settings) -> list:
    camera = RealSenseCamera(RealSenseConfig(file=path, width=WIDTH, height=HEIGHT, **settings))
    camera.connect()
    frames = []
    try:
        with pytest.raises(DeviceNotConnectedError, match="recording has ended"):
            while True:
                frames.append(camera.read_next(LONG_S))
    finally:
        camera.disconnect()
    return frames


def test_frames_come_with_depth_intrinsics_and_serial_number(recording):
    frames = play(recording)
    assert len(frames) >= COUNT // 2, "the library holds back pairs whose halves it saw too far apart"
    for frame in frames:
        number = int(frame.color[0, 0, 0]) // 10
        np.testing.assert_array_equal(frame.color[24, 32], (10 * number, 50, 200))
        assert frame.depth_m is not None
        assert frame.depth_m[24, 32] == pytest.approx(0.5 + 0.001 * number, abs=1e-4), "of the same moment"
    lens = frames[0].intrinsics
    np.testing.assert_allclose(lens.matrix, [[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    np.testing.assert_allclose(lens.distortion, COEFFICIENTS, atol=1e-7)
    assert (lens.width, lens.height, frames[0].serial_number) == (WIDTH, HEIGHT, "123456")


def test_capture_times_are_the_cameras_on_the_computers_clock(recording):
    frames = play(recording)
    numbers = np.array([int(frame.color[0, 0, 0]) // 10 for frame in frames])
    times = np.array([frame.capture_time_s for frame in frames])
    assert np.all(np.diff(numbers) > 0), "no frame twice"
    np.testing.assert_allclose(np.diff(times), np.diff(numbers) / RATE_HZ, atol=0.02)
    assert times[-1] <= time.monotonic()


def test_colour_alone(recording):
    frames = play(recording, depth=False)
    assert len(frames) >= COUNT - 2
    assert all(frame.depth_m is None for frame in frames)


def test_no_camera_and_no_file_say_what_to_check(tmp_path):
    with pytest.raises(DeviceNotConnectedError, match="recording is there"):
        RealSenseCamera(RealSenseConfig(file=tmp_path / "none.db3")).connect()
    with pytest.raises(DeviceNotConnectedError, match="serial number"):
        RealSenseCamera(RealSenseConfig(serial_number="no such one")).connect()
    with pytest.raises(ConfigError, match="positive"):
        RealSenseConfig(rate_hz=0)
