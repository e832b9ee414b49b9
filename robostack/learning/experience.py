"""Where a learner's steps come from: one environment, or many simulations stepped together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from robostack.corrector import Corrector
from robostack.env import RobotEnv, RobotVectorEnv
from robostack.evaluation import final_error_mm
from robostack.learning.learner import Learner, Source, Transition
from sim.dynamics import DynamicsParameter


class Ended(NamedTuple):
    """An episode that ended."""

    success: bool
    """Whether the task was accomplished at its end."""
    error_mm: float | None
    """Distance from the goal at its end [mm]; None where the task has none, or many simulations step together."""
    total: float
    """Sum of its rewards."""
    dynamics: dict[str, float] | None = None
    """The dynamics drawn for it, by name; None where none were drawn."""
    generation: int = 0
    """`Experience.generation` when it began."""
    corrected: int = 0
    """Steps in which somebody took over from the learner."""


class Experience(Protocol):
    """A stream of steps that the learner acts in and observes."""

    count: int
    """Environment steps per call of `step`."""
    generation: int
    """Mark for episodes that begin from now on; see `DynamicsSchedule`."""

    def start(self, seed: int | None = None) -> None:
        """Start new episodes; with `seed`, of all further random numbers."""
        ...

    def step(self) -> list[Ended]:
        """Let the learner act and observe once in each simulation; the episodes that ended with that."""
        ...


class SingleExperience:
    """One environment.

    Args:
        env: the environment.
        learner: acts and observes.
        corrector: may take over at any step; the learner must be one that takes actions which are not its own, such as
            rlpd. None: nobody.
    """

    count = 1

    def __init__(self, env: RobotEnv, learner: Learner, corrector: Corrector | None = None) -> None:
        self.env, self.learner, self.corrector = env, learner, corrector
        self.generation = 0
        self._observation: FloatArray | None = None
        self._total, self._begun, self._corrected = 0.0, 0, 0
        self._dynamics: dict[str, float] | None = None

    def start(self, seed: int | None = None) -> None:
        """As `Experience.start`."""
        self._observation, info = self.env.reset(seed=seed)
        drawn = info.get("dynamics") or {}
        self._dynamics = {name: float(np.asarray(value).item()) for name, value in drawn.items()} or None
        self._total, self._begun, self._corrected = 0.0, self.generation, 0
        if self.corrector is not None:
            self.corrector.reset()

    def step(self) -> list[Ended]:
        """As `Experience.step`."""
        action = self.learner.act(self._observation)
        shown = self._correction(action)
        self._corrected += shown is not None
        executed = action if shown is None else shown
        source: Source = "sim" if shown is None else "intervention"
        following, reward, terminated, truncated, info = self.env.step(executed)
        transition = Transition(self._observation, executed, reward, following, terminated, truncated, source)
        self.learner.observe(transition)
        self._observation, self._total = following, self._total + reward
        if not (terminated or truncated):
            return []
        error_mm = final_error_mm(self.env)
        ended = Ended(bool(info["success"]), error_mm, self._total, self._dynamics, self._begun, self._corrected)
        self.start()
        return [ended]

    def _correction(self, action: Array) -> Array | None:
        """What the corrector executes instead."""
        if self.corrector is None or self.env.state is None or self._observation is None:
            return None
        observed: Any = self._observation
        vector = observed["state"] if isinstance(observed, Mapping) else observed  # with images a dictionary
        return self.corrector.correct(vector, action, self.env.state, self.env.episode)


class VectorExperience:
    """Many simulations, which restart within the step that ends their episode (`AutoresetMode.SAME_STEP`).

    Args:
        env: the simulations; of this package, or any of Gymnasium's.
        learner: takes batches.
        dynamics: parameters that the critic is shown, scaled from their bounds to [-1, 1]; empty: none.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, Any], learner: Learner, dynamics: tuple[DynamicsParameter, ...] = ()
    ) -> None:
        self.env, self.learner, self.dynamics = env, learner, dynamics
        self.count, self.generation = env.num_envs, 0
        self._observation: FloatArray | None = None
        self._totals = np.zeros(self.count)
        self._begun = np.zeros(self.count, dtype=np.int64)

    def start(self, seed: int | None = None) -> None:
        """As `Experience.start`."""
        self._observation, _ = self.env.reset(seed=seed)
        self._totals[:], self._begun[:] = 0.0, self.generation

    def step(self) -> list[Ended]:
        """As `Experience.step`."""
        action = self.learner.act(self._observation)
        following, reward, terminated, truncated, info = self.env.step(action)
        final = _final(info, following)
        privileged = self._privileged(info)
        self.learner.observe(
            Transition(self._observation, action, reward, final, terminated, truncated, privileged=privileged)
        )
        self._observation = following
        self._totals += reward
        over = np.flatnonzero(terminated | truncated)
        success = info.get("success", np.zeros(self.count, dtype=np.bool_))
        drawn: dict[str, NDArray[Any]] = info.get("dynamics", {})
        ended = [
            Ended(
                bool(success[index]),
                None,
                float(self._totals[index]),
                {name: float(values[index]) for name, values in drawn.items()} or None,
                int(self._begun[index]),
            )
            for index in over
        ]
        self._totals[over], self._begun[over] = 0.0, self.generation
        return ended

    def _privileged(self, info: dict[str, Any]) -> FloatArray | None:
        """The dynamics in force during the step, (count, len(dynamics))."""
        if not self.dynamics:
            return None
        values: dict[str, NDArray[Any]] = info.get("dynamics", {})
        columns = [
            2.0 * (values.get(entry.name, np.full(self.count, entry.nominal)) - entry.low) / (entry.high - entry.low)
            - 1.0
            for entry in self.dynamics
        ]
        return np.stack(columns, axis=1)


def _final(info: dict[str, Any], following: FloatArray) -> FloatArray:
    """The observations that the actions led to, also where an episode ended and another began."""
    final = info.get("final_obs")
    if final is None:
        return following
    if final.dtype != object:
        return np.asarray(final)
    led_to = following.copy()
    for index in np.flatnonzero(info["_final_obs"]):
        led_to[index] = final[index]
    return led_to


def many(env: RobotVectorEnv, learner: Learner) -> VectorExperience:
    """The experience of `learner` in `env`; its critic is shown the dynamics where its settings ask for that."""
    shown = getattr(getattr(learner, "config", None), "privileged", 0)
    return VectorExperience(env, learner, env.task.dynamics if shown else ())
