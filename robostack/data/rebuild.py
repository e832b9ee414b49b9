"""Writing a dataset anew from some of its episodes: into fewer, larger files, or without the damaged ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robostack.checkpoint import atomic_folder, sync_folder
from robostack.data.columns import arrow_type
from robostack.data.durable import durable_file
from robostack.data.episodes import EpisodeRow, VideoPart, episodes_path, write_episodes
from robostack.data.layout import (
    MB,
    TASKS_FILE,
    DatasetInfo,
    counted,
    next_file,
    read_tasks,
    require_arrow,
    write_info,
    write_table,
)
from robostack.data.stats import aggregate
from robostack.data.store import write_stats
from robostack.data.survey import Surveyor
from robostack.data.video import coding_of, join_videos, video_facts

if TYPE_CHECKING:
    import pyarrow as pa

CONTENT = ("data", "videos", "meta", "damaged")
"""Folders that are made anew; everything else is taken along."""
DAMAGED = "damaged"

Place = tuple[str, int, int]
"""Video column, chunk and file."""
Bring = Callable[[Path, Path], None]
"""Puts a file under a second name, or copies it."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """Where a video file went: into which file, and how much later it begins there."""

    chunk: int
    file: int
    offset_s: float


def rebuild(
    root: Path,
    target: Path,
    info: DatasetInfo,
    rows: Sequence[EpisodeRow],
    damaged: Sequence[str] = (),
    merge: bool = False,
) -> None:
    """Write the dataset `target` from episodes of `root`, numbered from 0 without gaps.

    `target` appears, or is replaced, at one instant.

    Args:
        root: the dataset, of which the caller holds the lock.
        target: the folder to write; may be `root`.
        info: of `root`.
        rows: the episodes to keep, with statistics.
        damaged: files of `root`, relative to it, to keep in the folder `damaged`.
        merge: join videos into large files; else they stay as they are.
    """
    tasks = read_tasks(root) if (root / TASKS_FILE).is_file() else ()
    for left in target.parent.glob(f".{target.name}.new-*"):  # of a rebuild that was killed
        shutil.rmtree(left, ignore_errors=True)
    with atomic_folder(target) as fresh:
        bring = _link if target == root else _copy
        _take_along(root, fresh, damaged, bring)
        moved = _videos(root, fresh, info, rows, merge, bring)
        surveyor = Surveyor(root, info, tasks)
        kept = _data(fresh, info, rows, surveyor)
        kept = [replace(row, videos=_moved_parts(row, moved)) for row in kept]
        if kept:
            write_episodes(fresh / episodes_path(0, 0), kept)
            write_stats(fresh, aggregate([row.stats for row in kept]))
        frames = sum(row.length for row in kept)
        write_info(fresh, counted(info, len(kept), frames, len(tasks)))
        for folder in fresh.rglob("*/"):
            sync_folder(folder)


def _take_along(root: Path, fresh: Path, damaged: Sequence[str], bring: Bring) -> None:
    """What is no content (the raw record, a README), and what is damaged."""
    for path in sorted(root.iterdir()):
        if path.name in CONTENT or path.name.startswith("."):
            continue
        for item in [path] if path.is_file() else sorted(path.rglob("*")):
            if item.is_file():
                bring(item, fresh / item.relative_to(root))
    for path in sorted((root / "meta").glob("*")):
        if path.is_file() and path.name not in ("info.json", "stats.json"):
            _copy(path, fresh / "meta" / path.name)
    for path in sorted((root / DAMAGED).rglob("*")):
        if path.is_file():
            bring(path, fresh / path.relative_to(root))
    for name in damaged:
        bring(root / name, fresh / DAMAGED / name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, when the first is about to go; a copy where the file system cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def _data(fresh: Path, info: DatasetInfo, rows: Sequence[EpisodeRow], surveyor: Surveyor) -> list[EpisodeRow]:
    """Write the rows of every episode, renumbered, a row group each, in files up to the size of the format."""
    arrow = require_arrow()
    kept: list[EpisodeRow] = []
    chunk = file = 0
    waiting: list[pa.Table] = []

    def flush() -> None:
        ends = np.cumsum([table.num_rows for table in waiting]).tolist()
        groups = list(zip([0, *ends[:-1]], ends, strict=True))
        write_table(fresh / info.data_file(chunk, file), arrow.concat_tables(waiting), groups)
        waiting.clear()

    start = 0
    for index, row in enumerate(rows):
        table = _renumbered(surveyor.rows_of(row), info, index, start)
        if waiting and sum(part.nbytes for part in waiting) + table.nbytes > info.data_files_size_in_mb * MB:
            flush()
            chunk, file = next_file(chunk, file, info.chunks_size)
        waiting.append(table)
        kept.append(replace(row, index=index, start=start, data=(chunk, file), meta=(0, 0)))
        start += row.length
    if waiting:
        flush()
    return kept


def _renumbered(table: pa.Table, info: DatasetInfo, index: int, start: int) -> pa.Table:
    """The rows of an episode in the types of the format, with other numbers."""
    arrow = require_arrow()
    count = table.num_rows
    numbers: Mapping[str, Any] = {
        "episode_index": np.full(count, index, dtype=np.int64),
        "index": np.arange(start, start + count, dtype=np.int64),
    }
    names = [name for name, feature in info.features.items() if feature.dtype != "video"]
    schema = arrow.schema([(name, arrow_type(info.features[name])) for name in names])
    columns = [arrow.array(numbers[name]) if name in numbers else _plain(table[name]) for name in names]
    return arrow.table(columns, names=names).cast(schema)


def _plain(column: Any) -> Any:
    """A column without the extension types that lerobot's library adds for matrices."""
    arrow = require_arrow()
    found = column.combine_chunks()
    return found.storage if isinstance(found, arrow.ExtensionArray) else found


