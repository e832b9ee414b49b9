"""The table of what each engine can vary is true: what it can changes a motion, what it cannot is refused."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from hardware.errors import UnknownNameError
from hardware.spec import JointSpec, RobotSpec
from sim.engine import ENGINES
from sim.engine_dynamics import markdown, variables

# A cart that is driven along a floor it rubs on, an arm of one capsule on it with a servo, and a rod that swings.
XML = """
<mujoco>
  <option timestep="0.002" integrator="implicitfast" viscosity="0.01"/>
  <worldbody>
    <geom name="floor" type="plane" size="9 9 0.1" friction="0.5" contype="1" conaffinity="0"/>
    <body name="cart" pos="0 0 0.1">
      <joint name="drive" type="slide" axis="1 0 0" armature="0.1" damping="0.5" frictionloss="0.3"/>
      <joint name="lift" type="slide" axis="0 0 1"/>
      <geom name="sole" type="box" size="0.2 0.2 0.1" mass="3" friction="0.4" contype="0" conaffinity="1"/>
      <body name="arm" pos="0 0 0.2">
        <joint name="elbow" axis="0.2 1 0" armature="0.02" damping="0.2" frictionloss="0.05"/>
        <geom name="arm" type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.4" contype="0" conaffinity="0"/>
      </body>
      <body name="rod" pos="0 0.3 0.2"><joint name="swing" axis="0 1 0" armature="0.001"/>
        <inertial pos="0 0 0.3" mass="0.2" diaginertia="0.006 0.006 1e-5"/></body>
    </body>
  </worldbody>
  <actuator>
    <motor name="drive" joint="drive"/>
    <position name="elbow" joint="elbow" kp="40" kv="2"/>
  </actuator>
</mujoco>"""
ROBOT = RobotSpec(
    name="cart",
    joints=tuple(JointSpec(name, -9.0, 9.0, 3.0, 10.0, 100.0, 50.0) for name in ("drive", "lift", "elbow", "swing")),
    control_rate_hz=500.0,
    command_modes=("effort",),
    base_frame="world",
)
OBJECTS = {"link": "arm", "joint": "elbow", "contact": "sole"}
CHANGES = {"actuator/latency": 0.01, "link:rod/half_length": 0.25, "link:arm/length": 0.4, "world/gravity": 5.0}
VALUES = {"link:arm/com_x": 0.2, "link:arm/com_y": 0.05, "link:arm/com_z": 0.05, "medium/viscosity": 2.0}
ROWS = [each.pattern for each in variables()]


def named(pattern: str) -> tuple[str, float]:
    """A parameter of the cart, and a value that is not its nominal one."""
    kind = pattern.partition(":")[0]
    name = pattern.replace("NAME", "rod" if "half_length" in pattern else OBJECTS.get(kind, ""))
    return name, {**CHANGES, **VALUES}.get(name, 1.5)


@pytest.fixture(scope="module")
def engines(isaacgym_stand_in):
    """Engines that are there, made when asked for."""
    made = {}

    def open_engine(name):
        if name not in made:
            if name == "mujoco-warp":
                pytest.importorskip("mujoco_warp", reason="needs the extra 'warp'")
            if name == "pybullet":
                pytest.importorskip("pybullet", reason="needs the extra 'pybullet'")
            made[name] = ENGINES.load(name).open(ROBOT, mujoco.MjSpec.from_string(XML), 2, 1, 0.002, 0.02)
        return made[name]

    yield open_engine
    for engine in made.values():
        getattr(engine, "close", lambda: None)()


def moved(engine) -> np.ndarray:
    """Where both simulations are after a moment, (2, 4)."""
    engine.reset(np.zeros((2, 4)), np.array([[1.0, 0.0, 0.0, 2.0]] * 2))
    engine.step(np.tile([5.0, 0.0, 0.4, 0.0], (2, 40, 1)))
    return engine.state().joint_position


@pytest.mark.parametrize("pattern", ROWS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "mujoco-warp")) for name in ENGINES.names()]
)
def test_an_engine_varies_what_the_table_says_and_nothing_else(engines, name, pattern):
    engine = engines(name)
    lacks = {each.pattern: each.lacks for each in variables()}[pattern]
    parameter, value = named(pattern)
    nominal = engine._dynamics.nominal(parameter) if name not in lacks else 1.0
    if name in lacks:
        with pytest.raises(UnknownNameError, match=rf"\({lacks[name]}\) '{parameter}'.*Available: "):
            engine.set_dynamics({parameter: np.full(2, value)})
        return
    engine.set_dynamics({parameter: np.array([nominal, value])})
    position = moved(engine)
    engine.set_dynamics({parameter: np.full(2, nominal)})
    again = moved(engine)
    np.testing.assert_allclose(again[0], again[1], atol=1e-9, err_msg="both are nominal")
    np.testing.assert_allclose(position[0], again[0], atol=1e-6, err_msg="only the other one was changed")
    assert np.abs(position[1] - position[0]).max() > 1e-5, f"{parameter} makes a difference"


def test_the_page_about_engines_has_this_table():
    page = Path(__file__).parents[2] / "docs" / "engines.md"
    assert markdown() in page.read_text(encoding="utf-8")
