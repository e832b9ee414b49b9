"""Episodes of picking a cube with images: successes, and failures that are meant to look like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robostack.contract import contract_of
from robostack.data.features import ACTION, DONE, IMAGES, REWARD, STATE, SUCCESS
from robostack.data.writer import DatasetWriter
from robostack.env import RobotEnv
from robostack.learning.imitation.recording import features_of
from robostack.make import make_env

SIZE = 84
FAILED_STEPS = 26
SHUT = 11
"""Place in the observation of whether the hand was told to shut."""


def environment(seed: int = 0) -> RobotEnv:
    return make_env("panda-pick-cube", randomize=False, seed=seed, image_size=SIZE)


def spoiled(action: np.ndarray, state: np.ndarray, how: int) -> np.ndarray:
    """What turns the script's action into a failure: never lift what is held, never close the hand, miss the cube."""
    if how == 0:
        return np.array([*action[:2], min(action[2], 0.0 if state[SHUT] > 0.5 else 1.0), action[3]])
    if how == 1:
        return np.array([*action[:3], -1.0])
    return np.array([action[0], np.clip(action[1] + 0.6, -1.0, 1.0), *action[2:]])


def record(root: Path, successes: int, failures: int, seed: int = 0) -> None:
    """Write a dataset; the first `successes` episodes succeed."""
    env = environment(seed)
    policy, features = env.task.scripted(), features_of(env.task, SIZE)
    with DatasetWriter(root, fps=10.0, features=features, robot_type="panda", contract=contract_of(env.task)) as writer:
        for number in range(successes + failures):
            observation, _ = env.reset(seed=1000 * seed + number)
            policy.reset()
            step, ended, fails = 0, False, number >= successes
            while not ended and not (fails and step == FAILED_STEPS):
                action = policy.act(observation["state"])
                action = spoiled(action, observation["state"], number % 3) if fails else action
                following, reward, terminated, truncated, info = env.step(action)
                ended, step = terminated or truncated, step + 1
                over = ended or (fails and step == FAILED_STEPS)
                images = {IMAGES + name: observation[name] for name in env.task.cameras}
                frame = {STATE: observation["state"], ACTION: action, REWARD: reward, DONE: over}
                extra = {name: np.zeros(4) for name in features if name.endswith("disturbance")}
                writer.add({**frame, SUCCESS: bool(info["success"]), **images, **extra}, env.task.name)
                observation = following
            assert bool(info["success"]) != fails, f"episode {number} did not go as planned"
            writer.finish_episode()
