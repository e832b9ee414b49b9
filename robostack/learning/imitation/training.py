"""The loop around an imitator: a run folder that may be killed at any time and resumed exactly.

A run folder holds `config.yaml` (resolved), `progress.jsonl` (one line per report) and `checkpoints/<steps>`, each
written atomically.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hardware.config import dump_config, load_config
from hardware.errors import CheckpointError, ConfigError
from robostack.checkpoint import atomic_folder, checkpoints
from robostack.files import append_line, write_text
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.demonstrations import load_demonstrations
from robostack.learning.imitation.imitator import Imitator

CONFIG, PROGRESS = "config.yaml", "progress.jsonl"


@dataclass(frozen=True)
class ImitationRun:
    """One run."""

    dataset: Path
    """Folder of the dataset."""
    output_dir: Path
    """Run folder."""
    task: str | None = None
    """Name of the task, for a dataset without a contract."""
    keep_failures: bool = False
    """Learn from episodes that failed, too."""
    checkpoint_every: int = 2_000
    """Steps between checkpoints; there is always one at the end."""
    report_every: int = 100
    """Steps between reports."""
    settings: ImitationConfig = field(default_factory=ImitationConfig)
    """How the policy is learned."""


@dataclass(frozen=True)
class ImitationProgress:
    """One report."""

    steps: int
    """Gradient steps done."""
    loss: float
    """Mean loss since the last report."""
    learning_rate: float
    """Of the last step."""
    steps_per_s: float
    """Since the run was started or resumed [1/s]."""
    demonstrations: int
    """Episodes learned from."""
    frames: int
    """Their time steps."""


def imitate(
    run: ImitationRun, *, resume: bool = False, on_progress: Callable[[ImitationProgress], None] | None = None
) -> Path:
    """Learn a policy from a dataset, or go on learning.

    Args:
        run: the run. When resuming, only `output_dir` counts: the rest is read from the run.
        resume: continue the run in `output_dir`.
        on_progress: called with each report.

    Returns:
        The final checkpoint.

    Raises:
        ConfigError: the folder already holds a run and `resume` is off, or a setting is wrong.
        CheckpointError: there is nothing to resume, or the dataset has changed since.
        DatasetError: the dataset cannot be read.
    """
    path = run.output_dir / CONFIG
    if resume:
        if not path.is_file():
            raise CheckpointError(f"no run to resume in {run.output_dir}: {CONFIG} is missing. Start without --resume.")
        folder, run = run.output_dir, load_config(ImitationRun, path)
    else:
        folder = run.output_dir
        if path.exists():
            raise ConfigError(f"{folder} already holds a run. Continue it with --resume, or choose another folder.")
        if run.checkpoint_every < 1 or run.report_every < 1:
            raise ConfigError("checkpoint_every and report_every must be at least 1")
    demonstrations, contract = load_demonstrations(run.dataset, run.task, not run.keep_failures, run.settings.cameras)
    # The matrices are small: more threads lose, and disturb whatever else the machine does.
    torch.set_num_threads(1)
    imitator = Imitator(contract, demonstrations, run.settings)
    if not resume:
        write_text(path, dump_config(run))
    else:
        _restore(imitator, folder)
    return _loop(imitator, run, folder, len(demonstrations), on_progress)


def _restore(imitator: Imitator, folder: Path) -> None:
    """Take over the newest checkpoint that can be read; drop reports from after it."""
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        try:
            imitator.load(checkpoint)
        except CheckpointError:
            if checkpoint == found[0]:
                raise
            continue
        break
    path = folder / PROGRESS
    if path.is_file():
        write_text(
            path, "".join(f"{line}\n" for line in path.read_text().splitlines() if _within(line, imitator.steps))
        )


def _within(line: str, steps: int) -> bool:
    """Whether a line is whole and not from after `steps`."""
    try:
        return int(json.loads(line)["steps"]) <= steps
    except (ValueError, KeyError, TypeError):
        return False


def _loop(
    imitator: Imitator,
    run: ImitationRun,
    folder: Path,
    demonstrations: int,
    on_progress: Callable[[ImitationProgress], None] | None,
) -> Path:
    started_s, begun, losses = time.monotonic(), imitator.steps, []
    while imitator.steps < run.settings.steps:
        metrics = imitator.update()
        losses.append(metrics["loss"])
        steps = imitator.steps
        if steps % run.report_every == 0 or steps == run.settings.steps:
            rate = (steps - begun) / max(time.monotonic() - started_s, 1e-9)
            loss = sum(losses) / len(losses)
            losses.clear()
            report = ImitationProgress(
                steps, loss, metrics["learning_rate"], rate, demonstrations, len(imitator.windows)
            )
            append_line(folder / PROGRESS, json.dumps(report.__dict__))
            if on_progress is not None:
                on_progress(report)
        if steps % run.checkpoint_every == 0 and steps < run.settings.steps:
            _checkpoint(imitator, folder)
    return _checkpoint(imitator, folder)


def _checkpoint(imitator: Imitator, folder: Path) -> Path:
    checkpoint = folder / "checkpoints" / f"{imitator.steps:09d}"
    with atomic_folder(checkpoint) as fresh:
        imitator.save(fresh)
    return checkpoint
