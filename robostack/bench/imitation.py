"""What is learned from 50 demonstrations of picking a cube: cloning, diffusion and flow matching, over three seeds.

The demonstrations are recorded once, as a LeRobot dataset in `runs/imitation`. A run is one head and one seed; each
finished run is one line of `runs/imitation/results.jsonl`. Started again, the benchmark goes on with the runs that are
missing; a line counts only for the demonstrations and settings that it was made with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.config import plain
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.contract import contract_of
from robostack.env import step_limit
from robostack.export import export_onnx
from robostack.files import append_line
from robostack.learning.imitation.config import HeadName, ImitationConfig
from robostack.learning.imitation.demonstrations import load_demonstrations, sha256_of
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.make import make_env
from robostack.policies.chunked import ChunkedPolicy, ChunkModel
from robostack.policies.onnx_chunk import OnnxChunkModel
from robostack.policies.onnx_file import OnnxFile
from robostack.policies.policy import Policy
from robostack.statistics import wilson_interval
from robostack.tasks.task import TASKS, Task

TASK = "panda-pick-cube"
FOLDER = Path("runs/imitation")
RESULTS = "results.jsonl"
HEADS: tuple[HeadName, ...] = ("diffusion", "flow", "bc")
SEEDS = (0, 1, 2)
IMAGE_SETTINGS = ("cameras", "hidden", "image_size")
TRIALS = 100
TRIAL_SEED = 1000
"""Trials of seed s start from 1000 + s; the operator draws each episode's seed from a generator of its own."""
TIMED = 200
"""Chunks whose time is measured."""
OPERATOR = RecordingConfig(episodes=50, seed=0, speed_spread=0.4, tremor=0.15, disturbance=0.1)
"""The scripted operator: slower by up to 40 %, with a tremor of 15 % of the largest displacement, pushed by 10 %."""
LEARNING = ImitationConfig()
"""The settings that `robostack imitate` has by itself."""
DIFFUSION_MIN, DIFFUSION_MS = 90.0, 20.0


@dataclass(frozen=True)
class Plan:
    """What a benchmark does."""

    folder: Path = FOLDER
    """Where dataset, runs and results are."""
    operator: RecordingConfig = OPERATOR
    """Who demonstrates."""
    learning: ImitationConfig = LEARNING
    """How all heads learn."""
    seeds: tuple[int, ...] = SEEDS
    """Seeds of each head."""
    trials: int = TRIALS
    """Trials of each policy."""


def successes(task: Task, policy: Policy, trials: int, seed: int) -> tuple[int, float]:
    """Number of successful episodes, and the median time of these [s], nan without any.

    All trials run side by side, each for one episode, with whatever dynamics the task randomises.
    """
    env = make_env(task, trials, seed=seed)
    observation, _ = env.reset(seed=seed)
    policy.reset()
    steps = np.full(trials, np.nan)
    ended = np.zeros(trials, dtype=np.bool_)
    for step in range(step_limit(task)):
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        steps[info["success"] & ~ended] = step + 1
        ended |= terminated | truncated
        if ended.all():
            break
    found = steps[~np.isnan(steps)]
    return len(found), float(np.median(found)) * task.control_period_s if len(found) else float("nan")


def ms_per_chunk(model: ChunkModel, count: int = TIMED) -> float:
    """Median wall time of one chunk for one robot, every step of its drawing included [ms]."""
    settings, contract = model.settings, model.contract
    rng = np.random.default_rng(0)
    history = rng.standard_normal((1, settings.past, contract.num_observations))
    noise = rng.standard_normal((1, settings.horizon, contract.num_actions))
    spent = []
    for _ in range(count):
        start = time.perf_counter_ns()
        model.predict(history, noise)
        spent.append((time.perf_counter_ns() - start) / 1e6)
    return float(np.median(spent))


def learn(plan: Plan, head: HeadName, seed: int, dataset: Path, digest: str) -> dict[str, Any]:
    """Learn once and judge the exported policy; returns the line of the results, without `identity`.

    Interrupted, it goes on from the newest checkpoint.
    """
    from robostack.learning.imitation.training import ImitationRun, imitate

    task: Task = TASKS.load(TASK)()
    folder = plan.folder / f"{head}-{seed}-{digest[:8]}"
    run = ImitationRun(dataset, folder, settings=dataclasses.replace(plan.learning, head=head, seed=seed))
    started_s = time.process_time()
    checkpoint = imitate(run, resume=(folder / "config.yaml").is_file())
    learned_s = time.process_time() - started_s
    exported = export_onnx(checkpoint, folder / "policy.onnx")
    model = OnnxChunkModel(OnnxFile(exported.path))
    count, median_s = successes(task, ChunkedPolicy(model), plan.trials, TRIAL_SEED + seed)
    return {
        "successes": count,
        "trials": plan.trials,
        "median_s": None if math.isnan(median_s) else round(median_s, 2),
        "ms_per_chunk": ms_per_chunk(model),
        "learning_cpu_s": round(learned_s, 1),
        "export_error": exported.max_error,
    }


