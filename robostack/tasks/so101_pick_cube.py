"""Pick a cube with the SO-101: grasp a cube of 24 mm that lies somewhere on the table, and lift it by 35 mm.

The tool is the point between the jaws where the cube is held. It points down all the time. An action displaces its
target, as in the Panda's tasks; differential inverse kinematics makes joint speeds of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from controllers.gripping import REACH_RAD, SQUEEZE_RAD, JawLimits, JawPlan, next_jaw
from controllers.kinematics import KeptKinematics, SerialChain
from controllers.reference import JointReference
from controllers.rotations import rotation_error
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.so101 import MODEL, PICK_CUBE, SO101
from robostack.tasks.panda_tool import AXES, GRIP_THRESHOLD, ToolMotionConfig, scaled
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.dynamics import DynamicsParameter

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

CUBE = "cube"
"""Body of the cube."""
HALF_EDGE_M = 0.012
"""Half the edge of the cube [m]."""
GRASP_DISTANCE_M = 0.02
"""A lifted cube counts as held within this distance of the tool [m]."""
GRIPPER = int(SO101.indices(["gripper"])[0])
GRASP_IN_SITE_M = (-0.004, 0.0, 0.0144)
"""The tool in the frame of the site between the jaws: 4 mm up, and off the fixed jaw by more than a turned cube [m]."""
TOOL_DOWN_POSE = (0.0, -0.3, 0.3, 1.4, 0.0, 0.4)
"""Joint positions from which the search for poses with the tool pointing down begins [rad]."""
GAIN = 3.0
"""Share of the remaining error of the tool's position and direction that is corrected per second [1/s]."""
DAMPING = 0.01
"""Damping of the least squares that turn tool velocity into joint speeds."""

DYNAMICS = (
    DynamicsParameter("link/mass", "1", 1.0, 0.9, 1.3),
    DynamicsParameter("joint/damping", "1", 1.0, 0.7, 1.4),
    DynamicsParameter("joint/frictionloss", "1", 1.0, 0.5, 3.0),
    DynamicsParameter("actuator/stiffness", "1", 1.0, 0.1, 1.1),
    DynamicsParameter("actuator/latency", "s", 0.0, 0.0, 0.02),
)
"""What training randomises: servos of this class hold far less stiffly than their makers' model says."""


