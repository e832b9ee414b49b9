from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.robot import ROBOTS, RobotEntry
from hardware.spec import JointSpec, RobotSpec

SPEC = RobotSpec("toy", (JointSpec("a", -1.0, 1.0, 1.0, 1.0, 1.0, 1.0),), 100.0, ("position",), "base")


@dataclass(frozen=True)
class ToyConfig:
    host: str = "192.0.2.1"
    """Address."""


class ToyDriver:
    def __init__(self, config: ToyConfig) -> None:
        self.config, self.spec = config, SPEC


@pytest.fixture
def entry(monkeypatch) -> RobotEntry:
    module = types.ModuleType("toy_robot_driver")
    module.ToyDriver, module.ToyConfig = ToyDriver, ToyConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_robot_driver", module)
    return RobotEntry(SPEC, Path("toy.xml"), "toy_robot_driver:ToyDriver", "toy_robot_driver:ToyConfig", "A toy.")


def test_a_robot_opens_with_its_default_configuration_or_a_given_one(entry):
    assert entry.config_type() is ToyConfig
    assert entry.open().config == ToyConfig()  # type: ignore[attr-defined]
    assert entry.open(ToyConfig(host="h")).config.host == "h"  # type: ignore[attr-defined]
    assert entry.open().spec is SPEC


def test_a_driver_is_imported_only_when_opened(entry, monkeypatch):
    monkeypatch.delitem(sys.modules, "toy_robot_driver")
    assert entry.spec is SPEC
    with pytest.raises(ModuleNotFoundError):
        entry.open()


@pytest.mark.parametrize("name", ROBOTS.names())
def test_every_registered_robot_is_complete(name):
    robot = ROBOTS.load(name)
    spec = robot.spec
    assert spec.name == name
    assert robot.model.is_file()
    assert robot.summary
    assert len(set(spec.joint_names)) == len(spec.joints)
    assert spec.sources, "say where the numbers come from"
    for joint in spec.joints:
        assert joint.position_min <= joint.default_position <= joint.position_max
        assert min(joint.velocity_max, joint.acceleration_max, joint.jerk_max, joint.effort_max) > 0.0
    if robot.simulation_only:
        assert (robot.driver, robot.config) == ("", "")
    else:
        assert robot.config_type()() is not None, "its configuration has a default for every field"
