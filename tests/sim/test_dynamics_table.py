"""Every dynamics parameter lands in the model, what MuJoCo derives from it follows, and delays are exact."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError, LimitViolationError, UnknownNameError
from hardware.spec import JointSpec, RobotSpec
from hardware.ur5e import SCENE, UR5E
from sim.dynamics_table import ROWS, field_of, targets
from sim.mujoco_engine import MujocoEngine

XML = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1" friction="0.8"/>
    <body name="upper" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0" armature="0.02" damping="0.3" frictionloss="0.1"/>
      <inertial pos="0.1 0 0" mass="2" diaginertia="0.02 0.03 0.04"/>
      <geom name="upper" type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" friction="0.5"/>
      <body name="lower" pos="0.3 0 0"><joint name="elbow" axis="0 1 0" armature="0.01" damping="0.2"/>
        <inertial pos="0.1 0.02 0" mass="1" diaginertia="0.01 0.012 0.014"/>
        <geom name="lower" type="capsule" fromto="0 0 0 0.2 0 0" size="0.02"/></body>
    </body>
    <body name="rod"><inertial pos="0 0 0.5" mass="0.3" diaginertia="0.025 0.025 1e-4"/></body>
  </worldbody>
  <contact><pair geom1="floor" geom2="lower" friction="0.6 0.6"/></contact>
  <actuator>
    <position name="shoulder" joint="shoulder" kp="100" kv="5"/>
    <motor name="elbow" joint="elbow" gear="3"/>
  </actuator>
</mujoco>
"""
ROBOT = RobotSpec(
    name="two",
    joints=tuple(JointSpec(name, -3.0, 3.0, 3.0, 10.0, 100.0, 50.0) for name in ("elbow", "shoulder")),
    control_rate_hz=500.0,
    command_modes=("position",),
    base_frame="world",
)


def make(count: int = 3, latency_max_s: float = 0.0, xml: str = XML) -> MujocoEngine:
    return MujocoEngine(ROBOT, mujoco.MjSpec.from_string(xml), count, latency_max_s=latency_max_s)


def _mass(spec: mujoco.MjSpec, names: tuple[str, ...], factor: float) -> None:
    for name in names:
        spec.body(name).mass *= factor
        spec.body(name).inertia *= factor


def _com(axis: int) -> Callable[[mujoco.MjSpec], None]:
    def edit(spec: mujoco.MjSpec) -> None:
        position = np.array(spec.body("lower").ipos)
        position[axis] = -0.03
        spec.body("lower").ipos = position

    return edit


def _joint(attribute: str, value: float) -> Callable[[mujoco.MjSpec], None]:
    def edit(spec: mujoco.MjSpec) -> None:
        if attribute == "damping":  # a polynomial of the speed
            spec.joint("elbow").damping[0] = value
        else:
            setattr(spec.joint("elbow"), attribute, value)

    return edit


def _joints(attribute: str) -> Callable[[mujoco.MjSpec], None]:
    def edit(spec: mujoco.MjSpec) -> None:
        for joint in spec.joints:
            setattr(joint, attribute, np.asarray(getattr(joint, attribute)) * 1.5)

    return edit


def _stiffness(spec: mujoco.MjSpec) -> None:
    for actuator in spec.actuators:
        actuator.gainprm[0] *= 1.5
        actuator.biasprm[1] *= 1.5


def _servo_damping(spec: mujoco.MjSpec) -> None:
    for actuator in spec.actuators:
        actuator.biasprm[2] *= 1.5