def _videos(
    root: Path, fresh: Path, info: DatasetInfo, rows: Sequence[EpisodeRow], merge: bool, bring: Bring
) -> dict[Place, _Moved]:
    """Bring the video files over; returns where each went."""
    moved: dict[Place, _Moved] = {}
    for key in info.video_keys:
        places = list(dict.fromkeys((row.videos[key].chunk, row.videos[key].file) for row in rows))
        for chunk, file in places if not merge else ():
            name = info.video_file(key, chunk, file)
            bring(root / name, fresh / name)
            moved[key, chunk, file] = _Moved(chunk, file, 0.0)
        if merge:
            moved |= _joined(root, fresh, info, key, places, bring)
    return moved


def _joined(
    root: Path, fresh: Path, info: DatasetInfo, key: str, places: Sequence[tuple[int, int]], bring: Bring
) -> dict[Place, _Moved]:
    """Join the video files of one camera in groups of equal coding, up to the size of the format."""
    moved: dict[Place, _Moved] = {}
    groups: list[list[tuple[int, int]]] = []
    size, coding = 0, None
    for chunk, file in places:
        path = root / info.video_file(key, chunk, file)
        bytes_here, coding_here = path.stat().st_size, coding_of(path)
        if not groups or coding_here != coding or size + bytes_here > info.video_files_size_in_mb * MB:
            groups.append([])
            size, coding = 0, coding_here
        groups[-1].append((chunk, file))
        size += bytes_here
    chunk = file = 0
    for group in groups:
        paths = [root / info.video_file(key, *place) for place in group]
        target = fresh / info.video_file(key, chunk, file)
        lengths = [len(video_facts(path).times_s) / info.fps for path in paths]
        if len(paths) == 1:
            bring(paths[0], target)
        else:
            with durable_file(target) as temporary:
                join_videos(paths, lengths, temporary)
        offsets = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        for place, offset in zip(group, offsets, strict=True):
            moved[key, *place] = _Moved(chunk, file, float(offset))
        chunk, file = next_file(chunk, file, info.chunks_size)
    return moved


def _moved_parts(row: EpisodeRow, moved: Mapping[Place, _Moved]) -> dict[str, VideoPart]:
    parts = {}
    for key, part in row.videos.items():
        place = moved[key, part.chunk, part.file]
        parts[key] = replace(
            part,
            chunk=place.chunk,
            file=place.file,
            from_s=part.from_s + place.offset_s,
            to_s=part.to_s + place.offset_s,
        )
    return parts
