"""Isaac Gym's engine, end to end with its process: behind it is a stand-in for gymapi with MuJoCo's physics."""

from __future__ import annotations

import sys

import mujoco
import numpy as np
import pytest
from flying_robot import FLYER, flyer

from hardware.errors import ConfigError, LimitViolationError, SimulationError, UnknownNameError
from hardware.go1 import GO1
from hardware.go1 import SCENE as GO1_SCENE
from hardware.panda import PANDA
from hardware.robot import ROBOTS
from hardware.spec import JointSpec, RobotSpec
from hardware.ur5e import UR5E
from sim.isaacgym_engine import IsaacGymEngine
from sim.isaacgym_process import PYTHON_VARIABLE, IsaacGymProcess
from sim.mujoco_engine import MujocoEngine

ARM, HAND = ROBOTS.load("ur5e").model, ROBOTS.load("panda").model


pytestmark = pytest.mark.usefixtures("isaacgym_stand_in")
CHANGED = {"actuator/latency": 0.01, "link/mass": 1.3, "joint/damping": 2.0, "joint/frictionloss": 2.0}


def sine(spec, timestep_s, seconds):
    """Servo targets around the default pose, (1, steps, num_joints)."""
    times = timestep_s * np.arange(1, round(seconds / timestep_s) + 1)
    amplitude = np.where(np.array(spec.joint_names) == "gripper", 0.01, 0.3)
    return (start_of(spec) + amplitude * np.sin(np.pi * times)[:, None])[None]


def start_of(spec):
    return np.where(np.array(spec.joint_names) == "gripper", 0.05, spec.default_position)


@pytest.mark.parametrize(
    ("spec", "model", "timestep_s", "dynamics"),
    [
        (UR5E, ARM, 0.002, CHANGED),
        (PANDA, HAND, 0.001, {"link:panda_link4/com_x": 0.02, "link:panda_hand/mass": 2.0, "joint/armature": 1.5}),
    ],
    ids=["ur5e changed", "panda changed"],
)
def test_an_arm_in_free_space_moves_as_in_mujoco(spec, model, timestep_s, dynamics):
    states = []
    for make in (MujocoEngine, IsaacGymEngine):
        engine = make(spec, model, 1, 1, timestep_s, 0.02)
        engine.set_dynamics({name: np.array([value]) for name, value in dynamics.items()})
        engine.reset(start_of(spec)[None], np.zeros((1, len(spec.joints))))
        engine.step(sine(spec, timestep_s, 0.5))
        states.append(engine.state())
        if isinstance(engine, IsaacGymEngine):
            engine.close()
    first, second = states
    assert np.abs(first.joint_position - start_of(spec)).max() > 0.2, "it moved"
    # The fingers are tied by a soft rack in MuJoCo, and by their drives here.
    soft = np.where(np.array(spec.joint_names) == "gripper", 50.0, 1.0)
    assert (np.abs(second.joint_position - first.joint_position) < 2e-6 * soft).all()
    assert (np.abs(second.joint_velocity - first.joint_velocity) < 1e-4 * soft).all()
    np.testing.assert_allclose(second.joint_effort, first.joint_effort, atol=5e-2)
    np.testing.assert_allclose(second.tool_position, first.tool_position, atol=2e-6)
    np.testing.assert_allclose(np.abs(np.sum(second.tool_quaternion * first.tool_quaternion)), 1.0, atol=1e-6)
    np.testing.assert_allclose(second.capture_time_s, 0.5)


