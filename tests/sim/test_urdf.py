"""The URDF of a model says the same as the model: checked by an engine that reads it and knows nothing of MuJoCo."""

from __future__ import annotations

from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError
from sim.bullet_world import BulletWorld
from sim.urdf import anchor, urdf_of, urdf_of_world

pytest.importorskip("pybullet", reason="needs the extra 'pybullet'")

TREES = {
    "arm with two hinges in one body": """
      <body name="base" pos="0.1 0 0.3" quat="0.9 0.1 0.2 0.3">
        <inertial pos="0.01 0.02 0.03" quat="0.7 0.1 0.5 0.2" mass="1.5" diaginertia="0.02 0.03 0.04"/>
        <joint name="lift" type="slide" axis="0 0 1" range="-1 1"/>
        <joint name="turn" axis="0 1 0" pos="0.1 0.2 0.3"/>
        <geom type="box" size="0.1 0.2 0.3" mass="0"/>
        <body name="arm" pos="0.3 0.1 0" euler="20 40 60">
          <inertial pos="0.2 0 0" mass="0.7" fullinertia="0.02 0.03 0.025 0.001 0.002 -0.001"/>
          <joint name="bend" axis="0.6 0 0.8" pos="-0.05 0 0.02" range="-90 90"/>
          <geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.04" mass="0"/>
          <body name="hand" pos="0.4 0 0"><geom type="cylinder" size="0.03 0.02" mass="0.2"/></body>
        </body>
      </body>""",
    "base without a joint": """
      <body name="base" quat="0.5 0.5 0.5 0.5">
        <inertial pos="0.1 0 0" quat="0.3 0.4 0.5 0.6" mass="2" diaginertia="0.1 0.2 0.25"/>
        <body name="arm" pos="0 0 0.2">
          <joint name="turn" axis="1 0 0"/>
          <geom type="sphere" size="0.1" pos="0 0.3 0" mass="1"/>
        </body>
      </body>""",
}


def model_of(tree: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{tree}</worldbody></mujoco>")


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_inverse_dynamics_agree(tree):
    model = model_of(tree)
    data, world = mujoco.MjData(model), BulletWorld(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        data.qpos[:], data.qvel[:] = rng.uniform(-1, 1, model.nq), rng.uniform(-2, 2, model.nv)
        q, v = data.qpos[world.columns], data.qvel[world.dofs]
        mass, bias, gravity = world.dynamics(q, v)
        for acceleration in (np.zeros(model.nv), rng.uniform(-3, 3, model.nv)):
            data.qacc[:] = acceleration
            mujoco.mj_inverse(model, data)
            expected = data.qfrc_inverse[world.dofs]
            np.testing.assert_allclose(mass @ acceleration[world.dofs] + bias, expected, atol=1e-7)
        data.qvel[:] = 0.0
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(gravity, data.qfrc_bias[world.dofs], atol=1e-7)
    world.close()


def test_forward_kinematics_agree():
    tree = TREES["arm with two hinges in one body"].replace(
        '<body name="hand" pos="0.4 0 0">',
        '<body name="hand" pos="0.4 0 0"><site name="tip" pos="0 0.1 0" euler="0 30 0"/>',
    )
    model = model_of(tree)
    data, world = mujoco.MjData(model), BulletWorld(model)
    data.qpos[:] = [0.3, -0.7, 0.9]
    mujoco.mj_forward(model, data)
    world.reset(data.qpos, np.zeros(model.nv))
    place = world.site(0)
    np.testing.assert_allclose(place.position, data.site("tip").xpos, atol=1e-7)
    np.testing.assert_allclose(place.rotation.as_matrix(), data.site("tip").xmat.reshape(3, 3), atol=1e-7)
    world.close()


def test_joints_keep_names_kinds_axes_and_limits():
    robot = ElementTree.fromstring(urdf_of(model_of(TREES["arm with two hinges in one body"]), 1))
    joints = {joint.get("name"): joint for joint in robot.iter("joint")}
    assert {name: joint.get("type") for name, joint in joints.items()} == {
        "lift": "prismatic",
        "turn": "continuous",
        "bend": "revolute",
        "hand_fixed": "fixed",
    }
    limit = joints["bend"].find("limit")
    assert float(limit.get("upper")) == pytest.approx(np.pi / 2)
    assert joints["lift"].find("limit").get("lower") == "-1.0"
    np.testing.assert_allclose([float(x) for x in joints["bend"].find("axis").get("xyz").split()], [0.6, 0, 0.8])
    masses = {
        link.get("name"): float(link.find("inertial/mass").get("value")) for link in robot.iter("link") if len(link)
    }
    assert masses["arm"] == 0.7
    assert masses["base_0"] < 1e-6, "the link between the two joints of the base"


def test_a_link_lies_at_the_last_joint_of_its_body():
    model = model_of(TREES["arm with two hinges in one body"])
    np.testing.assert_allclose(anchor(model, model.body("base").id), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(anchor(model, model.body("hand").id), np.zeros(3))


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<joint type="ball"/><geom size="0.1"/>', "ball joint"),
        ('<joint/><geom type="ellipsoid" name="egg" size="0.1 0.2 0.3"/>', "'egg' is no box"),
    ],
)
def test_what_urdf_cannot_say_is_refused(inside, message):
    with pytest.raises(ConfigError, match=message):
        urdf_of(model_of(f'<body name="b">{inside}</body>'), 1)


def test_values_replace_those_of_the_model():
    model = model_of(TREES["base without a joint"])
    mass = model.body_mass.copy()
    mass[model.body("arm").id] = 9.5
    assert 'mass value="9.5"' in urdf_of(model, 1, {"body_mass": mass})
    assert "9.5" not in urdf_of(model, 1)


def test_no_line_is_longer_than_pybullet_reads():
    model = model_of(
        "".join(f'<body name="b{i}" pos="0.123 0.456 {i}"><joint/><geom size="0.1"/></body>' for i in range(40))
    )
    text = urdf_of(model, 7)
    assert max(map(len, text.splitlines())) < 1024
    assert max(map(len, urdf_of_world(model_of('<geom type="box" size="1 1 1"/>' * 30)).splitlines())) < 1024


def test_the_world_has_its_furniture_and_no_plane():
    tree = '<geom type="plane" size="1 1 1"/><geom type="box" size="1 2 3" pos="0 0 4"/><body><geom size="1"/></body>'
    robot = ElementTree.fromstring(urdf_of_world(model_of(tree)))
    (link,) = robot.iter("link")
    (box,) = link.iter("box")
    assert (link.get("name"), box.get("size")) == ("world", "2.0 4.0 6.0")
