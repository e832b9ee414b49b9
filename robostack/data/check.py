"""Whether a dataset is whole and makes sense: each finding says where, what, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from hardware.errors import CheckpointError, DatasetError
from robostack.checkpoint import recover_folder
from robostack.contract import contract_from_json
from robostack.data.durable import PART
from robostack.data.episodes import EpisodeRow, episode_files, read_episode_file
from robostack.data.features import ACTION, CAPTURE_TIME, STATE
from robostack.data.layout import CONTRACT_FILE, TASKS_FILE, DatasetInfo, read_info, read_tasks, require_arrow
from robostack.data.stats import STATISTICS, Stats, aggregate
from robostack.data.store import read_stats
from robostack.data.survey import Surveyor, content_files, episode_paths

RATE_TOLERANCE = 0.05
"""Share by which the measured rate may differ from fps without a warning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong ("error": `repair` is needed) or worth knowing ("warning")."""

    level: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True)
class CheckReport:
    """What a check found."""

    root: Path
    episodes: int
    frames: int
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level == "error" for finding in self.findings)


def check(root: Path, deep: bool = False) -> CheckReport:
    """Look at every file of a dataset. Changes nothing.

    Args:
        root: the dataset.
        deep: decode every frame of every video too.

    Raises:
        DatasetError: there is no dataset, or `meta/info.json` is damaged.
    """
    require_arrow()
    recover_folder(root)
    info = read_info(root)
    found: list[Finding] = []
    rows = _rows(root, info, found)
    tasks = _tasks(root, info, found)
    surveyor = Surveyor(root, info, tasks, deep)
    start = 0
    for row in rows:
        where = f"episode {row.index}"
        problems = surveyor.problems(row)
        if row.start != start:
            problems.append(f"it begins at row {row.start} instead of {start}")
        start = row.start + row.length
        found += [Finding("error", where, problem) for problem in problems]
        if not problems:
            found += [Finding("warning", where, note) for note in _notes(surveyor, row)]
    if start != info.total_frames:
        found.append(Finding("error", "meta/info.json", f"counts {info.total_frames} rows, the episodes have {start}"))
    found += _spare_frames(root, info, rows, surveyor)
    found += _stats(root, info, rows)
    found += _contract(root)
    found += _leftovers(root, info, rows)
    return CheckReport(root, len(rows), start, tuple(found))


def _rows(root: Path, info: DatasetInfo, found: list[Finding]) -> list[EpisodeRow]:
    rows: list[EpisodeRow] = []
    for path in episode_files(root):
        try:
            rows += read_episode_file(path, with_stats=True)
        except DatasetError as error:
            found.append(Finding("error", str(path.relative_to(root)), str(error)))
    rows = rows[: info.total_episodes]
    if [row.index for row in rows] != list(range(info.total_episodes)):
        numbers = f"{len(rows)} are described" if len(rows) < info.total_episodes else "they are not in order"
        found.append(Finding("error", "meta/episodes", f"{info.total_episodes} episodes are counted, {numbers}"))
    return rows


def _tasks(root: Path, info: DatasetInfo, found: list[Finding]) -> tuple[str, ...]:
    if info.total_episodes == 0 and not (root / TASKS_FILE).is_file():
        return ()
    try:
        tasks = read_tasks(root)
    except DatasetError as error:
        found.append(Finding("error", TASKS_FILE, str(error)))
        return ()
    if len(tasks) < info.total_tasks:
        found.append(Finding("error", TASKS_FILE, f"has {len(tasks)} tasks, {info.total_tasks} are counted"))
    return tasks


def _notes(surveyor: Surveyor, row: EpisodeRow) -> list[str]:
    """What is worth knowing about an episode that is whole."""
    notes = []
    for key, part in row.videos.items():
        if part.dropped:
            notes.append(f"{part.dropped} of {row.length} frames of '{key}' were dropped; the one before stands in")
    features, fps = surveyor.info.features, surveyor.info.fps
    for name in (STATE, ACTION):
        if name in features:
            values = surveyor.column(row, name)
            if not np.all(np.isfinite(values)):
                notes.append(f"'{name}' has numbers that are not finite")
            elif row.length > 1 and np.all(values == values[0]):
                notes.append(f"'{name}' never changes")
    if CAPTURE_TIME in features and row.length > 1:
        times = surveyor.column(row, CAPTURE_TIME).astype(np.float64)
        steps = np.diff(times)
        if np.any(steps < 0):
            notes.append("capture times go backwards")
        elif np.all(np.isfinite(steps)) and steps.sum() > 0:
            rate = len(steps) / steps.sum()
            if abs(rate / fps - 1) > RATE_TOLERANCE:
                notes.append(f"captured at {rate:.4g} Hz on average, fps says {fps:g}")
            repeated = int(np.sum(steps == 0))
            if repeated:
                notes.append(f"{repeated} of {row.length} time steps repeat the measurement before")
    return notes


def _spare_frames(root: Path, info: DatasetInfo, rows: Sequence[EpisodeRow], surveyor: Surveyor) -> list[Finding]:
    """Videos with more frames than their episodes have rows: of an episode taken out, or of another recording."""
    wanted: dict[Path, int] = {}
    for row in rows:
        for key, part in row.videos.items():
            path = root / info.video_file(key, part.chunk, part.file)
            wanted[path] = wanted.get(path, 0) + row.length
    return [
        Finding("warning", str(path.relative_to(root)), f"has {surveyor.frames[path]} frames for {count} time steps")
        for path, count in wanted.items()
        if surveyor.frames.get(path, 0) > count
    ]


def _stats(root: Path, info: DatasetInfo, rows: Sequence[EpisodeRow]) -> list[Finding]:
    if not rows:
        return []
    where = "meta/stats.json"
    stored = read_stats(root)
    if not stored:
        return [Finding("error", where, "is missing or damaged")]
    wanted = [name for name, feature in info.features.items() if feature.dtype != "string"]
    lacking = [name for name in wanted if not {"mean", "std", "min", "max", "count"} <= set(stored.get(name, ()))]
    if lacking:
        return [Finding("error", where, f"lacks {', '.join(lacking)}")]
    expected = aggregate([row.stats for row in rows]) if all(row.stats for row in rows) else {}
    found = [
        Finding("error", where, f"'{name}' is not that of the episodes")
        for name in wanted
        if name in expected and not _agree(stored[name], expected[name])
    ]
    for name in (STATE, ACTION):
        if name not in stored or name not in info.features:
            continue
        flat, names = np.flatnonzero(np.asarray(stored[name]["std"]).reshape(-1) == 0), info.features[name].names
        if len(flat):
            labels = ", ".join(names[k] if names else str(k) for k in flat)
            found.append(Finding("warning", where, f"'{name}' has elements that never change: {labels}"))
    return found


def _agree(stored: Stats, expected: Stats) -> bool:
    """Whether both are of the same numbers; quantiles are left out: programs combine them in different ways."""
    names = [key for key in STATISTICS if not key.startswith("q")]
    return all(
        np.allclose(np.asarray(stored[key]).reshape(-1), expected[key].reshape(-1), rtol=1e-3, atol=1e-4)
        for key in names
    )


def _contract(root: Path) -> list[Finding]:
    path = root / CONTRACT_FILE
    if not path.is_file():
        return [Finding("warning", CONTRACT_FILE, "is missing: nothing says what the numbers mean")]
    try:
        contract_from_json(path.read_text(encoding="utf-8"), str(path))
    except CheckpointError as error:
        return [Finding("error", CONTRACT_FILE, str(error))]
    return []


def _leftovers(root: Path, info: DatasetInfo, rows: Sequence[EpisodeRow]) -> list[Finding]:
    needed = set().union(*(episode_paths(root, info, row) for row in rows)) if rows else set()
    spare = content_files(root) - needed
    parts = {path for path in root.rglob(f".*{PART}") if path.is_file()}
    return [
        Finding("warning", str(path.relative_to(root)), "belongs to no finished episode")
        for path in sorted(spare | parts)
    ]
