"""The contract of a toy task, for tests of learners."""

from __future__ import annotations

from robostack.contract import Contract
from robostack.tasks.task import Term


def elements(name: str, count: int, low: float, high: float) -> Term:
    """A term of `count` numbers."""
    return Term(name, tuple(f"{name}{index}" for index in range(count)), "1", "", low, high)


def toy_contract(
    observations: int = 4, actions: int = 2, low: float = -1.0, high: float = 3.0, observation: tuple[Term, ...] = ()
) -> Contract:
    """A robot of one joint with `actions` actions within `low` and `high`.

    `observation` is given in place of `observations` numbers within -9 and 9.
    """
    return Contract(
        task="toy",
        robot="toy",
        joint_names=("j",),
        default_position=(0.0,),
        stiffness=(1.0,),
        damping=(1.0,),
        base_frame="base",
        tool_frame=None,
        control_period_s=0.04,
        control_rate_hz=500.0,
        observation=observation or (elements("o", observations, -9.0, 9.0),),
        action=(elements("a", actions, low, high),),
        history=1,
    )
