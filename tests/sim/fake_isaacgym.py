"""A stand-in for isaacgym.gymapi: the calls and data types that the worker uses, with MuJoCo's physics behind them.

Properties are kept per actor as Isaac Gym keeps them, and written into one MuJoCo model per environment when that is
stepped. Body states are in one frame for all environments, as measured origins must find out. Shapes touch the ground
only. `test_isaacgym_worker` compares every signature with the stubs.
"""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

STATE_NONE, STATE_POS, STATE_VEL, STATE_ALL = 0, 1, 2, 3
VECTOR = np.dtype([(axis, "<f4") for axis in "xyz"])
POSE = np.dtype([("p", VECTOR), ("r", [(axis, "<f4") for axis in "xyzw"])])
BODY_STATE = np.dtype([("pose", POSE), ("vel", [("linear", VECTOR), ("angular", VECTOR)])])
DOF_STATE = np.dtype([("pos", "<f4"), ("vel", "<f4")])
NUMBERS = ("lower", "upper", "velocity", "effort", "stiffness", "damping", "friction", "armature")
DOF_PROPERTIES = np.dtype([("hasLimits", "?"), ("driveMode", "<i4"), *((name, "<f4") for name in NUMBERS)])


class DofDriveMode(enum.IntEnum):
    DOF_MODE_NONE, DOF_MODE_POS, DOF_MODE_VEL, DOF_MODE_EFFORT = 0, 1, 2, 3


DOF_MODE_POS, DOF_MODE_VEL, DOF_MODE_EFFORT = (DofDriveMode(mode) for mode in (1, 2, 3))
SIM_PHYSX, UP_AXIS_Z = 1, 1


@dataclass
class Vec3:
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    def array(self) -> np.ndarray:
        return np.array([self.x, self.y, self.z])


@dataclass
class Quat:
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    w: float = 1.0


@dataclass
class Transform:
    p: Vec3 = field(default_factory=Vec3)
    r: Quat = field(default_factory=Quat)


@dataclass
class Mat33:
    x: Vec3 = field(default_factory=Vec3)
    y: Vec3 = field(default_factory=Vec3)
    z: Vec3 = field(default_factory=Vec3)


class Options:
    """Anything may be set, as with the real classes; what is unknown to the stubs pyright finds."""


class SimParams(Options):
    def __init__(self) -> None:
        self.physx = Options()


AssetOptions = PlaneParams = Options


@dataclass
class RigidBodyProperties:
    mass: float = 1.0
    com: Vec3 = field(default_factory=Vec3)
    inertia: Mat33 = field(default_factory=Mat33)


@dataclass
class RigidShapeProperties:
    friction: float = 1.0
    restitution: float = 0.5
    filter: int = 0


@dataclass
class IndexRange:
    start: int
    count: int


@dataclass
class Asset:
    urdf: str
    options: AssetOptions
    bodies: list[str]
    dofs: list[str]
    shapes: list[int]


@dataclass
class Actor:
    asset: Asset
    pose: Transform
    name: str
    group: int
    bodies: list[RigidBodyProperties]
    shapes: list[RigidShapeProperties]
    dofs: np.ndarray
    targets: np.ndarray


@dataclass
class Env:
    origin: np.ndarray
    sim: Sim
    actors: list[Actor] = field(default_factory=list)
    dirty: bool = True
    columns: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @functools.cached_property
    def data(self) -> mujoco.MjData:
        return mujoco.MjData(_compiled(self))


@dataclass
class Sim:
    params: SimParams
    plane: PlaneParams | None = None
    envs: list[Env] = field(default_factory=list)
    destroyed: bool = False


def acquire_gym() -> Gym:
    return Gym()


