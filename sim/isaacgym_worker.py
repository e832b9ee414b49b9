"""Isaac Gym in a process of its own: a program for NVIDIA's Python, driven over a socket by `sim.isaacgym_engine`.

Isaac Gym (Preview 4) exists for Python 3.6 to 3.8 only, this project needs 3.11. So this one file runs in that other
Python: it is written for 3.8 and imports numpy and isaacgym alone. What it is told is plain: a scene of URDF texts, and
arrays. Nothing that it receives or sends is pickled.

Every joint gets the implicit drive of PhysX, in the mode that its gains ask for, so that its torque is

    clip(feed - stiffness q - damping v, +- effort),

with `feed` from the engine, once per physics step. Dry friction is added to it here, because PhysX's own coefficient
multiplies the force in the joint and is no torque.

It uses the array functions of gymapi and the CPU pipeline (`use_gpu_pipeline` off): PhysX itself runs on the GPU, and
states are copied. The tensor functions would need PyTorch in that Python.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import struct
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Dict  # noqa: UP035 - Python 3.8

import numpy as np

MYPY = False
"""mypy takes this for true, and so stays away from the stubs, which it cannot parse; pyright checks this file."""
if MYPY:
    gymapi: Any = None
elif TYPE_CHECKING:
    from isaacgym import gymapi

Arrays = Dict[str, np.ndarray]  # noqa: UP006 - Python 3.8
_NO_LIMIT = 1e9


class SceneError(Exception):
    """The scene has what Isaac Gym cannot do; its text is shown to the user."""


def send(channel: socket.socket, values: dict[str, Any], arrays: Arrays) -> None:
    """Write one message: a header in JSON, then the bytes of its arrays."""
    blocks = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    layout = [(name, block.dtype.str, block.shape) for name, block in blocks.items()]
    header = json.dumps({"values": values, "arrays": layout}).encode()
    body = b"".join(block.tobytes() for block in blocks.values())
    channel.sendall(struct.pack("<Q", len(header)) + header + body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], Arrays]:
    """Read one message.

    Raises:
        EOFError: the other end is gone.
    """
    header = json.loads(_exactly(channel, struct.unpack("<Q", _exactly(channel, 8))[0]).decode())
    arrays = {}
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        arrays[name] = np.frombuffer(_exactly(channel, size), dtype).reshape(shape)
    return header["values"], arrays


def _exactly(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = channel.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


class IsaacGymWorld:
    """All simulations of one scene.

    Args:
        scene: what `sim.isaacgym_scene.scene_of` makes.

    Raises:
        SceneError: Isaac Gym refuses the scene.
    """

    def __init__(self, scene: dict[str, Any]) -> None:
        self._scene = scene
        self._count, self._timestep_s = int(scene["count"]), float(scene["timestep_s"])
        self._gym = gymapi.acquire_gym()
        self._sim = self._create_sim()
        self._bodies: list[list[str]] = []
        assets = [self._load(actor) for actor in scene["actors"]]
        self._robot = scene["robot"]
        self._columns = np.zeros(0, dtype=np.intp)
        if self._robot is not None:
            names = list(self._gym.get_asset_dof_names(assets[self._robot]))
            missing = sorted(set(scene["joints"]).symmetric_difference(names))
            if missing:
                raise SceneError("joints of the scene and of Isaac Gym's asset differ: " + ", ".join(missing))
            self._columns = np.array([names.index(name) for name in scene["joints"]], dtype=np.intp)
        self._envs = [self._create_env(index, assets) for index in range(self._count)]
        if not self._gym.prepare_sim(self._sim):
            raise SceneError("Isaac Gym cannot prepare this scene")
        self._watched = [(int(actor), self._bodies[actor].index(body)) for actor, body in scene["watched"]]
        self._origin = self._measured_origins()
        shape = (self._count, len(self._columns))
        self._law = {name: np.zeros(shape) for name in ("stiffness", "damping", "effort", "servo_damping", "loss")}
        self._stopping = np.zeros(shape)
        self._mode = np.zeros(shape, dtype=np.int32)
        self._applied = np.zeros(shape)
        self._time = np.zeros(self._count)

    def configure(self, ids: np.ndarray, arrays: Arrays) -> None:
        """Set the properties of simulations.

        Args:
            ids: simulations, (k,).
            arrays: by joint, (k, num_joints): `stiffness`, `damping` and `effort` of the drive, `servo_damping` (the
                actuator's part of `damping`), `armature`, `loss` (dry friction [Nm]), `stopping` (damping that
                stops the joint within a step [Nm s/rad]), `lower`, `upper`; and by actor i and its `bodies`:
                `mass.i` (k, n), `com.i` (k, n, 3), `inertia.i` (k, n, 3, 3), `friction.i` (k, n).
        """
        for row, index in enumerate(ids.tolist()):
            env, actors = self._envs[index]
            for number, actor in enumerate(actors):
                self._set_bodies(env, actor, number, {name: array[row] for name, array in arrays.items()})
            if self._robot is not None:
                self._set_joints(env, actors[self._robot], index, {name: array[row] for name, array in arrays.items()})

    def reset(self, ids: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> None:
        """Put simulations at a state, joints (k, num_joints); everything free goes to where the scene has it."""
        for number, actor in enumerate(self._scene["actors"]):
            if not actor["fixed"]:
                self.place(ids, number, np.repeat([actor["pose"]], len(ids), axis=0))
        for row, index in enumerate(ids.tolist()):
            self._time[index] = 0.0
            self._applied[index] = 0.0
            if self._robot is None:
                continue
            env, actors = self._envs[index]
            states = self._gym.get_actor_dof_states(env, actors[self._robot], gymapi.STATE_ALL)
            states["pos"][self._columns], states["vel"][self._columns] = position[row], velocity[row]
            self._gym.set_actor_dof_states(env, actors[self._robot], states, gymapi.STATE_ALL)

    def place(self, ids: np.ndarray, number: int, pose: np.ndarray) -> None:
        """Put the root of an actor at poses, (k, 7) position and quaternion w x y z, at rest."""
        for row, index in enumerate(ids.tolist()):
            env, actors = self._envs[index]
            states: Any = self._gym.get_actor_rigid_body_states(env, actors[number], gymapi.STATE_ALL)
            place, speed = states["pose"], states["vel"]
            values = pose[row, :3] + self._origin[index]
            for axis, name in enumerate("xyz"):
                place["p"][name][0] = values[axis]
                speed["linear"][name][0] = speed["angular"][name][0] = 0.0
            for axis, name in enumerate("wxyz"):
                place["r"][name][0] = pose[row, 3 + axis]
            self._gym.set_actor_rigid_body_states(env, actors[number], states, gymapi.STATE_ALL)

    def step(self, feed: np.ndarray) -> None:
        """Advance all simulations by feed.shape[1] physics steps, feed (count, steps, num_joints) [Nm] or [N]."""
        for number in range(feed.shape[1]):
            if self._robot is not None:
                self._drive(feed[:, number])
            self._gym.simulate(self._sim)
            self._gym.fetch_results(self._sim, True)
        self._time += feed.shape[1] * self._timestep_s

    def state(self) -> Arrays:
        """Time (count,), joints (count, num_joints), poses (count, m, 7) and speeds (count, m, 6) of watched bodies."""
        position, velocity = self._joints()
        poses = np.zeros((self._count, len(self._watched), 7))
        speeds = np.zeros((self._count, len(self._watched), 6))
        for index, (env, actors) in enumerate(self._envs):
            for column, (number, body) in enumerate(self._watched):
                found = self._gym.get_actor_rigid_body_states(env, actors[number], gymapi.STATE_ALL)[body]
                place, speed = found["pose"], found["vel"]
                poses[index, column, :3] = [place["p"][axis] for axis in "xyz"] - self._origin[index]
                poses[index, column, 3:] = [place["r"][axis] for axis in "wxyz"]
                speeds[index, column, :3] = [speed["linear"][axis] for axis in "xyz"]
                speeds[index, column, 3:] = [speed["angular"][axis] for axis in "xyz"]
        state = {"time": self._time.copy(), "position": position, "velocity": velocity}
        return {**state, "effort": self._applied.copy(), "poses": poses, "speeds": speeds}

    def close(self) -> None:
        """Give the GPU back."""
        self._gym.destroy_sim(self._sim)

    def _create_sim(self) -> gymapi.Sim:
        scene, params = self._scene, gymapi.SimParams()
        params.dt, params.substeps = self._timestep_s, int(scene["substeps"])
        params.up_axis, params.gravity = gymapi.UP_AXIS_Z, gymapi.Vec3(*scene["gravity"])
        params.use_gpu_pipeline = False
        # The temporal Gauss-Seidel solver with the iterations that Isaac Gym's own environments use.
        params.physx.use_gpu, params.physx.solver_type = True, 1
        params.physx.num_position_iterations, params.physx.num_velocity_iterations = 8, 1
        params.physx.contact_offset, params.physx.rest_offset = 0.005, 0.0
        sim = self._gym.create_sim(int(scene["device"]), -1, gymapi.SIM_PHYSX, params)
        if sim is None:
            raise SceneError("Isaac Gym cannot create a simulation; it needs an NVIDIA GPU with a driver")
        if scene["ground"] is not None:
            plane = gymapi.PlaneParams()
            plane.normal, plane.distance = gymapi.Vec3(0.0, 0.0, 1.0), -float(scene["ground"]["height_m"])
            plane.static_friction = plane.dynamic_friction = float(scene["ground"]["friction"])
            self._gym.add_ground(sim, plane)
        return sim

    def _load(self, actor: dict[str, Any]) -> gymapi.Asset:
        options = gymapi.AssetOptions()
        options.fix_base_link, options.disable_gravity = bool(actor["fixed"]), bool(actor["weightless"])
        options.collapse_fixed_joints, options.replace_cylinder_with_capsule = False, False
        options.linear_damping = options.angular_damping = 0.0
        options.max_linear_velocity = options.max_angular_velocity = 1e3
        options.armature, options.use_physx_armature = 0.0, True
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "model.urdf"), "w") as file:  # noqa: PTH118, PTH123
                file.write(actor["urdf"])
            asset = self._gym.load_asset(self._sim, folder, "model.urdf", options)
        if asset is None:
            raise SceneError("Isaac Gym cannot load the model of '" + actor["name"] + "'")
        names = list(self._gym.get_asset_rigid_body_names(asset))
        absent = sorted(set(actor["bodies"]).difference(names))
        if absent:
            raise SceneError("Isaac Gym's asset of '" + actor["name"] + "' has no body " + ", ".join(absent))
        self._bodies.append(names)
        return asset

    def _create_env(self, index: int, assets: list[gymapi.Asset]) -> tuple[gymapi.Env, list[int]]:
        per_row = max(1, int(np.ceil(np.sqrt(self._count))))
        reach = 0.5 * float(self._scene["spacing_m"])
        env = self._gym.create_env(
            self._sim, gymapi.Vec3(-reach, -reach, 0.0), gymapi.Vec3(reach, reach, 2.0 * reach), per_row
        )
        actors = []
        for number, asset in enumerate(assets):
            actor = self._scene["actors"][number]
            x, y, z, qw, qx, qy, qz = actor["pose"]
            pose = gymapi.Transform(gymapi.Vec3(x, y, z), gymapi.Quat(qx, qy, qz, qw))
            # One collision group per simulation; filter 0 leaves it to the shapes.
            actors.append(self._gym.create_actor(env, asset, pose, actor["name"], index, 0))
            self._set_filters(env, actors[-1], number)
        return env, actors

    def _measured_origins(self) -> np.ndarray:
        """Where each simulation's own origin is in the frame of body states, (count, 3): measured, not assumed."""
        origins = np.zeros((self._count, 3))
        if self._scene["actors"]:
            expected = np.array(self._scene["actors"][0]["pose"][:3])
            for index, (env, actors) in enumerate(self._envs):
                place = self._gym.get_actor_rigid_body_states(env, actors[0], gymapi.STATE_POS)[0]["pose"]["p"]
                origins[index] = np.array([place["x"], place["y"], place["z"]]) - expected
        return origins

    def _set_filters(self, env: gymapi.Env, actor: int, number: int) -> None:
        """Which shapes touch which: two of them do where their filters have no bit in common."""
        shapes = self._gym.get_actor_rigid_shape_properties(env, actor)
        ranges = self._gym.get_actor_rigid_body_shape_indices(env, actor)
        for body, filters in self._scene["actors"][number]["filters"].items():
            found = ranges[self._bodies[number].index(body)]
            if found.count != len(filters):
                raise SceneError(f"body '{body}' has {len(filters)} shapes, in Isaac Gym {found.count}")
            for shape in range(found.count):
                shapes[found.start + shape].filter = int(filters[shape])
        self._gym.set_actor_rigid_shape_properties(env, actor, shapes)

    def _set_bodies(self, env: gymapi.Env, actor: int, number: int, values: Arrays) -> None:
        properties = self._gym.get_actor_rigid_body_properties(env, actor)
        shapes = self._gym.get_actor_rigid_shape_properties(env, actor)
        ranges = self._gym.get_actor_rigid_body_shape_indices(env, actor)
        for column, name in enumerate(self._scene["actors"][number]["bodies"]):
            body = self._bodies[number].index(name)
            properties[body].mass = float(values[f"mass.{number}"][column])
            properties[body].com = gymapi.Vec3(*values[f"com.{number}"][column].tolist())
            rows = gymapi.Mat33()
            rows.x, rows.y, rows.z = (gymapi.Vec3(*row) for row in values[f"inertia.{number}"][column].tolist())
            properties[body].inertia = rows
            for shape in range(ranges[body].start, ranges[body].start + ranges[body].count):
                shapes[shape].friction = float(values[f"friction.{number}"][column])
                shapes[shape].restitution = 0.0
        self._gym.set_actor_rigid_body_properties(env, actor, properties, False)
        self._gym.set_actor_rigid_shape_properties(env, actor, shapes)

    def _set_joints(self, env: gymapi.Env, actor: int, index: int, values: Arrays) -> None:
        """Drive mode, gains, armature and limits of the joints of one simulation."""
        for name in self._law:
            self._law[name][index] = values[name]
        self._stopping[index] = values["stopping"]
        stiff, damped = values["stiffness"] > 0.0, values["damping"] > 0.0
        self._mode[index] = np.where(
            stiff,
            int(gymapi.DOF_MODE_POS),
            np.where(damped, int(gymapi.DOF_MODE_VEL), int(gymapi.DOF_MODE_EFFORT)),
        )
        properties = self._gym.get_actor_dof_properties(env, actor)
        columns = self._columns
        properties["driveMode"][columns] = self._mode[index]
        for name in ("stiffness", "damping", "effort", "armature", "lower", "upper"):
            properties[name][columns] = values[name]
        properties["hasLimits"][columns] = (values["lower"] > -_NO_LIMIT) & (values["upper"] < _NO_LIMIT)
        properties["velocity"][columns] = _NO_LIMIT
        properties["friction"][columns] = 0.0
        self._gym.set_actor_dof_properties(env, actor, properties)

    def _joints(self) -> tuple[np.ndarray, np.ndarray]:
        position, velocity = np.zeros((2, self._count, len(self._columns)))
        if self._robot is not None:
            for index, (env, actors) in enumerate(self._envs):
                states = self._gym.get_actor_dof_states(env, actors[self._robot], gymapi.STATE_ALL)
                position[index], velocity[index] = states["pos"][self._columns], states["vel"][self._columns]
        return position, velocity

    def _drive(self, feed: np.ndarray) -> None:
        """Targets and efforts of one physics step for `feed` (count, num_joints)."""
        law, (position, velocity) = self._law, self._joints()
        actuator = feed - law["stiffness"] * position - law["servo_damping"] * velocity
        self._applied = np.clip(actuator, -law["effort"], law["effort"])
        # Dry friction stops a joint within one step and never pushes it back.
        feed = feed - np.clip(self._stopping * velocity, -law["loss"], law["loss"])
        gains = {
            int(gymapi.DOF_MODE_POS): law["stiffness"],
            int(gymapi.DOF_MODE_VEL): law["damping"],
            int(gymapi.DOF_MODE_EFFORT): np.ones_like(feed),
        }
        for mode, gain in gains.items():
            chosen = self._mode == mode
            if chosen.any():
                self._send_targets(mode, np.where(chosen, feed / np.where(chosen, gain, 1.0), 0.0))

    def _send_targets(self, mode: int, values: np.ndarray) -> None:
        """Values by joint, (count, num_joints), for the drives in one mode; the others ignore them."""
        rows = np.zeros(values.shape, dtype=np.float32)
        rows[:, self._columns] = values
        for index, (env, actors) in enumerate(self._envs):
            actor = actors[self._robot]
            if mode == int(gymapi.DOF_MODE_POS):
                self._gym.set_actor_dof_position_targets(env, actor, rows[index])
            elif mode == int(gymapi.DOF_MODE_VEL):
                self._gym.set_actor_dof_velocity_targets(env, actor, rows[index])
            else:
                self._gym.apply_actor_dof_efforts(env, actor, rows[index])


