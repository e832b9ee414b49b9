"""Switching from a batch learner to AVG: what the return does in the 10,000 steps after, and what it does later.

One soft actor-critic, with the actor that AVG can take over, learns HalfCheetah-v4. From its checkpoint, per seed:

* before: its stochastic policy, fixed, for 10,000 steps;
* waiting: AVG while only its critic learns, which keeps the policy to the bit;
* after: the 10,000 steps after its actor begins to move;
* later: the last 10,000 of 100,000 steps;
* naive: AVG with its own defaults, the same actor, a fresh critic, and an actor that moves from the first step.

Each phase is a run of its own on the same environment; a return is that of a whole episode of 1,000 steps. The drop is
1 - after / before, in percent; negative where the return grew. The base and each finished seed are kept in
`runs/hand-over`; started again, the benchmark goes on with what is missing.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from hardware.config import plain
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.stock_gymnasium import stock_contract, stock_env
from robostack.checkpoint import checkpoints
from robostack.files import append_line
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.hand_over import hand_over, hand_over_config
from robostack.learning.learner import LEARNERS, Transition

FOLDER = Path("runs/hand-over")
TASK = "HalfCheetah-v4"
SEEDS = (0, 1, 2, 3, 4)
DROP_MAX_PERCENT = 5.0


@dataclass(frozen=True)
class Plan:
    """How long each phase lasts, and what the batch learner is."""

    base_steps: int = 50_000
    """Steps of the batch learner."""
    window: int = 10_000
    """Steps before and after the switch that are compared."""
    later: int = 100_000
    """Steps of AVG after its actor began to move."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of both learners; small, so that the batch learner takes minutes on one core."""

    def batch_config(self) -> dict[str, Any]:
        """Settings of the batch learner that are not its defaults."""
        rate = 1e-3
        return {
            "architecture": "avg",
            "hidden": self.hidden,
            "batch_size": 128,
            "normalize_observations": True,
            "actor_learning_rate": rate,
            "critic_learning_rate": rate,
            "temperature_learning_rate": rate,
            "learning_starts": 2_000,
            "replay_size": 100_000,
        }


def returns_of(act: Callable[[FloatArray], FloatArray], learn: Any, steps: int, seed: int) -> list[tuple[int, float]]:
    """Run `steps` steps of the task; the step at which each episode ended, and its return.

    Args:
        act: the policy, with exploration.
        learn: a learner that is fed with every step; None: nothing learns.
        steps: how many.
        seed: of the environment.
    """
    env = stock_env(TASK)
    observation, _ = env.reset(seed=seed)
    found = []
    for step in range(1, steps + 1):
        action = act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        if learn is not None:
            learn.observe(Transition(observation, action, reward, following, terminated, truncated))
            learn.update()
        observation = following
        if terminated or truncated:
            found.append((step, float(info["episode"]["r"])))
            observation, _ = env.reset()
    env.close()
    return found


def base_checkpoint(plan: Plan, folder: Path) -> Path:
    """The batch learner's checkpoint; trained now if it is not in `folder`."""
    have = checkpoints(folder)
    if have and int(have[-1].name) >= plan.base_steps:
        return have[-1]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded, which opening the learner does
    learner: Any = LEARNERS.load("sac").open(_contract(), _batch_settings(plan), 0)
    returns_of(learner.act, learner, plan.base_steps, seed=0)
    target = folder / "checkpoints" / f"{plan.base_steps:09d}"
    learner.save(target)
    return target


def compare(plan: Plan, base: Path, seed: int) -> dict[str, Any]:
    """All phases with one seed."""
    # Before and after start AVG from the same state, so that both explore alike; only the first does not learn.
    config = hand_over_config(base)
    fixed = _taken_over(base, config, seed, fit=False)
    before = returns_of(fixed.act, None, plan.window, seed=1000 + seed)
    learner = _taken_over(base, config, seed)
    steps = config.critic_first + max(plan.window, plan.later)
    after = returns_of(learner.act, learner, steps, seed=1000 + seed)
    naive = _taken_over(base, _naive(config), seed, fit=False)
    unaided = returns_of(naive.act, naive, plan.window, seed=1000 + seed)
    first, last = config.critic_first, steps
    return {
        "before": mean_return(before, 0, plan.window),
        "waiting": mean_return(after, 0, first),
        "after": mean_return(after, first, first + plan.window),
        "later": mean_return(after, last - plan.window, last),
        "naive": mean_return(unaided, 0, plan.window),
        "rejected": learner.rejected,
        **identity(plan, config, seed),
    }


