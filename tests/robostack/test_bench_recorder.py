"""What the recording benchmark counts."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("mcap", reason="needs the extra 'data'")

from robostack.bench.recorder import HEIGHT, WIDTH, _report, missing_pictures, write_film
from robostack.data.raw_record import RawRecorder


def picture(stamp_s: float) -> bytes:
    """The beginning of a CompressedImage as CDR: header of the encoding, then the stamp."""
    seconds = int(stamp_s)
    return b"\x00\x01\x00\x00" + struct.pack("<iI", seconds, round((stamp_s - seconds) * 1e9)) + bytes(64)


def write(root, camera: str, numbers) -> None:
    with_topic = f"/{camera}/image_raw/compressed"
    (root / "raw").mkdir(parents=True, exist_ok=True)
    recorder = RawRecorder(root / "raw" / f"{camera}.mcap")
    for number in numbers:
        recorder.write(with_topic, "sensor_msgs/msg/CompressedImage", picture(1000.0 + number / 30.0), number)
    recorder.close()


def test_gaps_in_the_stamps_are_missing_pictures(tmp_path):
    write(tmp_path, "left", [0, 1, 2, 3, 4, 5])
    write(tmp_path, "right", [0, 1, 4, 5, 7])
    assert missing_pictures(tmp_path, ["left"], 10.0) == 0.0
    assert missing_pictures(tmp_path, ["right"], 10.0) == 3.0
    assert missing_pictures(tmp_path, ["left", "right"], 10.0) == 3.0


def test_what_was_before_the_episode_does_not_count(tmp_path):
    write(tmp_path, "left", [0, 90, 91, 92])
    assert missing_pictures(tmp_path, ["left"], 1.0) == 0.0
    assert missing_pictures(tmp_path, ["left"], 10.0) == 89.0


def test_a_camera_without_any_picture_misses_all(tmp_path):
    write(tmp_path, "left", [0, 1])
    assert missing_pictures(tmp_path, ["left", "right"], 2.0) == 60.0


def test_the_recorders_line_is_read():
    line = (
        "[recorder] [INFO] [1.2] [recorder]: episode 0 saved (time limit): 3600 frames, 4 without a new measurement, "
        "7 images dropped, lateness p50 5.1 ms p99 12.5 ms, clock skew 0.0 ms"
    )
    found = _report(["something else", line])
    assert found == {"frames": 3600.0, "dropped": 7.0, "lateness_p50_ms": 5.1, "lateness_p99_ms": 12.5}


def test_the_film_moves(tmp_path):
    cv2 = pytest.importorskip("cv2", reason="needs the extra 'vision'")
    path = tmp_path / "film.avi"
    write_film(path, frames=4)
    film = cv2.VideoCapture(str(path))
    first, second = film.read()[1].astype(int), film.read()[1].astype(int)
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert abs(first - second).mean() > 5.0
    assert path.stat().st_size / 4 > 50_000, "no picture that compresses to nothing"
