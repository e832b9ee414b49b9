"""Appending finished episodes to a dataset on disk: the order of files that makes each one durable at one instant."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robostack.data.columns import data_table
from robostack.data.durable import clear_os_errors, settle, write_whole
from robostack.data.episodes import (
    EpisodeRow,
    VideoPart,
    episode_files,
    episodes_path,
    read_episode_file,
    read_episodes,
    write_episodes,
)
from robostack.data.layout import (
    STATS_FILE,
    TASKS_FILE,
    DatasetInfo,
    counted,
    next_file,
    read_tasks,
    write_info,
    write_table,
    write_tasks,
)
from robostack.data.stats import Stats, aggregate, episode_stats, stats_from_json, stats_to_json
from robostack.data.video import EncodedVideo, video_info


class EpisodeStore:
    """A dataset that episodes are appended to, each with files of its own.

    Videos, rows, tasks and the episode's description are written first, each under a temporary name, flushed, and
    renamed; the statistics follow, and `meta/info.json` last. Readers count by it: a crash before leaves files that
    nobody looks at, a crash after leaves a complete episode.

    Args:
        root: the dataset; its `meta/info.json` exists.
        info: what it says.
    """

    def __init__(self, root: Path, info: DatasetInfo) -> None:
        self.root, self.info = root, info
        self.tasks = list(read_tasks(root)) if (root / TASKS_FILE).is_file() else []
        files = episode_files(root)
        rows = read_episodes(root)[: info.total_episodes]
        self._stats = read_stats(root) if rows else {}
        if rows and not self._stats:
            self._stats = aggregate([row.stats for row in read_episodes(root, with_stats=True)[: len(rows)]])
        self._last = rows[-1] if rows else None
        self._schema = _schema_of(files[0]) if rows else None

    def append(
        self,
        columns: Mapping[str, Any],
        tasks: Sequence[str],
        videos: Mapping[str, EncodedVideo],
        images: Mapping[str, Stats],
    ) -> int:
        """Make an episode durable; returns its index.

        Args:
            columns: every column but the videos and the default ones; pictures as PNG files.
            tasks: the task of each row.
            videos: video column -> its encoded file.
            images: picture column -> its statistics.

        Raises:
            DatasetError: the disk is full or cannot be written; the dataset is as it was before.
        """
        index, count = self.info.total_episodes, len(tasks)
        made: list[Path] = []
        with clear_os_errors(f"episode {index} was not kept", self.root):
            try:
                row = self._write_files(columns, tasks, videos, images, made)
                info = counted(self.info, index + 1, self.info.total_frames + count, len(self.tasks))
                info = self._with_video_info(info, row)
                stats = aggregate([self._stats, row.stats]) if self._stats else dict(row.stats)
                write_stats(self.root, stats)
                write_info(self.root, info)
            except BaseException:
                for path in made:
                    path.unlink(missing_ok=True)
                if self._stats:
                    with contextlib.suppress(OSError):
                        write_stats(self.root, self._stats)
                raise
        self.info, self._stats, self._last = info, stats, row
        if self._schema is None:
            self._schema = _schema_of(self.root / episodes_path(*row.meta))
        return index

    def _write_files(
        self,
        columns: Mapping[str, Any],
        tasks: Sequence[str],
        videos: Mapping[str, EncodedVideo],
        images: Mapping[str, Stats],
        made: list[Path],
    ) -> EpisodeRow:
        """Everything but statistics and info; the paths written are added to `made`."""
        index, count, start = self.info.total_episodes, len(tasks), self.info.total_frames
        distinct = tuple(dict.fromkeys(tasks))
        fresh = [task for task in distinct if task not in self.tasks]
        if fresh:
            write_tasks(self.root, [*self.tasks, *fresh])
            self.tasks += fresh
        whole = {
            **columns,
            "timestamp": (np.arange(count) / self.info.fps).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, index),
            "index": np.arange(start, start + count),
            "task_index": np.array([self.tasks.index(task) for task in tasks]),
        }
        parts = {}
        for key, video in videos.items():
            chunk, file = self._following(self._last.videos[key] if self._last else None)
            path = self.root / self.info.video_file(key, chunk, file)
            made.append(path)
            settle(video.path, path)
            parts[key] = VideoPart(chunk, file, 0.0, count / self.info.fps, video.dropped)
        data = self._after(self._last.data if self._last else None)
        path = self.root / self.info.data_file(*data)
        made.append(path)
        write_table(path, data_table(whole, self.info.features))
        stats = episode_stats(whole, self.info.features, images)
        meta = self._after(self._last.meta if self._last else None)
        row = EpisodeRow(index, count, distinct, start, data, meta, parts, stats)
        path = self.root / episodes_path(*meta)
        made.append(path)
        write_episodes(path, [row], self._schema)
        return row

    def _following(self, part: VideoPart | None) -> tuple[int, int]:
        return self._after(None if part is None else (part.chunk, part.file))

    def _after(self, place: tuple[int, int] | None) -> tuple[int, int]:
        return (0, 0) if place is None else next_file(*place, self.info.chunks_size)

    def _with_video_info(self, info: DatasetInfo, row: EpisodeRow) -> DatasetInfo:
        lacking = [key for key in row.videos if not info.video_info.get(key)]
        found = {
            key: video_info(self.root / info.video_file(key, row.videos[key].chunk, row.videos[key].file), info.fps)
            for key in lacking
        }
        return replace(info, video_info={**info.video_info, **found}) if found else info


def read_stats(root: Path) -> dict[str, Stats]:
    """`meta/stats.json`; empty if it is missing or damaged (`repair` makes it again)."""
    try:
        return stats_from_json(json.loads((root / STATS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        return {}


def write_stats(root: Path, stats: Mapping[str, Stats]) -> None:
    """Replace `meta/stats.json`, atomically."""
    write_whole(root / STATS_FILE, json.dumps(stats_to_json(stats), indent=4).encode())


def _schema_of(path: Path) -> Any:
    import pyarrow.parquet as parquet

    read_episode_file(path)  # a damaged file gives its own clear error
    return parquet.read_schema(path).remove_metadata()
