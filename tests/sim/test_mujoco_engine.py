"""The MuJoCo engine against plain mj_step loops, and what it does when something is wrong."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError, SimulationError, UnknownNameError
from hardware.spec import JointSpec, RobotSpec
from sim.engine import Engine
from sim.mujoco_engine import MujocoEngine

# The model's order of joints and actuators differs from the robot's, and the base is turned and displaced.
ARM = """
<mujoco>
  <option timestep="0.002" integrator="implicitfast"/>
  <worldbody>
    <body name="box" pos="3 0 0"><joint name="box_slide" type="slide"/><geom size="0.1" mass="1"/></body>
    <body name="base" pos="0.1 0.2 0.3" quat="1 0 0 1">
      <geom size="0.05" mass="1"/>
      <body name="upper"><joint name="b" axis="0 1 0" armature="0.01"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="1"/>
        <body name="lower" pos="0.3 0 0"><joint name="a" axis="1 0 0" armature="0.01"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0.1" size="0.02" mass="0.5"/>
          <body name="tip" pos="0.2 0 0.1"><joint name="c" axis="0 0 1" armature="0.01" damping="0.01"/>
            <geom size="0.03" mass="0.2"/><site name="tool" pos="0.05 0 0" quat="1 1 0 0"/></body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="to_a" joint="a" kp="50" kv="2"{delay}/>
    <position name="to_b" joint="b" kp="80" kv="3"{delay}/>
  </actuator>
</mujoco>
"""


def spec(names: tuple[str, ...] = ("b", "c", "a"), base: str = "base", tool: str | None = "tool") -> RobotSpec:
    return RobotSpec(
        name="arm",
        joints=tuple(JointSpec(name, -3.0, 3.0, 3.0, 10.0, 100.0, 50.0) for name in names),
        control_rate_hz=500.0,
        command_modes=("position",),
        base_frame=base,
        tool_frame=tool,
    )


def arm(delay: str = "") -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(ARM.replace("{delay}", delay))


START = np.array([[0.3, -0.2, 0.5], [0.1, 0.2, -0.4], [-0.6, 0.0, 0.2]])
SPEED = np.array([[0.1, 0.0, -0.3], [0.0, 0.5, 0.0], [0.2, 0.1, 0.1]])


@pytest.fixture
def engine() -> MujocoEngine:
    made = MujocoEngine(spec(), arm(), count=3)
    made.reset(START, SPEED)
    return made


def loop(control: np.ndarray, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The same simulation stepped by hand, addressed by name."""
    model = arm().compile()
    data = mujoco.MjData(model)
    for index, name in enumerate(("b", "c", "a")):
        data.joint(name).qpos[:], data.joint(name).qvel[:] = START[row, index], SPEED[row, index]
    mujoco.mj_forward(model, data)
    for inputs in control[row]:
        data.actuator("to_b").ctrl[:], data.actuator("to_a").ctrl[:] = inputs[0], inputs[2]
        mujoco.mj_step(model, data)
    return model, data


def test_it_is_an_engine(engine: MujocoEngine) -> None:
    as_protocol: Engine = engine
    assert (as_protocol.count, as_protocol.timestep_s) == (3, 0.002)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_stepping_equals_a_loop_bit_for_bit(engine: MujocoEngine, steps: int) -> None:
    control = np.random.default_rng(0).uniform(-1.0, 1.0, (3, steps, 3))
    engine.step(control)
    state = engine.state()
    for row in range(3):
        _, data = loop(control, row)
        for index, name in enumerate(("b", "c", "a")):
            assert state.joint_position[row, index] == data.joint(name).qpos[0]
            assert state.joint_velocity[row, index] == data.joint(name).qvel[0]
            assert state.joint_effort is not None
            assert state.joint_effort[row, index] == data.joint(name).qfrc_actuator[0]
        assert state.capture_time_s[row] == data.time


def test_a_broadcast_control_equals_the_same_numbers_written_out(engine: MujocoEngine) -> None:
    value = np.array([[0.4, 0.0, -0.1], [0.1, 0.0, 0.2], [0.3, 0.0, 0.3]])
    engine.step(np.broadcast_to(value[:, None, :], (3, 15, 3)))
    fast = engine.state()
    engine.reset(START, SPEED)
    engine.step(np.repeat(value[:, None, :], 15, axis=1))
    assert np.array_equal(engine.state().joint_position, fast.joint_position)
    assert np.array_equal(engine.state().joint_effort, fast.joint_effort)


def test_threads_do_not_change_results(engine: MujocoEngine) -> None:
    threaded = MujocoEngine(spec(), arm(), count=3, threads=2)
    threaded.reset(START, SPEED)
    control = np.random.default_rng(1).uniform(-1.0, 1.0, (3, 50, 3))
    for one in (engine, threaded):
        one.step(control)
    assert np.array_equal(engine.batch.state, threaded.batch.state)


