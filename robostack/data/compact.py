"""Merging the many small files of a recording into the few large ones of the standard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hardware.errors import DatasetError
from robostack.checkpoint import recover_folder
from robostack.data.durable import clear_os_errors, locked
from robostack.data.episodes import read_episodes
from robostack.data.layout import read_info, require_arrow
from robostack.data.rebuild import rebuild
from robostack.data.repair import recover
from robostack.data.survey import content_files


@dataclass(frozen=True)
class Compacted:
    """What compacting did."""

    episodes: int
    files_before: int
    files_after: int


def compact(root: Path, target: Path | None = None) -> Compacted:
    """Merge the files of a dataset: rows up to 100 MB, videos up to 200 MB, without encoding again.

    The result replaces the dataset at one instant; a crash before leaves the old one. Needs as much free space as the
    dataset has.

    Args:
        root: the dataset.
        target: a new folder for the result; None for in place.

    Raises:
        DatasetError: there is no dataset, it is damaged, or the disk is full.
    """
    require_arrow()
    root = root.resolve()  # "." has no name to swap
    recover_folder(root)
    into = root if target is None else target
    if target is not None and target.exists():
        raise DatasetError(f"{target} exists. Choose a new folder.")
    read_info(root)
    with clear_os_errors(f"{root} was not compacted", into.parent), locked(root):
        recover(root)
        info = read_info(root)
        rows = read_episodes(root, with_stats=True)[: info.total_episodes]
        before = len(content_files(root))
        rebuild(root, into, info, rows, merge=True)
    return Compacted(len(rows), before, len(content_files(into)))
