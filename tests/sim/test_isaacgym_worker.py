"""What the process with Isaac Gym tells gymapi, joint by joint and body by body; and that gymapi has these calls."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import socket
from pathlib import Path

import fake_isaacgym
import mujoco
import numpy as np
import pytest
from fake_isaacgym import DOF_MODE_EFFORT, DOF_MODE_POS, DOF_MODE_VEL
from flying_robot import FLYER, flyer

from hardware.errors import ConfigError
from hardware.robot import ROBOTS
from hardware.ur5e import UR5E
from sim import isaacgym_worker
from sim.expanded_fields import ExpandedFields
from sim.foreign_model import require_expressible
from sim.isaacgym_joints import JointLaws, stopping_damping
from sim.isaacgym_scene import scene_of, shape_friction
from sim.isaacgym_worker import IsaacGymWorld, SceneError, receive, send
from sim.model_binding import bind_model


@pytest.fixture(autouse=True)
def gymapi(monkeypatch):
    monkeypatch.setattr(isaacgym_worker, "gymapi", fake_isaacgym, raising=False)


def world_of(spec, model, count=1):
    """A world, its scene, and the joint properties that were sent."""
    scene = scene_of(model, count, [])
    laws = JointLaws(model, bind_model(spec, model), scene.joints, count)
    fields = ExpandedFields(model, count)
    rows = np.arange(count)
    arrays = laws.configure(fields, rows)
    friction = shape_friction(scene, model, fields.rows("geom_friction", rows))
    for number, bodies in enumerate(scene.bodies):
        arrays[f"mass.{number}"] = fields.rows("body_mass", rows)[:, bodies]
        arrays[f"com.{number}"] = fields.rows("body_ipos", rows)[:, bodies]
        arrays[f"inertia.{number}"] = np.tile(np.eye(3), (count, len(bodies), 1, 1))
        arrays[f"friction.{number}"] = friction[:, bodies]
    world = IsaacGymWorld(scene.values)
    world.configure(rows, arrays)
    return world, scene, laws


def test_properties_of_joints_are_set_by_name():
    model = mujoco.MjModel.from_xml_path(str(ROBOTS.load("ur5e").model))
    world, _, _ = world_of(UR5E, model)
    (actor,) = world._envs[0][0].actors[:1]
    by_name = dict(zip(actor.asset.dofs, actor.dofs, strict=True))
    assert actor.asset.dofs != list(UR5E.joint_names), "its order is another one"
    for joint in UR5E.joints:
        found, dof = by_name[joint.name], model.joint(joint.name).dofadr[0]
        assert found["driveMode"] == DOF_MODE_POS
        assert found["stiffness"] == pytest.approx(joint.stiffness)
        assert found["damping"] == pytest.approx(joint.damping + model.dof_damping[dof].item())
        assert found["armature"] == pytest.approx(model.dof_armature[dof])
        assert found["effort"] == pytest.approx(joint.effort_max)
        np.testing.assert_allclose([found["lower"], found["upper"]], model.joint(joint.name).range, rtol=1e-6)
        assert found["hasLimits"]
        assert found["friction"] == 0.0, "PhysX's coefficient is no torque"


def test_motors_and_passive_joints_get_the_drive_that_their_gains_ask_for():
    world, _, laws = world_of(FLYER, flyer().compile())
    (actor,) = world._envs[0][0].actors
    modes = dict(zip(actor.asset.dofs, actor.dofs["driveMode"], strict=True))
    assert modes == {"swing": DOF_MODE_EFFORT, "flap": DOF_MODE_VEL}
    feed = laws.feed(np.array([[[0.3, 0.7]]]))  # flap, swing
    np.testing.assert_allclose(feed[0, 0], [0.7, 0.6])  # in the order of the model; the flap has gear 2
    world.step(feed)
    targets = dict(zip(actor.asset.dofs, actor.targets.T, strict=True))
    assert targets["swing"][DOF_MODE_EFFORT] == pytest.approx(0.7)
    assert targets["flap"][DOF_MODE_VEL] == pytest.approx(0.6 / 0.05), "damping times this is the torque"


def test_dry_friction_opposes_motion_up_to_its_torque():
    model = flyer()
    model.joint("swing").frictionloss = 0.4
    world, scene, _ = world_of(FLYER, model.compile())
    (actor,) = world._envs[0][0].actors
    swing = actor.asset.dofs.index("swing")
    for speed, expected in ((2.0, -0.4), (-2.0, 0.4), (0.0, 0.0)):
        world.reset(np.array([0]), np.zeros((1, 2)), np.array([[speed, 0.0]]))
        world.step(np.zeros((1, 1, 2)))
        assert actor.targets[DOF_MODE_EFFORT, swing] == pytest.approx(expected)
    assert scene.values["joints"] == ["swing", "flap"]


def test_the_damping_that_stops_a_joint_is_its_free_inertia_over_the_step():
    xml = '<mujoco><option timestep="0.01"/><worldbody><body><joint type="slide"/><geom size="1" mass="3"/></body>'
    model = mujoco.MjModel.from_xml_string(xml + "</worldbody></mujoco>")
    np.testing.assert_allclose(stopping_damping(model, np.array([0])), [300.0])


LAYERS = """
<mujoco><worldbody>
  <geom name="floor" type="plane" size="1 1 1" friction="0.6" contype="1" conaffinity="0"/>
  <geom name="shelf" type="box" size="0.1 0.1 0.1" friction="0.6" contype="1" conaffinity="2"/>
  <body name="a"><freejoint/><geom size="0.1" friction="0.9" contype="2" conaffinity="1"/></body>
  <body name="b"><freejoint/><geom size="0.1" friction="0.2" contype="0" conaffinity="1"/>
    <geom name="only for b" size="0.01" contype="0" conaffinity="0"/></body>
  <body name="c"><freejoint/><geom size="0.1" friction="0.1" priority="1" contype="0" conaffinity="2"/></body>
