"""Datasets of the LeRobot formats v2.0 and v2.1, rewritten as v3.0."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import DatasetError
from robostack.checkpoint import atomic_folder
from robostack.data.columns import to_numpy
from robostack.data.durable import clear_os_errors
from robostack.data.features import DEFAULT_FEATURES, checked_features, feature_from_json
from robostack.data.layout import DatasetInfo, read_table, with_defaults, write_info, write_tasks
from robostack.data.pictures import decode_picture
from robostack.data.stats import ImageStats
from robostack.data.store import EpisodeStore
from robostack.data.video import EncodedVideo, frames_between, video_facts
from robostack.files import temporary_sibling

VERSIONS = ("v2.0", "v2.1")
MOST_PICTURES = 100
"""Pictures of an episode that its statistics are made from."""


def is_v21(root: Path) -> bool:
    """Whether a folder holds a dataset of one of the old formats."""
    try:
        data = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
        return data.get("codebase_version") in VERSIONS
    except (OSError, ValueError, AttributeError):
        return False


def convert_v21(source: Path, target: Path) -> int:
    """Rewrite a dataset in the format v3.0; returns the number of episodes. Videos are copied, not encoded again.

    Args:
        source: the old dataset; stays as it is.
        target: a new folder; appears when everything is there.

    Raises:
        DatasetError: the source is damaged or of another format, the target exists, or the disk is full.
    """
    if not is_v21(source):
        raise DatasetError(f"{source} is no dataset of the formats {', '.join(VERSIONS)}")
    if target.exists():
        raise DatasetError(f"{target} exists. Choose a new folder.")
    old = _read_json(source / "meta/info.json")
    try:
        features = checked_features({name: feature_from_json(name, item) for name, item in old["features"].items()})
        tasks = {int(item["task_index"]): str(item["task"]) for item in _read_lines(source / "meta/tasks.jsonl")}
        lengths = [int(item["length"]) for item in _read_lines(source / "meta/episodes.jsonl")]
        info = DatasetInfo(float(old["fps"]), old.get("robot_type"), with_defaults(features))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"the metadata of {source} cannot be read: {error!r}") from error
    info = replace(info, chunks_size=int(old.get("chunks_size", 1000)))
    with clear_os_errors(f"{source} was not converted", target.parent), atomic_folder(target) as fresh:
        write_info(fresh, info)
        write_tasks(fresh, [tasks[k] for k in sorted(tasks)])
        store = EpisodeStore(fresh, info)
        for index, length in enumerate(lengths):
            _convert_episode(source, old, store, tasks, index, length)
    return len(lengths)


def _convert_episode(
    source: Path, old: dict[str, Any], store: EpisodeStore, tasks: dict[int, str], index: int, length: int
) -> None:
    info = store.info
    place = {"episode_chunk": index // info.chunks_size, "episode_index": index}
    path = source / old["data_path"].format(**place)
    table = read_table(path)
    if table.num_rows != length:
        raise DatasetError(f"{path} has {table.num_rows} rows, meta/episodes.jsonl says {length}")
    columns: dict[str, Any] = {}
    images = {}
    for name, feature in info.user_features.items():
        if feature.dtype == "image":
            columns[name] = [entry["bytes"] for entry in table[name].to_pylist()]
            images[name] = _picture_stats(decode_picture(columns[name][k]) for k in _sample(length))
        elif feature.dtype != "video":
            columns[name] = to_numpy(table[name], feature, name)
    numbers = to_numpy(table["task_index"], DEFAULT_FEATURES["task_index"], "task_index")
    videos = {}
    for key in info.video_keys:
        videos[key] = _copied(source / old["video_path"].format(video_key=key, **place), store.root, key, info, length)
        images[key] = videos[key].stats
    store.append(columns, [tasks[int(k)] for k in numbers], videos, images)


def _copied(path: Path, root: Path, key: str, info: DatasetInfo, length: int) -> EncodedVideo:
    """A copy of a video under a temporary name in the new dataset."""
    frames = len(video_facts(path).times_s)
    if frames != length:
        raise DatasetError(f"{path} has {frames} frames for {length} rows")
    wanted = set(_sample(length))
    pictures = (frame for k, frame in enumerate(frames_between(path, 0.0, length, info.fps)) if k in wanted)
    stats = _picture_stats(pictures)
    temporary = temporary_sibling(root / "videos" / key / path.name)
    shutil.copyfile(path, temporary)
    return EncodedVideo(temporary, frames, 0, stats)


def _picture_stats(pictures: Iterator[Any]) -> Any:
    stats = ImageStats()
    for picture in pictures:
        stats.add(picture)
    return stats.result()


def _sample(length: int) -> list[int]:
    """Evenly spaced time steps."""
    return sorted(set(np.round(np.linspace(0, length - 1, min(length, MOST_PICTURES))).astype(int).tolist()))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    return found


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
