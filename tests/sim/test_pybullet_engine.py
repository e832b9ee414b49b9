"""PyBullet as an engine: equal to MuJoCo where nothing touches, plausible where something does."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

pytest.importorskip("pybullet", reason="needs the extra 'pybullet'")

from flying_robot import FLYER, flyer

from hardware.errors import ConfigError, LimitViolationError, UnknownNameError
from hardware.go1 import GO1
from hardware.go1 import SCENE as GO1_SCENE
from hardware.go2 import GO2
from hardware.go2 import SCENE as GO2_SCENE
from hardware.panda import PANDA
from hardware.robot import ROBOTS
from hardware.spec import JointSpec, RobotSpec
from hardware.ur5e import UR5E
from sim.bullet_world import dry_friction
from sim.engine import Engine
from sim.mujoco_engine import MujocoEngine
from sim.pybullet_engine import PybulletEngine

ARM, HAND = ROBOTS.load("ur5e").model, ROBOTS.load("panda").model
CHANGED = {"actuator/latency": 0.01, "link/mass": 1.3, "joint/damping": 2.0, "joint/frictionloss": 2.0}


def start_of(spec: RobotSpec) -> np.ndarray:
    """The default pose, the hand half open: at the limit of a joint engines differ."""
    return np.where(np.array(spec.joint_names) == "gripper", 0.05, spec.default_position)


def sine(spec: RobotSpec, timestep_s: float, seconds: float) -> np.ndarray:
    """Servo targets around the start, (1, steps, num_joints)."""
    times = timestep_s * np.arange(1, round(seconds / timestep_s) + 1)
    amplitude = np.where(np.array(spec.joint_names) == "gripper", 0.01, 0.3)
    return (start_of(spec) + amplitude * np.sin(np.pi * times)[:, None])[None]


@pytest.mark.parametrize(
    ("spec", "model", "timestep_s", "dynamics"),
    [
        (UR5E, ARM, 0.002, {}),
        (UR5E, ARM, 0.002, CHANGED),
        (PANDA, HAND, 0.001, {}),
        (
            PANDA,
            HAND,
            0.001,
            {"link:panda_link4/com_x": 0.02, "link:panda_hand/mass": 2.0, "joint:gripper/damping": 5.0},
        ),
    ],
    ids=["ur5e", "ur5e changed", "panda", "panda changed"],
)
def test_an_arm_in_free_space_moves_as_in_mujoco(spec, model, timestep_s, dynamics):
    engines: list[Engine] = [
        MujocoEngine(spec, model, 1, 1, timestep_s, 0.02),
        PybulletEngine(spec, model, 1, 1, timestep_s, 0.02),
    ]
    states = []
    for engine in engines:
        engine.set_dynamics({name: np.array([value]) for name, value in dynamics.items()})
        engine.reset(start_of(spec)[None], np.zeros((1, len(spec.joints))))
        engine.step(sine(spec, timestep_s, 0.5))
        states.append(engine.state())
    first, second = states
    assert np.abs(first.joint_position - start_of(spec)).max() > 0.2, "it moved"
    # The fingers' rack is soft in MuJoCo and stiff here; joints of the arm agree far better than the 1e-3 asked for.
    soft = np.where(np.array(spec.joint_names) == "gripper", 100.0, 1.0)
    assert (np.abs(second.joint_position - first.joint_position) < 1e-6 * soft).all()
    assert (np.abs(second.joint_velocity - first.joint_velocity) < 1e-5 * soft).all()
    assert (np.abs(second.joint_effort - first.joint_effort) < 1e-3 * soft).all()
    np.testing.assert_allclose(second.tool_position, first.tool_position, atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(second.tool_quaternion * first.tool_quaternion)), 1.0, atol=1e-9)
    np.testing.assert_allclose(second.capture_time_s, 0.5)


def test_changed_dynamics_change_the_motion():
    engine = PybulletEngine(UR5E, ARM, 2, 1, 0.002, 0.02)
    engine.set_dynamics({"actuator/latency": np.array([0.0, 0.02])})
    engine.reset(np.tile(UR5E.default_position, (2, 1)), np.zeros((2, 6)))
    engine.step(np.repeat(sine(UR5E, 0.002, 0.1), 2, axis=0))
    moved = engine.state().joint_position - np.array(UR5E.default_position)
    assert (np.abs(moved[1]) < 0.8 * np.abs(moved[0])).all(), "the late one lags"


BOX = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 0.1" friction="0.3" contype="1" conaffinity="0"/>
    <body name="slider" pos="0 0 1">
      <joint name="rail" type="slide" axis="0 0 1" damping="1"/>
      <geom type="sphere" size="0.05" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="box" pos="0.3 0 0.1" quat="0 1 0 0">
      <freejoint/>
      <inertial pos="0.01 0 0" quat="0.7 0 0.7 0" mass="0.5" diaginertia="0.001 0.001 0.001"/>
      <geom type="box" size="0.1 0.1 0.1" mass="0" friction="0.2" contype="0" conaffinity="1"/>
    </body>
    <body name="ghost" pos="1 0 0.3"><freejoint/><geom size="0.1" contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator><motor joint="rail"/></actuator>
</mujoco>"""
RAIL = RobotSpec(
    name="rail",
    joints=(
        JointSpec(
            "rail",
            position_min=-9.0,
            position_max=9.0,
            velocity_max=1.0,
            acceleration_max=1.0,
            jerk_max=1.0,
            effort_max=100.0,
        ),
    ),
    control_rate_hz=500.0,
    command_modes=("effort",),
    base_frame="world",
)