def test_the_tool_pose_is_of_now_and_in_the_base_frame(engine: MujocoEngine) -> None:
    control = np.random.default_rng(2).uniform(-1.0, 1.0, (3, 20, 3))
    engine.step(control)
    state = engine.state()
    model, data = loop(control, 1)
    mujoco.mj_forward(model, data)
    base_rotation, tool = data.body("base").xmat.reshape(3, 3), data.site("tool")
    assert state.tool_position is not None and state.tool_quaternion is not None
    assert np.allclose(state.tool_position[1], base_rotation.T @ (tool.xpos - data.body("base").xpos), atol=1e-12)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, state.tool_quaternion[1])
    assert np.allclose(rotation.reshape(3, 3), base_rotation.T @ tool.xmat.reshape(3, 3), atol=1e-12)


def test_a_state_does_not_change_when_the_engine_goes_on(engine: MujocoEngine) -> None:
    before = engine.state()
    kept = before.joint_position.copy(), before.tool_position.copy(), before.capture_time_s.copy()
    engine.step(np.zeros((3, 5, 3)))
    assert np.array_equal(before.joint_position, kept[0])
    assert np.array_equal(before.tool_position, kept[1])
    assert np.array_equal(before.capture_time_s, kept[2])


@pytest.mark.parametrize("ids", [np.array([2, 0]), np.array([True, False, True])])
def test_reset_of_some_leaves_the_others(engine: MujocoEngine, ids: np.ndarray) -> None:
    engine.step(np.zeros((3, 7, 3)))
    before = engine.state()
    # The mask goes in ascending order, the list of ids in its own.
    position = START[[2, 0]] if ids.dtype != np.bool_ else START[[0, 2]]
    engine.reset(position, np.zeros((2, 3)), ids)
    after = engine.state()
    assert np.array_equal(after.joint_position[[0, 2]], START[[0, 2]])
    assert np.array_equal(after.joint_position[1], before.joint_position[1])
    assert after.capture_time_s.tolist() == [0.0, before.capture_time_s[1], 0.0]


def test_a_reset_repeats_exactly(engine: MujocoEngine) -> None:
    control = np.random.default_rng(3).uniform(-1.0, 1.0, (3, 30, 3))
    engine.step(control)
    first = engine.state()
    engine.step(control)
    engine.reset(START, SPEED)
    engine.step(control)
    assert np.array_equal(engine.state().joint_position, first.joint_position)


def test_servos_start_at_their_target_even_when_delayed() -> None:
    """Without filling the history a delayed servo pulls towards zero for the whole delay."""
    model = arm(' delay="0.02" nsample="12"')
    model.option.gravity = [0.0, 0.0, 0.0]
    engine = MujocoEngine(spec(), model, count=2)
    engine.reset(START[:2], np.zeros((2, 3)))
    for _ in range(5):
        engine.step(np.broadcast_to(START[:2, None, :], (2, 4, 3)))
        state = engine.state()
        assert np.abs(state.joint_effort).max() < 1e-9
        assert np.allclose(state.joint_position, START[:2], atol=1e-9)


def test_the_state_after_a_reset_is_complete(engine: MujocoEngine) -> None:
    effort = engine.state().joint_effort
    # A servo at its target resists the speed: -kv v, for b and a; c is passive.
    assert np.allclose(effort, SPEED * np.array([-3.0, 0.0, -2.0]))


def test_a_filtered_servo_starts_at_its_target() -> None:
    model = arm(' timeconst="0.05"')
    model.option.gravity = [0.0, 0.0, 0.0]
    engine = MujocoEngine(spec(), model, count=2)
    engine.reset(START[[1]], np.zeros((1, 3)), np.array([1]))
    engine.step(np.broadcast_to(START[:2, None, :], (2, 10, 3)))
    assert np.allclose(engine.state().joint_position[1], START[1], atol=1e-9)


def test_a_delayed_sensor_reads_the_start_state_after_a_reset() -> None:
    model = arm()
    sensor = model.add_sensor(type=mujoco.mjtSensor.mjSENS_JOINTPOS, objtype=mujoco.mjtObj.mjOBJ_JOINT, objname="a")
    sensor.delay, sensor.nsample = 0.02, 12
    engine = MujocoEngine(spec(), model, count=2)
    reading = engine.batch.bind("sensordata")
    engine.reset(START[:2], SPEED[:2])
    for _ in range(9):
        engine.step(np.zeros((2, 1, 3)))
        assert np.allclose(reading[:, 0], START[:2, 2], atol=1e-12)
    for _ in range(10):
        engine.step(np.zeros((2, 1, 3)))
    assert not np.allclose(reading[:, 0], START[:2, 2], atol=1e-3)


