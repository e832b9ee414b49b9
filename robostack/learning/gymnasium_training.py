"""Learning on any environment of Gymnasium with boxes for observations and actions, for comparisons."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from robostack.learning.experience import Ended, VectorExperience
from robostack.learning.learner import Learner


def train_gymnasium(
    task: str,
    learner: Learner,
    steps: int,
    seed: int,
    count: int = 1,
    on_episode: Callable[[int, Ended], None] | None = None,
) -> None:
    """Let `learner`, which takes batches, learn in `count` copies of an environment stepped one after the other.

    Args:
        task: Gymnasium's name of the environment.
        learner: made for the contract of this environment.
        steps: environment steps, over all copies together.
        seed: of the environments.
        count: copies.
        on_episode: called after each episode with the steps so far and the episode.
    """
    make: list[Callable[[], Any]] = [functools.partial(gymnasium.make, task) for _ in range(count)]
    env = SyncVectorEnv(make, autoreset_mode=AutoresetMode.SAME_STEP)
    experience = VectorExperience(env, learner)
    experience.start(seed)
    try:
        for done in range(count, steps + 1, count):
            for ended in experience.step():
                if on_episode is not None:
                    on_episode(done, ended)
            learner.update()
    finally:
        env.close()


def evaluate_gymnasium(task: str, act: Callable[[Any], Any], episodes: int, seed: int) -> list[float]:
    """Undiscounted returns of `episodes` episodes of a policy, with the seeds `seed`, `seed` + 1, ..."""
    env = gymnasium.make(task)
    returns = []
    for number in range(episodes):
        observation, _ = env.reset(seed=seed + number)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return returns