def _friction(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        geom.friction[0] *= 1.5
    for pair in spec.pairs:
        pair.friction[:2] *= 1.5


def _half_length(spec: mujoco.MjSpec) -> None:
    rod = spec.body("rod")
    rod.ipos, rod.inertia = [0.0, 0.0, 0.8], [0.3 * 0.8**2 / 3.0, 0.3 * 0.8**2 / 3.0, 1e-4]


def _contact(spec: mujoco.MjSpec) -> None:
    spec.geom("upper").friction[0] = 1.2


# Parameter, value, and the same change made by hand before compiling.
CASES: list[tuple[str, float, Callable[[mujoco.MjSpec], None]]] = [
    ("link:lower/mass", 1.7, lambda spec: _mass(spec, ("lower",), 1.7)),
    ("link/mass", 1.5, lambda spec: _mass(spec, ("upper", "lower", "rod"), 1.5)),
    ("link:lower/com_x", -0.03, _com(0)),
    ("link:lower/com_y", -0.03, _com(1)),
    ("link:lower/com_z", -0.03, _com(2)),
    ("joint:elbow/damping", 0.7, _joint("damping", 0.7)),
    ("joint/damping", 1.5, _joints("damping")),
    ("joint:elbow/armature", 0.07, _joint("armature", 0.07)),
    ("joint/armature", 1.5, _joints("armature")),
    ("joint:elbow/frictionloss", 0.4, _joint("frictionloss", 0.4)),
    ("joint/frictionloss", 1.5, _joints("frictionloss")),
    ("actuator/stiffness", 1.5, _stiffness),
    ("actuator/damping", 1.5, _servo_damping),
    ("contact/friction", 1.5, _friction),
    ("contact:upper/friction", 1.2, _contact),
    ("link:rod/half_length", 0.8, _half_length),
    ("world/gravity", 5.0, lambda spec: setattr(spec.option, "gravity", [0.0, 0.0, -5.0])),
    ("medium/viscosity", 0.3, lambda spec: setattr(spec.option, "viscosity", 0.3)),
]
DERIVED = (
    "body_mass", "body_inertia", "body_ipos", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0",
    "dof_damping", "dof_armature", "dof_frictionloss", "actuator_gainprm", "actuator_biasprm", "actuator_acc0",
    "geom_friction", "pair_friction", "opt.gravity", "opt.viscosity",
)  # fmt: skip


@pytest.mark.parametrize(("name", "value", "edit"), CASES, ids=[case[0] for case in CASES])
def test_a_parameter_equals_a_model_compiled_with_it(name: str, value: float, edit: Callable) -> None:
    engine = make()
    nominal = targets(ROBOT, engine.model)[name].nominal
    engine.set_dynamics({name: np.array([nominal, value])}, np.array([0, 2]))
    by_hand = mujoco.MjSpec.from_string(XML)
    edit(by_hand)
    expected, plain = by_hand.compile(), mujoco.MjSpec.from_string(XML).compile()
    assert any(not np.allclose(field_of(expected, field), field_of(plain, field)) for field in DERIVED), "case is void"
    for field in DERIVED:
        for simulation, model in ((0, plain), (1, plain), (2, expected)):
            found = field_of(engine.batch.get_model(simulation), field)
            assert np.allclose(found, field_of(model, field), rtol=1e-9, atol=1e-12), (simulation, field)


def test_every_kind_of_parameter_is_tested() -> None:
    tested = {(name.split("/")[0].split(":")[0], name.split("/")[1], ":" in name) for name, _, _ in CASES}
    # The latency has its own tests below, lengths are in test_link_length.py.
    assert tested | {("actuator", "latency", False), ("link", "length", True)} == {
        (row.kind, row.quantity, row.each) for row in ROWS
    }


def test_a_parameter_changes_the_motion_as_a_model_compiled_with_it() -> None:
    """Not only the fields: the motion too, with servo, friction and inertia changed at once."""
    engine = make(2)
    engine.set_dynamics(
        {"link:lower/mass": np.array([1.7]), "joint/damping": np.array([1.5]), "actuator/stiffness": np.array([1.5])},
        np.array([1]),
    )
    engine.reset(np.full((2, 2), 0.3), np.zeros((2, 2)))
    by_hand = mujoco.MjSpec.from_string(XML)
    _mass(by_hand, ("lower",), 1.7)
    _joints("damping")(by_hand)
    _stiffness(by_hand)
    compiled = MujocoEngine(ROBOT, by_hand, 1)
    compiled.reset(np.full((1, 2), 0.3), np.zeros((1, 2)))
    control = np.broadcast_to(np.array([[[0.5, 0.8]]]), (2, 200, 2))
    engine.step(control)
    compiled.step(control[:1])
    moved = engine.state().joint_position
    assert np.allclose(moved[1], compiled.state().joint_position[0], atol=1e-9)
    assert np.abs(moved[0] - moved[1]).max() > 1e-2


def test_a_factor_multiplies_a_value_whatever_the_order() -> None:
    one, other = make(1), make(1)
    one.set_dynamics({"joint:elbow/damping": np.array([0.5])})
    one.set_dynamics({"joint/damping": np.array([2.0])})
    other.set_dynamics({"joint/damping": np.array([2.0]), "joint:elbow/damping": np.array([0.5])})
    for engine in (one, other):
        model = engine.batch.get_model(0)
        assert model.joint("elbow").damping[0] == pytest.approx(1.0)
        assert model.joint("shoulder").damping[0] == pytest.approx(0.6)
    one.set_dynamics({"joint/damping": np.array([1.0])})
    assert one.batch.get_model(0).joint("elbow").damping[0] == pytest.approx(0.5)


def test_values_follow_their_ids() -> None:
    engine = make(3)
    engine.set_dynamics({"link:upper/mass": np.array([5.0, 3.0])}, np.array([2, 0]))
    assert [engine.batch.get_model(index).body("upper").mass[0] for index in range(3)] == pytest.approx([3.0, 2.0, 5.0])


MOTOR = XML.replace('<position name="shoulder" joint="shoulder" kp="100" kv="5"/>', '<motor joint="shoulder"/>')


@pytest.mark.parametrize("steps", [0, 1, 3, 10])
def test_a_latency_is_exact_in_physics_steps(steps: int) -> None:
    engine = make(2, latency_max_s=0.02, xml=MOTOR)
    engine.set_dynamics({"actuator/latency": np.array([steps * 0.002])}, np.array([1]))
    engine.reset(np.zeros((2, 2)), np.zeros((2, 2)))
    arrived = []
    for _ in range(15):
        engine.step(np.ones((2, 1, 2)))
        arrived.append(engine.state().joint_effort[:, 1] != 0.0)
    first = np.argmax(arrived, axis=0)
    assert first.tolist() == [0, steps]
    assert np.all(arrived, axis=1)[steps:].all()


def test_a_delayed_servo_has_no_transient_after_a_reset() -> None:
    xml = XML.replace("<option", '<option gravity="0 0 0"')
    engine = make(2, latency_max_s=0.05, xml=xml)
    engine.set_dynamics({"actuator/latency": np.array([0.05, 0.03])})
    start = np.array([[0.0, 0.9], [0.0, -0.7]])
    for _ in range(2):
        engine.reset(start, np.zeros((2, 2)))
        engine.step(np.broadcast_to((start * [0.0, 1.0])[:, None, :], (2, 40, 2)))
        assert np.allclose(engine.state().joint_position, start, atol=1e-9)
        engine.step(np.full((2, 40, 2), 0.3))


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'link:lower/mass'") as error:
        make().set_dynamics({"link:lowr/mass": np.ones(3)})
    assert {"joint:elbow/armature", "actuator/latency", "contact/friction"} <= set(error.value.available)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link:lower/mass", 0.0),
        ("link/mass", -1.0),
        ("joint:elbow/damping", -0.1),
        ("joint/armature", np.nan),
        ("contact/friction", np.inf),
        ("actuator/latency", 0.011),
    ],
)
def test_what_is_not_physical_is_refused_before_anything_is_written(name: str, value: float) -> None:
    engine = make(2, latency_max_s=0.01)
    good = targets(ROBOT, engine.model)[name].nominal
    with pytest.raises(LimitViolationError, match=name):
        engine.set_dynamics({"joint:shoulder/damping": np.full(2, 9.0), name: np.array([good, value])})
    assert engine.batch.get_model(0).joint("shoulder").damping[0] == pytest.approx(0.3)


def test_a_compiled_model_without_room_for_the_latency_is_refused() -> None:
    with pytest.raises(ConfigError, match="nsample = 6"):
        MujocoEngine(ROBOT, mujoco.MjModel.from_xml_string(XML), 1, latency_max_s=0.01)


def test_the_arm_has_the_parameters_of_its_links_and_joints() -> None:
    engine = MujocoEngine(UR5E, SCENE, 1, latency_max_s=0.06)
    found = targets(UR5E, engine.model)
    assert found["link:forearm/mass"].nominal == pytest.approx(2.846)
    assert found["joint:elbow_joint/frictionloss"].nominal == pytest.approx(1.0)
    engine.set_dynamics({name: np.array([target.nominal]) for name, target in found.items()})
    for field in ("body_mass", "body_inertia", "dof_M0", "dof_damping", "actuator_gainprm", "geom_friction"):
        assert np.allclose(getattr(engine.batch.get_model(0), field), getattr(engine.model, field), rtol=1e-9), field
