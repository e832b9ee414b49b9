"""Learning on a simulation from demonstrations, its own steps and corrections, judged as it goes; RLPD's setting.

Steps are counted as a robot would have to make them: those of training. Evaluations run on simulations of their own,
without exploration and without help, and are not counted.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from robostack.contract import contract_of, require_match
from robostack.corrector import Corrector
from robostack.data.dataset import Dataset
from robostack.data.demonstrations import Demonstrations, read_demonstrations
from robostack.env import bounds
from robostack.learning.experience import SingleExperience
from robostack.learning.image_demonstrations import ImageDemonstrations
from robostack.learning.imitation.recording import DISTURBANCE
from robostack.learning.rlpd import Rlpd
from robostack.learning.rlpd_config import RlpdConfig
from robostack.make import make_env
from robostack.tasks.task import Task

RECENT = 20
"""Episodes over which success in training is averaged."""


@dataclass(frozen=True)
class Point:
    """One place on a learning curve."""

    steps: int
    """Environment steps so far."""
    episodes: int
    """Episodes ended so far."""
    training: float
    """Share of successes among the last episodes, with exploration and help."""
    corrected: float
    """Share of the steps since the point before in which somebody took over."""
    evaluated: int | None
    """Successes of an evaluation; None: not evaluated here."""


@dataclass(frozen=True)
class Schedule:
    """When to judge and when to stop."""

    steps: int = 20_000
    """Environment steps at most."""
    every: int = 1_000
    """Steps between two points of the curve."""
    trials: int = 100
    """Episodes of an evaluation."""
    promising: float = 0.85
    """Success in training from which on the policy is evaluated at every point; before, at every fifth."""
    enough: int = 95
    """Successes in an evaluation, and in a second one that confirms it, with which learning ends."""


@dataclass
class Learned:
    """What a run led to."""

    curve: list[Point] = field(default_factory=list)
    """The learning curve."""
    first_success: int | None = None
    """Steps until the first success that nobody helped with."""
    steps: int = 0
    """Environment steps made."""
    steps_to_enough: int | None = None
    """Steps until `Schedule.enough` was reached and confirmed."""
    corrected: int = 0
    """Steps in which somebody took over."""
    cpu_s: float = 0.0
    """CPU time without evaluations [s]."""
    wall_s: float = 0.0
    """Wall time without evaluations [s]."""


def executed_demonstrations(root: Path, task: Task) -> Demonstrations:
    """A dataset with the actions as the robot executed them: with the disturbance of `record_scripted`, where it is.

    Raises:
        DatasetError: it cannot be read.
        ContractMismatchError: it is of another task.
    """
    dataset, shown = Dataset(root), read_demonstrations(root)
    if dataset.contract is not None:
        require_match(dataset.contract, contract_of(task), f"dataset {root}")
    if DISTURBANCE not in dataset.features:
        return shown
    pushed = read_demonstrations(root, action_key=DISTURBANCE)
    return dataclasses.replace(shown, action=np.clip(shown.action + pushed.action, *bounds(task.action)))


def learn_with_demonstrations(
    task: Task,
    config: RlpdConfig,
    demonstrations: Demonstrations | ImageDemonstrations,
    seed: int,
    evaluate: Callable[[Rlpd, int, int], int],
    corrector: Corrector | None = None,
    schedule: Schedule | None = None,
    on_point: Callable[[Point], None] | None = None,
) -> tuple[Rlpd, Learned]:
    """Learn until an evaluation and its confirmation are good enough, or the steps are used up.

    Args:
        task: what to learn.
        config: settings of the learner.
        demonstrations: given to the learner at the beginning.
        seed: of weights, exploration, starts and dynamics.
        evaluate: successes of the learner's policy; called with the learner, the number of trials and a seed that is
            another one at every call.
        corrector: may take over at any step.
        schedule: when to judge and when to stop.
        on_point: called with every point of the curve.

    Returns:
        The learner, and what happened.
    """
    schedule = schedule if schedule is not None else Schedule()
    learner = Rlpd(contract_of(task), config, seed)
    for transition in demonstrations.transitions():
        learner.observe(transition)
    experience = SingleExperience(make_env(task, seed=seed, image_size=learner.image_size), learner, corrector)
    experience.start(seed=seed)
    learned, recent, episodes = Learned(), deque[bool](maxlen=RECENT), 0
    corrected, before = 0, 0
    judge = _Judge(learner, evaluate, schedule, seed)
    begun = time.process_time(), time.monotonic()
    for step in range(1, schedule.steps + 1):
        for ended in experience.step():
            episodes += 1
            recent.append(ended.success)
            corrected += ended.corrected
            if ended.success and not ended.corrected and learned.first_success is None:
                learned.first_success = step
        learner.update()
        if step % schedule.every == 0 or step == schedule.steps:
            training = float(np.mean(recent)) if recent else 0.0
            number = len(learned.curve) + 1
            due = training >= schedule.promising or number % 5 == 0 or step == schedule.steps
            successes = judge(step) if due else None
            share, before = (corrected - before) / schedule.every, corrected
            learned.curve.append(Point(step, episodes, training, share, successes))
            if on_point is not None:
                on_point(learned.curve[-1])
            if judge.enough_at is not None:
                break
    learned.steps, learned.steps_to_enough, learned.corrected = step, judge.enough_at, corrected
    learned.cpu_s = time.process_time() - begun[0] - judge.cpu_s
    learned.wall_s = time.monotonic() - begun[1] - judge.wall_s
    return learner, learned


class _Judge:
    """Evaluates, confirms, and keeps the time that takes."""

    def __init__(self, learner: Rlpd, evaluate: Callable[[Rlpd, int, int], int], schedule: Schedule, seed: int) -> None:
        self.learner, self.evaluate, self.schedule = learner, evaluate, schedule
        self.cpu_s, self.wall_s = 0.0, 0.0
        self.enough_at: int | None = None
        self._seed = 1_000_000 * (seed + 1)

    def __call__(self, step: int) -> int:
        begun = time.process_time(), time.monotonic()
        found = self._trial()
        if found >= self.schedule.enough and self._trial() >= self.schedule.enough:
            self.enough_at = step
        self.cpu_s += time.process_time() - begun[0]
        self.wall_s += time.monotonic() - begun[1]
        return found

    def _trial(self) -> int:
        self._seed += 1
        return self.evaluate(self.learner, self.schedule.trials, self._seed)