@pytest.fixture
def rail():
    engine = PybulletEngine(RAIL, mujoco.MjSpec.from_string(BOX), 2)
    engine.reset(np.zeros((2, 1)), np.zeros((2, 1)))
    yield engine
    engine.close()


def test_objects_rest_fall_and_are_put(rail):
    still = np.full((2, 100, 1), 9.81)
    assert rail.state().objects["box"].shape == (2, 7)
    np.testing.assert_allclose(rail.state().objects["box"][0], [0.3, 0, 0.1, 0, 1, 0, 0], atol=1e-9)
    rail.place({"box": np.array([[0.5, 0.1, 0.1, 1, 0, 0, 0]])}, ids=np.array([1]))
    rail.step(still)
    boxes, ghosts = rail.state().objects["box"], rail.state().objects["ghost"]
    np.testing.assert_allclose(boxes[0, :3], [0.3, 0, 0.1], atol=2e-3)
    np.testing.assert_allclose(boxes[1], [0.5, 0.1, 0.1, 1, 0, 0, 0], atol=2e-3)
    assert ghosts[:, 2] == pytest.approx(0.3 - 0.5 * 9.81 * 0.2**2, rel=0.02), "what touches nothing falls freely"


def test_a_pushed_box_slides_with_the_larger_friction(rail):
    simulation = rail._simulations[0]
    p, world = simulation.world._p, simulation.world
    body, _ = world._objects["box"]
    rail.step(np.full((2, 50, 1), 9.81))
    begun = rail.state().objects["box"][0, 0]
    p.resetBaseVelocity(body, [1.0, 0, 0], [0, 0, 0], physicsClientId=world._client)
    rail.step(np.full((2, 400, 1), 9.81))
    distance = rail.state().objects["box"][0, 0] - begun
    assert distance == pytest.approx(1.0 / (2 * 0.3 * 9.81), rel=0.1), "v^2 / (2 mu g) with mu = 0.3 of the floor"


def test_only_the_simulations_asked_for_are_reset(rail):
    rail.step(np.full((2, 50, 1), 20.0))
    before = rail.state()
    rail.reset(np.array([[0.7]]), np.zeros((1, 1)), ids=np.array([False, True]))
    after = rail.state()
    assert after.joint_position[0, 0] == before.joint_position[0, 0]
    assert after.joint_position[1, 0] == 0.7
    np.testing.assert_allclose(after.capture_time_s, [0.1, 0.0])


