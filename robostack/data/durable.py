"""Files of a dataset as they reach the disk: whole or not at all, and errors that say what to do."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardware.errors import DatasetError
from robostack.checkpoint import sync_folder
from robostack.files import temporary_sibling

PART = ".part"
"""End of the names of files that are being written."""


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to, which becomes `path`, on the disk, on leaving the block without an error."""
    temporary = temporary_sibling(path)
    try:
        yield temporary
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, path: Path) -> None:
    """Wait until a closed file is on the disk, rename it to `path`, and wait for the name."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and wait until it is on the disk."""
    with durable_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def clear_os_errors(what: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one clear error.

    Args:
        what: what was being done ("episode 3 was not kept").
        folder: the dataset.

    Raises:
        DatasetError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{what}: {_reason(error, folder)}") from error


def _reason(error: OSError, folder: Path) -> str:
    safe = "Episodes finished before are on the disk and intact."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left for {folder}. {safe} Free some space and continue in the same folder."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{folder} cannot be written ({error.strerror}). Choose another folder, or change its permissions."
    return f"{error}. {safe} See: robostack data check {folder}"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other writers out of a dataset; the lock ends with the process, however it ends.

    Raises:
        DatasetError: another process writes there.
    """
    lock = acquire_lock(root)
    try:
        yield
    finally:
        os.close(lock)


def acquire_lock(root: Path) -> int:
    """Lock the folder itself, so that no file is left behind; closing the descriptor returned releases it.

    Raises:
        DatasetError: another process writes there.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DatasetError(
            f"another process is writing to {root}. Wait until it has finished, or choose another folder."
        ) from error
    return descriptor


def remove_parts(root: Path) -> list[Path]:
    """Delete what a crash left half written; returns what was there. Only while holding the lock."""
    found = sorted(path for path in root.rglob(f".*{PART}") if path.is_file())
    for path in found:
        path.unlink()
    return found
