"""RLPD on picking a cube and inserting a peg: 20 demonstrations, a sparse reward, with and without corrections.

A run is one task, one seed and one way of learning: "rl" with a simulated operator who corrects, "rl_alone" without,
"bc", cloning of the same demonstrations. Each finished run is one line of `runs/serl/results.jsonl`; started again,
or twice side by side, the benchmark does only what is missing. `python -m robostack.bench.serl_page` writes the page.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hardware.arrays import Array
from hardware.config import plain
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.imitation import successes
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.files import append_line
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.learning.presets import recommended
from robostack.simulated_operator import SimulatedOperator, SimulatedOperatorConfig
from robostack.tasks.task import TASKS, Task

FOLDER = Path("runs/serl")
RESULTS = "results.jsonl"
SEEDS = (0, 1, 2)
Way = Literal["rl", "rl_alone", "bc"]
WAYS: tuple[Way, ...] = ("rl_alone", "rl", "bc")
FIGURES = {"panda-pick-cube": "pick_cube", "panda-peg-insert": "peg_insert"}
"""Task -> beginning of its keys."""
TRIALS = 100
FINAL_SEED = 77_000
"""The trials of the result of seed s start from this + s; no evaluation while learning uses them."""
AIM = 95.0
OPERATOR = RecordingConfig(episodes=20, speed_spread=0.4, tremor=0.15, disturbance=0.1)
"""Who demonstrates: as in the benchmark `imitation`, 20 episodes per seed."""
CORRECTIONS = SimulatedOperatorConfig()
"""Who corrects."""
CLONING = ImitationConfig(head="bc")
"""How cloning learns: the settings that `robostack imitate` has by itself."""


@dataclass(frozen=True)
class Plan:
    """What a benchmark does."""

    folder: Path = FOLDER
    """Where demonstrations and results are."""
    operator: RecordingConfig = OPERATOR
    """Who demonstrates."""
    corrections: SimulatedOperatorConfig = CORRECTIONS
    """Who corrects."""
    cloning: ImitationConfig = CLONING
    """How cloning learns."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What is changed from the recommended settings of RLPD."""
    steps: int = 20_000
    """Environment steps at most."""
    every: int = 1_000
    """Steps between two points of a learning curve."""
    trials: int = TRIALS
    """Episodes of each evaluation, and of the result."""


