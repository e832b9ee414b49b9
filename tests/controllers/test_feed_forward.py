"""Trajectories with feed-forward: the way to their end, and the servo's input that makes it follow without lag."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.feed_forward import TrajectoryReference
from controllers.tracking import JointPdController
from hardware.panda import MODEL, PANDA
from hardware.records import JointCommand, RobotState
from sim.mujoco_engine import MujocoEngine
from sim.simulated_plant import SimulatedPlant


def reference(start: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray, horizon_s: float, inertia: float):
    end = start + velocity * horizon_s + 0.5 * acceleration * horizon_s**2
    return TrajectoryReference(
        "position",
        end,
        horizon_s,
        velocity + acceleration * horizon_s,
        acceleration=acceleration,
        effort=inertia * acceleration,
    )


def test_the_way_is_the_parabola_that_ends_there():
    start, velocity, acceleration = np.array([1.0, -2.0]), np.array([0.5, 0.0]), np.array([2.0, -4.0])
    made = reference(start, velocity, acceleration, 0.1, 0.0)
    position, speed = made.sample(np.array([0.1, 0.04, 0.0]))
    np.testing.assert_allclose(position[0], start)
    np.testing.assert_allclose(speed[0], velocity)
    np.testing.assert_allclose(position[1], start + 0.06 * velocity + 0.5 * 0.06**2 * acceleration)
    np.testing.assert_allclose(position[2], made.value)
    np.testing.assert_allclose(speed[2], velocity + 0.1 * acceleration)


def test_the_input_of_the_servo_makes_it_the_whole_law():
    seen = []
    engine = MujocoEngine(PANDA, MODEL, 1)
    plant = SimulatedPlant(engine)
    start = PANDA.default_position[None].copy()
    plant.reset(start, 0 * start)
    engine.step = lambda control: seen.append(control)  # type: ignore[method-assign]
    velocity, acceleration = np.full((1, 8), 0.1), np.full((1, 8), 2.0)
    acceleration[0, 7] = velocity[0, 7] = 0.0
    made = reference(start, velocity, acceleration, 0.02, 0.7)
    plant.follow(made)
    assert seen[0].shape == (1, 20, 8)
    measured = RobotState(0.0, start[0] + 0.01, np.full(8, 0.3))
    servo = JointPdController(PANDA.stiffness, PANDA.damping, np.full(8, np.inf))
    position, speed = (part[0] for part in made.sample(0.001 * np.arange(19, -1, -1)))
    for step in (0, 7, 19):
        expected = servo.effort(measured, JointCommand(position[step], speed[step], made.effort[0]))
        input_law = PANDA.stiffness * (seen[0][0, step] - measured.joint_position)
        np.testing.assert_allclose(input_law - PANDA.damping * measured.joint_velocity, expected, atol=1e-9)


@pytest.mark.parametrize(("inertia", "error"), [(1.0, 0.004), (0.0, 0.02)])
def test_the_arm_follows_and_lags_without_the_torque(inertia, error):
    """Joint 4 swings with 5 rad/s^2; its inertia is about 1 kg m^2."""
    plant = SimulatedPlant(MujocoEngine(PANDA, MODEL, 1))
    position = PANDA.default_position[None].copy()
    velocity = np.zeros((1, 8))
    plant.reset(position, velocity)
    worst = 0.0
    for step in range(40):
        acceleration = np.zeros((1, 8))
        acceleration[0, 3] = 5.0 if step % 20 < 10 else -5.0
        made = reference(position, velocity, acceleration, 0.02, inertia)
        position, velocity = made.value, made.velocity
        worst = max(worst, abs(plant.follow(made).joint_position[0, 3] - position[0, 3]))
    assert worst < error