def identity(plan: Plan, config: AvgConfig, seed: int) -> dict[str, Any]:
    """What tells one line of results from all others, as JSON gives it back."""
    made: dict[str, Any] = json.loads(json.dumps({"seed": seed, "plan": plain(plan), "settings": plain(config)}))
    return made


def mean_return(episodes: list[tuple[int, float]], first: int, last: int) -> float:
    """Mean return of the episodes that ended after step `first` and until step `last`; NaN without one."""
    chosen = [total for step, total in episodes if first < step <= last]
    return float(np.mean(chosen)) if chosen else float("nan")


def figures_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over seeds, and the drop of each seed."""
    names = ("before", "waiting", "after", "later", "naive")
    mean = {name: float(np.mean([line[name] for line in lines])) for name in names}
    drops = [100.0 * (1.0 - line["after"] / line["before"]) for line in lines]
    return {
        "drop_percent": 100.0 * (1.0 - mean["after"] / mean["before"]),
        "drop_percent_worst": max(drops),
        **{f"{name}_return": value for name, value in mean.items()},
        "naive_drop_percent": 100.0 * (1.0 - mean["naive"] / mean["before"]),
    }


def run(quick: bool) -> Measured:
    """All seeds; the quick form is one seed of a base that learned nothing."""
    plan = Plan(base_steps=2_200, window=1_000, later=1_000) if quick else Plan()
    folder, seeds = FOLDER / ("quick" if quick else "base"), SEEDS[:1] if quick else SEEDS
    base, results = base_checkpoint(plan, folder), FOLDER / ("quick.jsonl" if quick else "results.jsonl")
    lines = []
    for seed in seeds:
        wanted = identity(plan, hand_over_config(base), seed)
        found = next((line for line in finished(results) if wanted.items() <= line.items()), None)
        if found is None:
            found = compare(plan, base, seed)
            append_line(results, json.dumps(found))
        lines.append(found)
    figures = figures_of(lines)
    notes = (
        f"one soft actor-critic, {plan.base_steps} steps of {TASK}, layers of {plan.hidden[0]}; {len(seeds)} seeds of "
        "the rest",
        "before: its stochastic policy; after: the 10,000 steps after AVG's actor began to move; later: the last "
        "10,000 of 100,000; naive: AVG's defaults and a fresh critic",
        "drop_percent: of the means; drop_percent_worst: of the worst seed",
    )
    return Measured(figures, figures["drop_percent"] <= DROP_MAX_PERCENT, seeds, notes)


def _contract() -> Any:
    return stock_contract(TASK, stock_env(TASK))


def _batch_settings(plan: Plan) -> Any:
    from robostack.learning.sac import SacConfig

    return SacConfig(**plan.batch_config())


def _naive(config: AvgConfig) -> AvgConfig:
    """AVG's own step sizes, no waiting."""
    own = AvgConfig()
    return dataclasses.replace(
        config,
        critic_first=0,
        actor_learning_rate=own.actor_learning_rate,
        critic_learning_rate=own.critic_learning_rate,
    )


def _taken_over(base: Path, config: AvgConfig, seed: int, fit: bool = True) -> Avg:
    learner = Avg(_contract(), config, seed)
    hand_over(learner, base, fit)
    return learner


BENCH = BenchEntry(
    summary="From soft actor-critic to AVG: drop of the return in the 10,000 steps after the switch, over five seeds",
    run=run,
    aims={"drop_percent": f"<= {DROP_MAX_PERCENT:g}"},
)
