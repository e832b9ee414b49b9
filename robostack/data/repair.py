"""Putting a dataset right after a crash or damage: whatever episode is whole is kept, and counted without gaps."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.errors import DatasetError
from robostack.checkpoint import recover_folder
from robostack.data.durable import clear_os_errors, locked, remove_parts
from robostack.data.episodes import EpisodeRow, episode_files, read_episode_file
from robostack.data.layout import (
    TASKS_FILE,
    DatasetInfo,
    counted,
    read_info,
    read_tasks,
    require_arrow,
    write_info,
    write_tasks,
)
from robostack.data.rebuild import rebuild
from robostack.data.stats import aggregate, stats_to_json
from robostack.data.store import read_stats, write_stats
from robostack.data.survey import Surveyor, content_files, episode_paths


@dataclass(frozen=True)
class Repaired:
    """What a repair did."""

    episodes: int
    """Episodes now."""
    adopted: int = 0
    """Complete episodes that had not been counted yet."""
    lost: tuple[tuple[int, str], ...] = ()
    """Episodes that were counted and are damaged: index and reason."""
    removed: tuple[str, ...] = ()
    """Files of unfinished episodes, deleted."""
    set_aside: tuple[str, ...] = ()
    """Files of damaged episodes, now in the folder `damaged`."""
    statistics: bool = False
    """Whether the statistics were made again."""

    @property
    def changed(self) -> bool:
        """Whether anything was put right."""
        return bool(self.adopted or self.lost or self.removed or self.set_aside or self.statistics)


def repair(root: Path, deep: bool = False) -> Repaired:
    """Put a dataset right. Idempotent; a crash while it runs leaves the dataset as it was or repaired.

    An episode that is damaged is taken out, the later ones move up; its files go to the folder `damaged`.

    Args:
        root: the dataset.
        deep: decode every frame to find damage.

    Raises:
        DatasetError: there is no dataset, `meta/info.json` itself is damaged, or another process writes.
    """
    require_arrow()
    root = root.resolve()  # "." has no name to swap
    recover_folder(root)
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}")
    with clear_os_errors(f"{root} was not repaired", root), locked(root):
        parts = tuple(str(path.relative_to(root)) for path in remove_parts(root))
        info = read_info(root)
        rows, _ = _readable_rows(root)
        _tasks_again(root, info, rows)
        good, lost = _sorted_out(root, info, rows, deep)
        described = {row.index for row in rows}
        lost += [(k, "its description is missing") for k in range(info.total_episodes) if k not in described]
        lost = sorted(item for item in lost if item[0] < info.total_episodes)
        if not lost:
            done = _settle(root, info, good)
            return Repaired(done.episodes, done.adopted, (), (*parts, *done.removed), (), done.statistics)
        files = content_files(root)
        needed = set().union(*(episode_paths(root, info, row) for row in good)) if good else set()
        damaged = sorted(str(path.relative_to(root)) for path in files - needed)
        rebuild(root, root, info, good, damaged=damaged)
        adopted = sum(row.index >= info.total_episodes for row in good)
        return Repaired(len(good), adopted, tuple(lost), parts, tuple(damaged), True)


def recover(root: Path) -> Repaired:
    """Put right what a crash of the recorder left: cheap, and only for who holds the lock.

    Raises:
        DatasetError: the dataset has damage that needs `repair`.
    """
    parts = tuple(str(path.relative_to(root)) for path in remove_parts(root))
    info = read_info(root)
    rows, unreadable = _readable_rows(root)
    whole = [row.index for row in rows[: info.total_episodes]] == list(range(info.total_episodes))
    if not whole:
        names = ", ".join(str(path) for path in unreadable) or "the descriptions of episodes"
        raise DatasetError(f"{names}: damaged. Put it right with: robostack data repair {root}")
    good, _ = _sorted_out(root, info, rows[info.total_episodes :], deep=False)
    done = _settle(root, info, [*rows[: info.total_episodes], *good])
    return Repaired(done.episodes, done.adopted, (), (*parts, *done.removed))


def _settle(root: Path, info: DatasetInfo, good: list[EpisodeRow]) -> Repaired:
    """Count the episodes that are there, and remove what belongs to none."""
    kept: list[EpisodeRow] = []
    for row in good:
        if (row.index, row.start) == (len(kept), kept[-1].start + kept[-1].length if kept else 0):
            kept.append(row)
    needed = set().union(*(episode_paths(root, info, row) for row in kept)) if kept else set()
    orphans = sorted(content_files(root) - needed)
    for path in orphans:
        path.unlink()
    adopted = len(kept) - info.total_episodes
    frames = kept[-1].start + kept[-1].length if kept else 0
    stats = aggregate([row.stats for row in kept]) if kept else {}
    stale = bool(stats) and _differs(root, stats)
    if stale:
        write_stats(root, stats)
    tasks = len(read_tasks(root)) if (root / TASKS_FILE).is_file() else 0
    if adopted or frames != info.total_frames:
        write_info(root, counted(info, len(kept), frames, tasks))
    return Repaired(len(kept), adopted, (), tuple(str(path.relative_to(root)) for path in orphans), (), stale)


def _differs(root: Path, stats: dict) -> bool:  # type: ignore[type-arg]
    """Whether the statistics on the disk are missing or of other episodes; small differences of rounding are none."""
    stored = read_stats(root)
    if not stored or not set(stats) <= set(stored):
        return True
    counts = {name: int(part["count"][0]) for name, part in stats.items()}
    return any(int(stored[name]["count"][0]) != count for name, count in counts.items()) and json.dumps(
        stats_to_json(stored)
    ) != json.dumps(stats_to_json(stats))


def _tasks_again(root: Path, info: DatasetInfo, rows: list[EpisodeRow]) -> None:
    """Make `meta/tasks.parquet` again from the episodes, if it is missing or damaged."""
    try:
        read_tasks(root)
    except DatasetError:
        surveyor = Surveyor(root, info, ())
        found: dict[int, str] = {}
        for row in rows:
            with contextlib.suppress(DatasetError):
                numbers = surveyor.column(row, "task_index")
                _, first = np.unique(numbers, return_index=True)
                found |= dict(zip((int(numbers[k]) for k in sorted(first)), row.tasks, strict=False))
        if found:
            write_tasks(root, [found.get(k, f"unknown task {k}") for k in range(max(found) + 1)])


def _readable_rows(root: Path) -> tuple[list[EpisodeRow], list[Path]]:
    """Rows of every readable file of descriptions, and the files that are not readable."""
    rows: list[EpisodeRow] = []
    unreadable = []
    for path in episode_files(root):
        try:
            rows += read_episode_file(path, with_stats=True)
        except DatasetError:
            unreadable.append(path)
    return rows, unreadable


def _sorted_out(
    root: Path, info: DatasetInfo, rows: list[EpisodeRow], deep: bool
) -> tuple[list[EpisodeRow], list[tuple[int, str]]]:
    """Episodes that are whole, and those that are not with the reason."""
    tasks = read_tasks(root) if (root / TASKS_FILE).is_file() else ()
    surveyor = Surveyor(root, info, tasks, deep)
    good, bad = [], []
    for row in rows:
        problems = surveyor.problems(row)
        if problems:
            bad.append((row.index, "; ".join(problems)))
        else:
            good.append(row)
    return good, bad
