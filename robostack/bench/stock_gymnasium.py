"""Gymnasium's own MuJoCo tasks as they come, for benchmarks that are compared with published figures."""

from __future__ import annotations

import math
import warnings
from typing import Any

import gymnasium
from gymnasium.wrappers import ClipAction, RecordEpisodeStatistics

from robostack.contract import Contract
from robostack.tasks.task import Term


def stock_env(task: str) -> Any:
    """`gymnasium.make(task)` with its default wrappers, episode statistics and clipped actions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # v4 is what the published figures are of
        return ClipAction(RecordEpisodeStatistics(gymnasium.make(task)))


def stock_contract(task: str, env: Any) -> Contract:
    """What a learner must know of `env`; a simulated body, so nothing of a robot's drive.

    The action space of these tasks has one low and one high bound for all elements.
    """
    space = env.unwrapped.action_space
    return Contract(
        task=task,
        robot=task,
        joint_names=(),
        default_position=(),
        stiffness=(),
        damping=(),
        base_frame="",
        tool_frame=None,
        control_period_s=float(env.unwrapped.dt),
        control_rate_hz=1.0 / float(env.unwrapped.dt),
        observation=(_term("observation", env.observation_space.shape[0], -math.inf, math.inf),),
        action=(_term("control", space.shape[0], float(space.low[0]), float(space.high[0])),),
        history=1,
    )


def _term(name: str, size: int, low: float, high: float) -> Term:
    return Term(name, tuple(str(index) for index in range(size)), "1", "", low, high)
