"""The rows of `meta/episodes`: where each episode's data and videos are, its tasks and its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.errors import DatasetError
from robostack.data.layout import EPISODES_PATTERN, read_table, require_arrow, write_table
from robostack.data.stats import STATISTICS, Stats

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class VideoPart:
    """Where the pictures of one camera of an episode are."""

    chunk: int
    file: int
    from_s: float
    """Time of the first frame inside the file [s]."""
    to_s: float
    """Time of the end of the last frame inside the file [s]."""
    dropped: int = 0
    """Frames that the encoder could not take and the previous one stands in for."""


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode."""

    index: int
    length: int
    """Rows."""
    tasks: tuple[str, ...]
    start: int
    """Global index of the first row; the last is start + length - 1."""
    data: tuple[int, int]
    """Chunk and file of its rows."""
    meta: tuple[int, int]
    """Chunk and file of this row."""
    videos: Mapping[str, VideoPart] = field(default_factory=dict)
    stats: Mapping[str, Stats] = field(default_factory=dict)


def episode_files(root: Path) -> list[Path]:
    """The files of `meta/episodes`, in the order in which readers put them together."""
    return sorted((root / "meta/episodes").glob("*/*.parquet"))


def read_episodes(root: Path, with_stats: bool = False) -> list[EpisodeRow]:
    """Every row of `meta/episodes`.

    Raises:
        DatasetError: a file is damaged.
    """
    rows: list[EpisodeRow] = []
    for path in episode_files(root):
        rows += read_episode_file(path, with_stats)
    return rows


def read_episode_file(path: Path, with_stats: bool = False) -> list[EpisodeRow]:
    """The rows of one file.

    Raises:
        DatasetError: it is damaged or lacks a column.
    """
    table = read_table(path)
    names = [name for name in table.column_names if with_stats or not name.startswith("stats/")]
    try:
        return [_row(record) for record in table.select(names).to_pylist()]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a table of episodes: {error!r}") from error


def write_episodes(path: Path, rows: Sequence[EpisodeRow], schema: pa.Schema | None = None) -> None:
    """Write rows to one file, whole or not at all.

    Args:
        path: the file.
        rows: at least one.
        schema: columns of the files already there: readers put all of them together and want them equal.
    """
    arrow = require_arrow()
    records = [_record(row) for row in rows]
    schema = _schema(records[0]) if schema is None else schema
    arrays = [_column(name, [record.get(name) for record in records], schema.field(name).type) for name in schema.names]
    write_table(path, arrow.table(arrays, schema=schema))


def _column(name: str, values: list[Any], kind: Any) -> Any:
    """One column; statistics of another shape than those already there are left out, `meta/stats.json` has them."""
    arrow = require_arrow()
    try:
        return arrow.array(values, type=kind)
    except arrow.ArrowInvalid:
        if not name.startswith("stats/"):
            raise
        return arrow.nulls(len(values), type=kind)


def episodes_path(chunk: int, file: int) -> str:
    """Path of a file of rows, relative to the dataset."""
    return EPISODES_PATTERN.format(chunk_index=chunk, file_index=file)


def _record(row: EpisodeRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "episode_index": row.index,
        "tasks": list(row.tasks),
        "length": row.length,
        "data/chunk_index": row.data[0],
        "data/file_index": row.data[1],
        "dataset_from_index": row.start,
        "dataset_to_index": row.start + row.length,
    }
    for key, part in row.videos.items():
        record[f"videos/{key}/chunk_index"] = part.chunk
        record[f"videos/{key}/file_index"] = part.file
        record[f"videos/{key}/from_timestamp"] = part.from_s
        record[f"videos/{key}/to_timestamp"] = part.to_s
        record[f"videos/{key}/dropped_frames"] = part.dropped
    for name, stats in row.stats.items():
        for key in STATISTICS:
            if key in stats:
                record[f"stats/{name}/{key}"] = np.asarray(stats[key]).tolist()
    record["meta/episodes/chunk_index"], record["meta/episodes/file_index"] = row.meta
    return record


def _schema(record: Mapping[str, Any]) -> pa.Schema:
    arrow = require_arrow()

    def kind(name: str, value: Any) -> Any:
        if isinstance(value, list):
            if name == "tasks":
                return arrow.list_(arrow.string())
            return arrow.list_(kind(name, value[0]) if value else arrow.float64())
        if name.endswith("_timestamp"):
            return arrow.float64()
        if name.startswith("stats/") and not name.endswith("/count"):
            return arrow.float64()
        return arrow.int64()

    return arrow.schema([(name, kind(name, value)) for name, value in record.items()])


def _row(record: Mapping[str, Any]) -> EpisodeRow:
    keys = [
        name.removeprefix("videos/").removesuffix("/from_timestamp")
        for name in record
        if name.startswith("videos/") and name.endswith("/from_timestamp")
    ]
    stats: dict[str, Stats] = {}
    for name, value in record.items():
        if name.startswith("stats/") and value is not None:
            feature, _, key = name.removeprefix("stats/").rpartition("/")
            stats.setdefault(feature, {})[key] = np.atleast_1d(np.array(value))
    return EpisodeRow(
        index=int(record["episode_index"]),
        length=int(record["length"]),
        tasks=tuple(record["tasks"]),
        start=int(record["dataset_from_index"]),
        data=(int(record["data/chunk_index"]), int(record["data/file_index"])),
        meta=(int(record.get("meta/episodes/chunk_index", 0)), int(record.get("meta/episodes/file_index", 0))),
        videos={key: _part(record, f"videos/{key}/") for key in keys},
        stats=stats,
    )


def _part(record: Mapping[str, Any], prefix: str) -> VideoPart:
    return VideoPart(
        chunk=int(record[prefix + "chunk_index"]),
        file=int(record[prefix + "file_index"]),
        from_s=float(record[prefix + "from_timestamp"]),
        to_s=float(record[prefix + "to_timestamp"]),
        dropped=int(record.get(prefix + "dropped_frames") or 0),
    )