def test_wrong_names_values_and_bodies_are_refused(rail):
    with pytest.raises(UnknownNameError, match="box"):
        rail.place({"boxx": np.zeros((2, 7))})
    with pytest.raises(UnknownNameError, match="link/mass"):
        rail.set_dynamics({"link/weight": np.ones(2)})
    with pytest.raises(LimitViolationError):
        rail.set_dynamics({"link/mass": -np.ones(2)})
    with pytest.raises(ConfigError, match="mocap"):
        rail.step(np.zeros((2, 1, 1)), {"box": np.zeros((2, 1, 7))})
    with pytest.raises(ConfigError, match="at least 1"):
        PybulletEngine(RAIL, mujoco.MjSpec.from_string(BOX), 0)


def test_a_base_in_flight_moves_as_in_mujoco():
    states = []
    for make in (MujocoEngine, PybulletEngine):
        engine = make(FLYER, flyer(), 1)
        engine.reset(np.zeros((1, 2)), np.zeros((1, 2)))
        engine.step(np.tile([0.3, -0.5], (1, 200, 1)))
        states.append(engine.state())
    first, second = states
    assert np.linalg.norm(first.base_angular_velocity) > 1.0, "it turns"
    for name in ("base_quaternion", "base_angular_velocity", "joint_position", "joint_velocity", "joint_effort"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), atol=1e-9, err_msg=name)
    # MuJoCo integrates the velocity of the base's origin, PyBullet that of its centre of mass.
    np.testing.assert_allclose(second.base_position, first.base_position, atol=2e-5)
    np.testing.assert_allclose(second.base_linear_velocity, first.base_linear_velocity, atol=1e-3)


def test_flight_keeps_momentum_and_is_ballistic():
    """Of a body without torques: its angular momentum is constant, its centre of mass falls."""
    model, engine = flyer().compile(), PybulletEngine(FLYER, flyer(), 1)
    engine.reset(np.zeros((1, 2)), np.array([[3.0, -2.0]]))
    moments, centres = [], []
    for _ in range(3):
        data, base = mujoco.MjData(model), engine._simulations[0].world.base
        data.qpos[:7], data.qvel[:6] = base.state()
        state = engine.state()
        data.qpos[7:], data.qvel[6:] = state.joint_position[0, [1, 0]], state.joint_velocity[0, [1, 0]]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_subtreeVel(model, data)
        moments.append(data.subtree_angmom[0].copy())
        centres.append((data.subtree_com[0].copy(), data.subtree_linvel[0].copy()))
        engine.step(np.zeros((1, 150, 2)))
    assert np.linalg.norm(moments[0]) > 0.05
    np.testing.assert_allclose(moments[2], moments[0], atol=2e-3)
    (start, speed), (end, final) = centres[0], centres[2]
    np.testing.assert_allclose(final - speed, [0.0, 0.0, -9.81 * 0.3], atol=5e-3)
    np.testing.assert_allclose(end - start, speed * 0.3 - [0, 0, 0.5 * 9.81 * 0.3**2], atol=3e-3)


@pytest.mark.parametrize(("spec", "scene"), [(GO1, GO1_SCENE), (GO2, GO2_SCENE)], ids=["go1", "go2"])
def test_a_quadruped_dropped_on_its_feet_stands_as_in_mujoco(spec, scene):
    dynamics = {"link/mass": np.array([1.0, 1.4]), "joint/armature": np.array([1.0, 1.5])}
    pose, states = np.tile(spec.default_position, (2, 1)), []
    for make in (MujocoEngine, PybulletEngine):
        engine = make(spec, scene, 2)
        engine.set_dynamics(dynamics)
        engine.reset(pose, np.zeros((2, 12)))
        engine.step(np.repeat(pose[:, None], 400, axis=1))
        states.append(engine.state())
    first, second = states
    np.testing.assert_allclose(second.base_position[:, 2], first.base_position[:, 2], atol=6e-3)
    np.testing.assert_allclose(np.abs(second.base_quaternion[:, 0]), 1.0, atol=1e-4)
    np.testing.assert_allclose(second.joint_position, first.joint_position, atol=0.05)
    # The calves carry the weight; how feet push against each other is the contacts' own business.
    calves = [name.endswith("calf_joint") for name in spec.joint_names]
    np.testing.assert_allclose(second.joint_effort[:, calves], first.joint_effort[:, calves], atol=0.8)
    assert second.base_position[1, 2] < second.base_position[0, 2] - 2e-3, "the heavy one stands lower"