def test_a_quadruped_stands_and_each_simulation_has_its_own_dynamics():
    engine = IsaacGymEngine(GO1, GO1_SCENE, 2)
    engine.set_dynamics({"link/mass": np.array([1.0, 1.5])})
    pose = np.tile(GO1.default_position, (2, 1))
    engine.reset(pose, np.zeros((2, 12)))
    engine.step(np.repeat(pose[:, None], 500, axis=1))
    reference = MujocoEngine(GO1, GO1_SCENE, 2)
    reference.set_dynamics({"link/mass": np.array([1.0, 1.5])})
    reference.reset(pose, np.zeros((2, 12)))
    reference.step(np.repeat(pose[:, None], 500, axis=1))
    found, expected = engine.state(), reference.state()
    np.testing.assert_allclose(found.base_position[:, 2], expected.base_position[:, 2], atol=2e-3)
    assert found.base_position[1, 2] < found.base_position[0, 2] - 2e-3, "the heavy one stands lower"
    np.testing.assert_allclose(np.abs(found.base_quaternion[:, 0]), 1.0, atol=1e-3)
    np.testing.assert_allclose(found.joint_position, expected.joint_position, atol=5e-3)
    engine.close()


def test_a_base_in_flight_moves_as_in_mujoco():
    """PhysX gives the velocity of the centre of mass; a trunk that turns about another point tells them apart."""
    control = np.tile([0.3, -0.5], (1, 200, 1))
    states = []
    for make in (MujocoEngine, IsaacGymEngine):
        engine = make(FLYER, flyer(), 1)
        engine.reset(np.zeros((1, 2)), np.zeros((1, 2)))
        engine.step(control)
        states.append(engine.state())
        if isinstance(engine, IsaacGymEngine):
            engine.close()
    first, second = states
    assert np.linalg.norm(first.base_angular_velocity) > 1.0, "it turns"
    np.testing.assert_allclose(second.base_position, first.base_position, atol=1e-4)
    np.testing.assert_allclose(second.base_quaternion, first.base_quaternion, atol=1e-4)
    np.testing.assert_allclose(second.base_linear_velocity, first.base_linear_velocity, atol=2e-3)
    np.testing.assert_allclose(second.base_angular_velocity, first.base_angular_velocity, atol=2e-3)
    np.testing.assert_allclose(second.joint_position, first.joint_position, atol=1e-4)
    np.testing.assert_allclose(second.joint_effort, first.joint_effort, atol=1e-9)  # 2 N m / unit at the flap


SCENE = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 0.1" friction="0.6"/>
    <geom name="table" type="box" size="0.1 0.1 0.1" pos="2 0 0.1" friction="0.6"/>
    <body name="slider" pos="0 0 1">
      <joint name="rail" type="slide" axis="0 0 1" stiffness="50" springref="0.1" damping="14"/>
      <geom type="sphere" size="0.05" mass="1" contype="0" conaffinity="0"/>
      <site name="tip" pos="0 0 -0.1"/>
    </body>
    <body name="box" pos="0.3 0 0.1"><freejoint/><geom type="box" size="0.1 0.1 0.1" mass="0.5" friction="0.2"/></body>
  </worldbody>
