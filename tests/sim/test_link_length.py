"""Lengths of links: shape, inertia, what hangs on it and how high it stands, against models compiled with them."""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from collections.abc import Callable

import mujoco
import numpy as np
import pytest
from scipy import integrate

from hardware.errors import ConfigError, LimitViolationError, UnknownNameError
from hardware.spec import JointSpec, RobotSpec
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import SWIMMER, WALKER2D
from sim.dynamics_table import targets
from sim.link_length import FIELDS, capsule_inertia, capsule_of
from sim.mujoco_engine import MujocoEngine

WALKER, SWIM = gymnasium_model("walker2d_v5"), gymnasium_model("swimmer")
DERIVED = (*FIELDS, "body_mass", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0")


def numbers(element: Xml.Element, name: str) -> list[float]:
    return [float(number) for number in element.get(name, "0 0 0").split()]


def recompiled_walker(torso: float, thigh: float, leg: float, foot: float) -> mujoco.MjModel:
    """The walker's file with its numbers changed by hand: thighs hang on the trunk, legs on thighs, feet on legs."""
    tree, nominal = Xml.parse(WALKER), mujoco.MjModel.from_xml_path(str(WALKER))
    more = {"torso": torso - 0.4, "thigh": thigh - 0.45, "leg": leg - 0.5, "foot": foot - 0.2}

    def move(element: Xml.Element, axis: int, by: float) -> None:
        position = numbers(element, "pos")
        position[axis] += by
        element.set("pos", " ".join(map(repr, position)))

    bodies = {str(body.get("name")): body for body in tree.getroot().iter("body")}
    for name, body in bodies.items():
        part = name.removesuffix("_left")
        geom = body.find("geom")
        assert geom is not None
        radius, half = (float(number) for number in str(geom.get("size")).split())
        geom.set("size", f"{radius!r} {half + more[part] / 2.0!r}")
        geom.set("mass", repr(float(nominal.body(name).mass[0])))
        if part in ("thigh", "leg"):
            move(geom, 2, -more[part] / 2.0)
        elif part == "foot":
            move(geom, 0, more[part] / 2.0)
        above = {"thigh": -more["torso"] / 2.0, "leg": -more["thigh"], "foot": -more["leg"], "torso": 0.0}[part]
        move(body, 2, above)
    move(bodies["torso"], 2, more["torso"] / 2.0 + more["thigh"] + more["leg"])
    return mujoco.MjModel.from_xml_string(Xml.tostring(tree.getroot(), encoding="unicode"))


def recompiled_swimmer(torso: float, mid: float, back: float) -> mujoco.MjModel:
    nominal, text = mujoco.MjModel.from_xml_path(str(SWIM)), SWIM.read_text()
    half = torso / 2.0
    for old, new, body in (
        ("1.5 0 0 0.5 0 0", f"{1.0 + half} 0 0 {1.0 - half} 0 0", "torso"),
        ("0 0 0 -1 0 0", f"0 0 0 {-mid} 0 0", "mid"),
        ("0 0 0 -1 0 0", f"0 0 0 {-back} 0 0", "back"),
    ):
        weight = float(nominal.body(body).mass[0])
        text = text.replace(f'density="1000" fromto="{old}"', f'mass="{weight!r}" fromto="{new}"', 1)
    text = text.replace('<body name="mid" pos="0.5 0 0">', f'<body name="mid" pos="{1.0 - half} 0 0">')
    return mujoco.MjModel.from_xml_string(
        text.replace('<body name="back" pos="-1 0 0">', f'<body name="back" pos="{-mid} 0 0">')
    )


Made = tuple[MujocoEngine, mujoco.MjModel]


def walker() -> Made:
    engine = MujocoEngine(WALKER2D, WALKER, 2)
    engine.set_dynamics(
        {
            "link:torso/length": np.array([0.25]),
            "link:thigh+thigh_left/length": np.array([0.7]),
            "link:leg+leg_left/length": np.array([0.3]),
            "link:foot+foot_left/length": np.array([0.33]),
        },
        np.array([1]),
    )
    return engine, recompiled_walker(0.25, 0.7, 0.3, 0.33)


def swimmer() -> Made:
    engine = MujocoEngine(SWIMMER, SWIM, 2)
    lengths = {"torso": 1.2, "mid": 0.8, "back": 1.25}
    engine.set_dynamics({f"link:{name}/length": np.array([value]) for name, value in lengths.items()}, np.array([1]))
    return engine, recompiled_swimmer(**lengths)


@pytest.mark.parametrize("make", [walker, swimmer])
def test_lengths_equal_a_model_compiled_with_them(make: Callable[[], Made]) -> None:
    engine, expected = make()
    for field in DERIVED:
        nominal, found = (getattr(engine.batch.get_model(index), field) for index in (0, 1))
        np.testing.assert_allclose(found, getattr(expected, field), rtol=1e-9, atol=1e-12, err_msg=field)
        np.testing.assert_array_equal(nominal, getattr(engine.model, field), err_msg=field)


@pytest.mark.parametrize(("make", "steps"), [(walker, 60), (swimmer, 200)])
def test_it_moves_as_a_model_compiled_with_them(make: Callable[[], Made], steps: int) -> None:
    """The walker falls on its feet and beyond: contacts see the new shapes too."""
    engine, expected = make()
    data = mujoco.MjData(expected)
    spec = engine.spec
    start = np.repeat(spec.default_position[None], 2, axis=0)
    engine.reset(start, np.zeros_like(start))
    control = np.zeros((2, steps, len(spec.joints)))
    driven = [index for index, joint in enumerate(spec.joints) if joint.effort_max > 0.0]
    control[:, :, driven] = np.random.default_rng(0).uniform(-1.0, 1.0, (1, steps, len(driven)))
    data.qpos[:] = spec.default_position
    contacts = 0
    for index in range(steps):
        data.ctrl[:] = control[1, index, driven]
        mujoco.mj_step(expected, data)
        contacts += data.ncon
    engine.step(control)
    found = engine.state().joint_position
    np.testing.assert_allclose(found[1], data.qpos, atol=1e-7)
    assert np.abs(found[0] - found[1]).max() > 1e-2
    assert (contacts > 0) == (make is walker)


def test_masses_and_lengths_go_together_in_any_order_and_back() -> None:
    one, other = (MujocoEngine(WALKER2D, WALKER, 1) for _ in range(2))
    mass, length = {"link:leg/mass": np.array([4.0])}, {"link:leg/length": np.array([0.8])}
    one.set_dynamics(mass)
    one.set_dynamics(length)
    other.set_dynamics(length)
    other.set_dynamics(mass)
    for field in DERIVED:
        first, second = (getattr(engine.batch.get_model(0), field) for engine in (one, other))
        np.testing.assert_allclose(first, second, rtol=1e-12, err_msg=field)
    assert one.batch.get_model(0).body("leg").mass[0] == pytest.approx(4.0)
    one.set_dynamics({"link:leg/length": np.array([0.5]), "link:leg/mass": np.array([one.model.body("leg").mass[0]])})
    for field in DERIVED:
        found, nominal = getattr(one.batch.get_model(0), field), getattr(one.model, field)
        np.testing.assert_allclose(found, nominal, rtol=1e-12, atol=1e-15, err_msg=field)


def test_only_bodies_of_one_capsule_with_a_joint_are_links() -> None:
    known = targets(WALKER2D, mujoco.MjModel.from_xml_path(str(WALKER)))
    assert {name for name in known if name.endswith("/length")} == {
        f"link:{name}/length" for name in ("torso", "thigh", "leg", "foot", "thigh_left", "leg_left", "foot_left")
    }
    assert known["link:foot/length"].nominal == pytest.approx(0.2)
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body name='free'><freejoint/><geom type='capsule' size='.1 .2'/></body>"
        "<body name='box'><joint/><geom type='box' size='.1 .1 .1'/></body>"
        "<body name='two'><joint/><geom type='capsule' size='.1 .2'/><geom type='sphere' size='.1'/></body>"
        "</worldbody></mujoco>"
    )
    assert [capsule_of(model, body) for body in range(4)] == [None] * 4


