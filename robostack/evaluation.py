"""How good a policy is: success, final error and time to reach, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from hardware.arrays import Array
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.env import RobotEnv, RobotVectorEnv
from robostack.make import make_env
from robostack.policies.policy import Policy, image_size_of
from robostack.statistics import bootstrap_median, wilson_interval
from robostack.tasks.task import Episode, Task
from sim.randomization.distribution import Distribution


@runtime_checkable
class HasDistance(Protocol):
    """A task that measures an error in metres."""

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """Distance from the goal, (...,) [m]."""
        ...


@dataclass(frozen=True)
class EpisodeResult:
    """One episode."""

    success: bool
    """Whether the task was accomplished at the last step."""
    duration_s: float
    """From the first action to the end [s]."""
    total_reward: float
    """Sum of rewards."""
    final_error_mm: float | None
    """Distance from the goal at the end [mm]; None where the task has none."""
    dynamics: dict[str, float] | None = None
    """Dynamics parameters drawn for it, by name; None where none were drawn."""


@dataclass(frozen=True)
class EvaluationResult:
    """Episodes and what they say together."""

    episodes: tuple[EpisodeResult, ...]
    """Every episode, in order."""

    @property
    def successes(self) -> int:
        """Number of successful episodes."""
        return sum(episode.success for episode in self.episodes)

    def judged_by(self, success_return: float | None) -> EvaluationResult:
        """The same episodes, success being a sum of rewards of at least `success_return`; None: as they are."""
        if success_return is None:
            return self
        enough = [episode.total_reward >= success_return for episode in self.episodes]
        pairs = zip(self.episodes, enough, strict=True)
        return EvaluationResult(tuple(dataclasses.replace(episode, success=success) for episode, success in pairs))

    def figures(self) -> dict[str, Any]:
        """Flat figures, unit in the key; `..._ci95` are the bounds of 95 % intervals.

        Time to reach is taken over successful episodes and includes the time for which the goal must be held.
        """
        count = len(self.episodes)
        low, high = wilson_interval(self.successes, count)
        found: dict[str, Any] = {
            "episodes": count,
            "successes": self.successes,
            "success": self.successes / count if count else 0.0,
            "success_ci95": [low, high],
            "total_reward_mean": float(np.mean([episode.total_reward for episode in self.episodes])),
        }
        errors = [episode.final_error_mm for episode in self.episodes if episode.final_error_mm is not None]
        if errors:
            median, low, high = bootstrap_median(errors)
            found |= {"final_error_mm": median, "final_error_mm_ci95": [low, high]}
        times = [episode.duration_s for episode in self.episodes if episode.success]
        if times:
            median, low, high = bootstrap_median(times)
            found |= {"time_to_reach_s": median, "time_to_reach_s_ci95": [low, high]}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Figures and episodes as JSON can carry them."""
        return {**self.figures(), "per_episode": [dataclasses.asdict(episode) for episode in self.episodes]}


def evaluate(
    task: str | Task,
    policy: Policy,
    *,
    episodes: int = 100,
    seed: int = 0,
    randomize: bool | Distribution = True,
    engine: str = "mujoco",
    on_episode: Callable[[int, EpisodeResult], None] | None = None,
) -> EvaluationResult:
    """Run `policy` in simulation.

    Args:
        task: a task or its registry name.
        policy: what to judge.
        episodes: how many, at least 1.
        seed: of starts, goals and dynamics: the same seed, the same episodes.
        randomize: as in `robostack.make.make_env`.
        engine: registry name of the physics engine.
        on_episode: called after each episode with its number and result.

    Raises:
        ConfigError: no episodes are asked for.
    """
    env = make_env(task, randomize=randomize, seed=seed, engine=engine, image_size=image_size_of(policy))
    return evaluate_env(env, policy, episodes, on_episode)


def evaluate_env(
    env: RobotEnv,
    policy: Policy,
    episodes: int,
    on_episode: Callable[[int, EpisodeResult], None] | None = None,
) -> EvaluationResult:
    """Run `policy` in an environment, simulated or physical; arguments and errors as `evaluate`."""
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}; evaluate at least one")
    results = []
    for number in range(episodes):
        results.append(_run_episode(env, policy))
        if on_episode is not None:
            on_episode(number, results[-1])
    return EvaluationResult(tuple(results))


def evaluate_many(env: RobotVectorEnv, act: Callable[[Array], Array], episodes: int) -> EvaluationResult:
    """Run a policy without memory in many simulations at once.

    Every simulation contributes equally many episodes, its first ones, so that short episodes do not count more often
    than long ones.

    Args:
        env: the simulations.
        act: actions (num_envs, num_actions) for observations (num_envs, num_observations).
        episodes: how many at least; rounded up to a multiple of `env.num_envs`.

    Raises:
        ConfigError: no episodes are asked for.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}; evaluate at least one")
    each = -(-episodes // env.num_envs)
    results: list[list[EpisodeResult]] = [[] for _ in range(env.num_envs)]
    totals, steps = np.zeros(env.num_envs), np.zeros(env.num_envs)
    observation, _ = env.reset()
    while any(len(own) < each for own in results):
        observation, reward, terminated, truncated, info = env.step(act(observation))
        totals, steps = totals + reward, steps + 1
        over = np.flatnonzero(terminated | truncated)
        for index in over:
            if len(results[index]) < each:
                duration_s = float(steps[index]) * env.task.control_period_s
                results[index].append(_ended(info, int(index), duration_s, float(totals[index])))
        totals[over], steps[over] = 0.0, 0.0
    return EvaluationResult(tuple(episode for own in results for episode in own))


def _ended(info: dict[str, Any], index: int, duration_s: float, total: float) -> EpisodeResult:
    """The episode that has just ended in one of many simulations."""
    drawn = {name: float(values[index]) for name, values in info.get("dynamics", {}).items()}
    error_mm = 1e3 * float(info["final_distance"][index]) if "final_distance" in info else None
    return EpisodeResult(bool(info["success"][index]), duration_s, total, error_mm, drawn or None)


def _run_episode(env: RobotEnv, policy: Policy) -> EpisodeResult:
    observation, info = env.reset()
    drawn = {name: float(np.asarray(value).item()) for name, value in (info.get("dynamics") or {}).items()}
    policy.reset()
    total, steps, ended = 0.0, 0, False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(policy.act(observation))
        total, steps, ended = total + reward, steps + 1, terminated or truncated
    duration_s = steps * env.task.control_period_s
    return EpisodeResult(bool(info["success"]), duration_s, total, final_error_mm(env), drawn or None)


def final_error_mm(env: RobotEnv) -> float | None:
    """Distance from the goal now [mm]; None where the task has none."""
    if env.state is None or not isinstance(env.task, HasDistance):
        return None
    distance = cast(HasDistance, env.task).distance(env.state, env.episode)
    return 1e3 * float(np.asarray(distance).item())
