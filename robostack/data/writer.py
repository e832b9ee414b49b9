"""Recording: one time step after the other, one durable episode after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from hardware.errors import ConfigError, DatasetError, NonFiniteError
from robostack.contract import Contract, contract_from_json, require_match
from robostack.data.durable import acquire_lock, clear_os_errors, write_whole
from robostack.data.features import CAPTURE_TIME, Feature, checked_features, checked_value, feature_differences
from robostack.data.layout import (
    CONTRACT_FILE,
    INFO_FILE,
    DatasetInfo,
    read_info,
    require_arrow,
    with_defaults,
    write_info,
)
from robostack.data.pictures import encode_png
from robostack.data.repair import recover
from robostack.data.stats import ImageStats
from robostack.data.store import EpisodeStore
from robostack.data.video import QUEUE_FRAMES, EpisodeEncoder
from robostack.files import temporary_sibling

FINITE = ("observation", "action", "next.")
"""Columns that learners read begin with these: every number in them must be finite."""


class DatasetWriter:
    """Records a dataset: opens a new one, or continues one of equal features.

    One process writes at a time. A crash loses at most the episode being recorded; what it left behind is put right
    when the dataset is opened again.

    Args:
        root: folder of the dataset.
        fps: time steps per second.
        features: columns, without the default ones.
        robot_type: registry name of the robot.
        contract: what the numbers mean; stored with the dataset.
        queue_frames: pictures of one camera that may wait for the encoder.

    Raises:
        ConfigError: the features are not possible, or not those of the dataset that is there.
        ContractMismatchError: the dataset that is there was recorded under another contract.
        DatasetError: the folder cannot be written, another process writes there, or it holds something else.
    """

    def __init__(
        self,
        root: Path,
        *,
        fps: float,
        features: Mapping[str, Feature],
        robot_type: str,
        contract: Contract | None = None,
        queue_frames: int = QUEUE_FRAMES,
    ) -> None:
        require_arrow()
        self.root = Path(root)
        self._features = checked_features(features)
        if not (np.isfinite(fps) and fps > 0):
            raise ConfigError(f"fps is {fps}; it must be a number above 0")
        offered = DatasetInfo(fps=float(fps), robot_type=robot_type, features=with_defaults(self._features))
        self._queue_frames = queue_frames
        self._lock: int | None = None
        self._episode = _Episode({})
        with clear_os_errors("the dataset was not opened", self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = acquire_lock(self.root)
            try:
                self._store = self._open(offered, contract)
            except BaseException:
                self.close()
                raise

    @property
    def num_episodes(self) -> int:
        """Finished episodes in the dataset."""
        return self._store.info.total_episodes

    @property
    def num_frames(self) -> int:
        """Time steps of the episode being recorded."""
        return self._episode.count

    @property
    def dropped_frames(self) -> dict[str, int]:
        """Video column -> frames of the running episode that the encoder could not take, up to now."""
        return {key: encoder.dropped for key, encoder in self._episode.encoders.items()}

    def add(self, frame: Mapping[str, Any], task: str) -> None:
        """Record one time step. Copies what it is given, does not wait for the encoder, and writes no file.

        Args:
            frame: every column; also "timestamp" [s], the time of capture, if the dataset has the column
                `complementary_info.capture_time_s`.
            task: what is being done, in words.

        Raises:
            ConfigError: a column is missing, unknown, or of another shape or type.
            NonFiniteError: a number that learners read is not finite.
            DatasetError: a video cannot be written; the running episode is lost.
        """
        values = self._checked(frame)
        if not task.strip():
            raise ConfigError("the task is empty; say in words what is being done")
        if self._episode.count == 0:
            self._begin()
        try:
            for key, encoder in self._episode.encoders.items():
                encoder.add(values[key])
        except OSError as error:
            self._fail(error)
        self._episode.add(values, task)

    def finish_episode(self) -> int:
        """Make the episode durable; returns its index. When this returns it survives a crash.

        Raises:
            ConfigError: no time step was recorded.
            DatasetError: it could not be written; the episodes before are intact, this one is lost.
        """
        episode = self._episode
        if episode.count == 0:
            raise ConfigError("the episode has no time step: add one, or call discard_episode")
        with clear_os_errors(f"episode {self.num_episodes} was not kept", self.root):
            try:
                videos = {key: encoder.finish() for key, encoder in episode.encoders.items()}
                images = {key: video.stats for key, video in videos.items()}
                images |= {key: stats.result() for key, stats in episode.images.items()}
                return self._store.append(episode.columns(), episode.tasks, videos, images)
            finally:
                self.discard_episode()

    def discard_episode(self) -> None:
        """Forget the time steps since the last finished episode."""
        for encoder in self._episode.encoders.values():
            encoder.cancel()
        self._episode = _Episode(self._features)

    def close(self) -> None:
        """Discard an unfinished episode and let others write. Idempotent."""
        self.discard_episode()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, offered: DatasetInfo, contract: Contract | None) -> EpisodeStore:
        path = self.root / CONTRACT_FILE
        if not (self.root / INFO_FILE).exists():
            if any(not item.name.startswith(".") and item.name != "meta" for item in self.root.iterdir()):
                raise DatasetError(f"{self.root} holds other files but no {INFO_FILE}. Choose a new or empty folder.")
            if contract is not None:
                write_whole(path, contract.to_json().encode())
            write_info(self.root, offered)
        else:
            recover(self.root)
        stored = read_info(self.root)
        differences = feature_differences(stored.features, offered.features)
        if stored.fps != offered.fps:
            differences.insert(0, f"fps: {stored.fps:g} in the dataset, offered {offered.fps:g}")
        if stored.robot_type != offered.robot_type:
            differences.insert(0, f"robot_type: {stored.robot_type} in the dataset, offered {offered.robot_type}")
        if differences:
            listed = "\n".join(f"  {line}" for line in differences)
            raise ConfigError(f"{self.root} holds another kind of dataset; record into a new folder.\n{listed}")
        if contract is not None and path.is_file():
            require_match(contract_from_json(path.read_text(encoding="utf-8"), str(path)), contract, str(self.root))
        return EpisodeStore(self.root, stored)

    def _begin(self) -> None:
        self._episode = _Episode(self._features)
        info, index = self._store.info, self.num_episodes
        try:
            for key in info.video_keys:
                path = temporary_sibling(self.root / "videos" / key / f"episode-{index:06d}.mp4")
                self._episode.encoders[key] = EpisodeEncoder(path, info.fps, self._queue_frames)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        self.discard_episode()
        with clear_os_errors(f"episode {self.num_episodes} was not kept", self.root):
            raise error

    def _checked(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(frame)
        if "timestamp" in given:
            captured = given.pop("timestamp")
            if CAPTURE_TIME not in self._features:
                raise ConfigError(f"to keep capture times, add the feature '{CAPTURE_TIME}' (float64, shape (1,))")
            given.setdefault(CAPTURE_TIME, captured)
        missing, unknown = self._features.keys() - given.keys(), given.keys() - self._features.keys()
        if missing or unknown:
            parts = [f"lacks {', '.join(sorted(missing))}"] if missing else []
            parts += [f"has unknown {', '.join(sorted(unknown))}"] if unknown else []
            raise ConfigError(f"a time step {' and '.join(parts)}. The dataset has {', '.join(self._features)}")
        values = {name: checked_value(name, feature, given[name]) for name, feature in self._features.items()}
        for name, value in values.items():
            numbers = name.startswith(FINITE) and self._features[name].dtype.startswith("float")
            if numbers and not np.all(np.isfinite(value)):
                raise NonFiniteError(f"'{name}' has a number that is not finite: {value}")
        return values


class _Episode:
    """The time steps since the last finished episode."""

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self.tasks: list[str] = []
        self.encoders: dict[str, EpisodeEncoder] = {}
        self.images = {name: ImageStats() for name, feature in features.items() if feature.dtype == "image"}
        self._features = features
        self._values: dict[str, list[Any]] = {
            name: [] for name, feature in features.items() if feature.dtype != "video"
        }

    @property
    def count(self) -> int:
        return len(self.tasks)

    def add(self, values: Mapping[str, Any], task: str) -> None:
        for name, column in self._values.items():
            value = values[name]
            if name in self.images:
                self.images[name].add(value)
                value = encode_png(value)
            column.append(value)
        self.tasks.append(task)

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, column in self._values.items():
            feature = self._features[name]
            if feature.dtype in ("image", "string"):
                found[name] = column
            else:
                found[name] = np.stack(column)[:, 0] if feature.is_scalar else np.stack(column)
        return found
