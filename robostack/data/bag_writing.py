"""A dataset as a raw record in MCAP, to look at in Foxglove or to replay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostack.data.bag_reading import METADATA
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, DEFAULT_FEATURES, IMAGES, JOINT_SUFFIXES, REQUESTED_ACTION, STATE, SUCCESS
from robostack.data.pictures import encode_picture
from robostack.data.raw_record import RawRecorder
from robostack.data.ros_types import COMPRESSED_IMAGE, JOINT_STATE, STRING, header, new_message, to_cdr

JOINT_TOPICS: Mapping[str, str] = {
    STATE: "joint_states",
    ACTION: "executed_command",
    REQUESTED_ACTION: "requested_command",
}
"""Column -> topic of a JointState with the column's names and values; other numbers go to dataset/<column>."""
ARRAY = "std_msgs/msg/Float64MultiArray"
PAUSE_S = 1.0
"""Time between two episodes in the record [s]."""
START_NS = 1_700_000_000 * 10**9
"""Time of the first step: a dataset does not know when it was recorded."""


def dataset_to_bag(root: Path, bag: Path, episodes: tuple[int, ...] = ()) -> int:
    """Write episodes of a dataset into an .mcap file; returns how many.

    Args:
        root: the dataset.
        bag: the file; must not exist.
        episodes: which; empty for all.

    Raises:
        ConfigError: there is no such episode.
        DatasetError: the dataset is damaged, the file exists, or the disk is full.
    """
    dataset = Dataset(root)
    chosen = episodes or tuple(range(dataset.num_episodes))
    with RawRecorder(bag) as recorder:
        meta = {"robot_type": dataset.robot_type or "unknown", "fps": f"{dataset.fps:g}"}
        if dataset.contract is not None:
            meta["contract"] = dataset.contract.to_json()
        recorder.add_metadata(METADATA, meta)
        start_ns = START_NS
        for index in chosen:
            start_ns = _write_episode(dataset, recorder, index, start_ns) + round(PAUSE_S * 1e9)
    return len(chosen)


def _write_episode(dataset: Dataset, recorder: RawRecorder, index: int, start_ns: int) -> int:
    """Write one episode; returns the time of its end [ns]."""
    columns = dataset.episode(index)
    length = len(columns["index"])
    pictures = {key: dataset.images(index, key) for key in dataset.image_keys}
    task = dataset.tasks[int(columns["task_index"][0])]
    event = {"event": "begin", "episode": index, "task": task, "stamp_ns": start_ns}
    _text(recorder, "episode_events", json.dumps(event), start_ns)
    step_ns = 1e9 / dataset.fps
    for k in range(length):
        now_ns = start_ns + round(k * step_ns)
        for key, frames in pictures.items():
            _picture(recorder, key, next(frames), now_ns)
        for name, values in columns.items():
            if name not in DEFAULT_FEATURES:
                _value(recorder, dataset, name, values[k], now_ns)
    end_ns = start_ns + round(length * step_ns)
    success = bool(columns[SUCCESS][-1]) if SUCCESS in columns else False
    event = {**event, "event": "end", "stamp_ns": end_ns, "reason": "end", "success": success, "keep": True}
    _text(recorder, "episode_events", json.dumps(event), end_ns)
    return end_ns


def _value(recorder: RawRecorder, dataset: Dataset, name: str, value: Any, now_ns: int) -> None:
    feature = dataset.features[name]
    if feature.dtype == "string":
        _text(recorder, f"dataset/{name}", str(value), now_ns)
    elif name in JOINT_TOPICS and len(feature.shape) == 1:
        recorder.write(JOINT_TOPICS[name], JOINT_STATE, to_cdr(_joints(feature.names, value, now_ns)), now_ns)
    else:
        layout = new_message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        message = new_message(ARRAY, layout=layout, data=np.asarray(value, dtype=np.float64).reshape(-1))
        recorder.write(f"dataset/{name}", ARRAY, to_cdr(message), now_ns)


def _joints(names: tuple[str, ...] | None, value: Any, now_ns: int) -> Any:
    """Named numbers as JointState: velocities or efforts where all names end so, else positions; the rest unknown."""
    numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    labels = list(names or (str(k) for k in range(len(numbers))))
    parts = dict.fromkeys(JOINT_SUFFIXES, np.full(numbers.shape, np.nan))
    part = "position"
    for each, end in JOINT_SUFFIXES.items():
        if all(label.endswith(end) for label in labels):
            part, labels = each, [label.removesuffix(end) for label in labels]
            break
    parts[part] = numbers
    return new_message(JOINT_STATE, header=header(now_ns), name=labels, **parts)


def _picture(recorder: RawRecorder, key: str, image: NDArray[np.uint8], now_ns: int) -> None:
    camera = key.removeprefix(IMAGES).replace(".", "/")
    data = np.frombuffer(encode_picture(image, "mjpeg", "yuvj420p"), dtype=np.uint8)
    message = new_message(COMPRESSED_IMAGE, header=header(now_ns, camera), format="jpeg", data=data)
    recorder.write(f"{camera}/image_raw/compressed", COMPRESSED_IMAGE, to_cdr(message), now_ns)


def _text(recorder: RawRecorder, topic: str, text: str, now_ns: int) -> None:
    recorder.write(topic, STRING, to_cdr(new_message(STRING, data=text)), now_ns)
