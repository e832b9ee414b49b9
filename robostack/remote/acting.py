"""A simulated robot that acts for a learner elsewhere."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from robostack.env import RobotEnv
from robostack.learning.learner import Transition
from robostack.remote.remote_actor import RemoteActor

WINDOW = 50
"""Episodes over which figures are averaged."""
WAIT_S = 0.02
"""Rest while the learner is waited for [s]."""


class ActingLoop:
    """Episodes of an actor in an environment; `turn` takes one step, or waits a little for the learner.

    Args:
        env: the task on a simulated robot.
        actor: started.
        ahead: steps that the simulation may be ahead of the learner's updates; 0: no limit.
        real_time: take one step per control period.
    """

    def __init__(self, env: RobotEnv, actor: RemoteActor, ahead: int = 50, real_time: bool = False) -> None:
        self.env, self.actor, self.ahead, self.real_time = env, actor, ahead, real_time
        self.steps = self.episodes = 0
        """Taken; ended."""
        self.returns: deque[float] = deque(maxlen=WINDOW)
        """Sums of rewards of the last episodes."""
        self.successes: deque[bool] = deque(maxlen=WINDOW)
        """Whether they succeeded."""
        self._observation: FloatArray | None = None
        self._total, self._next_s = 0.0, actor.clock.now()

    def turn(self) -> None:
        """One step.

        Raises:
            ProtocolError: the learner refuses this actor.
            DeviceNotConnectedError: there is no learner.
        """
        clock = self.actor.clock
        if self._observation is None:
            if not self.actor.may_begin() or self._too_far_ahead():
                clock.sleep_until(clock.now() + WAIT_S)
                return
            self._observation, _ = self.env.reset()
            self._total, self._next_s = 0.0, clock.now()
        elif self._too_far_ahead():
            clock.sleep_until(clock.now() + WAIT_S)
            return
        if self.real_time:
            clock.sleep_until(self._next_s)
            self._next_s += self.env.task.control_period_s
        self._step(self._observation)

    def _step(self, observation: FloatArray) -> None:
        action = np.asarray(self.actor.act(observation))
        following, reward, terminated, truncated, info = self.env.step(action)
        self.actor.experience(
            Transition(observation, action, reward, following, terminated, truncated, source="sim"), float("inf")
        )
        self.steps, self._total, self._observation = self.steps + 1, self._total + reward, following
        if terminated or truncated:
            self.episodes += 1
            self.returns.append(self._total)
            self.successes.append(bool(info["success"]))
            self._observation = None
            self.actor.link.says = {"episodes": self.episodes, "return": self._mean(self.returns)}
            self.actor.link.says |= {"success": self._mean(self.successes)}

    def _too_far_ahead(self) -> bool:
        """Whether the learner has not caught up; a learner that is gone is waited for by `may_begin`, not here."""
        link = self.actor.link
        if self.ahead == 0:
            return False
        return link.waiting + link.queued + int(link.learner.get("behind_steps", 0)) >= self.ahead

    def figures(self) -> dict[str, Any]:
        """Flat figures."""
        counts = {"steps": self.steps, "episodes": self.episodes}
        return {
            **counts,
            "return": self._mean(self.returns),
            "success": self._mean(self.successes),
            **self.actor.figures(),
        }

    @staticmethod
    def _mean(values: deque[Any]) -> float:
        return float(np.mean(values)) if values else 0.0
