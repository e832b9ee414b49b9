"""Objects: found in the model, read and put in the base frame; joints that follow a joint of the robot."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware.errors import UnknownNameError
from hardware.panda import MODEL, PANDA
from hardware.spec import JointSpec, RobotSpec
from sim.engine import MovesBodies
from sim.mujoco_engine import MujocoEngine

# The base stands at (1, 2, 0.5), turned by a quarter turn about z.
SCENE = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="base" pos="1 2 0.5" quat="1 0 0 1">
      <geom type="box" size="0.05 0.05 0.05"/>
      <body name="arm"><joint name="turn" axis="0 0 1"/><geom type="box" size="0.1 0.02 0.02" pos="0.1 0 0"/>
        <body name="left">
          <joint name="left" type="slide" axis="0 1 0"/><geom type="sphere" size="0.01" pos="0.3 0 0"/>
        </body>
      </body>
    </body>
    <body name="ball" pos="1 3 0.5"><freejoint/><geom type="sphere" size="0.05"/></body>
    <body name="wall" mocap="true" pos="3 3 0.5"><geom type="box" size="0.1 0.1 0.1"/></body>
    <body name="marker" mocap="true"><geom type="sphere" size="0.1" contype="0" conaffinity="0"/></body>
  </worldbody>
  <equality><joint joint1="left" joint2="turn" polycoef="0.1 0.5 0.2 0 0"/></equality>
  <actuator><position name="turn" joint="turn" kp="10"/></actuator>
</mujoco>
"""
JOINT = JointSpec("turn", -3.0, 3.0, 2.0, 10.0, 100.0, 50.0, stiffness=10.0)
SPEC = RobotSpec("stick", (JOINT,), 500.0, ("position",), "base")


def engine(count: int = 3) -> MujocoEngine:
    return MujocoEngine(SPEC, mujoco.MjSpec.from_string(SCENE), count)


def reset(made: MujocoEngine, angle: float = 0.0) -> None:
    made.reset(np.full((made.count, 1), angle), np.zeros((made.count, 1)))


def test_objects_are_free_bodies_and_mocap_bodies_that_can_be_touched():
    made = engine()
    reset(made)
    objects = made.state().objects
    assert set(objects) == {"ball", "wall"}
    assert isinstance(made, MovesBodies)
    # (1, 3) is one metre along the world's y, which is the base's x.
    np.testing.assert_allclose(objects["ball"][0, :3], [1.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(objects["ball"][0, 3:], [0.5**0.5, 0.0, 0.0, -(0.5**0.5)], atol=1e-12)


def test_a_robot_without_objects_has_none():
    plain = MujocoEngine(PANDA, MODEL, 1)
    plain.reset(PANDA.default_position[None], np.zeros((1, 8)))
    assert plain.state().objects is None


def test_what_is_put_is_read_and_stays_until_a_reset():
    made = engine()
    reset(made)
    rng = np.random.default_rng(0)
    quaternion = rng.normal(size=(2, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    pose = np.concatenate([rng.uniform(0.5, 1.0, (2, 3)), quaternion], axis=1)
    before = made.state().objects["ball"][1].copy()
    made.place({"ball": pose, "wall": pose + np.array([0.5, 0, 0, 0, 0, 0, 0])}, np.array([2, 0]))  # in any order
    objects = made.state().objects
    np.testing.assert_allclose(objects["ball"][[2, 0]], pose, atol=1e-12)
    np.testing.assert_allclose(objects["wall"][[2, 0], :3], pose[:, :3] + np.array([0.5, 0.0, 0.0]), atol=1e-12)
    np.testing.assert_array_equal(objects["ball"][1], before)
    made.step(np.zeros((3, 10, 1)))
    np.testing.assert_allclose(made.state().objects["ball"][2], pose[0], atol=1e-9)  # at rest, without gravity
    reset(made)
    np.testing.assert_allclose(made.state().objects["ball"][2], before, atol=1e-12)


def test_an_unknown_object_lists_those_that_exist():
    made = engine()
    reset(made)
    with pytest.raises(UnknownNameError, match="Did you mean 'ball'"):
        made.place({"bal": np.zeros((3, 7))})
    with pytest.raises(UnknownNameError, match="mocap body"):
        made.step(np.zeros((3, 2, 1)), {"ball": np.zeros((3, 2, 7))})


def test_a_mocap_body_moves_along_its_path_and_pushes():
    made = engine(1)
    reset(made)
    path = np.zeros((1, 200, 7))
    path[..., 0] = 1.5 - np.linspace(0.0, 0.4, 200)  # towards the ball at 1.0, whose surface is at 1.05
    path[..., 3] = 1.0
    made.step(np.zeros((1, 200, 1)), {"wall": path})
    objects = made.state().objects
    np.testing.assert_allclose(objects["wall"][0], path[0, -1], atol=1e-12)
    # The wall's near face ends at 1.0, where the middle of the ball was.
    assert objects["ball"][0, 0] < 0.99


def test_a_joint_that_follows_starts_where_it_belongs():
    made = engine(1)
    reset(made, 0.4)
    column = int(made.model.joint("left").qposadr[0])
    assert made.qpos[0, column] == pytest.approx(0.1 + 0.5 * 0.4 + 0.2 * 0.4**2)
    made.reset(np.array([[0.4]]), np.array([[2.0]]))
    dof = int(made.model.joint("left").dofadr[0])
    assert made.qvel[0, dof] == pytest.approx((0.5 + 2 * 0.2 * 0.4) * 2.0)


def test_both_fingers_of_the_hand_open_evenly():
    made = MujocoEngine(PANDA, MODEL, 1)
    position = PANDA.default_position[None].copy()
    position[0, 7] = 0.05
    made.reset(position, np.zeros((1, 8)))
    model, data = made.snapshot(0)
    left, right, hand = (data.body(name).xpos for name in ("panda_leftfinger", "panda_rightfinger", "panda_hand"))
    assert np.linalg.norm(left - right) == pytest.approx(0.05)
    assert np.linalg.norm((left - hand)[:2]) == pytest.approx(0.025)
    assert model.neq == 1
