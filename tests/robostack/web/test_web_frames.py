"""Pictures and the limit on messages."""

import struct

from hardware.clock import VirtualClock
from robostack.teleoperation.web_page.frames import FRAME_BYTES_MAX, FrameBoard
from robostack.teleoperation.web_page.rate import RateLimit


def test_a_message_is_index_number_time_and_picture():
    board = FrameBoard()
    board.put("front", b"a", 1.0)
    board.put("wrist", b"b", 2.5)
    assert board.cameras == ("front", "wrist")
    message = board.newer_than({})[1].message
    assert struct.unpack("<IId", message[:16]) == (1, 0, 2.5)
    assert message[16:] == b"b"


def test_only_the_newest_of_each_camera_is_kept():
    board = FrameBoard()
    for number in range(5):
        board.put("front", bytes([number]), float(number))
    (frame,) = board.newer_than({0: 2})
    assert (frame.number, frame.message[16:]) == (4, b"\4")
    assert board.newer_than({0: 4}) == []


def test_an_absurd_picture_is_left_out_and_counted():
    board = FrameBoard()
    board.put("front", bytes(FRAME_BYTES_MAX + 1), 0.0)
    assert board.newer_than({}) == []
    assert board.too_large == 1


def test_the_rate_limit_allows_a_burst_and_then_its_rate():
    clock = VirtualClock()
    limit = RateLimit(10.0, 3, clock)
    assert [limit.allows() for _ in range(4)] == [True, True, True, False]
    clock.advance(0.1)
    assert [limit.allows() for _ in range(2)] == [True, False]
    clock.advance(100.0)
    assert [limit.allows() for _ in range(4)] == [True, True, True, False]