def test_a_floating_base_is_part_of_the_state() -> None:
    model = mujoco.MjSpec.from_string("""
    <mujoco><option gravity="0 0 0"/><worldbody><body name="trunk" pos="0 0 1"><freejoint/><geom size="0.1" mass="1"/>
      <body name="leg"><joint name="hip" axis="0 1 0"/><geom size="0.02" pos="0 0 -0.2" mass="0.1"/></body>
    </body></worldbody></mujoco>""")
    engine = MujocoEngine(spec(("hip",), base="trunk", tool=None), model, count=2)
    engine.reset(np.zeros((2, 1)), np.zeros((2, 1)))
    assert np.array_equal(engine.state().base_position, [[0.0, 0.0, 1.0]] * 2)
    # A quarter turn about z: the base's x axis is the world's y axis.
    engine.qpos[1, 3:7] = np.sqrt(0.5) * np.array([1.0, 0.0, 0.0, 1.0])
    engine.qvel[1, :3], engine.qvel[1, 3:6] = [0.0, 2.0, 0.5], [0.1, 0.2, 0.3]
    state = engine.state()
    assert np.allclose(state.base_linear_velocity[1], [2.0, 0.0, 0.5], atol=1e-12)
    assert np.allclose(state.base_angular_velocity[1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("poison", [np.nan, 1e30])
def test_a_failed_simulation_is_named_and_a_reset_mends_it(engine: MujocoEngine, poison: float) -> None:
    engine.qvel[1, 0] = poison
    with pytest.raises(SimulationError, match="simulation 1 of 3 failed"):
        engine.step(np.zeros((3, 4, 3)))
    engine.reset(START[[1]], SPEED[[1]], np.array([1]))
    engine.step(np.zeros((3, 4, 3)))


def test_a_control_that_is_not_finite_is_an_error(engine: MujocoEngine) -> None:
    control = np.zeros((3, 4, 3))
    control[2, 1, 0] = np.nan
    with pytest.raises(SimulationError, match="simulation 2 of 3"):
        engine.step(control)


def test_names_that_the_model_lacks() -> None:
    with pytest.raises(UnknownNameError, match="'elbow'.*Available: a, b, box_slide, c"):
        MujocoEngine(spec(("a", "elbow")), arm(), count=1)
    with pytest.raises(UnknownNameError, match="site of the model 'gripper'.*Available: tool"):
        MujocoEngine(spec(tool="gripper"), arm(), count=1)


def test_models_that_do_not_fit() -> None:
    twice = arm()
    twice.add_actuator(name="again", target="a", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    with pytest.raises(ConfigError, match="'a' has 2 actuators"):
        MujocoEngine(spec(), twice, count=1)
    with pytest.raises(ConfigError, match="moves with a joint"):
        MujocoEngine(spec(base="upper"), arm(), count=1)
    with pytest.raises(ConfigError, match="at least 1"):
        MujocoEngine(spec(), arm(), count=0)


def test_a_file_that_cannot_be_compiled_is_named(tmp_path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<mujoco><worldbody><geom size='-1'/></worldbody></mujoco>")
    with pytest.raises(ConfigError, match="broken.xml"):
        MujocoEngine(spec(), broken, count=1)
    with pytest.raises(ConfigError, match="absent.xml"):
        MujocoEngine(spec(), tmp_path / "absent.xml", count=1)


def test_the_physics_step_can_be_chosen_and_the_given_model_stays_as_it_is() -> None:
    given = arm()
    assert MujocoEngine(spec(), given, count=1, timestep_s=0.001).timestep_s == 0.001
    compiled = given.compile()
    assert MujocoEngine(spec(), compiled, count=1, timestep_s=0.004).timestep_s == 0.004
    assert compiled.opt.timestep == given.option.timestep == 0.002


def test_a_snapshot_is_current_in_every_field(engine: MujocoEngine) -> None:
    engine.step(np.zeros((3, 5, 3)))
    _, data = engine.snapshot(2)
    assert data.joint("a").qpos[0] == engine.state().joint_position[2, 2]
    world = data.site("tool").xpos
    base = data.body("base").xmat.reshape(3, 3).T @ (world - data.body("base").xpos)
    assert np.allclose(base, engine.state().tool_position[2], atol=1e-12)


@pytest.mark.parametrize(
    ("actuator", "message"),
    [
        ("", "no actuator on it, but stiffness is 30"),
        ('<position joint="bend" kp="10" kv="2"/>', "30 and 2 in the description, kp and kv are 10 and 2"),
        ('<position joint="bend" kp="30" kv="2"/>', None),
    ],
)
def test_the_gains_of_model_and_description_must_agree(actuator, message):
    import mujoco

    from hardware.spec import JointSpec, RobotSpec

    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody><body name="base"><joint name="bend" range="-1 1"/><geom size="0.1" mass="1"/></body>
        </worldbody><actuator>{actuator}</actuator></mujoco>"""
    )
    limits = {"velocity_max": 1.0, "acceleration_max": 1.0, "jerk_max": 1.0, "effort_max": 1.0}
    joint = JointSpec("bend", -1.0, 1.0, stiffness=30.0, damping=2.0, **limits)
    spec = RobotSpec("pendo", (joint,), 100.0, ("position",), "world")
    if message is None:
        assert MujocoEngine(spec, model, 1).count == 1
        return
    with pytest.raises(ConfigError, match=message):
        MujocoEngine(spec, model, 1)