class Greedy:
    """A learner as a policy without exploration."""

    def __init__(self, learner: Any) -> None:
        self.learner = learner

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action without exploration."""
        return self.learner.act(observation, explore=False)


def learn(plan: Plan, task: Task, way: Way, seed: int) -> dict[str, Any]:
    """Learn once and judge the result on trials that nothing was chosen by; the line without its identity."""
    dataset = demonstrate(plan, task, seed)
    if way == "bc":
        return _clone(plan, task, dataset, seed)
    from robostack.learning.with_demonstrations import Schedule, executed_demonstrations, learn_with_demonstrations

    corrector = SimulatedOperator(task, plan.corrections, seed) if way == "rl" else None
    learner, learned = learn_with_demonstrations(
        task,
        _settings(plan, task),
        executed_demonstrations(dataset, task),
        seed,
        # One after the other: side by side, all would be simulated until the last has used up its time.
        lambda learner, trials, seed: evaluate(task, Greedy(learner), episodes=trials, seed=seed).successes,
        corrector,
        Schedule(plan.steps, plan.every, plan.trials, enough=round(AIM / 100.0 * plan.trials)),
    )
    count, median_s = successes(task, Greedy(learner), plan.trials, FINAL_SEED + seed)
    line = {name: value for name, value in dataclasses.asdict(learned).items() if name != "curve"}
    curve = [list(dataclasses.astuple(point)) for point in learned.curve]
    shown = {"corrections": corrector.corrections if corrector is not None else 0, "median_s": _number(median_s)}
    return {"successes": count, "trials": plan.trials, **line, **shown, "curve": curve}


def _clone(plan: Plan, task: Task, dataset: Path, seed: int) -> dict[str, Any]:
    """Behaviour cloning, judged from its exported file."""
    from robostack.export import export_onnx
    from robostack.learning.imitation.training import ImitationRun, imitate
    from robostack.policies.chunked import ChunkedPolicy
    from robostack.policies.onnx_chunk import OnnxChunkModel
    from robostack.policies.onnx_file import OnnxFile

    with tempfile.TemporaryDirectory() as folder:
        begun_s = time.process_time()
        settings = dataclasses.replace(plan.cloning, seed=seed)
        checkpoint = imitate(ImitationRun(dataset, Path(folder) / "run", settings=settings))
        cpu_s = time.process_time() - begun_s
        exported = export_onnx(checkpoint, Path(folder) / "policy.onnx")
        policy = ChunkedPolicy(OnnxChunkModel(OnnxFile(exported.path)))
        count, median_s = successes(task, policy, plan.trials, FINAL_SEED + seed)
    return {"successes": count, "trials": plan.trials, "cpu_s": cpu_s, "median_s": _number(median_s)}


def demonstrate(plan: Plan, task: Task, seed: int) -> Path:
    """The demonstrations of a seed, recorded as far as they are missing."""
    described = json.dumps([plain(plan.operator), json.loads(contract_of(task).to_json())], sort_keys=True)
    name = f"{FIGURES[task.name]}-{seed}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"
    with _alone(plan.folder / f".{name}.lock", wait=True):
        record_scripted(task, plan.folder / name, dataclasses.replace(plan.operator, seed=seed))
    return plan.folder / name


def identity(plan: Plan, task: Task, way: Way, seed: int) -> dict[str, Any]:
    """What tells one run from all others."""
    settings: dict[str, Any] = {"cloning": plain(plan.cloning)}
    if way != "bc":
        settings = {"rlpd": _changed(_settings(plan, task)), "steps_max": plan.steps, "every": plan.every}
    if way == "rl":
        settings["corrector"] = plain(plan.corrections)
    contract = hashlib.sha256(contract_of(task).to_json().encode()).hexdigest()
    who = {"task": task.name, "way": way, "seed": seed, "operator": plain(plan.operator), "contract_sha256": contract}
    return json.loads(json.dumps({**who, **settings, "trials": plan.trials}))


def _settings(plan: Plan, task: Task) -> Any:
    return dataclasses.replace(recommended("rlpd", task.name), **plan.changes)


def _changed(config: Any) -> dict[str, Any]:
    """What differs from the defaults: a setting that is new since then does not make another run."""
    defaults = plain(type(config)())
    return {name: value for name, value in plain(config).items() if value != defaults[name]}


def complete(
    plan: Plan, tasks: Iterable[str] = tuple(FIGURES), ways: Sequence[Way] = WAYS, seeds: Iterable[int] = SEEDS
) -> list[dict[str, Any]]:
    """Do the runs that are missing and that nobody else is doing; returns the results of all that are there."""
    path = plan.folder / RESULTS
    wanted = [(TASKS.load(task)(), way, seed) for seed in seeds for task in tasks for way in ways]
    for task, way, seed in wanted:
        described = identity(plan, task, way, seed)
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
        with _alone(plan.folder / f".{digest}.lock") as mine:
            if not mine or _find(finished(path), described) is not None:
                continue
            if path.is_file() and not path.read_text().endswith("\n"):
                append_line(path, "")  # ends a torn line
            append_line(path, json.dumps({**described, **learn(plan, task, way, seed)}))
    have = finished(path)
    found = [_find(have, identity(plan, task, way, seed)) for task, way, seed in wanted]
    return [line for line in found if line is not None]


def _find(lines: Iterable[dict[str, Any]], described: Mapping[str, Any]) -> dict[str, Any] | None:
    return next((line for line in lines if described.items() <= line.items()), None)


@contextlib.contextmanager
def _alone(path: Path, wait: bool = False) -> Iterator[bool]:
    """Whether this process is the only one in here; the lock ends with it, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Medians over seeds: successes of 100 trials, steps, time; a run that never got there counts as infinite steps."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault(f"{FIGURES[line['task']]} {line['way']}", []).append(line)
    figures: dict[str, float] = {}
    for name, group in groups.items():
        task, way = name.split()
        kind, suffix = ("bc", "") if way == "bc" else ("rl", "_without_interventions" if way == "rl_alone" else "")
        rates = [100.0 * line["successes"] / line["trials"] for line in group]
        figures[f"{task}_{kind}_success{suffix}"] = float(np.median(rates))
        figures[f"{task}_{kind}_success_worst_seed{suffix}"] = min(rates)
        figures[f"{task}_{kind}_cpu_s{suffix}"] = _median(group, "cpu_s")
        if kind == "bc":
            continue
        figures[f"{task}_steps_to_95{suffix}"] = _median(group, "steps_to_enough")
        figures[f"{task}_steps_to_first_success{suffix}"] = _median(group, "first_success")
        figures[f"{task}_wall_s{suffix}"] = _median(group, "wall_s")
        if way == "rl":
            shares = [100.0 * line["corrected"] / line["steps"] for line in group]
            figures[f"{task}_intervention_percent"] = float(np.median(shares))
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _median(group: Iterable[Mapping[str, Any]], key: str) -> float:
    return float(np.median([np.inf if line[key] is None else line[key] for line in group]))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def run(quick: bool) -> Measured:
    """All tasks, ways and seeds; the quick form learns a few steps of one."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            changes = {"hidden": (32, 32), "batch_size": 16, "learning_starts": 10}
            cloning = dataclasses.replace(CLONING, steps=10, width=16)
            operator = dataclasses.replace(OPERATOR, episodes=1)
            plan = Plan(Path(folder), operator, cloning=cloning, changes=changes, steps=40, every=20, trials=2)
            lines = complete(plan, ("panda-peg-insert",), WAYS, SEEDS[:1])
        return Measured(figures_of(lines), False, SEEDS[:1])
    figures = figures_of(complete(Plan()))
    keys = [f"{task}_rl_success" for task in FIGURES.values()]
    notes = (
        f"median over seeds {SEEDS} of the successes in {TRIALS} trials without exploration and without help",
        f"learning ends when an evaluation of {TRIALS} and a second one reach {AIM:g}; the result is a third one",
        "steps_to_95: environment steps until then; absent where the median run did not get there",
        f"runs, settings and learning curves: {FOLDER / RESULTS}",
    )
    return Measured(figures, all(figures.get(key, 0.0) >= AIM for key in keys), SEEDS, notes)


BENCH = BenchEntry(
    summary="RLPD from 20 demonstrations: picking and inserting, with and without corrections, beside cloning",
    run=run,
    aims={
        "pick_cube_rl_success": f">= {AIM:g} of 100",
        "peg_insert_rl_success": f">= {AIM:g} of 100",
        "pick_cube_steps_to_95": "<= 20000",
    },
)
