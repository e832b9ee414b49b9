"""MuJoCo Warp on its CPU device: the same numbers as MuJoCo but for 32 bits, each world with its own dynamics.

Kernels are compiled for each model, which takes about half a minute of a CPU the first time.
"""

from __future__ import annotations

import sys

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError, LimitViolationError, MissingExtraError, SimulationError, UnknownNameError
from hardware.go1 import GO1
from hardware.go1 import SCENE as GO1_SCENE
from hardware.robot import ROBOTS
from hardware.spec import JointSpec, RobotSpec
from hardware.ur5e import UR5E
from sim.engine import ENGINES
from sim.mujoco_engine import MujocoEngine
from sim.mujoco_warp_engine import MujocoWarpEngine

ARM = ROBOTS.load("ur5e").model
START = np.tile(UR5E.default_position, (3, 1))
CHANGED = {
    "actuator/latency": [0.0, 0.004, 0.02],
    "link/mass": [1.0, 1.3, 0.8],
    "link:forearm/com_x": [-0.15, -0.2, -0.1],
    "joint/damping": [1.0, 2.0, 0.5],
    "joint/frictionloss": [1.0, 2.0, 0.5],
    "joint/armature": [1.0, 1.2, 0.9],
    "actuator/stiffness": [1.0, 0.8, 1.2],
}


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(MissingExtraError, match=r"mujoco-warp.*robostack-learning\[warp\]"):
        ENGINES.load("mujoco-warp").open(UR5E, ARM, 1, 1, 0.002, 0.0)


@pytest.fixture(scope="module")
def needs_warp():
    pytest.importorskip("mujoco_warp", reason="needs the extra 'warp'")


@pytest.fixture(scope="module")
def arm(needs_warp):
    return MujocoWarpEngine(UR5E, ARM, 3, 1, 0.002, 0.02, device="cpu")