@dataclass(frozen=True)
class So101PickCubeConfig:
    """Settings of the task."""

    lift_m: float = 0.035
    """Height above its start to which the cube must be lifted [m]."""
    hold_s: float = 0.2
    """How long it must stay up [s]."""
    cube_min: tuple[float, float] = (0.18, -0.07)
    """Lower corner of the area in which the cube starts, x and y in the base frame [m]."""
    cube_max: tuple[float, float] = (0.25, 0.07)
    """Upper corner of that area [m]."""
    cube_turn_rad: float = 0.35
    """Largest turn of the cube at the start, to either side [rad]."""
    tool_min: tuple[float, float, float] = (0.18, -0.06, 0.055)
    """Lower corner of the box in which the tool starts, base frame [m]."""
    tool_max: tuple[float, float, float] = (0.24, 0.06, 0.07)
    """Upper corner of that box [m]."""
    open_rad: float = 0.7
    """Position of the jaw when open [rad]."""
    jaw_speed_rad_s: float = 1.0
    """Speed of the jaw [rad/s]."""
    reach_rad: float = REACH_RAD
    """While it moves freely the jaw is asked to be this far ahead of where it is [rad]."""
    squeeze_rad: float = SQUEEZE_RAD
    """The same once it has met the cube: what holds it, and little enough for the servo not to overload [rad]."""
    motion: ToolMotionConfig = field(
        default_factory=lambda: ToolMotionConfig(
            step_m=0.004, leash_m=0.016, box_min=(0.14, -0.11, 0.009), box_max=(0.28, 0.11, 0.08)
        )
    )
    """How an action moves the tool; its orientation is kept."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        for low, high in ((self.cube_min, self.cube_max), (self.tool_min, self.tool_max)):
            if not all(a < b for a, b in zip(low, high, strict=True)):
                raise ConfigError(f"lower corner {low} must lie below upper corner {high}")
        if self.motion.turn_rad > 0.0:
            raise ConfigError("the tool of 'so101-pick-cube' keeps its orientation; set motion.turn_rad to 0")


class So101PickCube(Task):
    """The task. The tool is measured through the joints; the cube's pose comes from the state's objects.

    Args:
        config: settings.
    """

    def __init__(self, config: So101PickCubeConfig | None = None) -> None:
        self.config = config = config if config is not None else So101PickCubeConfig()
        self.name, self.spec, self.model = "so101-pick-cube", SO101, PICK_CUBE
        self.control_period_s, self.timestep_s, self.episode_s = 0.05, 0.002, 8.0
        self.ends_on_success = True
        self.dynamics = DYNAMICS
        self.cameras = ("front", "side")
        frame, motion = SO101.base_frame, config.motion
        self.action = (
            Term("tool_displacement", AXES, "m", frame, -1.0, 1.0, motion.step_m),
            Term("gripper", ("close",), "1", "", -1.0, 1.0),
        )
        self.observation = (
            Term("tool_from_start", AXES, "1", frame, -5.0, 5.0, 0.05),
            Term("tool_velocity", AXES, "1", frame, -3.0, 3.0, 0.1),
            Term("tool_to_target", AXES, "1", frame, -3.0, 3.0, motion.leash_m),
            Term("gripper", ("opening",), "1", "", -0.5, 2.5, 0.7),
            Term("gripper_velocity", ("opening",), "1", "", -3.0, 3.0, 1.0),
            Term("gripper_closed", ("closed",), "1", "", 0.0, 1.0),
            Term("tool_to_cube", AXES, "1", frame, -6.0, 6.0, 0.05),
            Term("cube_lift", ("z",), "1", frame, -3.0, 3.0, 0.05),
            Term("cube_turn", ("cosine", "sine"), "1", frame, -1.0, 1.0),
        )
        self.chain = SerialChain.from_mjcf(MODEL, SO101.joint_names, str(SO101.tool_frame), SO101.base_frame)
        self._down = frozen(_down(self.chain))
        self._offset = frozen(self._down @ np.array(GRASP_IN_SITE_M))
        self._box = frozen(motion.box_min), frozen(motion.box_max)
        self._speed_limit = frozen(0.9 * SO101.velocity_max)
        self._kinematics = KeptKinematics(self.chain)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The tool above the table pointing down, jaw open; the cube anywhere in its area, turned at random."""
        config = self.config
        position = self.joints_at(rng.uniform(config.tool_min, config.tool_max, size=(count, 3)))
        position[:, GRIPPER] = config.open_rad
        pose = np.zeros((count, 7))
        pose[:, :2] = rng.uniform(config.cube_min, config.cube_max, size=(count, 2))
        pose[:, 2] = HALF_EDGE_M
        half = 0.5 * rng.uniform(-config.cube_turn_rad, config.cube_turn_rad, size=count)
        pose[:, 3], pose[:, 6] = np.cos(half), np.sin(half)
        return Start(position, np.zeros_like(position), {CUBE: pose})

    def joints_at(self, points: FloatArray) -> FloatArray:
        """Joint positions with the tool at points (k, 3) [m], pointing down, (k, num_joints) [rad].

        Raises:
            ConfigError: a point cannot be reached.
        """
        guess = np.broadcast_to(np.array(TOOL_DOWN_POSE), (len(points), len(SO101.joints)))
        down = np.broadcast_to(self._down, (len(points), 3, 3))
        found, converged = self.chain.inverse(points - self._offset, down, guess)
        if not np.all(converged):
            where = points[~converged][0].round(3).tolist()
            raise ConfigError(f"the tool of 'so101' cannot reach {where} pointing down; choose a smaller box")
        return np.array(found)

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Remember where tool and cube began; the target is where the tool is, the jaw is where it is."""
        xp = namespace(state.joint_position)
        tool, cube = self._tool(state), state.object_pose(CUBE)
        zero = xp.zeros(tool.shape[:-1], dtype=tool.dtype)
        jaw = state.joint_position[..., GRIPPER] + 0.0
        episode = {"tool_start": tool, "tool_target": tool, "closed": zero, "held_s": zero}
        episode |= {"jaw_target": jaw, "jaw_target_speed": zero, "jaw_still_s": zero}
        return {**episode, "cube_start_m": cube[..., 2] + 0.0, **self._measured(state)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., 18); positions relative to the tool and to where the episode began."""
        xp = namespace(state.joint_position)
        tool, cube = self._tool(state), state.object_pose(CUBE)
        jacobian = self._kinematics(state.joint_position)[2]
        velocity = (jacobian[..., :3, :] @ state.joint_velocity[..., None])[..., 0]
        jaw = slice(GRIPPER, GRIPPER + 1)
        w, z = cube[..., 3], cube[..., 6]
        turn = 8.0 * xp.atan2(z, w)  # a cube looks the same every quarter turn
        blocks = [
            tool - episode["tool_start"],
            velocity,
            episode["tool_target"] - tool,
            state.joint_position[..., jaw],
            state.joint_velocity[..., jaw],
            episode["closed"][..., None],
            cube[..., :3] - tool,
            (cube[..., 2] - episode["cube_start_m"])[..., None],
            xp.stack([xp.cos(turn), xp.sin(turn)], axis=-1),
        ]
        return scaled(blocks, self.observation)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """Joint speeds that follow the displaced target, all scaled down together where one exceeds its limit."""
        xp = namespace(action)
        after = self._advance(action, episode)
        _, rotation, jacobian = self._kinematics(state.joint_position)
        ahead = (after["tool_target"] - episode["tool_target"]) * (1.0 / self.control_period_s)
        linear = ahead + GAIN * (episode["tool_target"] - self._tool(state))
        angular = GAIN * rotation_error(xp.asarray(self._down.copy()), rotation)
        transposed = xp.matrix_transpose(jacobian)
        gram = jacobian @ transposed + DAMPING**2 * xp.eye(6, dtype=jacobian.dtype)
        twist = xp.concat([linear, angular], axis=-1)
        velocity = (transposed @ xp.linalg.solve(gram, twist[..., None]))[..., 0]
        excess = xp.max(xp.abs(velocity) / xp.asarray(self._speed_limit.copy()), axis=-1, keepdims=True)
        velocity = velocity / xp.maximum(excess, xp.ones_like(excess))
        velocity = xp.concat([velocity[..., :GRIPPER], after["jaw_target_speed"][..., None]], axis=-1)
        return JointReference("velocity", velocity, self.control_period_s, created_s=state.newest_capture_time_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Success, reward 1: the cube is at the tool and `lift_m` above its start, for `hold_s`."""
        xp = namespace(action)
        config = self.config
        cube = state.object_pose(CUBE)[..., :3]
        away = xp.linalg.vector_norm(cube - self._tool(state), axis=-1)
        lift = cube[..., 2] - episode["cube_start_m"]
        up = (lift >= config.lift_m) & (away <= GRASP_DISTANCE_M)
        held = xp.where(up, episode["held_s"] + self.control_period_s, xp.zeros_like(lift))
        success = held >= config.hold_s - 1e-9
        outcome = Outcome(xp.astype(success, lift.dtype), success, xp.zeros_like(success))
        return outcome, {**self._advance(action, episode), "held_s": held, **self._measured(state)}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """How far the cube still is below the height asked for, (...,) [m]."""
        xp = namespace(state.joint_position)
        lift = state.object_pose(CUBE)[..., 2] - episode["cube_start_m"]
        return xp.maximum(self.config.lift_m - lift, xp.zeros_like(lift))

    def scripted(self) -> Policy:
        """Above the cube, down, shut, up."""
        from robostack.policies.scripted_pick import PickGeometry, ScriptedPick

        size = PickGeometry(hover_m=0.042, over_m=0.005, kept_m=0.012, at_cube_m=0.004, grasped=0.35, still=0.1)
        return ScriptedPick(self.observation, self.config.motion, size)

    def _advance(self, action: Array, episode: Episode) -> Episode:
        """Memory with the targets that `action` asks for: of the tool in its box and near it, of the jaw."""
        xp, motion = namespace(action), self.config.motion
        low, high = (xp.asarray(bound.copy()) for bound in self._box)
        target = episode["tool_target"] + action[..., :3] * motion.step_m
        target = xp.minimum(xp.maximum(target, episode["tool"] - motion.leash_m), episode["tool"] + motion.leash_m)
        target = xp.minimum(xp.maximum(target, low), high)
        grip, closed = action[..., 3], episode["closed"]
        closed = xp.where(grip > GRIP_THRESHOLD, xp.ones_like(closed), closed)
        closed = xp.where(grip < -GRIP_THRESHOLD, xp.zeros_like(closed), closed)
        jaw = next_jaw(*self._jaw(closed, episode))
        memory = {"jaw_target": jaw.asked, "jaw_target_speed": jaw.speed, "jaw_still_s": jaw.still_s}
        return {**episode, "tool_target": target, "closed": closed, **memory}

    def _jaw(self, closed: Array, episode: Episode) -> tuple[JawPlan, Array, Array, Array, float, JawLimits]:
        """What the jaw's next set-point follows from."""
        xp, config, jaw = namespace(closed), self.config, episode["jaw"]
        plan = JawPlan(episode["jaw_target"], episode["jaw_target_speed"], episode["jaw_still_s"])
        shut, opened = (value * xp.ones_like(jaw) for value in (float(SO101.position_min[GRIPPER]), config.open_rad))
        goal = xp.where(closed > 0.5, shut, opened)
        limits = JawLimits(config.jaw_speed_rad_s, reach=config.reach_rad, squeeze=config.squeeze_rad)
        return plan, goal, jaw, episode["jaw_speed"], self.control_period_s, limits

    def _measured(self, state: RobotState) -> Episode:
        """What the next action is relative to."""
        jaw, speed = state.joint_position[..., GRIPPER] + 0.0, state.joint_velocity[..., GRIPPER] + 0.0
        return {"tool": self._tool(state), "jaw": jaw, "jaw_speed": speed}

    def _tool(self, state: RobotState) -> Array:
        """Where a cube between the jaws would be, the tool pointing down, (..., 3) [m]."""
        xp = namespace(state.joint_position)
        tool: Array = self._kinematics(state.joint_position)[0] + xp.asarray(self._offset.copy())
        return tool


def _down(chain: SerialChain) -> FloatArray:
    """Rotation of the site with its x axis, along the jaws, straight down, and no turn about the vertical, (3, 3)."""
    rotation = np.asarray(chain.forward(np.array(TOOL_DOWN_POSE))[1])
    x = np.array([0.0, 0.0, -1.0])
    y = rotation[:, 1] - (rotation[:, 1] @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


TASK = So101PickCube

__all__ = ["TASK", "So101PickCube", "So101PickCubeConfig"]
