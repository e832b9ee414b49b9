"""A raw record as a dataset: messages that come at their own times, put on the grid of the dataset's time steps.

The rule: a time step holds the newest message of each topic that had arrived by then, which is what a policy at that
instant would have seen. Nothing is interpolated. The stamp of the measurement is kept in
`complementary_info.capture_time_s`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError, UnknownNameError
from robostack.contract import contract_from_json
from robostack.data.features import (
    ACTION,
    CAPTURE_TIME,
    IMAGES,
    REQUESTED_ACTION,
    STATE,
    SUCCESS,
    Feature,
    image_feature,
    vector_feature,
)
from robostack.data.pictures import decode_picture
from robostack.data.raw_record import RawMessage, read_metadata, read_record
from robostack.data.ros_numbers import reader_of
from robostack.data.ros_types import (
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATE,
    from_cdr,
    message_types,
    register_definition,
)
from robostack.data.writer import DatasetWriter

METADATA = "robostack"
"""Name of the metadata that our own records carry: contract, robot_type, task."""
ACTION_TOPICS = ("executed_command", "joint_trajectory", "cmd_vel")
"""Where the action is looked for, the best first."""
CAMERA_ENDS = ("/image_raw/compressed", "/image_raw")


@dataclass(frozen=True)
class BagMapping:
    """Which topics become which columns."""

    fps: float = 30.0
    """Time steps per second of the dataset [Hz]."""
    state: str = "joint_states"
    """Topic of `observation.state`: JointState, or Odometry of a robot on wheels."""
    state_fields: tuple[str, ...] = ("position",)
    """Parts of the JointState: position, velocity, effort."""
    action: str = ""
    """Topic of `action`; empty: executed_command, else joint_trajectory, else cmd_vel."""
    requested: str = "requested_command"
    """Topic of `complementary_info.requested_action`, where it is recorded."""
    events: str = "episode_events"
    """Topic that says when episodes begin and end; without it the whole record is one episode."""
    cameras: tuple[str, ...] = field(default_factory=tuple)
    """Topics of pictures; empty: every <camera>/image_raw or <camera>/image_raw/compressed."""
    task: str = ""
    """The task in words, where the record does not say it."""
    robot_type: str = ""
    """Name of the robot, where the record does not say it."""


@dataclass
class _Source:
    """One column that comes from a topic."""

    column: str
    feature: Feature
    read: Callable[[Any], Any]


def bag_to_dataset(bag: Path, root: Path, mapping: BagMapping) -> int:
    """Put a record into a dataset, new or of equal features; returns the episodes added.

    Args:
        bag: an .mcap file, also one that was cut off, or a rosbag2 folder.
        root: the dataset.
        mapping: which topics become what.

    Raises:
        ConfigError: a setting does not fit the record.
        UnknownNameError: a topic is not in the record.
        DatasetError: the record or the dataset cannot be read or written.
    """
    first: dict[str, RawMessage] = {}
    for message in read_bag(bag):
        first.setdefault(_plain(message.topic), message)
    if not first:
        raise DatasetError(f"{bag} has no messages")
    sources = _sources(first, mapping)
    meta = read_metadata(bag).get(METADATA, {}) if bag.is_file() else {}
    features = {source.column: source.feature for group in sources.values() for source in group}
    features[CAPTURE_TIME] = Feature("float64", (1,), None)
    has_events = _plain(mapping.events) in first
    if has_events:
        features[SUCCESS] = Feature("bool", (1,), None)
    contract = contract_from_json(meta["contract"], str(bag)) if "contract" in meta else None
    robot_type = mapping.robot_type or meta.get("robot_type") or meta.get("robot", "unknown")
    with DatasetWriter(root, fps=mapping.fps, features=features, robot_type=robot_type, contract=contract) as writer:
        before = writer.num_episodes
        sampler = _Sampler(writer, sources, mapping, has_events, mapping.task or meta.get("task", ""))
        for message in read_bag(bag):
            sampler.take(message)
        sampler.end()
        return writer.num_episodes - before


def read_bag(path: Path) -> Iterator[RawMessage]:
    """Messages of an .mcap file or a rosbag2 folder.

    Raises:
        DatasetError: it cannot be read.
    """
    if path.is_file():
        yield from read_record(path)
        return
    message_types()  # names the extra where rosbags is missing
    from rosbags.highlevel import AnyReader, AnyReaderError

    try:
        with AnyReader([path]) as reader:
            for connection, time_ns, data in reader.messages():
                text = str(connection.msgdef.data or "")
                yield RawMessage(connection.topic, connection.msgtype, bytes(data), time_ns, time_ns, text)
    except (AnyReaderError, OSError) as error:
        raise DatasetError(f"{path} is no readable bag: {error}") from error


class _Sampler:
    """Walks through the record in order of arrival and adds a time step whenever one is due."""

    def __init__(
        self,
        writer: DatasetWriter,
        sources: Mapping[str, list[_Source]],
        mapping: BagMapping,
        has_events: bool,
        task: str,
    ) -> None:
        self._writer, self._sources, self._mapping = writer, sources, mapping
        self._events, self._task = has_events, task
        self._recording = not has_events
        self._newest: dict[str, RawMessage] = {}
        self._start_ns: int | None = None
        self._captured_s = 0.0
        self._first_capture_s: float | None = None
        self._frames: list[dict[str, Any]] = []

    def take(self, message: RawMessage) -> None:
        topic = _plain(message.topic)
        self._fill(message.log_time_ns)
        if self._events and topic == _plain(self._mapping.events):
            self._on_event(_event(message))
        elif topic in self._sources:
            self._newest[topic] = message
            if self._recording and self._start_ns is None and len(self._newest) == len(self._sources):
                self._start_ns = message.log_time_ns
                self._add()

    def end(self) -> None:
        if not self._events:
            self._finish(True, None)
        else:  # an episode that was never ended is not one
            self._frames.clear()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "begin":
            self._recording, self._start_ns = True, None
            self._newest.clear()  # an episode begins with what arrives in it
            self._task = str(event.get("task") or self._task)
            self._frames.clear()
        elif event.get("event") == "end":
            self._finish(bool(event.get("keep", True)), bool(event.get("success", False)))

    def _finish(self, keep: bool, success: bool | None) -> None:
        if keep and self._frames:
            last = len(self._frames) - 1
            for k, frame in enumerate(self._frames):
                if success is not None:
                    frame[SUCCESS] = success and k == last
                pictures = {name: decode(raw) for name, (decode, raw) in frame.pop("pictures").items()}
                self._writer.add({**frame, **pictures}, self._task or "unknown")
            self._writer.finish_episode()
        self._frames.clear()
        self._recording, self._start_ns, self._first_capture_s = not self._events, None, None

    def _fill(self, until_ns: int) -> None:
        """Add the time steps that are due before `until_ns`."""
        while self._recording and self._start_ns is not None:
            due_ns = self._start_ns + round(len(self._frames) * 1e9 / self._mapping.fps)
            if due_ns >= until_ns:
                return
            self._add()

    def _add(self) -> None:
        frame: dict[str, Any] = {"pictures": {}}
        for topic, group in self._sources.items():
            raw = self._newest[topic]
            for source in group:
                if source.feature.is_visual:  # decoded when the episode is known to be kept
                    frame["pictures"][source.column] = (_decoder(source), raw)
                else:
                    message = from_cdr(raw.data, raw.type_name)
                    frame[source.column] = source.read(message)
                    if source.column == STATE and hasattr(message, "header"):
                        stamp = message.header.stamp
                        self._captured_s = stamp.sec + stamp.nanosec * 1e-9
        if self._first_capture_s is None:
            self._first_capture_s = self._captured_s
        frame[CAPTURE_TIME] = self._captured_s - self._first_capture_s
        self._frames.append(frame)


def _event(message: RawMessage) -> dict[str, Any]:
    text = from_cdr(message.data, message.type_name).data
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"topic '{message.topic}' carries no JSON: {text[:80]!r}") from error
    return found if isinstance(found, dict) else {}


def _decoder(source: _Source) -> Callable[[RawMessage], Any]:
    return lambda raw: source.read(from_cdr(raw.data, raw.type_name))


def _sources(first: Mapping[str, RawMessage], mapping: BagMapping) -> dict[str, list[_Source]]:
    """Topic -> the columns it gives, from the first message of each."""
    for message in first.values():
        if message.definition:
            register_definition(message.type_name, message.definition)
    action = mapping.action or next(
        (name for name in ("executed_command", "joint_trajectory", "cmd_vel") if name in first), ""
    )
    found: dict[str, list[_Source]] = {}
    for column, topic, parts in ((STATE, mapping.state, mapping.state_fields), (ACTION, action, ())):
        if _plain(topic) not in first:
            raise UnknownNameError(f"topic for '{column}'", topic, first)
        fields = parts if first[_plain(topic)].type_name == JOINT_STATE else ()
        found.setdefault(_plain(topic), []).append(_numbers_source(column, first[_plain(topic)], fields))
    if _plain(mapping.requested) in first:
        message = first[_plain(mapping.requested)]
        found.setdefault(_plain(mapping.requested), []).append(_numbers_source(REQUESTED_ACTION, message, ()))
    cameras = [_plain(topic) for topic in mapping.cameras]
    if not cameras:
        cameras = [name for name, item in first.items() if item.type_name in (COMPRESSED_IMAGE, IMAGE)]
        compressed = {name.removesuffix(CAMERA_ENDS[0]) for name in cameras if name.endswith(CAMERA_ENDS[0])}
        cameras = [name for name in cameras if name.removesuffix(CAMERA_ENDS[1]) not in compressed]
        cameras = [name for name in cameras if "/depth/" not in f"/{name}"]
    for topic in cameras:
        if topic not in first:
            raise UnknownNameError("camera topic", topic, first)
        found.setdefault(topic, []).append(_picture_source(topic, first[topic]))
    return found


def _numbers_source(column: str, first: RawMessage, fields: tuple[str, ...]) -> _Source:
    message = from_cdr(first.data, first.type_name)
    numbers_of = reader_of(message, first.type_name, fields)
    names = tuple(numbers_of(message))

    def read(given: Any) -> NDArray[np.float32]:
        found = numbers_of(given)
        missing = [name for name in names if name not in found]
        if missing:
            raise DatasetError(f"a message of topic '{first.topic}' lacks {', '.join(missing)}")
        return np.array([found[name] for name in names], dtype=np.float32)

    return _Source(column, vector_feature(*names), read)


def _picture_source(topic: str, first: RawMessage) -> _Source:
    name = topic
    for end in CAMERA_ENDS:
        name = name.removesuffix(end)
    read = _read_compressed if first.type_name == COMPRESSED_IMAGE else _read_image
    height, width = read(from_cdr(first.data, first.type_name)).shape[:2]
    even = image_feature(height - height % 2, width - width % 2)

    def cropped(message: Any) -> NDArray[np.uint8]:
        return read(message)[: even.shape[0], : even.shape[1]]

    return _Source(IMAGES + name.replace("/", "."), even, cropped)


def _read_compressed(message: Any) -> NDArray[np.uint8]:
    return decode_picture(bytes(message.data))


def _read_image(message: Any) -> NDArray[np.uint8]:
    channels = {"rgb8": 3, "bgr8": 3, "mono8": 1}.get(message.encoding)
    if channels is None:
        raise DatasetError(f"pictures of encoding '{message.encoding}' are not read; rgb8, bgr8 and mono8 are")
    rows = np.asarray(message.data, dtype=np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    if message.encoding == "mono8":
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[..., ::-1]) if message.encoding == "bgr8" else pixels


def _plain(topic: str) -> str:
    """A topic without the leading slash."""
    return topic.removeprefix("/")
