"""Training runs killed at random moments: what they continue with is, bit for bit, what a clean stop would have left.

The durable state is the newest complete checkpoint: learner (weights, optimisers, statistics, random state) and
counters. The environment has none of its own: a resumed run starts a new episode, seeded by the step it resumes at. So
the reference is a second run, never killed, that is stopped at each step at which a killed one was resumed, and resumed
from there. After each kill, both must agree in every bit at the next durable state.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import CheckpointError
from robostack.bench.bench import BenchEntry, Measured
from robostack.checkpoint import checkpoints
from robostack.learning.training import TrainConfig, train

KILLS = 20
STATE = ("policy.safetensors", "learner.safetensors")
"""Files of a checkpoint that are compared as they are; of the JSON beside them, all but times."""
PATIENCE_S = 300.0
"""Longest wait for a process to write its next checkpoint [s]."""


@dataclass(frozen=True)
class Victim:
    """What is trained and killed: `robostack train` with these options."""

    task: str = "ur5e-reach"
    """Name of the task."""
    learner: str = "avg"
    """Name of the learner."""
    checkpoint_every: int = 20
    """Steps between checkpoints; few, so that many kills come while one is written."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the learner that are not the recommended ones."""
    delay_max_s: float = 0.5
    """Longest time from a process's first checkpoint to its end [s]."""

    def command(self, folder: Path, resume: bool) -> list[str]:
        """The process that will not end by itself."""
        options = ["--output-dir", str(folder), "--learner", self.learner, "--steps", str(10**9)]
        options += ["--checkpoint-every", str(self.checkpoint_every), *(["--resume"] if resume else [])]
        for name, value in self.settings.items():
            options += ["--set", f"{name}={value!r}"]
        return [sys.executable, "-m", "robostack", "train", self.task, *options]

    def config(self, folder: Path, steps: int) -> TrainConfig:
        """The same run, stopped cleanly at `steps`."""
        every = self.checkpoint_every
        return TrainConfig(
            self.task, folder, self.learner, steps=steps, checkpoint_every=every, settings=dict(self.settings)
        )


def kill_one(victim: Victim, folder: Path, delay_s: float) -> bool:
    """Start or resume the run, kill it `delay_s` after its first new checkpoint.

    Returns:
        Whether a checkpoint was being written at that moment.

    Raises:
        CheckpointError: the process ended by itself or wrote nothing.
    """
    before = _newest(folder)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(victim.command(folder, before is not None), stdout=subprocess.DEVNULL, stderr=errors)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while _newest(folder) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(delay_s)
        finally:
            ended = process.poll()
            process.kill()
            process.wait()
        if ended is not None or _newest(folder) == before:
            errors.seek(0)
            raise CheckpointError(f"the run in {folder} made no checkpoint: {errors.read().decode()[-500:]}")
    return any((folder / "checkpoints").glob(".*.new-*"))


def state(folder: Path) -> dict[str, Any]:
    """What a run continues from: the bytes of the arrays, everything else but times and versions."""
    learner = json.loads((folder / "learner.json").read_text())
    counters = json.loads((folder / "training.json").read_text())
    found: dict[str, Any] = {name: (folder / name).read_bytes() for name in STATE}
    return {**found, "scalars": learner["scalars"], "counters": (counters["steps"], counters["episodes"])}


def endure_kills(victim: Victim, folder: Path, kills: int, rng: np.random.Generator) -> dict[str, float]:
    """Kill a run that often, end it cleanly, and compare with a run that was only stopped.

    Returns:
        kills, bit_equal (kills after which the continuation was the reference's), mid_write (kills that met a
        checkpoint half written), steps.
    """
    killed, reference = folder / "killed", folder / "reference"
    mid_write, bit_equal, last = 0, 0, 0
    for number in range(kills + 1):
        if number < kills:
            mid_write += kill_one(victim, killed, rng.uniform(0.0, victim.delay_max_s))
        else:
            train(victim.config(killed, last + 3 * victim.checkpoint_every), resume=True)
        newest = checkpoints(killed)[-1]
        last = int(newest.name)
        clean = train(victim.config(reference, last), resume=number > 0)
        bit_equal += number > 0 and state(newest) == state(clean)
    return {
        "kills": float(kills),
        "bit_equal": float(bit_equal),
        "mid_write": float(mid_write),
        "steps": float(last),
    }


def _newest(folder: Path) -> str | None:
    found = checkpoints(folder)
    return found[-1].name if found else None


def run(quick: bool) -> Measured:
    """Twenty kills of `robostack train ur5e-reach`; the quick form does two."""
    kills = 2 if quick else KILLS
    with tempfile.TemporaryDirectory() as folder:
        figures = endure_kills(Victim(), Path(folder), kills, np.random.default_rng(0))
    notes = (
        "a kill: SIGKILL up to half a second after the process's first new checkpoint, checkpoints every 20 steps",
        "bit-equal: weights, optimisers, statistics, random state and counters at the next durable state, compared "
        "with a run that was stopped cleanly where the killed one resumed",
        "mid_write: kills that met a checkpoint half written",
    )
    return Measured(figures, figures["bit_equal"] == figures["kills"] >= KILLS, (0,), notes)


BENCH = BenchEntry(
    summary="AVG: training killed at random moments continues bit for bit from its last durable state",
    run=run,
    aims={"kills": f"{KILLS}", "bit_equal": "= kills"},
)