def test_feet_slip_where_friction_is_low():
    pose = np.tile(GO1.default_position, (2, 1))
    spread = pose + np.where([name.endswith("hip_joint") for name in GO1.joint_names], 0.3, 0.0) * np.where(
        [name.startswith(("FR", "RR")) for name in GO1.joint_names], -1.0, 1.0
    )
    engine = PybulletEngine(GO1, GO1_SCENE, 2)
    engine.set_dynamics({"contact/friction": np.array([1.0, 0.1])})
    engine.reset(pose, np.zeros((2, 12)))
    engine.step(np.repeat(pose[:, None], 150, axis=1))
    engine.step(np.repeat(spread[:, None], 150, axis=1))
    hips = np.abs(engine.state().joint_position[:, [name.endswith("hip_joint") for name in GO1.joint_names]])
    assert (hips[1] > hips[0] + 0.02).all()


def test_a_joint_with_armature_presses_with_its_whole_force():
    """The armature takes part in what contacts do; it must not take from a force at rest."""
    xml = BOX.replace('damping="1"/>', 'damping="1" armature="4"/>').replace(
        'mass="1" contype="0" conaffinity="0"', 'mass="1" contype="0" conaffinity="1"'
    )
    engine = PybulletEngine(RAIL, mujoco.MjSpec.from_string(xml), 1)
    engine.reset(np.full((1, 1), -0.94), np.zeros((1, 1)))
    engine.step(np.full((1, 400, 1), -20.0))
    world = engine._simulations[0].world
    points = world._p.getContactPoints(world._body, physicsClientId=world._client)
    assert sum(point[9] for point in points) == pytest.approx(20.0 + 9.81, rel=1e-3)
    np.testing.assert_allclose(engine.state().joint_velocity, 0.0, atol=1e-4)


def test_dry_friction_by_hand():
    inverse = np.array([[0.5]])  # of 2 kg m^2
    free = np.array([3.0 * 0.5])  # 3 Nm
    slid = dry_friction(np.array([1.0]), free, inverse, np.array([2.0]), 0.01)
    np.testing.assert_allclose(slid, [0.5], atol=1e-12)  # (3 - 2) / 2
    stuck = dry_friction(np.array([0.0]), free, inverse, np.array([4.0]), 0.01)
    np.testing.assert_allclose(stuck, [0.0], atol=1e-12)
    stopping = dry_friction(np.array([0.01]), np.array([0.0]), inverse, np.array([4.0]), 0.01)
    np.testing.assert_allclose(0.01 + 0.01 * stopping, [0.0], atol=1e-12)  # to rest, not backwards


def test_dry_friction_of_coupled_joints_satisfies_its_conditions():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    inverse, loss = root @ root.T + np.eye(4), np.array([0.5, 0.0, 2.0, 0.1])
    velocity, acceleration = rng.normal(size=4), rng.normal(size=4)
    after = dry_friction(velocity, acceleration, inverse, loss, 0.01)
    force = np.linalg.solve(inverse, after - acceleration)
    final = velocity + 0.01 * after
    assert (np.abs(force) <= loss + 1e-6).all()
    sliding = np.abs(final) > 1e-6
    np.testing.assert_allclose(force[sliding], -np.sign(final[sliding]) * loss[sliding], atol=1e-3)