</worldbody></mujoco>"""


def test_shapes_touch_where_mujoco_lets_them():
    """Isaac Gym lets two shapes touch where their filters have no bit in common."""
    model = mujoco.MjModel.from_xml_string(LAYERS)
    actors = scene_of(model, 1, []).values["actors"]
    filters = {name: bits for actor in actors for name, (bits,) in actor["filters"].items()}
    touch = {frozenset(pair): filters[pair[0]] & filters[pair[1]] == 0 for pair in
             [("world", "a"), ("world", "b"), ("world", "c"), ("a", "b"), ("a", "c"), ("b", "c")]}  # fmt: skip
    assert {pair for pair, touching in touch.items() if touching} == {
        frozenset(("world", "a")), frozenset(("world", "b")), frozenset(("a", "c"))}  # fmt: skip


def test_friction_with_the_ground_is_that_of_mujoco():
    """PhysX takes the mean, (needed + ground) / 2; MuJoCo the larger one, or that of the geom with priority."""
    model = mujoco.MjModel.from_xml_string(LAYERS.replace('friction="0.1" priority', 'friction="0.4" priority'))
    scene = scene_of(model, 1, [])
    needed = shape_friction(scene, model, model.geom_friction[None])[0]
    mean = {name: 0.5 * (needed[model.body(name).id] + 0.6) for name in "abc"}
    assert mean == pytest.approx({"a": 0.9, "b": 0.6, "c": 0.4})
    assert scene.values["ground"] == {"height_m": 0.0, "friction": 0.6}


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<geom type="plane" size="1 1 1"/><geom type="plane" size="1 1 1"/>', "one level ground plane"),
        ('<geom type="plane" size="1 1 1" euler="10 0 0"/>', "one level ground plane"),
        ('<body gravcomp="0.5"><joint/><geom size="1"/></body>', "wholly or not at all"),
    ],
)
def test_scenes_that_isaac_gym_cannot_have_are_refused(inside, message):
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{inside}</worldbody></mujoco>")
    require_expressible(model, "isaacgym")
    with pytest.raises(ConfigError, match=message):
        scene_of(model, 1, [])


def test_a_scene_that_gymapi_does_not_understand_is_named():
    model = flyer().compile()
    values = scene_of(model, 1, []).values
    with pytest.raises(SceneError, match="joints.*differ: swim"):
        IsaacGymWorld({**values, "joints": ["swing", "flap", "swim"]})
    with pytest.raises(SceneError, match="NVIDIA GPU"):
        IsaacGymWorld({**values, "device": -1})
    actor = {**values["actors"][0], "filters": {"trunk": [0, 0]}}
    with pytest.raises(SceneError, match="'trunk' has 2 shapes, in Isaac Gym 1"):
        IsaacGymWorld({**values, "actors": [actor]})


def test_messages_survive_the_way():
    here, there = socket.socketpair()
    arrays = {"a": np.arange(6.0).reshape(2, 3)[:, ::2], "b": np.zeros((0, 3), np.float32), "c": np.array(3)}
    with here, there:
        send(here, {"operation": "step", "nested": {"x": [1, None]}}, arrays)
        values, found = receive(there)
        assert values == {"operation": "step", "nested": {"x": [1, None]}}
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
        here.close()
        with pytest.raises(EOFError):
            receive(there)


def test_the_program_is_written_for_python_3_8():
    source = Path(isaacgym_worker.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {module for module in modules if module.split(".")[0] in ("sim", "hardware", "controllers", "robostack")}
    assert not own, "that Python has none of this project"


def test_the_stand_in_has_the_signatures_of_the_stubs():
    files = importlib.metadata.files("isaacgym-stubs") or []
    stubs = next(Path(str(file.locate())) for file in files if file.name == "gymapi.pyi")
    text = re.sub(r"def lambda\(", "def lambda_(", stubs.read_text())
    tree = ast.parse(re.sub(r"^(\s+)(lambda)(\s*:)", r"\1lambda_\3", text, flags=re.M))
    (gym,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Gym"]
    known = {node.name: node.args for node in gym.body if isinstance(node, ast.FunctionDef)}
    ours = {name: member for name, member in vars(fake_isaacgym.Gym).items() if not name.startswith("_")}
    assert len(ours) > 20
    for name, member in ours.items():
        assert name in known, f"gymapi has no {name}"
        given = list(inspect.signature(member).parameters)
        expected = [argument.arg for argument in known[name].args]
        if known[name].vararg is None:  # the stubs know the arguments
            assert len(given) == len(expected), name
            named = [(a, b) for a, b in zip(given, expected, strict=True) if not b.startswith("arg")]
            assert all(a == b for a, b in named if name.startswith(("create_actor", "load_asset", "set_"))), name


def test_every_call_of_the_worker_is_one_that_the_stand_in_has():
    calls = set(re.findall(r"self\._gym\.(\w+)\(", Path(isaacgym_worker.__file__).read_text()))
    assert calls == {name for name in vars(fake_isaacgym.Gym) if not name.startswith("_")}
