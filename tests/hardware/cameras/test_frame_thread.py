"""What readers of a camera get: newest, next, or the reason why not."""

from __future__ import annotations

import queue
import time

import numpy as np
import pytest

from hardware.camera import CameraFrame, pinhole_intrinsics
from hardware.cameras.frame_thread import FrameThread, paced
from hardware.errors import DeviceNotConnectedError, StaleDataError

LONG_S = 20.0


class Scripted:
    """A source that yields what a test puts in: a number for a frame, an exception to raise."""

    def __init__(self) -> None:
        self.items: queue.Queue[float | Exception] = queue.Queue()
        self.opened = self.closed = 0
        self.refuse = 0

    def open(self) -> None:
        self.opened += 1
        if self.refuse:
            self.refuse -= 1
            raise DeviceNotConnectedError("camera", "here", "whether it is there")

    def grab(self) -> CameraFrame | None:
        try:
            item = self.items.get(timeout=0.02)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        image = np.full((2, 2, 3), 7, dtype=np.uint8)
        return CameraFrame(item, image, None, pinhole_intrinsics(2, 2), "1")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def camera():
    made = FrameThread("camera 'front'", Scripted())
    made.connect()
    yield made
    made.disconnect()


def put(camera: FrameThread, *items: float | Exception) -> None:
    for item in items:
        camera._source.items.put(item)  # type: ignore[attr-defined]


def test_next_gives_each_frame_once_and_waits(camera):
    put(camera, 1.0)
    assert camera.read_next(LONG_S).capture_time_s == 1.0
    with pytest.raises(StaleDataError, match="the next frame"):
        camera.read_next(0.05)
    put(camera, 2.0)
    assert camera.read_next(LONG_S).capture_time_s == 2.0


def test_latest_repeats_and_refuses_an_old_one(camera):
    now_s = time.monotonic()
    put(camera, now_s)
    camera.read_next(LONG_S)
    assert camera.read_latest(max_age_s=1e6).capture_time_s == now_s
    assert camera.read_latest(max_age_s=1e6).capture_time_s == now_s
    put(camera, now_s - 50.0)
    camera.read_next(LONG_S)
    with pytest.raises(StaleDataError, match=r"camera 'front' is stale: 5\d{4}\.\d ms old, limit 1000"):
        camera.read_latest(max_age_s=1.0)


def test_latest_before_the_first_frame_says_so(camera):
    with pytest.raises(StaleDataError, match="its first frame"):
        camera.read_latest(1.0)


def test_a_broken_stream_is_told_and_opened_again(camera):
    source = camera._source
    source.refuse = 1  # the first attempt fails as well
    put(camera, 1.0)
    camera.read_next(LONG_S)
    put(camera, DeviceNotConnectedError("camera", "here", "the cable"))
    with pytest.raises(DeviceNotConnectedError, match=r"the cable|whether it is there"):
        camera.read_next(LONG_S)
    put(camera, 2.0)
    deadline_s = time.monotonic() + LONG_S
    while camera.reopened == 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert camera.read_next(LONG_S).capture_time_s == 2.0
    assert source.opened == 3, "at connect, refused once, then again"


def test_a_frame_that_came_before_the_break_is_still_given(camera):
    put(camera, 1.0, DeviceNotConnectedError("camera", "here", "the cable"))
    deadline_s = time.monotonic() + LONG_S
    while camera._failure is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert camera.read_next(LONG_S).capture_time_s == 1.0
    with pytest.raises(DeviceNotConnectedError):
        camera.read_next(LONG_S)


def test_the_end_of_a_recording_is_told(camera):
    put(camera, 1.0, EOFError("end"))
    assert camera.read_next(LONG_S).capture_time_s == 1.0
    with pytest.raises(DeviceNotConnectedError, match="has ended"):
        camera.read_next(LONG_S)


def test_connect_fails_where_no_camera_is():
    source = Scripted()
    source.refuse = 1
    camera = FrameThread("camera", source)
    with pytest.raises(DeviceNotConnectedError, match="whether it is there"):
        camera.connect()
    with pytest.raises(DeviceNotConnectedError, match="connect"):
        camera.read_latest(1.0)


def test_disconnect_closes_and_can_be_repeated(camera):
    camera.disconnect()
    camera.disconnect()
    assert camera._source.closed >= 1
    with pytest.raises(DeviceNotConnectedError, match="disconnect"):
        camera.read_next(0.01)
    camera.connect()
    put(camera, 3.0)
    assert camera.read_next(LONG_S).capture_time_s == 3.0


def test_pacing_waits_for_what_is_left_of_each_period():
    waits: list[float] = []
    pace = paced(1000.0, waits.append)
    pace(), pace()
    assert waits[0] == pytest.approx(1000.0, abs=10.0)
    assert waits[1] == pytest.approx(2000.0, abs=10.0), "absolute deadlines: nothing was really waited for"