</mujoco>"""
RAIL = RobotSpec(
    name="rail",
    joints=(JointSpec("rail", -9.0, 9.0, 1.0, 1.0, 1.0, 100.0),),
    control_rate_hz=500.0,
    command_modes=("effort",),
    base_frame="world",
    tool_frame="tip",
)


@pytest.fixture(scope="module")
def rail_engine(isaacgym_stand_in):
    engine = IsaacGymEngine(RAIL, mujoco.MjSpec.from_string(SCENE), 3, latency_max_s=0.01)
    yield engine
    engine.close()


@pytest.fixture
def rail(rail_engine):
    rail_engine.set_dynamics({"link/mass": np.ones(3), "contact/friction": np.ones(3)})
    rail_engine.reset(np.zeros((3, 1)), np.zeros((3, 1)))
    return rail_engine


def test_a_passive_joint_keeps_its_spring_and_damping(rail):
    rail.step(np.zeros((3, 800, 1)))
    state = rail.state()
    np.testing.assert_allclose(state.joint_position, 0.1 - 9.81 / 50.0, atol=1e-4)  # k (0.1 - q) = m g
    np.testing.assert_allclose(state.joint_effort, 0.0)
    np.testing.assert_allclose(state.tool_position[:, 2], 0.9 + 0.1 - 9.81 / 50.0, atol=1e-4)


def test_objects_are_put_only_where_asked_for(rail):
    rail.place({"box": np.array([[0.5, 0.1, 0.1, 1, 0, 0, 0]])}, ids=np.array([2]))
    rail.step(np.zeros((3, 50, 1)))
    boxes = rail.state().objects["box"]
    np.testing.assert_allclose(boxes[0], [0.3, 0, 0.1, 1, 0, 0, 0], atol=2e-3)
    np.testing.assert_allclose(boxes[2], [0.5, 0.1, 0.1, 1, 0, 0, 0], atol=2e-3)
    rail.reset(np.full((1, 1), 0.3), np.zeros((1, 1)), ids=np.array([False, False, True]))
    state = rail.state()
    np.testing.assert_allclose(state.objects["box"][2, :3], [0.3, 0, 0.1], atol=1e-6)
    np.testing.assert_allclose(state.joint_position[2], 0.3, atol=1e-6)
    np.testing.assert_allclose(state.capture_time_s, [0.1, 0.1, 0.0])


def test_a_late_actuator_answers_late():
    model = mujoco.MjSpec.from_string(SCENE)
    model.add_actuator(name="rail", target="rail", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    engine = IsaacGymEngine(RAIL, model, 3, latency_max_s=0.01)
    engine.set_dynamics({"actuator/latency": np.array([0.01, 0.0, 0.004])}, ids=np.array([2, 0, 1]))
    engine.reset(np.zeros((3, 1)), np.zeros((3, 1)))
    seen = []
    for _ in range(7):
        engine.step(np.full((3, 1, 1), 7.0))
        seen.append(engine.state().joint_effort[:, 0])
    spring = 50.0 * 0.1  # the drive's share that the actuator does not have is small at the start
    first = [int(np.argmax(np.array(seen)[:, row] > 5.0 + 0.5 * spring)) for row in range(3)]
    assert first == [0, 2, 5]
    engine.close()


def test_wrong_names_values_and_bodies_are_refused(rail):
    with pytest.raises(UnknownNameError, match="box"):
        rail.place({"boxx": np.zeros((3, 7))})
    with pytest.raises(UnknownNameError, match="link/mass"):
        rail.set_dynamics({"link/weight": np.ones(3)})
    with pytest.raises(LimitViolationError):
        rail.set_dynamics({"link/mass": -np.ones(3)})
    with pytest.raises(ConfigError, match="half of that"):
        rail.set_dynamics({"contact/friction": np.full(3, 0.4)})
    with pytest.raises(ConfigError, match="mocap"):
        rail.step(np.zeros((3, 1, 1)), {"box": np.zeros((3, 1, 7))})
    with pytest.raises(ConfigError, match="at least 1"):
        IsaacGymEngine(RAIL, mujoco.MjSpec.from_string(SCENE), 0)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("", f"{PYTHON_VARIABLE} is not set.*Python 3.6 to 3.8.*NVIDIA GPU"),
        ("/no/such/python", "cannot be started"),
        (sys.executable, "No module named 'isaacgym'.*developer.nvidia.com"),
    ],
)
def test_without_isaac_gym_one_error_says_what_to_do(monkeypatch, python, message):
    monkeypatch.setenv(PYTHON_VARIABLE, python)
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(ConfigError, match=message):
        IsaacGymEngine(RAIL, mujoco.MjSpec.from_string(SCENE), 1)


def test_a_process_that_dies_is_reported_with_its_last_words(monkeypatch):
    process = IsaacGymProcess()
    with pytest.raises(SimulationError, match="KeyError: 'substeps'"):
        process.call("build", {}, scene={"count": 1, "timestep_s": 0.01})
    with pytest.raises(SimulationError, match="no longer runs"):
        process.call("state", {})