def sine(seconds):
    times = 0.002 * np.arange(1, round(seconds / 0.002) + 1)
    return np.repeat((np.array(UR5E.default_position) + 0.3 * np.sin(np.pi * times)[:, None])[None], 3, axis=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_arm_in_free_space_moves_as_in_mujoco(arm):
    states = []
    for engine in (MujocoEngine(UR5E, ARM, 3, 1, 0.002, 0.02), arm):
        engine.set_dynamics({name: np.array(values) for name, values in CHANGED.items()})
        engine.reset(START, np.zeros((3, 6)))
        engine.step(sine(0.5))
        states.append(engine.state())
    first, second = states
    assert np.abs(first.joint_position - START).max() > 0.2, "it moved"
    assert np.ptp(first.joint_position, axis=0).max() > 1e-3, "each world in its own way"
    np.testing.assert_allclose(second.joint_position, first.joint_position, atol=5e-6)  # 3e-7 measured
    np.testing.assert_allclose(second.joint_velocity, first.joint_velocity, atol=1e-4)
    np.testing.assert_allclose(second.joint_effort, first.joint_effort, atol=2e-2)
    np.testing.assert_allclose(second.tool_position, first.tool_position, atol=5e-6)
    np.testing.assert_allclose(np.abs(np.sum(second.tool_quaternion * first.tool_quaternion, axis=1)), 1.0, atol=1e-5)
    np.testing.assert_allclose(second.capture_time_s, 0.5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reset_of_some_leaves_the_others(arm):
    arm.reset(START, np.zeros((3, 6)))
    arm.step(sine(0.02))
    before = arm.state()
    arm.reset(START[:1] + 0.1, np.ones((1, 6)), ids=np.array([1]))
    after = arm.state()
    for name in ("joint_position", "joint_velocity", "joint_effort", "capture_time_s", "tool_position"):
        np.testing.assert_array_equal(getattr(after, name)[[0, 2]], getattr(before, name)[[0, 2]], err_msg=name)
    np.testing.assert_allclose(after.joint_position[1], START[0] + 0.1, atol=1e-6)
    assert after.capture_time_s[1] == 0.0
    np.testing.assert_allclose(arm.snapshot(1)[0].body_mass.sum() / arm.snapshot(0)[0].body_mass.sum(), 1.3, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wrong_names_values_and_states_are_refused(arm):
    with pytest.raises(UnknownNameError, match="link/mass"):
        arm.set_dynamics({"link/weight": np.ones(3)})
    with pytest.raises(LimitViolationError):
        arm.set_dynamics({"link/mass": -np.ones(3)})
    arm.reset(START, np.zeros((3, 6)))
    with pytest.raises(SimulationError, match="simulation 2 of 3.*BADCTRL"):
        arm.step(np.where(np.arange(3) == 2, np.nan, START.T).T[:, None])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quadruped_stands_as_in_mujoco(needs_warp):
    pose, states = np.tile(GO1.default_position, (2, 1)), []
    for engine in (MujocoEngine(GO1, GO1_SCENE, 2), MujocoWarpEngine(GO1, GO1_SCENE, 2, device="cpu")):
        engine.set_dynamics({"link/mass": np.array([1.0, 1.5]), "contact/friction": np.array([1.0, 0.5])})
        engine.reset(pose, np.zeros((2, 12)))
        engine.step(np.broadcast_to(pose[:, None], (2, 300, 12)))
        states.append(engine.state())
    first, second = states
    np.testing.assert_allclose(second.base_position, first.base_position, atol=2e-3)
    np.testing.assert_allclose(second.base_quaternion, first.base_quaternion, atol=2e-3)
    np.testing.assert_allclose(second.joint_position, first.joint_position, atol=5e-3)
    assert second.base_position[1, 2] < second.base_position[0, 2] - 2e-3, "the heavy one stands lower"


SCENE = """
<mujoco>
  <worldbody>
    <body name="base" pos="1 2 0.5" quat="1 0 0 1">
      <body name="arm"><joint name="turn" axis="0 0 1"/><geom type="box" size="0.1 0.02 0.02" pos="0.1 0 0"/></body>
    </body>
    <body name="ball" pos="1 3 0.5"><freejoint/><geom type="sphere" size="0.05"/></body>
    <body name="wall" mocap="true" pos="3 3 0.5"><geom type="box" size="0.1 0.1 0.1"/></body>
  </worldbody>
  <actuator><position name="turn" joint="turn" kp="10"/></actuator>
</mujoco>"""
STICK = RobotSpec(
    "stick", (JointSpec("turn", -3.0, 3.0, 2.0, 10.0, 100.0, 50.0, stiffness=10.0),), 500.0, ("position",), "base"
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_objects_fall_and_mocap_bodies_follow_their_path(needs_warp):
    engine = MujocoWarpEngine(STICK, mujoco.MjSpec.from_string(SCENE), 2, device="cpu")
    engine.reset(np.zeros((2, 1)), np.zeros((2, 1)))
    engine.place({"ball": np.array([[0.4, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]])}, ids=np.array([1]))
    path = np.tile([2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (2, 50, 1))
    path[..., 1] = np.linspace(0.0, 0.49, 50)
    engine.step(np.zeros((2, 50, 1)), {"wall": path})
    objects = engine.state().objects
    np.testing.assert_allclose(objects["wall"][:, :3], [[2.0, 0.49, 0.0]] * 2, atol=1e-6)
    fallen = 0.5 * 9.81 * 0.1**2
    np.testing.assert_allclose(objects["ball"][:, 2], [-fallen, 1.0 - fallen], atol=2e-3)
    np.testing.assert_allclose(objects["ball"][1, :2], [0.4, 0.0], atol=1e-5)


@pytest.mark.slow
def test_what_warp_cannot_do_is_refused(needs_warp):
    spec = mujoco.MjSpec.from_string(SCENE)
    spec.option.noslip_iterations = 3
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_DISCRETE
    with pytest.raises(ConfigError, match="mujoco-warp.*noslip"):
        MujocoWarpEngine(STICK, spec, 1, device="cpu")
