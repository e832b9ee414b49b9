"""Videos: as many frames as were added, at their times, and none lost by joining."""

from __future__ import annotations

import av
import numpy as np
import pytest
from dataset_samples import picture

from hardware.errors import DatasetError
from robostack.data.pictures import decode_picture, encode_picture, encode_png
from robostack.data.video import (
    EpisodeEncoder,
    coding_of,
    frames_between,
    join_videos,
    rate_of,
    video_facts,
    video_info,
)


def encode(path, count, fps=10.0, episode=0):
    encoder = EpisodeEncoder(path, fps)
    for step in range(count):
        encoder.add(picture(32, 48, episode, step))
    return encoder.finish()


@pytest.mark.parametrize("fps", [10.0, 25.0, 30.0, 100 / 3, 29.97])
def test_frame_k_is_shown_at_k_over_fps(tmp_path, fps):
    video = encode(tmp_path / "a.mp4", 9, fps)
    assert video.frames == 9 and video.dropped == 0 and video.stats["count"].tolist() == [9]
    facts = video_facts(video.path)
    assert (facts.width, facts.height) == (48, 32)
    np.testing.assert_allclose(facts.times_s, np.arange(9) / fps, atol=1e-4)
    assert float(rate_of(fps)) == pytest.approx(fps, rel=1e-6)


@pytest.mark.parametrize(("start", "count"), [(0, 9), (0, 1), (3, 4), (4, 1), (8, 1), (5, 0)])
def test_any_frame_can_be_found(tmp_path, start, count):
    video = encode(tmp_path / "a.mp4", 9)
    found = list(frames_between(video.path, start / 10.0, count, 10.0))
    assert len(found) == count
    for k, image in enumerate(found):
        assert abs(image[..., 2].mean() - picture(32, 48, 0, start + k)[..., 2].mean()) < 4


def test_frames_that_are_not_there_are_an_error(tmp_path):
    video = encode(tmp_path / "a.mp4", 4)
    with pytest.raises(DatasetError, match="ends after 2 of 3"):
        list(frames_between(video.path, 0.2, 3, 10.0))


def test_joined_videos_follow_each_other(tmp_path):
    parts = [encode(tmp_path / f"{k}.mp4", count, episode=k) for k, count in enumerate((4, 7, 2))]
    target = tmp_path / "all.mp4"
    assert len({coding_of(part.path) for part in parts}) == 1
    join_videos([part.path for part in parts], [0.4, 0.7, 0.2], target)
    np.testing.assert_allclose(video_facts(target).times_s, np.arange(13) / 10, atol=1e-6)
    before = [image for part in parts for image in frames_between(part.path, 0.0, part.frames, 10.0)]
    np.testing.assert_array_equal(list(frames_between(target, 0.0, 13, 10.0)), before)  # bit for bit


@pytest.mark.parametrize(("share", "frames"), [(0.0, None), (0.2, None), (0.8, range(1, 12)), (1.0, range(12, 13))])
def test_of_a_video_that_is_cut_off_the_whole_frames_count(tmp_path, share, frames):
    parts = [encode(tmp_path / f"{k}.mp4", 6).path for k in range(2)]
    target = tmp_path / "all.mp4"
    join_videos(parts, [0.6, 0.6], target)  # with its index in front: it opens although frames are missing
    data = target.read_bytes()
    target.write_bytes(data[: int(share * len(data))])
    if frames is None:
        with pytest.raises(DatasetError, match="not a readable video"):
            video_facts(target)
    else:
        assert len(video_facts(target).times_s) in frames
    if share < 1.0:
        parts[0].write_bytes(parts[0].read_bytes()[: int(share * parts[0].stat().st_size)])
        with pytest.raises(DatasetError, match="not a readable video"):  # its index is at the end
            video_facts(parts[0])


def test_another_size_is_another_coding(tmp_path):
    encoder = EpisodeEncoder(tmp_path / "b.mp4", 10.0)
    encoder.add(picture(16, 16, 0, 0))
    assert coding_of(encoder.finish().path) != coding_of(encode(tmp_path / "a.mp4", 2).path)


def test_cancelling_deletes_the_file(tmp_path):
    encoder = EpisodeEncoder(tmp_path / "a.mp4", 10.0)
    for step in range(5):
        encoder.add(picture(32, 48, 0, step))
    encoder.cancel()
    assert not list(tmp_path.iterdir())


def test_what_the_standard_says_about_a_video(tmp_path):
    found = video_info(encode(tmp_path / "a.mp4", 2).path, 10.0)
    assert found["video.codec"] == "h264" and found["video.pix_fmt"] == "yuv420p" and found["video.fps"] == 10
    assert found["has_audio"] is False and found["video.is_depth_map"] is False
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.has_b_frames == 0
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.pts is not None]
        assert keys == [True, False]


def test_png_loses_nothing_and_jpeg_little():
    image = np.random.default_rng(0).integers(0, 255, (9, 13, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_picture(encode_png(image)), image)
    smooth = picture(32, 48, 1, 2)
    again = decode_picture(encode_picture(smooth, "mjpeg", "yuvj420p"))
    assert np.abs(again.astype(int) - smooth).mean() < 4
    with pytest.raises(DatasetError, match="picture"):
        decode_picture(b"no picture")
