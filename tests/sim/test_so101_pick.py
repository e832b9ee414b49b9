"""The virtual SO-101 before a table with a cube: what its jaws can do, without real time."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.tracking import JointTrackingController
from hardware.records import RobotState
from hardware.so101 import PICK_CUBE, SO101
from sim.devices.so101.arm import CUBE_MAX, CUBE_MIN, STEP_S, Arm, Drive
from sim.devices.so101.config import ArmDynamics, VirtualSO101Config, random_dynamics
from sim.devices.so101.device import VirtualSO101

task_module = pytest.importorskip("robostack.tasks.so101_pick_cube")
FULL, UNLIMITED = np.ones(6), np.full(6, 1e3)


def arm_at(position, dynamics: ArmDynamics, seed: int = 0) -> Arm:
    arm = Arm(dynamics, np.array(position), seed, True, PICK_CUBE)
    arm.place_cube(np.random.default_rng(seed))
    return arm


def picks(seed: int) -> bool:
    """One scripted pick at an arm nobody was told the dynamics of, through the tracking controller at 100 Hz."""
    task = task_module.So101PickCube()
    rng = np.random.default_rng(seed)
    arm = arm_at(task.start(rng, 1).joint_position[0], random_dynamics(seed), seed)
    controller, policy, now_s = JointTrackingController(SO101), task.scripted(), 0.0

    def measured() -> RobotState:
        return RobotState(now_s, arm.measured_position(), arm.velocity, objects=arm.objects)

    state = measured()
    controller.reset(state)
    episode = task.begin(rng, state)
    for _ in range(160):
        action = policy.act(task.observe(state, episode))
        controller.set_reference(task.reference(action, state, episode))
        for _ in range(5):
            position = controller.update(measured(), now_s).position
            for _ in range(round(0.01 / STEP_S)):
                arm.step(Drive(position, UNLIMITED, FULL))
            now_s += 0.01
        state = measured()
        outcome, episode = task.judge(action, state, episode)
        if outcome.success:
            return True
    return False


def test_the_scripted_policy_picks_the_cube_with_hidden_dynamics():
    assert sum(picks(seed) for seed in range(6)) >= 5


def test_what_the_jaws_close_around_goes_up_with_them_and_falls_when_they_open():
    task = task_module.So101PickCube()
    arm = arm_at(task.joints_at(np.array([[0.21, 0.0, 0.012]]))[0], ArmDynamics())
    arm.data.joint("cube").qpos[:] = [0.21, 0.0, 0.012, 1.0, 0.0, 0.0, 0.0]
    low, high = arm.position, task.joints_at(np.array([[0.21, 0.0, 0.06]]))[0]
    low[5] = high[5] = 0.0

    def go(goal, steps: int) -> float:
        for _ in range(steps):
            arm.step(Drive(goal, np.full(6, 1.0), FULL))
        return float(arm.objects["cube"][2])

    assert go(low, 500) == pytest.approx(0.012, abs=0.003)
    assert abs(arm.torque[5]) > 0.5, "the cube is between the jaws"
    assert go(high, 500) == pytest.approx(0.06, abs=0.006)
    high[5] = 0.7
    assert go(high, 500) == pytest.approx(0.012, abs=0.002)


def test_the_cube_is_put_where_the_seed_says_and_the_empty_scene_has_none():
    arm = arm_at(SO101.default_position, ArmDynamics())
    places = []
    for seed in range(20):
        arm.place_cube(np.random.default_rng(seed))
        places.append(arm.objects["cube"][:3])
    assert (np.array(places) >= np.array(CUBE_MIN) - 1e-9).all() and (
        np.array(places) <= np.array(CUBE_MAX) + 1e-9
    ).all()
    assert np.ptp(places, axis=0)[:2].min() > 0.04
    empty = Arm(ArmDynamics(), SO101.default_position, 0, True)
    empty.place_cube(np.random.default_rng(0))
    assert empty.objects == {}


def test_hidden_masses_are_those_of_the_arm_only():
    plain = arm_at(SO101.default_position, ArmDynamics())
    heavy = arm_at(SO101.default_position, ArmDynamics(mass_factor=1.5))
    for name, factor in (("cube", 1.0), ("upper_arm", 1.5)):
        assert heavy.model.body(name).mass[0] == pytest.approx(factor * plain.model.body(name).mass[0])


def test_the_device_tells_where_the_cube_is_and_moves_it(tmp_path):
    device = VirtualSO101(VirtualSO101Config(port=str(tmp_path / "arm"), scene="pick-cube"))
    before = device.status()["objects"]["cube"]
    assert len(before) == 7
    device.inject("cube", 5)
    assert device.status()["objects"]["cube"] != before
    assert VirtualSO101(VirtualSO101Config(port=str(tmp_path / "other"))).status()["objects"] == {}
