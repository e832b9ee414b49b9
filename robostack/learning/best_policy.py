"""The best policy of a run, kept beside its checkpoints: `best` holds the policy and how it was judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.errors import CheckpointError
from robostack.checkpoint import POLICY, atomic_folder, write_durable

FOLDER, JUDGED = "best", "evaluation.json"
"""Folder in the run, and the file in it that says when the policy was judged and how."""


@dataclass(frozen=True)
class Judged:
    """An evaluation that policies of one run are compared by."""

    steps: int
    """Steps learned from."""
    success: float
    """Share of successes."""
    total_reward_mean: float
    """Mean sum of rewards; decides between equal shares of successes."""

    def better_than(self, other: Judged | None) -> bool:
        """Whether this is the better evaluation; of equal ones the earlier stays."""
        if other is None:
            return True
        return (self.success, self.total_reward_mean) > (other.success, other.total_reward_mean)


def judged(figures: Mapping[str, Any], steps: int) -> Judged:
    """From the figures of an evaluation."""
    return Judged(steps, float(figures["success"]), float(figures["total_reward_mean"]))


def keep_policy(checkpoint: Path, folder: Path, note: Mapping[str, Any]) -> None:
    """Copy the policy of a checkpoint, without what is needed to go on learning.

    Args:
        checkpoint: where it is.
        folder: where it goes; replaced if it is there.
        note: written beside it as `evaluation.json`.
    """
    with atomic_folder(folder) as fresh:
        for suffix in (".safetensors", ".json"):
            write_durable(fresh / f"{POLICY}{suffix}", (checkpoint / f"{POLICY}{suffix}").read_bytes())
        write_durable(fresh / JUDGED, json.dumps(dict(note)).encode())


def judged_from(document: Mapping[str, Any] | None, source: Path) -> Judged | None:
    """What a checkpoint remembers of the best policy; None where nothing was judged.

    Raises:
        CheckpointError: it is damaged.
    """
    if not document:
        return None
    try:
        return Judged(int(document["steps"]), float(document["success"]), float(document["total_reward_mean"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: what it says about the best policy is damaged: {error!r}") from error
