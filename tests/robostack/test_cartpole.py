"""Cart-pole and swing-up: the equations of motion, the dynamics that are unknown, rewards and success."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.records import RobotState
from robostack.make import make_env, simulate
from robostack.tasks.cartpole import CartPole
from robostack.tasks.cartpole_swingup import CartPoleSwingup

FORCE, CART, POLE = 10.0, 1.0, 0.1


def by_the_book(angle: float, rate: float, force: float, gravity: float, half: float) -> tuple[float, float]:
    """Accelerations of pole and cart: Barto, Sutton, Anderson 1983, equations without friction."""
    total = CART + POLE
    common = (force + POLE * half * rate**2 * math.sin(angle)) / total
    turning = (gravity * math.sin(angle) - math.cos(angle) * common) / (
        half * (4.0 / 3.0 - POLE * math.cos(angle) ** 2 / total)
    )
    return turning, common - POLE * half * turning * math.cos(angle) / total


@pytest.mark.parametrize(
    ("gravity", "half", "angle", "rate", "action"),
    [(9.81, 0.5, 0.1, 0.0, 0.0), (9.81, 0.5, 2.0, -1.5, 0.7), (3.0, 0.12, 0.5, 2.0, -1.0), (17.0, 0.88, 3.0, 1.0, 0.3)],
)
def test_it_moves_by_the_published_equations(gravity, half, angle, rate, action):
    plant = simulate(CartPole())
    plant.set_dynamics({"world/gravity": np.array([gravity]), "link:pole/half_length": np.array([half])})
    plant.reset(np.array([[angle, 0.3]]), np.array([[rate, -0.2]]))
    step = 5e-3
    plant.engine.step(np.array([[[0.0, action]]]))
    state = plant.state()
    mean = (state.joint_velocity[0] - np.array([rate, -0.2])) / step
    expected = np.array(by_the_book(angle, rate, FORCE * action, gravity, half))
    # Half a step later: the accelerations change by about as much as the angle does.
    middle = by_the_book(angle + 0.5 * step * rate, rate + 0.5 * step * expected[0], FORCE * action, gravity, half)
    np.testing.assert_allclose(mean, middle, rtol=5e-3, atol=2e-3)


def test_balancing_ends_with_a_fall_and_is_a_success_after_400_steps():
    task = CartPole()
    up, fallen = np.array([0.0, 0.0]), np.array([math.radians(12.1), 0.0])
    outcome, after = task.judge(np.zeros(1), RobotState(0.0, up, np.zeros(2)), {"held_steps": np.array(398.0)})
    assert (float(outcome.reward), bool(outcome.success), bool(outcome.terminated)) == (1.0, False, False)
    outcome, _ = task.judge(np.zeros(1), RobotState(0.0, up, np.zeros(2)), after)
    assert bool(outcome.success)
    for position in (fallen, np.array([0.0, -2.41])):
        assert bool(task.judge(np.zeros(1), RobotState(0.0, position, np.zeros(2)), after)[0].terminated)


def test_swinging_up_earns_by_height_and_succeeds_after_two_seconds_up():
    task = CartPoleSwingup()
    start = task.start(np.random.default_rng(0), 5).joint_position
    assert np.abs(start[:, 0] - math.pi).max() <= 0.05
    hanging, level, up = (np.array([angle, 1.0]) for angle in (math.pi, math.pi / 2, 0.0))
    rewards = [
        float(task.judge(np.zeros(1), RobotState(0.0, position, np.zeros(2)), {"held_steps": np.array(0.0)})[0].reward)
        for position in (hanging, level, up)
    ]
    np.testing.assert_allclose(rewards, [-0.01, 0.49, 0.99])
    moving = RobotState(0.0, up, np.array([5.0, 0.0]))
    assert float(task.judge(np.zeros(1), moving, {"held_steps": np.array(0.0)})[0].reward) == pytest.approx(0.74)
    beyond = RobotState(0.0, np.array([0.0, 2.5]), np.zeros(2))
    outcome, _ = task.judge(np.zeros(1), beyond, {"held_steps": np.array(0.0)})
    assert bool(outcome.terminated) and float(outcome.reward) == pytest.approx(1.0 - 0.0625 - 10.0)
    outcome, after = task.judge(np.zeros(1), RobotState(0.0, up, np.zeros(2)), {"held_steps": np.array(98.0)})
    assert not bool(outcome.success)
    assert bool(task.judge(np.zeros(1), RobotState(0.0, up, np.zeros(2)), after)[0].success)
    assert float(task.judge(np.zeros(1), RobotState(0.0, level, np.zeros(2)), after)[1]["held_steps"]) == 0.0


def test_a_swing_up_by_energy_reaches_the_top():
    """Pumping energy (Astrom and Furuta 2000), then a linear controller: the task can be done with 10 N."""
    env = make_env(CartPoleSwingup(), randomize=False)
    observation, _ = env.reset(seed=0)
    success = False
    for _ in range(500):
        cart, moving, cosine, sine, turning = observation
        angle = math.atan2(sine, cosine)
        if abs(angle) < 0.35 and abs(turning) < 4.0:
            force = 38.0 * angle + 8.0 * turning + 1.0 * cart + 2.0 * moving
        else:  # a force along turning * cosine takes energy out of the pole, one against it puts energy in
            lacking = POLE * (0.5 * (4.0 / 3.0) * 0.5**2 * turning**2 + 9.81 * 0.5 * (cosine - 1.0))
            force = 10.0 * lacking * turning * cosine - 5.0 * cart - 1.0 * moving
        observation, _, terminated, truncated, info = env.step(np.array([np.clip(force / FORCE, -1.0, 1.0)]))
        success = info["success"]
        if terminated or truncated:
            break
    assert success