def serve(channel: socket.socket) -> None:
    """Answer requests until the other end is gone: first a scene, then methods of its world."""
    world = None
    while True:
        try:
            request, arrays = receive(channel)
        except EOFError:
            break
        try:
            if "scene" in request:
                world = IsaacGymWorld(request["scene"])
            answer = _answer(world, request, arrays)
        except SceneError as error:
            send(channel, {"error": str(error)}, {})
        else:
            send(channel, {}, answer)
    if world is not None:
        world.close()


def _answer(world: IsaacGymWorld | None, request: dict[str, Any], arrays: Arrays) -> Arrays:
    if world is None:
        raise SceneError("no scene yet")
    operation = request["operation"]
    if operation == "configure":
        world.configure(arrays["ids"], arrays)
    elif operation == "reset":
        world.reset(arrays["ids"], arrays["position"], arrays["velocity"])
    elif operation == "place":
        world.place(arrays["ids"], int(request["actor"]), arrays["pose"])
    elif operation == "step":
        world.step(arrays["feed"])
    return world.state()


def main() -> None:
    """`isaacgym_worker.py FD`: serve the socket with this descriptor."""
    globals()["gymapi"] = importlib.import_module("isaacgym.gymapi")
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        send(channel, {"ready": sys.version.split()[0]}, {})
        serve(channel)


if __name__ == "__main__":
    main()
