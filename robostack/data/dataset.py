"""Reading a LeRobot dataset v3.0, written here or by lerobot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError, DatasetError, UnknownNameError
from robostack.checkpoint import recover_folder
from robostack.contract import Contract, contract_from_json
from robostack.data.columns import to_numpy
from robostack.data.episodes import EpisodeRow, read_episodes
from robostack.data.features import Feature
from robostack.data.layout import CONTRACT_FILE, read_info, read_table, read_tasks, require_arrow
from robostack.data.pictures import decode_picture
from robostack.data.stats import Stats
from robostack.data.store import read_stats
from robostack.data.video import frames_between


class Dataset:
    """A dataset on disk. What a crash left unfinished is not seen.

    Args:
        root: folder of the dataset.

    Raises:
        DatasetError: there is none, or its metadata is damaged.
    """

    def __init__(self, root: Path) -> None:
        require_arrow()
        self.root = Path(root)
        recover_folder(self.root)
        self.info = read_info(self.root)
        rows = read_episodes(self.root)[: self.info.total_episodes] if self.info.total_episodes else []
        if len(rows) < self.info.total_episodes or any(row.index != i for i, row in enumerate(rows)):
            raise DatasetError(
                f"{self.root}: {self.info.total_episodes} episodes are counted, {len(rows)} described or not in order. "
                f"Put it right with: robostack data repair {self.root}"
            )
        self.rows: tuple[EpisodeRow, ...] = tuple(rows)
        """Where each episode is."""
        self._newest: tuple[Path, tuple[str, ...], Any] | None = None  # the file read last: neighbours share it

    @property
    def fps(self) -> float:
        """Time steps per second."""
        return self.info.fps

    @property
    def robot_type(self) -> str | None:
        """Name of the robot."""
        return self.info.robot_type

    @property
    def features(self) -> Mapping[str, Feature]:
        """Every column, the default ones included."""
        return self.info.features

    @property
    def num_episodes(self) -> int:
        """Number of episodes."""
        return self.info.total_episodes

    @property
    def num_frames(self) -> int:
        """Time steps of all episodes."""
        return self.info.total_frames

    @cached_property
    def contract(self) -> Contract | None:
        """What the numbers mean; None where it was not stored."""
        path = self.root / CONTRACT_FILE
        return contract_from_json(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Tasks, by task index."""
        return read_tasks(self.root) if self.num_episodes else ()

    @cached_property
    def stats(self) -> dict[str, Stats]:
        """Column -> statistic ("mean", "std", "min", "max", "q01" ...) over all episodes."""
        return read_stats(self.root)

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Columns of pictures."""
        return tuple(name for name, feature in self.features.items() if feature.is_visual)

    def episode(self, index: int) -> dict[str, NDArray[Any]]:
        """Every column of an episode but the pictures: (length,) or (length, *shape); strings as objects.

        Raises:
            ConfigError: there is no such episode.
            DatasetError: its file is damaged.
        """
        names = [name for name, feature in self.features.items() if not feature.is_visual]
        table = self._table(self._row(index), names)
        return {name: to_numpy(table[name], self.features[name], name) for name in names}

    def images(self, index: int, key: str, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """The pictures of an episode, decoded one by one: (height, width, 3) uint8 RGB.

        Args:
            index: the episode.
            key: the column ("observation.images.front").
            start: first time step.
            stop: time step after the last; None for the end of the episode.

        Raises:
            ConfigError: there is no such episode.
            UnknownNameError: there is no such camera.
            DatasetError: a file is damaged.
        """
        if key not in self.image_keys:
            raise UnknownNameError("picture column", key, self.image_keys)
        row = self._row(index)
        end = row.length if stop is None else min(stop, row.length)
        if self.features[key].dtype == "video":
            part = row.videos[key]
            path = self.root / self.info.video_file(key, part.chunk, part.file)
            yield from frames_between(path, part.from_s + start / self.fps, max(0, end - start), self.fps)
            return
        for entry in self._table(row, [key])[key].slice(start, max(0, end - start)).to_pylist():
            yield decode_picture(entry["bytes"])

    def _row(self, index: int) -> EpisodeRow:
        if not 0 <= index < len(self.rows):
            raise ConfigError(f"{self.root} has episodes 0 to {len(self.rows) - 1}, not {index}")
        return self.rows[index]

    def _table(self, row: EpisodeRow, names: list[str]) -> Any:
        """The rows of an episode."""
        path = self.root / self.info.data_file(*row.data)
        wanted = tuple(dict.fromkeys([*names, "episode_index"]))
        if self._newest is None or self._newest[:2] != (path, wanted):
            self._newest = (path, wanted, read_table(path, list(wanted)))
        table = self._newest[2]
        missing = set(names) - set(table.column_names)
        if missing:
            raise DatasetError(f"{path} lacks the columns {', '.join(sorted(missing))}")
        chosen = np.flatnonzero(table["episode_index"].to_numpy() == row.index)
        if len(chosen) != row.length or np.any(np.diff(chosen) != 1):
            raise DatasetError(
                f"{path} has {len(chosen)} rows of episode {row.index} instead of {row.length}. "
                f"Put it right with: robostack data repair {self.root}"
            )
        return table.slice(int(chosen[0]), row.length) if row.length else table.slice(0, 0)
