"""Trains a policy with several seeds side by side, and keeps the best."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.errors import RobostackError
from robostack.evaluation import EvaluationResult, evaluate
from robostack.learning.training import Progress, TrainConfig, train
from robostack.policies.mlp import load_policy


@dataclass(frozen=True)
class Candidate:
    """One seed's policy."""

    seed: int
    """Of the training run."""
    checkpoint: Path
    """Its final checkpoint."""
    result: EvaluationResult
    """Over the episodes it was chosen by."""


def train_seeds(
    task: str, seeds: Sequence[int], steps: int, folder: Path, on_progress: Callable[[int, Progress], None]
) -> list[Path]:
    """Train once per seed, each in a process of its own.

    Args:
        task: registry name.
        seeds: of the runs.
        steps: control steps per run.
        folder: gets one run folder per seed; they must not exist.
        on_progress: called with a seed and its newest report.

    Returns:
        The final checkpoints, in the order of the seeds.

    Raises:
        RobostackError: a run failed.
    """
    # numpy reads this when a child first imports it: matrix-vector products lose by more threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        reports: Any = manager.Queue()
        configs = [TrainConfig(task, folder / f"seed-{seed}", steps=steps, seed=seed) for seed in seeds]
        with ProcessPoolExecutor(min(len(seeds), os.cpu_count() or 1), mp_context=context) as pool:
            futures = [pool.submit(_train_one, config, reports) for config in configs]
            while not all(future.done() for future in futures):
                _forward(reports, on_progress)
            return [future.result() for future in futures]


def choose(task: str, checkpoints: Sequence[tuple[int, Path]], episodes: int, seed: int) -> Candidate:
    """The policy with the most successes in randomised simulation, by time to reach among equals.

    Args:
        task: registry name.
        checkpoints: seed and final checkpoint of each run; at least one.
        episodes: episodes per policy.
        seed: of the episodes; the same ones for every policy.
    """
    if not checkpoints:
        raise RobostackError("there is no trained policy to choose from")
    candidates = [
        Candidate(number, folder, evaluate(task, load_policy(folder), episodes=episodes, seed=seed))
        for number, folder in checkpoints
    ]

    def quality(candidate: Candidate) -> tuple[int, float]:
        figures = candidate.result.figures()
        return figures["successes"], -figures.get("time_to_reach_s", float("inf"))

    return max(candidates, key=quality)


def _train_one(config: TrainConfig, reports: Any) -> Path:
    return train(config, on_progress=lambda progress: reports.put((config.seed, progress)))


def _forward(reports: Any, on_progress: Callable[[int, Progress], None]) -> None:
    """Hand on what has arrived, waiting a moment if nothing has."""
    try:
        on_progress(*reports.get(timeout=0.2))
    except queue.Empty:
        return
