"""RLPD from images: picking a cube through two cameras of 84x84 pixels, without being told where the cube is.

20 demonstrations are recorded with images and cloned; the clone's convolutions are then kept, and RLPD learns behind
them, half of each batch from the demonstrations. "scratch" is the same from random weights, all of them learned. Each
finished part is one line of `runs/serl_images/results.jsonl`; started again, the benchmark does what is missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from hardware.config import plain
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.files import append_line
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.learning.presets import recommended
from robostack.make import make_env
from robostack.policies.policy import Policy
from robostack.tasks.task import TASKS, Task

TASK = "panda-pick-cube"
FOLDER = Path("runs/serl_images")
RESULTS = "results.jsonl"
SEEDS = (0, 1, 2)
TRIALS = 100
TRIAL_SEED = 77_000
"""The trials of the result of seed s start from this + s; no evaluation while learning uses them."""
AIM = 90.0
OPERATOR = RecordingConfig(episodes=20, speed_spread=0.4, tremor=0.15, disturbance=0.1, image_size=84)
"""Who demonstrates: as in the benchmark `serl`, with images."""
UNSEEN = ("tool_to_cube", "cube_lift", "cube_turn")
"""Blocks of the observation that say where the cube is."""
SEEING: Mapping[str, Any] = {"image_size": 84, "unseen": UNSEEN}
CHANGES: Mapping[str, Any] = {
    "updates_per_step": 2.0,
    "critic_steps_per_actor_step": 2,
    "hidden": (256, 256),
    "gripper": "",
    "replay_size": 30_000,
    "demo_size": 5_000,
}
"""What is changed from the settings recommended for the state: a wider network behind more inputs, updated half as
often; the gripper an action like the others; and images take room."""
STEPS, EVERY = 10_000, 500
TIMED = 200
"""Environment steps that are timed."""


@dataclass(frozen=True)
class Plan:
    """What a benchmark does."""

    folder: Path = FOLDER
    """Where demonstrations, clones and results are."""
    operator: RecordingConfig = OPERATOR
    """Who demonstrates."""
    cloning_steps: int = 2_000
    """Gradient steps of cloning."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=lambda: dict(CHANGES))
    """What is changed from the recommended settings of RLPD."""
    steps: int = STEPS
    """Environment steps at most."""
    every: int = EVERY
    """Steps between two points of a learning curve."""
    trials: int = TRIALS
    """Episodes of each evaluation, and of the result."""


class Looking:
    """A learner with cameras as a policy without exploration."""

    def __init__(self, learner: Any) -> None:
        self.learner = learner
        self.image_size: int | None = learner.image_size
        """Width and height of the images that it needs [px]."""

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Any) -> FloatArray:
        """The action without exploration."""
        found: FloatArray = self.learner.act(observation, explore=False)
        return found


def demonstrate(plan: Plan, task: Task, seed: int) -> Path:
    """The demonstrations of a seed, recorded as far as they are missing."""
    described = json.dumps([plain(plan.operator), json.loads(contract_of(task).to_json())], sort_keys=True)
    folder = plan.folder / f"demonstrations-{seed}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    record_scripted(task, folder, dataclasses.replace(plan.operator, seed=seed))
    return folder


def clone(plan: Plan, task: Task, seed: int) -> dict[str, Any]:
    """Clone the demonstrations and judge the clone; its weights stay in the plan's folder."""
    from robostack.learning.encoder_pretraining import PretrainingConfig, pretrain
    from robostack.learning.image_settings import ImageSettings
    from robostack.learning.imitation.demonstrations import load_demonstrations
    from robostack.policies.mlp import load_policy

    settings = ImageSettings(cameras=task.cameras, **SEEING)
    shown, contract = load_demonstrations(demonstrate(plan, task, seed), cameras=task.cameras)
    begun = time.process_time(), time.monotonic()
    config = PretrainingConfig(steps=plan.cloning_steps, seed=seed)
    pretrain(contract, shown, settings, _weights(plan, seed).parent, config)
    spent = {"cpu_s": time.process_time() - begun[0], "wall_s": time.monotonic() - begun[1]}
    return {**_judged(task, load_policy(_weights(plan, seed).parent), plan.trials, seed), **spent}


def learn(plan: Plan, task: Task, seed: int, frozen: bool) -> dict[str, Any]:
    """Learn with RLPD and judge the result on trials that nothing was chosen by."""
    from robostack.learning.image_demonstrations import with_images
    from robostack.learning.with_demonstrations import Schedule, executed_demonstrations, learn_with_demonstrations

    dataset = demonstrate(plan, task, seed)
    shown = with_images(executed_demonstrations(dataset, task), dataset, task.cameras)

    def judge(learner: Any, trials: int, trial_seed: int) -> int:
        return evaluate(task, Looking(learner), episodes=trials, seed=trial_seed).successes

    schedule = Schedule(plan.steps, plan.every, plan.trials, enough=round(0.95 * plan.trials))
    learner, learned = learn_with_demonstrations(
        task, settings(plan, task, seed, frozen), shown, seed, judge, schedule=schedule
    )
    learner.save(plan.folder / f"policy-{seed}-{'frozen' if frozen else 'scratch'}")
    line = {name: value for name, value in dataclasses.asdict(learned).items() if name != "curve"}
    curve = [list(dataclasses.astuple(point)) for point in learned.curve]
    return {**_judged(task, Looking(learner), plan.trials, seed), **line, "curve": curve}


def settings(plan: Plan, task: Task, seed: int, frozen: bool) -> Any:
    """The settings of RLPD: those recommended for the task, and what is seen."""
    given = {**SEEING, **plan.changes, "cameras": task.cameras}
    if frozen:
        given |= {"encoder_weights": str(_weights(plan, seed)), "freeze_convolutions": True}
    return dataclasses.replace(recommended("rlpd", task.name), **given)


