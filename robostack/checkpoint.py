"""Checkpoints on disk: folders of safetensors and JSON, written so that a crash leaves the old or the new one."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from hardware.errors import CheckpointError
from robostack.contract import Contract, contract_from_json

FORMAT = 1
"""Version of the layout of checkpoint folders."""
POLICY = "policy"
"""Stem of the two files that a policy consists of."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class SavedPolicy:
    """What `policy.safetensors` and `policy.json` hold."""

    arrays: dict[str, NDArray[Any]]
    """Weights and normaliser, by name."""
    contract: Contract
    """What the policy was trained with."""
    config: dict[str, Any]
    """Configuration of what made it, with "kind": what sort of policy the arrays are."""
    provenance: dict[str, Any]
    """Versions, seed, steps."""
    sha256: str
    """Of the bytes of `policy.safetensors`."""


def save_policy(folder: Path, arrays: Arrays, contract: Contract, config: Any, provenance: Mapping[str, Any]) -> None:
    """Write a policy into `folder` (made if missing).

    Args:
        folder: a folder from `atomic_folder`.
        arrays: weights and normaliser, by name.
        contract: what the policy was trained with.
        config: mapping or dataclass; a "kind" in it selects the class that runs the policy.
        provenance: anything that helps to make it again; versions are added.
    """
    meta = {
        "contract": json.loads(contract.to_json()),
        "config": dataclasses.asdict(config) if dataclasses.is_dataclass(config) else dict(config),  # type: ignore[arg-type]
        "provenance": {**versions(), **provenance},
    }
    save_arrays(folder, POLICY, arrays, meta)


def load_policy(folder: Path) -> SavedPolicy:
    """Read what `save_policy` wrote.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    arrays, meta = load_arrays(folder, POLICY)
    source = str(folder / "policy.json")
    try:
        contract, config, provenance = meta["contract"], dict(meta["config"]), dict(meta["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: lacks {error}. Use another checkpoint, or train again.") from error
    return SavedPolicy(
        arrays, contract_from_json(json.dumps(contract), source), config, provenance, str(meta["sha256"])
    )


def save_arrays(folder: Path, stem: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Write `stem`.safetensors and `stem`.json into `folder`; the JSON holds `meta` and the hash of the other file."""
    folder.mkdir(parents=True, exist_ok=True)
    blob = tensor_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_durable(folder / f"{stem}.safetensors", blob)
    document = {"format": FORMAT, "sha256": hashlib.sha256(blob).hexdigest(), **meta}
    write_durable(folder / f"{stem}.json", json.dumps(document, indent=2).encode())


def load_arrays(folder: Path, stem: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_arrays` wrote: arrays and document.

    Raises:
        CheckpointError: a file is missing or damaged, or of another version.
    """
    recover_folder(folder)
    remedy = "Use an earlier checkpoint of the run, or train again."
    try:
        blob = (folder / f"{stem}.safetensors").read_bytes()
        document: dict[str, Any] = json.loads((folder / f"{stem}.json").read_text())
        if document.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder}: checkpoint format {document.get('format')!r}, this version reads {FORMAT}. "
                "Use the version of robostack that wrote it."
            )
        if hashlib.sha256(blob).hexdigest() != document.get("sha256"):
            raise CheckpointError(f"{folder}/{stem}.safetensors is damaged: its hash is not the recorded one. {remedy}")
        return read_tensors(blob), document
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint in {folder}: {Path(error.filename).name} is missing. {remedy}") from error
    except (ValueError, AttributeError, OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}/{stem} cannot be read ({error}). {remedy}") from error


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `folder` on leaving the block without an error.

    After a crash at any point, `folder` (or, after `recover_folder`, its predecessor) is complete.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.parent / f".{folder.name}.new-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        sync_folder(fresh)
        previous = _previous(folder)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        fresh.rename(folder)
        sync_folder(folder.parent)
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring back the predecessor of `folder`, if a crash came between the two renames of `atomic_folder`."""
    previous = _previous(folder)
    if not folder.exists() and previous.is_dir():
        previous.rename(folder)


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.previous"


def write_durable(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"python": platform.python_version()}
    for package in ("robostack-learning", "numpy", "mujoco"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first: `checkpoints/<steps>`."""
    found = (path for path in (run / "checkpoints").glob("[0-9]*") if path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def latest_checkpoint(folder: Path) -> Path:
    """`folder` itself if it is a checkpoint, else the newest checkpoint of the run in it.

    Raises:
        CheckpointError: there is none.
    """
    recover_folder(folder)
    if (folder / f"{POLICY}.json").is_file():
        return folder
    found = checkpoints(folder)
    if not found:
        raise CheckpointError(f"no checkpoint in {folder}. Train one with: robostack train TASK --output-dir {folder}")
    return found[-1]
