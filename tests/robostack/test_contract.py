from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.impedance import ImpedanceConfig
from hardware.errors import CheckpointError, ContractMismatchError
from hardware.spec import JointSpec, RobotSpec
from robostack.contract import FORMAT, Contract, contract_from_json, contract_of, require_match
from robostack.tasks.task import Task, Term


class Toy(Task):
    """Just enough of a task to have a contract."""

    name, model, control_period_s, timestep_s, episode_s = "toy", Path("toy.xml"), 0.02, 0.002, 1.0
    ends_on_success = False
    spec = RobotSpec(
        "two",
        (
            JointSpec("a", -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, default_position=0.1, stiffness=30.0, damping=3.0),
            JointSpec("b", -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, default_position=0.2, stiffness=40.0, damping=4.0),
        ),
        500.0,
        ("position",),
        "base",
        "tool",
    )
    observation = (
        Term("joint_position", ("a", "b"), "rad", "", -math.inf, math.inf),
        Term("tool_to_target", ("x", "y", "z"), "m", "base", -1.0, 1.0, 0.5),
    )
    action = (Term("joint_step", ("a", "b"), "rad", "", -1.0, 1.0, 0.05),)
    history = 3

    def start(self, rng, count): ...
    def begin(self, rng, state): ...
    def observe(self, state, episode): ...
    def reference(self, action, state, episode): ...
    def judge(self, action, state, episode): ...


CONTRACT = contract_of(Toy())

OTHER = {
    "task": "reach",
    "robot": "three",
    "joint_names": ("b", "a"),
    "default_position": (0.1, 0.3),
    "stiffness": (30.0, 41.0),
    "damping": (3.0, np.nextafter(4.0, 5.0)),
    "base_frame": "world",
    "tool_frame": None,
    "control_period_s": 0.04,
    "control_rate_hz": 125.0,
    "observation": CONTRACT.observation[::-1],
    "action": (dataclasses.replace(CONTRACT.action[0], scale=0.06),),
    "history": 1,
    "format": FORMAT + 1,
    "impedance": ImpedanceConfig(),
}


def test_a_contract_is_made_of_the_task_and_its_robot():
    assert CONTRACT.task == "toy"
    assert CONTRACT.robot == "two"
    assert CONTRACT.joint_names == ("a", "b")
    assert CONTRACT.default_position == (0.1, 0.2)
    assert CONTRACT.stiffness == (30.0, 40.0)
    assert CONTRACT.damping == (3.0, 4.0)
    assert (CONTRACT.base_frame, CONTRACT.tool_frame) == ("base", "tool")
    assert (CONTRACT.control_period_s, CONTRACT.control_rate_hz, CONTRACT.history) == (0.02, 500.0, 3)
    assert (CONTRACT.num_observations, CONTRACT.num_actions) == (5, 2)


def test_json_gives_the_same_contract_back():
    assert contract_from_json(CONTRACT.to_json(), "here") == CONTRACT


@given(
    values=st.lists(st.floats(allow_nan=False), min_size=2, max_size=2),
    period_s=st.floats(min_value=0.0, exclude_min=True),
    tool=st.none() | st.text(),
    scale=st.floats(allow_nan=False),
)
def test_json_keeps_every_bit(values, period_s, tool, scale):
    contract = dataclasses.replace(
        CONTRACT,
        default_position=tuple(values),
        control_period_s=period_s,
        tool_frame=tool,
        action=(dataclasses.replace(CONTRACT.action[0], scale=scale),),
    )
    assert repr(contract_from_json(contract.to_json(), "here")) == repr(contract)


def test_equal_contracts_match():
    assert require_match(CONTRACT, contract_from_json(CONTRACT.to_json(), "here"), "policy") is None


def test_the_cases_below_cover_every_field():
    assert set(OTHER) == {field.name for field in dataclasses.fields(Contract)}


@pytest.mark.parametrize("field", sorted(OTHER))
def test_each_differing_field_is_refused_and_shown(field):
    offered = dataclasses.replace(CONTRACT, **{field: OTHER[field]})
    with pytest.raises(ContractMismatchError, match="policy runs/x does not fit; 1 field") as caught:
        require_match(CONTRACT, offered, "policy runs/x")
    assert caught.value.differences == ((field, getattr(CONTRACT, field), OTHER[field]),)
    assert f"  {field}: trained with {getattr(CONTRACT, field)!r}, offered {OTHER[field]!r}" in str(caught.value)


def test_all_differing_fields_are_shown_together():
    with pytest.raises(ContractMismatchError) as caught:
        require_match(CONTRACT, Contract(**OTHER), "policy")
    assert [name for name, _, _ in caught.value.differences] == [field.name for field in dataclasses.fields(Contract)]


def without(key: str) -> str:
    data = json.loads(CONTRACT.to_json())
    del data[key]
    return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        without("joint_names"),
        without("task"),
        without("observation"),
        json.dumps({**json.loads(CONTRACT.to_json()), "format": FORMAT + 1}),
        json.dumps({**json.loads(CONTRACT.to_json()), "surprise": 1}),
        json.dumps({**json.loads(CONTRACT.to_json()), "action": [{"name": "x"}]}),
    ],
)
def test_what_is_no_contract_of_this_version_is_refused_with_its_place(text):
    with pytest.raises(CheckpointError, match=r"^run/policy.json: "):
        contract_from_json(text, "run/policy.json")