def _weights(plan: Plan, seed: int) -> Path:
    return plan.folder / f"clone-{seed}" / "policy.safetensors"


def _judged(task: Task, policy: Policy, trials: int, seed: int) -> dict[str, Any]:
    found = evaluate(task, policy, episodes=trials, seed=TRIAL_SEED + seed)
    return {"successes": found.successes, "trials": trials, "median_s": found.figures().get("time_to_reach_s")}


def env_steps_per_cpu_s(task: Task, steps: int = TIMED) -> float:
    """Environment steps per CPU-second with all cameras, the hand-written policy acting."""
    env, policy = make_env(task, seed=0, image_size=OPERATOR.image_size), task.scripted()
    observation, _ = env.reset()
    begun = time.process_time()
    for _ in range(steps):
        action = np.zeros(env.action_space.shape or ()) if policy is None else policy.act(observation["state"])
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
            if policy is not None:
                policy.reset()
    return steps / (time.process_time() - begun)


def complete(plan: Plan, seeds: Iterable[int] = SEEDS, scratch: Iterable[int] = SEEDS[:1]) -> list[dict[str, Any]]:
    """Do what is missing; returns the results of all, in order."""
    from robostack.learning.torch_backend import use_threads

    task: Task = TASKS.load(TASK)()
    scratch = tuple(scratch)
    parts: list[tuple[str, int, Callable[[int], dict[str, Any]]]] = []
    for seed in seeds:
        parts.append(("bc", seed, lambda seed: clone(plan, task, seed)))
        parts.append(("rl", seed, lambda seed: learn(plan, task, seed, frozen=True)))
    parts += [("scratch", seed, lambda seed: learn(plan, task, seed, frozen=False)) for seed in scratch]
    use_threads(1)
    path, results = plan.folder / RESULTS, []
    plan.folder.mkdir(parents=True, exist_ok=True)
    for way, seed, do in parts:
        described = identity(plan, task, way, seed)
        known = next((line for line in finished(path) if described.items() <= line.items()), None)
        if known is None:
            known = {**described, **do(seed)}
            if path.is_file() and not path.read_text().endswith("\n"):
                append_line(path, "")  # ends a torn line
            append_line(path, json.dumps(known))
        results.append(known)
    return results


def identity(plan: Plan, task: Task, way: str, seed: int) -> dict[str, Any]:
    """What tells one result from all others."""
    contract = hashlib.sha256(contract_of(task).to_json().encode()).hexdigest()
    found = {
        "way": way,
        "seed": seed,
        "operator": plain(plan.operator),
        "cloning_steps": plan.cloning_steps,
        "trials": plan.trials,
        "contract_sha256": contract,
    }
    if way != "bc":
        chosen = plain(settings(plan, task, seed, frozen=way == "rl"))
        found |= {"rlpd": chosen, "steps": plan.steps, "every": plan.every}
    made: dict[str, Any] = json.loads(json.dumps(found))
    return made


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Medians over seeds: successes of 100 trials, steps and time; what did not get there counts as infinite steps."""
    names = {"bc": "image_pick_cube_bc", "rl": "image_pick_cube_rl", "scratch": "image_pick_cube_rl_from_scratch"}
    found: dict[str, float] = {}
    for way, name in names.items():
        group = [line for line in lines if line["way"] == way]
        if not group:
            continue
        rates = [100.0 * line["successes"] / line["trials"] for line in group]
        found |= {f"{name}_success": float(np.median(rates)), f"{name}_success_worst_seed": min(rates)}
        for key in ("cpu_s", "wall_s", "median_s", "steps", "steps_to_enough"):
            values = [line.get(key, np.nan) for line in group]
            label = {"median_s": "time_s", "steps_to_enough": "steps_to_95"}.get(key, key)
            found[f"{name}_{label}"] = float(np.median([np.inf if value is None else value for value in values]))
    return {name: value for name, value in found.items() if np.isfinite(value)}


def run(quick: bool) -> Measured:
    """Every seed; the quick form learns a few steps of one."""
    task: Task = TASKS.load(TASK)()
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            changes = {**CHANGES, "hidden": (32, 32), "batch_size": 8, "learning_starts": 10}
            operator = dataclasses.replace(OPERATOR, episodes=1)
            plan = Plan(Path(folder), operator, cloning_steps=3, changes=changes, steps=30, every=20, trials=1)
            found = figures_of(complete(plan, SEEDS[:1], ()))
        return Measured({**found, "env_steps_per_cpu_s": env_steps_per_cpu_s(task, 20)}, False, SEEDS[:1])
    found = {**figures_of(complete(Plan())), "env_steps_per_cpu_s": env_steps_per_cpu_s(task)}
    notes = (
        f"median over seeds {SEEDS} of the successes in {TRIALS} trials, without exploration; from_scratch: seed 0",
        "cpu_s and wall_s: of cloning for bc; of environment steps and updates for rl, which the clone's come before; "
        "evaluations are not counted",
        "steps_to_95: environment steps until two evaluations in a row reach 95 of 100",
        f"env_steps_per_cpu_s: physics and both cameras of 84x84; lines, settings and curves: {FOLDER / RESULTS}",
    )
    return Measured(found, found.get("image_pick_cube_rl_success", 0.0) >= AIM, SEEDS, notes)


BENCH = BenchEntry(
    summary="picking a cube through two cameras: RLPD behind a cloned encoder, cloning alone, RLPD from scratch",
    run=run,
    aims={"image_pick_cube_rl_success": f">= {AIM:g} of 100"},
)