class Gym:
    def create_sim(self, compute_device: int = 0, graphics_device: int = 0, type: int = 0, params=None) -> Sim | None:
        return Sim(params) if compute_device >= 0 else None

    def destroy_sim(self, sim: Sim) -> None:
        sim.destroyed = True

    def add_ground(self, sim: Sim, params: PlaneParams) -> None:
        sim.plane = params

    def load_asset(self, sim: Sim, rootpath: str, filename: str, options=None) -> Asset | None:
        text = (Path(rootpath) / filename).read_text()
        robot = ElementTree.fromstring(text)
        links = {str(link.get("name")): len(link.findall("collision")) for link in robot.iter("link")}
        moving = [str(joint.get("name")) for joint in robot.iter("joint") if joint.get("type") != "fixed"]
        # Isaac Gym sorts joints its own way; here backwards, so that an order is never taken for granted.
        return Asset(text, options, list(links), moving[::-1], list(links.values()))

    def get_asset_dof_names(self, asset: Asset) -> list[str]:
        return list(asset.dofs)

    def get_asset_rigid_body_names(self, asset: Asset) -> list[str]:
        return list(asset.bodies)

    def create_env(self, sim: Sim, lower: Vec3, upper: Vec3, per_row: int) -> Env:
        width = upper.x - lower.x
        number = len(sim.envs)
        sim.envs.append(Env(width * np.array([number % per_row, number // per_row, 0.0]), sim))
        return sim.envs[-1]

    def create_actor(self, env, asset, pose, name="", group=-1, filter=-1, segmentationId=0) -> int:
        dofs = np.zeros(len(asset.dofs), DOF_PROPERTIES)
        bodies = [RigidBodyProperties() for _ in asset.bodies]
        shapes = [RigidShapeProperties() for _ in range(sum(asset.shapes))]
        env.actors.append(Actor(asset, pose, name, group, bodies, shapes, dofs, np.zeros((4, len(dofs)))))
        return len(env.actors) - 1

    def prepare_sim(self, sim: Sim) -> bool:
        return all(env.actors for env in sim.envs)

    def get_actor_rigid_body_properties(self, env: Env, actor: int) -> list[RigidBodyProperties]:
        return env.actors[actor].bodies

    def set_actor_rigid_body_properties(self, env, actorHandle, props, recomputeInertia=False) -> bool:
        env.actors[actorHandle].bodies, env.dirty = props, True
        return True

    def get_actor_rigid_shape_properties(self, env: Env, actor: int) -> list[RigidShapeProperties]:
        return env.actors[actor].shapes

    def set_actor_rigid_shape_properties(self, env: Env, actor: int, props: list[RigidShapeProperties]) -> bool:
        env.actors[actor].shapes, env.dirty = props, True
        return True

    def get_actor_rigid_body_shape_indices(self, env: Env, actor: int) -> list[IndexRange]:
        counts = env.actors[actor].asset.shapes
        return [IndexRange(sum(counts[:body]), count) for body, count in enumerate(counts)]

    def get_actor_dof_properties(self, env: Env, actor: int) -> np.ndarray:
        return env.actors[actor].dofs.copy()

    def set_actor_dof_properties(self, env: Env, actor: int, props: np.ndarray) -> bool:
        env.actors[actor].dofs, env.dirty = props.copy(), True
        return True

    def get_actor_dof_states(self, env: Env, actor: int, flags: int) -> np.ndarray:
        states = np.zeros(len(env.actors[actor].asset.dofs), DOF_STATE)
        states["pos"], states["vel"] = env.data.qpos[_columns(env, actor)[0]], env.data.qvel[_columns(env, actor)[1]]
        return states

    def set_actor_dof_states(self, env: Env, actor: int, states: np.ndarray, flags: int) -> bool:
        env.data.qpos[_columns(env, actor)[0]], env.data.qvel[_columns(env, actor)[1]] = states["pos"], states["vel"]
        return True

    def get_actor_rigid_body_states(self, env: Env, actor: int, flags: int) -> np.ndarray:
        model, data = env.data.model, env.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        states = np.zeros(len(env.actors[actor].asset.bodies), BODY_STATE)
        for number, name in enumerate(env.actors[actor].asset.bodies):
            body, speed = _body(env, actor, name), np.zeros(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, body, speed, 0)  # of the centre of mass
            states["pose"]["p"][number] = tuple(data.xpos[body] + env.origin)
            states["pose"]["r"][number] = tuple(np.roll(data.xquat[body], -1))
            states["vel"]["angular"][number], states["vel"]["linear"][number] = tuple(speed[:3]), tuple(speed[3:])
        return states

    def set_actor_rigid_body_states(self, env: Env, actor: int, states: np.ndarray, flags: int) -> bool:
        if not env.actors[actor].asset.options.fix_base_link:
            joint = int(env.data.model.body_jntadr[_body(env, actor, env.actors[actor].asset.bodies[0])])
            column, dof = int(env.data.model.jnt_qposadr[joint]), int(env.data.model.jnt_dofadr[joint])
            env.data.qpos[column : column + 3] = np.array(states["pose"]["p"][0].tolist()) - env.origin
            env.data.qpos[column + 3 : column + 7] = np.roll(states["pose"]["r"][0].tolist(), 1)
            env.data.qvel[dof : dof + 3] = states["vel"]["linear"][0].tolist()  # the tests put bodies at rest
            env.data.qvel[dof + 3 : dof + 6] = states["vel"]["angular"][0].tolist()
        return True

    def set_actor_dof_position_targets(self, env: Env, actor: int, targets: np.ndarray) -> bool:
        env.actors[actor].targets[DOF_MODE_POS] = targets
        return True

    def set_actor_dof_velocity_targets(self, env: Env, actor: int, targets: np.ndarray) -> bool:
        env.actors[actor].targets[DOF_MODE_VEL] = targets
        return True

    def apply_actor_dof_efforts(self, env: Env, actor: int, efforts: np.ndarray) -> bool:
        env.actors[actor].targets[DOF_MODE_EFFORT] = efforts
        return True

    def simulate(self, sim: Sim) -> None:
        for env in sim.envs:
            if env.dirty:
                _write_properties(env)
            for _ in range(sim.params.substeps):
                for actor in range(len(env.actors)):
                    _drive(env, actor)
                mujoco.mj_step(env.data.model, env.data)

    def fetch_results(self, sim: Sim, wait: bool) -> None:
        pass


def _compiled(env: Env) -> mujoco.MjModel:
    scene, params = mujoco.MjSpec(), env.sim.params
    scene.option.timestep, scene.option.gravity = params.dt / params.substeps, params.gravity.array()
    scene.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    if env.sim.plane is not None:
        scene.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[0, 0, 1],
            pos=[0, 0, -env.sim.plane.distance],
            contype=1,
            conaffinity=0,
        )
    for number, actor in enumerate(env.actors):
        spec = mujoco.MjSpec.from_string(actor.asset.urdf)
        spec.compiler.fusestatic = False
        for geom in spec.geoms:
            geom.contype, geom.conaffinity, geom.priority = 0, 1, 1
        place, turn = actor.pose.p, actor.pose.r
        frame = scene.worldbody.add_frame(pos=place.array(), quat=[turn.w, turn.x, turn.y, turn.z])
        if not actor.asset.options.fix_base_link:
            spec.worldbody.first_body().add_freejoint()
        scene.attach(spec, frame=frame, prefix=f"{number}/")
    for body in scene.bodies:
        body.gravcomp = float(any(body.name.startswith(f"{n}/") and a.asset.options.disable_gravity
                                  for n, a in enumerate(env.actors)))  # fmt: skip
    return scene.compile()


def _body(env: Env, actor: int, name: str) -> int:
    return max(0, mujoco.mj_name2id(env.data.model, mujoco.mjtObj.mjOBJ_BODY, f"{actor}/{name}"))  # "world" is body 0


def _columns(env: Env, actor: int) -> tuple[np.ndarray, np.ndarray]:
    if actor not in env.columns:
        model = env.data.model
        joints = [model.joint(f"{actor}/{name}").id for name in env.actors[actor].asset.dofs]
        env.columns[actor] = (model.jnt_qposadr[joints], model.jnt_dofadr[joints])
    return env.columns[actor]


def _write_properties(env: Env) -> None:
    """What was set since the last step: mass, inertia, friction, armature."""
    model, ground = env.data.model, env.sim.plane
    for number, actor in enumerate(env.actors):
        for name, body in zip(actor.asset.bodies, actor.bodies, strict=True):
            index = _body(env, number, name)
            if index:
                rows = np.array([body.inertia.x.array(), body.inertia.y.array(), body.inertia.z.array()])
                values, axes = np.linalg.eigh(rows)
                axes[:, 2] *= np.linalg.det(axes)
                model.body_mass[index], model.body_inertia[index] = body.mass, values
                model.body_ipos[index] = body.com.array()
                mujoco.mju_mat2Quat(model.body_iquat[index], axes.ravel())
        geoms = [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] in _bodies(env, number)]
        for geom, shape in zip(geoms, actor.shapes, strict=False):
            model.geom_friction[geom, 0] = 0.5 * (shape.friction + (ground.static_friction if ground else 0.0))
        model.dof_armature[_columns(env, number)[1]] = actor.dofs["armature"]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    env.dirty = False


def _bodies(env: Env, actor: int) -> set[int]:
    return {_body(env, actor, name) for name in env.actors[actor].asset.bodies} - {0}


def _drive(env: Env, number: int) -> None:
    """The drives of one actor: implicit in velocity as long as the torque is within its limit."""
    actor, (columns, dofs) = env.actors[number], _columns(env, number)
    properties, mode = actor.dofs, actor.dofs["driveMode"]
    damping = np.where(mode == DOF_MODE_EFFORT, 0.0, properties["damping"])
    spring = properties["stiffness"] * (actor.targets[DOF_MODE_POS] - env.data.qpos[columns])
    push = np.where(mode == DOF_MODE_POS, spring, actor.targets[DOF_MODE_EFFORT])
    push = np.where(mode == DOF_MODE_VEL, damping * actor.targets[DOF_MODE_VEL], push)
    total, limit = push - damping * env.data.qvel[dofs], properties["effort"]
    inside = np.abs(total) <= limit
    env.data.qfrc_applied[dofs] = np.where(inside, push, np.clip(total, -limit, limit))
    env.data.model.dof_damping[dofs] = np.where(inside, damping, 0.0).reshape(env.data.model.dof_damping[dofs].shape)
