"""The videos of a dataset: encoded while recording, decoded frame by frame, joined without encoding again."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError
from robostack.data.stats import ImageStats, Stats

CODEC, PIXEL_FORMAT = "libx264", "yuv420p"
OPTIONS = {"g": "2", "bf": "0", "crf": "23", "preset": "veryfast", "threads": "1"}
"""A key frame every second frame makes random access cheap (lerobot's choice); no frame is out of order."""
CODEC_ERRORS: tuple[type[Exception], ...] = (av.error.FFmpegError, OSError, ValueError)
"""What PyAV raises: FFmpeg's errors are OSErrors only where the operating system has such an error."""
QUEUE_FRAMES = 60
"""Frames of one camera that may wait for the encoder; two seconds at 30 Hz."""

_END = object()


@dataclass(frozen=True, slots=True)
class EncodedVideo:
    """What encoding an episode of one camera led to."""

    path: Path
    """The file, closed, still under its temporary name."""
    frames: int
    """Frames in it."""
    dropped: int
    """Frames that came while the queue was full; the one before stands in for each."""
    stats: Stats
    """Of the pictures."""


class EpisodeEncoder:
    """Encodes the pictures of one camera and one episode in a thread of its own.

    The number of frames in the file is always the number of `add`: where the encoder cannot follow, the previous
    picture is repeated and counted as dropped.

    Args:
        path: temporary file to write.
        fps: frames per second.
        queue_frames: pictures that may wait.
    """

    def __init__(self, path: Path, fps: float, queue_frames: int = QUEUE_FRAMES) -> None:
        self.path = path
        self.dropped = 0
        self._rate = rate_of(fps)
        self._stats = ImageStats()
        self._frames = 0
        self._error: Exception | None = None
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(queue_frames)
        self._cancelled = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name=f"encode {path.name}", daemon=True)
        self._thread.start()

    def add(self, image: NDArray[np.uint8]) -> None:
        """Take the next picture, (height, width, 3) uint8 RGB, not changed afterwards. Never waits.

        Raises:
            OSError: the encoder stopped, for instance because the disk is full.
        """
        if self._error is not None:
            raise self._error
        if self._room.acquire(blocking=False):
            self._queue.put(image)
        else:
            self.dropped += 1
            self._queue.put(None)

    def finish(self) -> EncodedVideo:
        """Wait for the last picture and close the file.

        Raises:
            OSError: the file could not be written.
        """
        self._queue.put(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error
        return EncodedVideo(self.path, self._frames, self.dropped, self._stats.result())

    def cancel(self) -> None:
        """Stop and delete the file."""
        self._cancelled.set()
        self._queue.put(_END)
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            with av.open(str(self.path), "w", format="mp4") as container:
                self._encode(container)
        except CODEC_ERRORS as error:
            self._error = error if isinstance(error, OSError) else OSError(str(error))

    def _encode(self, container: Any) -> None:
        stream: Any = container.add_stream(CODEC, rate=self._rate)
        stream.pix_fmt, stream.options = PIXEL_FORMAT, dict(OPTIONS)
        stream.time_base = stream.codec_context.time_base = 1 / self._rate
        last: Any = None
        while (item := self._queue.get()) is not _END:
            if self._cancelled.is_set():
                return
            if item is not None:
                if last is None:
                    stream.height, stream.width = item.shape[:2]
                self._room.release()
                self._stats.add(item)
                last = item
            else:
                self._stats.add(last)
            frame = av.VideoFrame.from_ndarray(last, format="rgb24")
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            for packet in stream.encode(frame):
                container.mux(packet)
            self._frames += 1
        for packet in stream.encode():
            container.mux(packet)


def rate_of(fps: float) -> Fraction:
    """Frames per second as a fraction that a container can hold."""
    return Fraction(fps).limit_denominator(10_000)


def video_info(path: Path, fps: float) -> dict[str, Any]:
    """What `meta/info.json` says about the videos of a camera."""
    with _open(path) as container:
        stream = container.streams.video[0]
        return {
            "video.height": stream.height,
            "video.width": stream.width,
            "video.codec": stream.codec_context.name,
            "video.pix_fmt": stream.pix_fmt,
            "is_depth_map": False,
            "video.is_depth_map": False,
            "video.fps": int(fps) if float(fps).is_integer() else fps,
            "video.channels": 3,
            "has_audio": False,
        }


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video file consists of."""

    times_s: tuple[float, ...]
    """Presentation time of each frame that is whole, ascending [s]."""
    width: int
    height: int


def video_facts(path: Path) -> VideoFacts:
    """Look at every packet of a video, without decoding; of a file that was cut off, those that are whole.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        try:
            times = [
                float(packet.pts * packet.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None and not packet.is_corrupt  # what FFmpeg calls one that ends early
            ]
        except CODEC_ERRORS as error:
            raise DatasetError(f"{path} is damaged: {error}") from error
        return VideoFacts(tuple(sorted(times)), stream.width, stream.height)


def frames_between(path: Path, start_s: float, count: int, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Decode `count` frames from the one at `start_s` [s] on; (height, width, 3) uint8 RGB each.

    Raises:
        DatasetError: the file is damaged, or has fewer frames.
    """
    found = 0
    if count > 0:
        with _open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            try:
                container.seek(max(0, int(start_s / stream.time_base)), stream=stream)
                for frame in container.decode(stream):
                    if frame.time is not None and frame.time < start_s - 0.5 / fps:
                        continue
                    yield frame.to_ndarray(format="rgb24")
                    found += 1
                    if found == count:
                        return
            except CODEC_ERRORS as error:
                raise DatasetError(f"{path} is damaged: {error}. See: robostack data repair") from error
    if found < count:
        raise DatasetError(
            f"{path} ends after {found} of {count} frames from {start_s:.3f} s. See: robostack data check"
        )


def join_videos(paths: Sequence[Path], lengths_s: Sequence[float], target: Path) -> None:
    """Write the packets of several videos behind each other into one file, without encoding again.

    Args:
        paths: videos of the same coding (see `coding_of`).
        lengths_s: how long each is [s]; the next begins there.
        target: the file to write; its folder exists.

    Raises:
        DatasetError: a video is damaged.
    """
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream: Any = None
        offset_s = Fraction(0)
        for path, length_s in zip(paths, lengths_s, strict=True):
            with _open(path) as container:
                source = container.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(source)
                    stream.time_base = source.time_base
                shift = round(offset_s / source.time_base)
                for packet in container.demux(source):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    output.mux(packet)
            offset_s += Fraction(length_s).limit_denominator(1_000_000)


def coding_of(path: Path) -> tuple[Any, ...]:
    """What must be equal for two videos to be joined."""
    with _open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return (context.name, stream.width, stream.height, stream.pix_fmt, stream.time_base, context.extradata)


def _open(path: Path) -> Any:
    try:
        container = av.open(str(path))
    except CODEC_ERRORS as error:
        raise DatasetError(f"{path} is not a readable video ({error}). See: robostack data repair") from error
    if not container.streams.video:
        container.close()
        raise DatasetError(f"{path} has no video stream. See: robostack data repair")
    return container