def test_what_cannot_be_is_refused() -> None:
    engine = MujocoEngine(WALKER2D, WALKER, 1)
    with pytest.raises(LimitViolationError, match="link:leg/length"):
        engine.set_dynamics({"link:leg/length": np.array([0.0])})
    with pytest.raises(UnknownNameError, match="link:leg_lft/length"):
        engine.set_dynamics({"link:leg+leg_lft/length": np.array([0.4])})
    with pytest.raises(ConfigError, match="different nominal"):
        engine.set_dynamics({"link:leg+thigh/length": np.array([0.4])})


def test_the_inertia_of_a_capsule_is_the_integral_over_it() -> None:
    radius, length = 0.3, 0.7

    def width(z: float) -> float:
        return float(np.sqrt(max(radius**2 - max(abs(z) - length / 2.0, 0.0) ** 2, 0.0)))

    end = length / 2.0 + radius
    volume, along, across = (
        integrate.quad(lambda z, f=f: np.pi * f(width(z), z), -end, end, points=[-length / 2.0, length / 2.0])[0]
        for f in (lambda w, z: w**2, lambda w, z: w**4 / 2.0, lambda w, z: w**4 / 4.0 + w**2 * z**2)
    )
    np.testing.assert_allclose(capsule_inertia(radius, np.array([length]))[0], [across / volume, along / volume])


ARM = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody><body name="upper" pos="0 0 1"><joint name="shoulder" axis="0 1 0" damping="0.05"/>
    <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
    <body name="lower" pos="0.3 0 0"><joint name="elbow" axis="0 1 0" damping="0.05"/>
      <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.02"/></body></body></worldbody>
  <actuator><motor name="shoulder" joint="shoulder"/><motor name="elbow" joint="elbow"/></actuator>
</mujoco>
"""


def test_another_engine_gets_the_same_lengths() -> None:
    """PyBullet moves as MuJoCo does; with the nominal lengths both move otherwise."""
    pytest.importorskip("pybullet")
    from sim.pybullet_engine import PybulletEngine

    joints = tuple(JointSpec(name, -9.0, 9.0, 99.0, 999.0, 9999.0, 50.0) for name in ("shoulder", "elbow"))
    spec = RobotSpec("arm", joints, control_rate_hz=500.0, command_modes=("effort",), base_frame="world")
    ended = []
    for kind in (MujocoEngine, PybulletEngine):
        engine = kind(spec, mujoco.MjSpec.from_string(ARM), 2)
        values = {"link:upper/length": np.array([0.4]), "link:lower/length": np.array([0.1])}
        engine.set_dynamics(values, np.array([1]))
        engine.reset(np.zeros((2, 2)), np.zeros((2, 2)))
        engine.step(np.full((2, 100, 2), 0.1))
        ended.append(engine.state().joint_position)
    np.testing.assert_allclose(ended[1], ended[0], atol=2e-3)
    assert np.abs(ended[0][0] - ended[0][1]).max() > 5e-2
