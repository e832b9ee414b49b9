"""Simulated robots follow references through the same interpolator as physical ones."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from controllers.plant import Plant
from controllers.reference import JointReference
from controllers.tracking import JointTrackingController
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.ur5e import SCENE, UR5E
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import HOPPER
from sim.mujoco_engine import MujocoEngine
from sim.simulated_plant import SimulatedPlant

START = np.stack([UR5E.default_position, UR5E.default_position + 0.1])
REST = np.zeros((2, 6))


def arm(count: int = 2, timestep_s: float = 0.002) -> SimulatedPlant:
    made = SimulatedPlant(MujocoEngine(UR5E, SCENE, count, timestep_s=timestep_s))
    made.reset(START[:count], REST[:count])
    return made


@pytest.mark.parametrize("timestep_s", [0.002, 0.001])
def test_the_tracking_controller_of_the_physical_robot_gives_the_same_motion(timestep_s: float) -> None:
    """Stepped cycle by cycle as the control loop does it, with the set-points of `JointTrackingController`."""
    plant: Plant = arm(timestep_s=timestep_s)
    engine = MujocoEngine(UR5E, SCENE, 2, timestep_s=timestep_s)
    engine.reset(START, REST)
    controllers = [JointTrackingController(UR5E) for _ in START]
    for controller, start in zip(controllers, START, strict=True):
        controller.reset(RobotState(0.0, start, REST[0]))
    for step, speed in enumerate(np.random.default_rng(0).uniform(-0.8, 0.8, (5, 2, 6))):
        state = plant.follow(JointReference("velocity", speed, 0.04))
        for controller, value in zip(controllers, speed, strict=True):
            controller.set_reference(JointReference("velocity", value, 0.04))
        for tick in range(20):
            measured, now_s = engine.state(), 0.002 * (20 * step + tick)
            targets = [controller.update(measured, now_s).position for controller in controllers]
            for _ in range(round(0.002 / timestep_s)):
                engine.step(np.stack(targets)[:, None, :])
        assert np.allclose(state.joint_position, engine.state().joint_position, rtol=0.0, atol=1e-12)
    assert state.capture_time_s == pytest.approx([0.2, 0.2])


def test_a_position_reference_is_reached_by_each_robot() -> None:
    plant = arm()
    goal = START + np.array([[0.1], [-0.1]])
    for _ in range(50):
        state = plant.follow(JointReference("position", goal, 0.04))
    # What friction loss leaves of a position servo: 1 N m on the stiffest, weakest joint.
    assert np.allclose(state.joint_position, goal, atol=2e-3)
    assert np.abs(state.joint_velocity).max() < 1e-3


def test_a_velocity_reference_is_held() -> None:
    plant = arm()
    speed = np.zeros((2, 6))
    speed[1, 0] = 0.5
    for _ in range(20):
        state = plant.follow(JointReference("velocity", speed, 0.04))
    assert state.joint_velocity[1, 0] == pytest.approx(0.5, abs=0.01)
    assert np.abs(state.joint_velocity[0]).max() < 0.01


def test_a_reset_of_one_stops_it_and_leaves_the_other_moving() -> None:
    plant = arm()
    speed = np.full((2, 6), 0.3)
    for _ in range(10):
        before = plant.follow(JointReference("velocity", speed, 0.04))
    after = plant.reset(START[[0]], REST[[0]], np.array([0]))
    assert np.array_equal(after.joint_position[0], START[0])
    assert np.array_equal(after.joint_position[1], before.joint_position[1])
    uninterrupted = arm()
    for _ in range(10):
        uninterrupted.follow(JointReference("velocity", speed, 0.04))
    for _ in range(5):
        state = plant.follow(JointReference("velocity", speed * [[0.0], [1.0]], 0.04))
        expected = uninterrupted.follow(JointReference("velocity", speed, 0.04))
    assert np.allclose(state.joint_position[0], START[0], atol=1e-3)
    assert np.allclose(state.joint_position[1], expected.joint_position[1], atol=1e-9)


def test_efforts_go_to_the_motors_as_they_are() -> None:
    plant = SimulatedPlant(MujocoEngine(HOPPER, gymnasium_model("hopper"), 1))
    plant.reset(HOPPER.default_position[None], np.zeros((1, 6)))
    state = plant.follow(JointReference("effort", np.array([[0.0, 0.0, 0.0, 0.1, -0.2, 0.3]]), 0.008))
    # The gear of 200 is the model's.
    assert state.joint_effort is not None
    assert state.joint_effort[0] == pytest.approx([0.0, 0.0, 0.0, 20.0, -40.0, 60.0])
    assert state.capture_time_s == pytest.approx([0.008])


def test_dynamics_pass_to_the_engine() -> None:
    plant = arm()
    plant.set_dynamics({"joint:elbow_joint/damping": np.array([9.0])}, np.array([1]))
    models = [plant.engine.batch.get_model(index) for index in range(2)]
    assert [model.joint("elbow_joint").damping[0] for model in models] == pytest.approx([4.0, 9.0])


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ConfigError, match="whole number of physics steps"):
        arm().follow(JointReference("velocity", REST, 0.0413))
    hopper = SimulatedPlant(MujocoEngine(HOPPER, mujoco.MjSpec.from_file(str(gymnasium_model("hopper"))), 1))
    with pytest.raises(ConfigError, match="effort only"):
        hopper.follow(JointReference("position", np.zeros((1, 6)), 0.008))
