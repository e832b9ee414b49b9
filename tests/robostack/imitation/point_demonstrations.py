"""A point that passes an obstacle on either side: demonstrations with two modes."""

from __future__ import annotations

import numpy as np

from robostack.contract import Contract
from robostack.tasks.task import Term

STEPS = 20


def point_contract(period_s=0.1):
    position = Term("position", ("x", "y"), "m", "world", -2.0, 2.0)
    velocity = Term("velocity", ("x", "y"), "m/s", "world", -1.0, 1.0)
    names = ("x",), (0.0,), (0.0,), (0.0,)
    return Contract("pass", "point", *names, "world", None, period_s, 100.0, (position,), (velocity,), 1)


def point_step(position, action):
    return position + 0.25 * action


def point_demonstration(side, rng):
    """From (0, 0) to (1, 0) along y = side sin(pi x) / 2: observations and actions, each (STEPS, 2)."""
    position, observations, actions = rng.normal(0.0, 0.02, 2), [], []
    for step in range(STEPS):
        x = (step + 1) / STEPS
        goal = np.array([x, side * 0.5 * np.sin(np.pi * x)])
        action = np.clip(4.0 * (goal - position) + rng.normal(0.0, 0.02, 2), -1.0, 1.0)
        observations.append(position)
        actions.append(action)
        position = point_step(position, action)
    return np.array(observations), np.array(actions)
