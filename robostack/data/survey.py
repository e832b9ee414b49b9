"""Looking at the files of one episode after the other: what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError
from robostack.data.columns import to_numpy
from robostack.data.episodes import EpisodeRow, VideoPart, episode_files, episodes_path
from robostack.data.features import DEFAULT_FEATURES
from robostack.data.layout import DatasetInfo, read_table
from robostack.data.video import VideoFacts, frames_between, video_facts

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE_S = 1e-4
"""How far a time may be from frame_index / fps; lerobot refuses more."""


class Surveyor:
    """Looks at episodes; keeps the file looked at last, because neighbours share it.

    Args:
        root: the dataset.
        info: its `meta/info.json`.
        tasks: its tasks.
        deep: decode every frame too, not only look at the packets.
    """

    def __init__(self, root: Path, info: DatasetInfo, tasks: Iterable[str], deep: bool = False) -> None:
        self.root, self.info, self.tasks, self.deep = root, info, tuple(tasks), deep
        self.frames: dict[Path, int] = {}
        """Video file -> frames in it, of the files looked at so far."""
        self._table: tuple[Path, Any] | None = None
        self._facts: dict[str, tuple[Path, VideoFacts]] = {}

    def problems(self, row: EpisodeRow) -> list[str]:
        """What is wrong with the files of an episode; empty if nothing."""
        found: list[str] = []
        if row.length < 1:
            found.append("it has no rows")
        try:
            found += self._data_problems(row)
        except DatasetError as error:
            found.append(str(error))
        for key in self.info.video_keys:
            part = row.videos.get(key)
            try:
                found += [f"no video '{key}' is described"] if part is None else self._video_problems(row, key, part)
            except DatasetError as error:
                found.append(str(error))
        return found

    def rows_of(self, row: EpisodeRow) -> pa.Table:
        """The rows of an episode, every column of the file.

        Raises:
            DatasetError: the file is damaged, or has another number of them.
        """
        path = self.root / self.info.data_file(*row.data)
        if self._table is None or self._table[0] != path:
            self._table = (path, read_table(path))
        table = self._table[1]
        if "episode_index" not in table.column_names:
            raise DatasetError(f"{path} has no column episode_index")
        places = np.flatnonzero(table["episode_index"].to_numpy() == row.index)
        if len(places) != row.length or np.any(np.diff(places) != 1):
            raise DatasetError(f"{path} has {len(places)} rows of it instead of {row.length}")
        return table.slice(int(places[0]) if row.length else 0, row.length)

    def column(self, row: EpisodeRow, name: str) -> NDArray[Any]:
        """One column of an episode.

        Raises:
            DatasetError: the file is damaged.
        """
        return to_numpy(self.rows_of(row)[name], self.info.features[name], name)

    def _data_problems(self, row: EpisodeRow) -> list[str]:
        table = self.rows_of(row)
        wanted = {name for name, feature in self.info.features.items() if feature.dtype != "video"}
        given = set(table.column_names)
        if wanted != given:
            missing, extra = ", ".join(sorted(wanted - given)), ", ".join(sorted(given - wanted))
            return [
                f"its columns are not the declared ones (missing: {missing or 'none'}; undeclared: {extra or 'none'})"
            ]
        found = []
        columns = {name: to_numpy(table[name], DEFAULT_FEATURES[name], name) for name in DEFAULT_FEATURES}
        steps = np.arange(row.length)
        if not np.array_equal(columns["frame_index"], steps):
            found.append("frame_index does not count from 0")
        if not np.array_equal(columns["index"], row.start + steps):
            found.append(f"index does not count from {row.start}")
        late = np.abs(columns["timestamp"].astype(np.float64) - steps / self.info.fps)
        allowed = TOLERANCE_S + 1e-6 * steps / self.info.fps  # float32 has seven digits
        if np.any(late > allowed):
            found.append(f"timestamp is up to {late.max():.4g} s away from frame_index / fps")
        tasks = columns["task_index"]
        if np.any((tasks < 0) | (tasks >= len(self.tasks))):
            found.append(f"task_index is outside 0 to {len(self.tasks) - 1}")
        elif {self.tasks[k] for k in np.unique(tasks)} != set(row.tasks):
            found.append("its tasks are not those of its rows")
        for name in wanted - set(DEFAULT_FEATURES):
            if self.info.features[name].dtype != "image":
                to_numpy(table[name], self.info.features[name], name)  # raises where values are missing
        return found

    def _video_problems(self, row: EpisodeRow, key: str, part: VideoPart) -> list[str]:
        path = self.root / self.info.video_file(key, part.chunk, part.file)
        if self._facts.get(key, (None,))[0] != path:
            self._facts[key] = (path, video_facts(path))
            self.frames[path] = len(self._facts[key][1].times_s)
        facts = self._facts[key][1]
        height, width = self.info.features[key].shape[:2]
        if (facts.height, facts.width) != (height, width):
            return [f"{path} is {facts.width}x{facts.height} instead of {width}x{height}"]
        times = np.array(facts.times_s)
        wanted = part.from_s + np.arange(row.length) / self.info.fps
        if times.size == 0:
            return [f"{path} has no frames"]
        after = np.clip(np.searchsorted(times, wanted), 1, max(1, times.size - 1))
        near = np.minimum(np.abs(times[np.minimum(after, times.size - 1)] - wanted), np.abs(times[after - 1] - wanted))
        lacking = int(np.sum(near > TOLERANCE_S))
        if lacking:
            return [f"{path} lacks {lacking} of its {row.length} frames"]
        if self.deep:
            decoded = sum(1 for _ in frames_between(path, part.from_s, row.length, self.info.fps))
            if decoded != row.length:
                return [f"{path} decodes to {decoded} of {row.length} frames"]
        return []


def episode_paths(root: Path, info: DatasetInfo, row: EpisodeRow) -> set[Path]:
    """The files that an episode needs."""
    videos = {root / info.video_file(key, part.chunk, part.file) for key, part in row.videos.items()}
    return {root / info.data_file(*row.data), root / episodes_path(*row.meta), *videos}


def content_files(root: Path) -> set[Path]:
    """Every file of rows, videos and episode descriptions."""
    data, videos = (root / "data").glob("*/*.parquet"), (root / "videos").glob("*/*/*.mp4")
    return {*data, *videos, *episode_files(root)}