def identity(plan: Plan, head: HeadName, seed: int, dataset: Path) -> dict[str, Any]:
    """What tells one run from all others: head, seed, settings, operator, contract and demonstrations."""
    demonstrations, contract = load_demonstrations(dataset)
    return {
        "head": head,
        "seed": seed,
        "settings": _without_images(dataclasses.replace(plan.learning, head=head, seed=seed)),
        "operator": _without_images(plan.operator),
        "contract_sha256": hashlib.sha256(contract.to_json().encode()).hexdigest(),
        "demonstrations_sha256": sha256_of(demonstrations),
    }


def _without_images(config: object) -> dict[str, Any]:
    """Settings as plain data; what concerns images has no part in this benchmark."""
    return {name: value for name, value in plain(config).items() if name not in IMAGE_SETTINGS}


def demonstrate(plan: Plan) -> Path:
    """The dataset of the plan's operator, recorded as far as it is missing."""
    task: Task = TASKS.load(TASK)()
    described = json.dumps([_without_images(plan.operator), json.loads(contract_of(task).to_json())], sort_keys=True)
    dataset = plan.folder / f"demonstrations-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    record_scripted(task, dataset, plan.operator)
    return dataset


def complete(plan: Plan, heads: Iterable[HeadName] = HEADS) -> list[dict[str, Any]]:
    """Do the runs that are missing; returns the results of all, in order."""
    dataset, path, results = demonstrate(plan), plan.folder / RESULTS, []
    for head, seed in itertools.product(heads, plan.seeds):
        described = identity(plan, head, seed, dataset)
        digest = hashlib.sha256(json.dumps([described, plan.trials], sort_keys=True).encode()).hexdigest()
        known = [line for line in finished(path) if line.get("digest") == digest]
        if not known:
            made = {**described, **learn(plan, head, seed, dataset, digest), "digest": digest}
            if path.is_file() and not path.read_text().endswith("\n"):
                append_line(path, "")  # ends a torn line
            append_line(path, json.dumps(made))
            known = [made]
        results.append(known[0])
    return results


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean over seeds of the successes in 100 trials, Wilson interval over all trials, time and cost, by head."""
    figures: dict[str, float] = {}
    by_head: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_head.setdefault(str(line["head"]), []).append(line)
    for head, found in by_head.items():
        rates = [100.0 * line["successes"] / line["trials"] for line in found]
        low, high = wilson_interval(sum(line["successes"] for line in found), sum(line["trials"] for line in found))
        figures[f"{head}_success"] = float(np.mean(rates))
        figures[f"{head}_success_worst_seed"] = min(rates)
        figures[f"{head}_success_ci95_low"], figures[f"{head}_success_ci95_high"] = 100.0 * low, 100.0 * high
        times = [line["median_s"] for line in found if line["median_s"] is not None]
        if times:
            figures[f"{head}_time_s"] = float(np.median(times))
        figures[f"{head}_ms_per_chunk"] = float(np.median([line["ms_per_chunk"] for line in found]))
        figures[f"{head}_learning_cpu_s"] = float(np.mean([line["learning_cpu_s"] for line in found]))
    return figures


def run(quick: bool) -> Measured:
    """All heads and seeds; the quick form learns a few steps from three demonstrations."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            operator = dataclasses.replace(OPERATOR, episodes=3)
            learning = dataclasses.replace(LEARNING, steps=20, width=32)
            lines = complete(Plan(Path(folder), operator, learning, SEEDS[:1], 2))
        return Measured(figures_of(lines), False, SEEDS[:1])
    plan = Plan()
    lines = complete(plan)
    figures = figures_of(lines)
    task: Task = TASKS.load(TASK)()
    scripted = task.scripted()
    if scripted is not None:
        figures["scripted_success"] = 100.0 * successes(task, scripted, TRIALS, TRIAL_SEED)[0] / TRIALS
    met = figures["diffusion_success"] >= DIFFUSION_MIN and figures["diffusion_ms_per_chunk"] <= DIFFUSION_MS
    notes = (
        f"successes of 100 trials, mean over seeds {SEEDS}; ci95: Wilson, over all trials of a head",
        f"demonstrations: {OPERATOR.episodes} successful episodes of the scripted operator, {OPERATOR}",
        "policies run from their ONNX files on one thread; ms_per_chunk: median wall time with every denoising step",
        f"runs and their settings: {FOLDER / RESULTS}",
    )
    return Measured(figures, met, SEEDS, notes)


BENCH = BenchEntry(
    summary="picking a cube from 50 demonstrations: cloning, diffusion and flow matching, over three seeds",
    run=run,
    aims={
        "diffusion_success": f">= {DIFFUSION_MIN:g} of 100",
        "diffusion_ms_per_chunk": f"<= {DIFFUSION_MS:g} on one core",
    },
)
