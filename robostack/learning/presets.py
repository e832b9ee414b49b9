"""Settings found to work: learner and task -> what to change from the learner's defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robostack.learning.learner import LEARNERS

FEW: Mapping[str, Any] = {
    "critics": 2,
    "target_subset": 2,
    "updates_per_step": 4.0,
    "critic_steps_per_actor_step": 4,
    "batch_size": 128,
    "learning_starts": 200,
    "discount": 0.97,
    "initial_temperature": 0.01,
    "entropy_backup": False,
    "hidden": (128, 128),
}
"""RLPD with demonstrations, a sparse reward and one core."""
FASTER: Mapping[str, Any] = {"actor_learning_rate": 1e-3, "critic_learning_rate": 1e-3, "target_rate": 0.01}
"""Where the way to the reward is long, and the published rates take thousands of steps to find it."""

PRESETS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("avg", "ur5e-reach"): {
        "actor_learning_rate": 1e-3,
        "critic_learning_rate": 3e-3,
        "entropy_coefficient": 0.2,
        "discount": 0.9,
        "hidden": (64, 64),
        "feature_epsilon": 6.0,
        "anneal_steps": 16_000,
        "average": 0.9995,
    },
    # Ten minutes of 40 ms.
    ("avg", "ur5e-reacher-2"): {
        "actor_learning_rate": 6e-3,
        "critic_learning_rate": 1e-2,
        "entropy_coefficient": 1.0,
        "entropy_final": 0.1,
        "discount": 0.9,
        "hidden": (64, 64),
        "feature_epsilon": 6.0,
        "anneal_steps": 14_000,
        "average": 0.999,
    },
    # Ten minutes of 150 ms.
    ("avg", "create2-mover"): {
        "actor_learning_rate": 1e-2,
        "critic_learning_rate": 5e-2,
        "entropy_coefficient": 0.2,
        "entropy_final": 0.05,
        "discount": 0.8,
        "hidden": (64, 64),
        "feature_epsilon": 1.0,
        "anneal_steps": 4_000,
        "average": 0.998,
    },
    # From demonstrations: few, small critics and a short horizon, as in HIL-SERL, so that one core keeps up with 10 Hz.
    ("rlpd", "panda-pick-cube"): {**FEW, **FASTER, "gripper": "gripper"},
    ("rlpd", "panda-peg-insert"): FEW,
    # With twenty demonstrations and one robot: 3,000 steps, one update each.
    ("rlpd", "ur5e-reach"): {
        "critics": 2,
        "hidden": (128, 128),
        "updates_per_step": 1.0,
        "critic_steps_per_actor_step": 1,
        "learning_starts": 200,
        "discount": 0.9,
        "initial_temperature": 0.05,
        "entropy_backup": False,
        "actor_learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "temperature_learning_rate": 1e-3,
    },
    # Rewards of these tasks come within a second or two.
    ("intentional", "ur5e-reacher-2"): {"discount": 0.95},
    ("intentional", "create2-mover"): {"discount": 0.95},
}
"""Tuned in simulation: with randomised dynamics, and `create2-mover` in the virtual room without real time."""


def recommended(learner: str, task: str) -> Any:
    """The configuration of `learner` for `task`: its defaults, with what the preset changes.

    Raises:
        UnknownNameError: there is no such learner.
    """
    from hardware.registry import load_object

    config: Any = load_object(LEARNERS.load(learner).config)
    return dataclasses.replace(config(), **PRESETS.get((learner, task), {}))
