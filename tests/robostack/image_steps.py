"""A task with two cameras for tests, and steps in it."""

from __future__ import annotations

import numpy as np
from toy_contract import toy_contract

from robostack.contract import Contract
from robostack.learning.learner import Transition
from robostack.tasks.task import Term

SIZE = 23
CAMERAS = ("left", "right")


def contract() -> Contract:
    seen = Term("body", ("a", "b", "c"), "1", "", -9.0, 9.0), Term("secret", ("x", "y"), "1", "", -9.0, 9.0)
    return toy_contract(observation=seen)


def observation(moment: int, secret: float = 0.0) -> dict:
    rng = np.random.default_rng([7, moment])
    images = {name: rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for name in CAMERAS}
    return {"state": np.concatenate([rng.standard_normal(3), [secret, secret]]), **images}


def step(moment: int, source: str = "sim", every: int = 7) -> Transition:
    rng = np.random.default_rng([8, moment])
    ended = moment % every == every - 1
    action, reward = rng.uniform(-1.0, 3.0, 2), float(rng.standard_normal())
    return Transition(observation(moment), action, reward, observation(moment + 1), ended, False, source)
