"""The files of a LeRobot dataset v3.0: where they are, and `meta/info.json` and `meta/tasks.parquet` themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.errors import DatasetError, MissingExtraError
from robostack.data.durable import durable_file, write_whole
from robostack.data.features import DEFAULT_FEATURES, Feature, feature_from_json, feature_to_json

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "v3.0"
INFO_FILE = "meta/info.json"
STATS_FILE = "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
CONTRACT_FILE = "meta/robostack_contract.json"
EPISODES_PATTERN = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATTERN = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATTERN = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
MB = 1024 * 1024

_KNOWN = (
    *("codebase_version", "robot_type", "fps", "total_episodes", "total_frames", "total_tasks", "chunks_size"),
    *("data_files_size_in_mb", "video_files_size_in_mb", "splits", "data_path", "video_path", "features"),
)


@dataclass(frozen=True)
class DatasetInfo:
    """What `meta/info.json` says. Writing it is what makes an episode count."""

    fps: float
    """Rows per second."""
    robot_type: str | None
    """Name of the robot."""
    features: Mapping[str, Feature]
    """Every column, the default ones included."""
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    chunks_size: int = 1000
    """Files per folder."""
    data_files_size_in_mb: int = 100
    video_files_size_in_mb: int = 200
    data_path: str = DATA_PATTERN
    video_path: str | None = VIDEO_PATTERN
    video_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per video column: codec, pixel format and so on."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What other programs put there; kept as it is."""

    @property
    def video_keys(self) -> tuple[str, ...]:
        """Columns that are videos."""
        return tuple(name for name, feature in self.features.items() if feature.dtype == "video")

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Columns that are PNG files inside the table."""
        return tuple(name for name, feature in self.features.items() if feature.dtype == "image")

    @property
    def user_features(self) -> dict[str, Feature]:
        """Columns that are not the default ones."""
        return {name: feature for name, feature in self.features.items() if name not in DEFAULT_FEATURES}

    def data_file(self, chunk: int, file: int) -> str:
        """Path of a data file, relative to the dataset."""
        return self.data_path.format(chunk_index=chunk, file_index=file)

    def video_file(self, key: str, chunk: int, file: int) -> str:
        """Path of a video file, relative to the dataset."""
        pattern = self.video_path or VIDEO_PATTERN
        return pattern.format(video_key=key, chunk_index=chunk, file_index=file)

    def to_json(self) -> str:
        """As it is on the disk."""
        features = {}
        for name, feature in self.features.items():
            features[name] = feature_to_json(feature)
            if name in self.video_info:
                features[name]["info"] = dict(self.video_info[name])
        fps = int(self.fps) if float(self.fps).is_integer() else self.fps
        data = {
            "codebase_version": VERSION,
            "robot_type": self.robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "total_tasks": self.total_tasks,
            "chunks_size": self.chunks_size,
            "data_files_size_in_mb": self.data_files_size_in_mb,
            "video_files_size_in_mb": self.video_files_size_in_mb,
            "fps": fps,
            "splits": {"train": f"0:{self.total_episodes}"},
            "data_path": self.data_path,
            "video_path": self.video_path if self.video_keys else None,
            "features": features,
            **self.extra,
        }
        return json.dumps(data, indent=4, ensure_ascii=False)


def read_info(root: Path) -> DatasetInfo:
    """Read `meta/info.json`.

    Raises:
        DatasetError: there is no dataset, it is damaged, or of another version.
    """
    path = root / INFO_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = data["codebase_version"]
        if version != VERSION:
            raise DatasetError(
                f"{root} is a dataset {version}; this version reads {VERSION}. "
                f"Convert a v2.1 dataset with: robostack data convert {root} NEW_FOLDER"
            )
        features = {name: feature_from_json(name, entry) for name, entry in data["features"].items()}
        return DatasetInfo(
            fps=float(data["fps"]),
            robot_type=data.get("robot_type"),
            features=features,
            total_episodes=int(data["total_episodes"]),
            total_frames=int(data["total_frames"]),
            total_tasks=int(data.get("total_tasks", 0)),
            chunks_size=int(data.get("chunks_size", 1000)),
            data_files_size_in_mb=int(data.get("data_files_size_in_mb", 100)),
            video_files_size_in_mb=int(data.get("video_files_size_in_mb", 200)),
            data_path=str(data["data_path"]),
            video_path=data.get("video_path") or VIDEO_PATTERN,
            video_info={name: entry["info"] for name, entry in data["features"].items() if entry.get("info")},
            extra={key: value for key, value in data.items() if key not in _KNOWN},
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"no dataset in {root}: {INFO_FILE} is missing. Record one with: robostack record ROBOT"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} cannot be read ({error!r}). Restore it from a copy of the dataset.") from error


def write_info(root: Path, info: DatasetInfo) -> None:
    """Replace `meta/info.json`, atomically."""
    write_whole(root / INFO_FILE, info.to_json().encode())


def with_defaults(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """`features` and the default columns after them."""
    return {**features, **DEFAULT_FEATURES}


def next_file(chunk: int, file: int, chunks_size: int) -> tuple[int, int]:
    """Chunk and file after these."""
    return (chunk + 1, 0) if file >= chunks_size - 1 else (chunk, file + 1)


def write_tasks(root: Path, tasks: Iterable[str]) -> None:
    """Write `meta/tasks.parquet`: column task_index, and the task itself as pandas index."""
    arrow = require_arrow()
    names = list(tasks)
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
        ],
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64",
             "metadata": None},
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
    }  # fmt: skip
    schema = arrow.schema(
        [("task_index", arrow.int64()), ("task", arrow.string())], metadata={"pandas": json.dumps(pandas)}
    )
    table = arrow.table({"task_index": list(range(len(names))), "task": names}, schema=schema)
    write_table(root / TASKS_FILE, table)


def read_tasks(root: Path) -> tuple[str, ...]:
    """Tasks by index.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    table = read_table(root / TASKS_FILE)
    name = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if name is None or "task_index" not in table.column_names:
        raise DatasetError(f"{root / TASKS_FILE} has columns {table.column_names}, needs task_index and task")
    pairs = sorted(zip(table["task_index"].to_pylist(), table[name].to_pylist(), strict=True))
    return tuple(str(task) for _, task in pairs)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a parquet file.

    Raises:
        DatasetError: it is missing or damaged.
    """
    arrow = require_arrow()
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(path).read(columns=columns)
    except (OSError, arrow.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read ({_first_line(error)}). See: robostack data repair") from error


def write_table(path: Path, table: pa.Table, groups: Iterable[tuple[int, int]] | None = None) -> None:
    """Write a parquet file whole or not at all.

    Args:
        path: the file.
        table: what to write.
        groups: start and end row of each row group; None for a single one.
    """
    require_arrow()
    import pyarrow.parquet as parquet

    with (
        durable_file(path) as temporary,
        parquet.ParquetWriter(temporary, table.schema, compression="snappy", use_dictionary=True) as writer,
    ):
        for start, end in groups if groups is not None else [(0, table.num_rows)]:
            writer.write_table(table.slice(start, end - start), row_group_size=max(1, end - start))


def require_arrow() -> Any:
    """The package pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("pyarrow", "data", "a dataset on disk") from error
    return pyarrow


def counted(info: DatasetInfo, episodes: int, frames: int, tasks: int) -> DatasetInfo:
    """`info` with other totals."""
    return replace(info, total_episodes=episodes, total_frames=frames, total_tasks=tasks)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
