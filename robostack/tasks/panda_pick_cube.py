"""Pick a cube: grasp a cube of 40 mm that lies somewhere on the table, and lift it by 0.1 m."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from controllers.impedance import ImpedanceConfig, ToolPoseReference, impedance_spec
from hardware.arrays import Array, namespace
from hardware.errors import ConfigError
from hardware.panda import FOLDER, PANDA
from hardware.records import RobotState
from robostack.tasks.panda_tool import AXES, GRIPPER_INDEX, ToolMotion, ToolMotionConfig, scaled
from robostack.tasks.task import Episode, Outcome, Start, Task, Term

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

CUBE = "cube"
"""Body of the cube."""
HALF_EDGE_M = 0.02
"""Half the edge of the cube [m]."""
GRASP_DISTANCE_M = 0.03
"""A lifted cube counts as held within this distance of the tool [m]."""


@dataclass(frozen=True)
class PandaPickCubeConfig:
    """Settings of the task."""

    reward: Literal["sparse", "dense"] = "sparse"
    """sparse: 1 on success, else 0. dense: nearness of the tool to the cube, and the cube's height, at every step."""
    gripper_penalty: float = 0.0
    """Cost of every change between open and shut."""
    lift_m: float = 0.1
    """Height above its start to which the cube must be lifted [m]."""
    hold_s: float = 0.2
    """How long it must stay up [s]."""
    cube_min: tuple[float, float] = (0.42, -0.15)
    """Lower corner of the area in which the cube starts, x and y in the base frame [m]."""
    cube_max: tuple[float, float] = (0.56, 0.15)
    """Upper corner of that area [m]."""
    cube_turn_rad: float = 0.5
    """Largest turn of the cube at the start, to either side [rad]."""
    tool_min: tuple[float, float, float] = (0.42, -0.1, 0.14)
    """Lower corner of the box in which the tool starts, base frame [m]."""
    tool_max: tuple[float, float, float] = (0.54, 0.1, 0.22)
    """Upper corner of that box [m]."""
    motion: ToolMotionConfig = field(default_factory=ToolMotionConfig)
    """How an action moves the tool."""
    impedance: ImpedanceConfig = field(default_factory=ImpedanceConfig)
    """Springs and dampers of the tool."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.reward not in ("sparse", "dense"):
            raise ConfigError(f"reward = '{self.reward}'; choose sparse or dense")
        for low, high in ((self.cube_min, self.cube_max), (self.tool_min, self.tool_max)):
            if not all(a < b for a, b in zip(low, high, strict=True)):
                raise ConfigError(f"lower corner {low} must lie below upper corner {high}")


class PandaPickCube(Task):
    """The task. Tool and hand are measured through the joints; the cube's pose comes from the state's objects.

    Args:
        config: settings.
    """

    def __init__(self, config: PandaPickCubeConfig | None = None) -> None:
        self.config = config = config if config is not None else PandaPickCubeConfig()
        self.name, self.model = "panda-pick-cube", FOLDER / "pick_cube.xml"
        self.impedance = config.impedance
        self.spec = impedance_spec(PANDA, config.impedance)
        self.control_period_s, self.timestep_s, self.episode_s = 0.1, 0.001, 10.0
        self.ends_on_success = True
        self.cameras = ("front", "wrist")
        self.motion = ToolMotion(config.motion, self.control_period_s)
        self.action = self.motion.action
        frame = PANDA.base_frame
        self.observation = (
            Term("tool_from_start", AXES, "1", frame, -5.0, 5.0, 0.1),
            Term("tool_velocity", AXES, "1", frame, -3.0, 3.0, 0.3),
            Term("tool_to_target", AXES, "1", frame, -3.0, 3.0, config.motion.leash_m),
            Term("gripper", ("opening",), "1", "", 0.0, 1.1, 0.08),
            Term("gripper_velocity", ("opening",), "1", "", -2.0, 2.0, 0.1),
            Term("gripper_closed", ("closed",), "1", "", 0.0, 1.0),
            Term("tool_to_cube", AXES, "1", frame, -6.0, 6.0, 0.1),
            Term("cube_lift", ("z",), "1", frame, -3.0, 3.0, 0.1),
            Term("cube_turn", ("cosine", "sine"), "1", frame, -1.0, 1.0),
        )

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The tool above the table, hand open; the cube anywhere in its area, turned at random."""
        config = self.config
        position = self.motion.start(rng, count, config.tool_min, config.tool_max)
        pose = np.zeros((count, 7))
        pose[:, :2] = rng.uniform(config.cube_min, config.cube_max, size=(count, 2))
        pose[:, 2] = HALF_EDGE_M
        half = 0.5 * rng.uniform(-config.cube_turn_rad, config.cube_turn_rad, size=count)
        pose[:, 3], pose[:, 6] = np.cos(half), np.sin(half)
        return Start(position, np.zeros_like(position), {CUBE: pose})

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Remember where tool and cube began."""
        episode = self.motion.begin(state)
        xp = namespace(state.joint_position)
        cube = state.object_pose(CUBE)
        zero = xp.zeros_like(episode["turn"])
        return {**episode, "tool_start": episode["tool"], "cube_start_m": cube[..., 2] + 0.0, "held_s": zero}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., 18); positions relative to the tool and to where the episode began."""
        xp = namespace(state.joint_position)
        tool = self.motion.kinematics(state.joint_position)[0]
        cube = state.object_pose(CUBE)
        hand = slice(GRIPPER_INDEX, GRIPPER_INDEX + 1)
        turn = 4.0 * (_yaw(cube[..., 3:]) - episode["turn"])  # a cube looks the same every quarter turn
        blocks = [
            tool - episode["tool_start"],
            self.motion.velocity(state)[..., :3],
            episode["tool_target"] - tool,
            state.joint_position[..., hand],
            state.joint_velocity[..., hand],
            episode["closed"][..., None],
            cube[..., :3] - tool,
            (cube[..., 2] - episode["cube_start_m"])[..., None],
            xp.stack([xp.cos(turn), xp.sin(turn)], axis=-1),
        ]
        return scaled(blocks, self.observation)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> ToolPoseReference:
        """The tool displaced by `action`, the hand opened or shut."""
        return self.motion.reference(action, state, episode)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Success: the cube is at the tool and `lift_m` above its start, for `hold_s`."""
        xp = namespace(action)
        config = self.config
        after = self.motion.advance(action, episode)
        tool = self.motion.kinematics(state.joint_position)[0]
        cube = state.object_pose(CUBE)[..., :3]
        away = xp.linalg.vector_norm(cube - tool, axis=-1)
        lift = cube[..., 2] - episode["cube_start_m"]
        up = (lift >= config.lift_m) & (away <= GRASP_DISTANCE_M)
        held = xp.where(up, episode["held_s"] + self.control_period_s, xp.zeros_like(lift))
        success = held >= config.hold_s - 1e-9
        reward = xp.astype(success, lift.dtype)
        if config.reward == "dense":
            # The weights of franka_sim's dense reward: reaching, then lifting.
            reward = 0.3 * xp.exp(-20.0 * away) + 0.7 * xp.clip(lift / config.lift_m, 0.0, 1.0)
        reward = reward - config.gripper_penalty * xp.abs(after["closed"] - episode["closed"])
        outcome = Outcome(reward=reward, success=success, terminated=xp.zeros_like(success))
        return outcome, {**after, "tool": tool, "held_s": held}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """How far the cube still is below the height asked for, (...,) [m]."""
        xp = namespace(state.joint_position)
        lift = state.object_pose(CUBE)[..., 2] - episode["cube_start_m"]
        return xp.maximum(self.config.lift_m - lift, xp.zeros_like(lift))

    def way_left(self, state: RobotState, episode: Episode) -> Array:
        """What is left of the way: from the tool to the cube, and up, (...,) [m]."""
        xp = namespace(state.joint_position)
        away = state.object_pose(CUBE)[..., :3] - self.motion.kinematics(state.joint_position)[0]
        return xp.linalg.vector_norm(away, axis=-1) + self.distance(state, episode)

    def scripted(self) -> Policy:
        """Above the cube, down, shut, up."""
        from robostack.policies.scripted_pick import ScriptedPick

        return ScriptedPick(self.observation, self.config.motion)


def _yaw(quaternion: Array) -> Array:
    """Turn about the vertical of a quaternion (..., 4) w x y z, (...,) [rad]."""
    xp = namespace(quaternion)
    w, x, y, z = (quaternion[..., index] for index in range(4))
    return xp.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


TASK = PandaPickCube

__all__ = ["TASK", "PandaPickCube", "PandaPickCubeConfig"]
