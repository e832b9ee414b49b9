"""An environment whose success is what a classifier sees: for robots that nothing else tells whether they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.env import Info, RobotEnv, step_limit
from robostack.policies.success_classifier import SuccessClassifier
from robostack.tasks.task import Episode, Task

PoseCheck = Callable[[RobotState, Episode], Any]
"""From the robot's state and the task's memory to whether the pose allows success, one or an array of one."""


class ClassifiedSuccess(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reward 1 and, where the task ends on success, the end of the episode, as soon as the images say so; else 0.

    Info carries `success` (what was judged), `probability`, and `task_success`, the task's own opinion, which in
    simulation tells how good the classifier is. Ends that the task declares for other reasons than success stay ends.

    Args:
        env: with images of the classifier's cameras.
        classifier: judges.
        pose_check: success also needs this to hold (the gripper is closed, the tool is up), which spares the classifier
            places it was never shown; None: nothing else.

    Raises:
        ConfigError: the environment lacks a camera, or its images have another size.
    """

    def __init__(self, env: RobotEnv, classifier: SuccessClassifier, pose_check: PoseCheck | None = None) -> None:
        super().__init__(env)
        source = env.images
        lacking = classifier.cameras if source is None else [n for n in classifier.cameras if n not in source.names]
        if source is None or lacking:
            raise ConfigError(
                f"the classifier looks through {', '.join(classifier.cameras)}; the environment has no camera "
                f"{', '.join(lacking)}. Make it with images of {classifier.image_size} pixels."
            )
        if source.shape[:2] != (classifier.image_size, classifier.image_size):
            raise ConfigError(
                f"the environment's images have {source.shape[1]}x{source.shape[0]} pixels, the classifier was trained "
                f"with {classifier.image_size}x{classifier.image_size}"
            )
        self._robot_env, self.classifier, self.pose_check = env, classifier, pose_check
        self._limit, self._steps = step_limit(env.task), 0

    @property
    def task(self) -> Task:
        """What is done."""
        return self._robot_env.task

    @property
    def state(self) -> RobotState | None:
        """The newest measurement."""
        return self._robot_env.state

    @property
    def episode(self) -> Episode:
        """What the task remembers of this episode."""
        return self._robot_env.episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """As `RobotEnv.reset`."""
        self._steps = 0
        return self._robot_env.reset(seed=seed, options=options)

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, Info]:
        """As `RobotEnv.step`, judged by the classifier."""
        observation, _, terminated, _, info = self._robot_env.step(action)
        ends = self.task.ends_on_success
        probability = float(self.classifier.probability(observation)[0])
        success = probability >= self.classifier.threshold and self._pose_holds()
        other = terminated and not (ends and bool(info["success"]))
        over = other or (success and ends)
        # Where the task alone thinks that it is done, the episode goes on, at most to its time limit.
        self._steps += 1
        truncated = not over and self._steps >= self._limit
        judged = {"success": success, "probability": probability, "task_success": bool(info["success"])}
        return observation, float(success), over, truncated, {**info, **judged}

    def _pose_holds(self) -> bool:
        state = self.state
        if self.pose_check is None:
            return True
        return state is not None and bool(np.all(self.pose_check(state, self.episode)))
