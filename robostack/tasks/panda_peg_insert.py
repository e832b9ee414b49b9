"""Insert a peg: a square peg of 16 mm, held in the hand, into a hole with 0.4 mm of clearance on either side."""

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

HOLE, PEG = "hole", "peg"
"""Bodies: the block, whose origin is the middle of the hole at its top, and the peg, whose origin is the tool point."""
PEG_LENGTH_M = 0.04
"""Distance of the peg's tip from the tool point [m]."""
PEG_WIDTH_M = 0.016
"""Width of the peg, and so the opening of the hand [m]."""
BLOCK_HEIGHT_M = 0.03
"""Height of the hole above the table [m]."""
BESIDE_M = 0.002
"""A peg counts as inserted within this horizontal distance of the hole [m]."""

SOFT = ImpedanceConfig(clip=(0.01, 0.01, 0.015, 0.05, 0.05, 0.05))
"""Springs that push with at most 15 N sideways and 22.5 N downwards."""
FINE = ToolMotionConfig(step_m=0.01, leash_m=0.02, box_min=(0.4, -0.12, 0.035), box_max=(0.6, 0.12, 0.2))
"""Small steps in a small box."""


@dataclass(frozen=True)
class PandaPegInsertConfig:
    """Settings of the task."""

    reward: Literal["sparse", "dense"] = "sparse"
    """sparse: 1 on success, else 0. dense: nearness of the tip to the bottom of the hole at every step."""
    depth_m: float = 0.02
    """Depth that the tip must reach below the top of the hole [m]."""
    hole_range_m: float = 0.05
    """Largest distance of the hole from the middle of its area, per axis [m]."""
    hole_error_m: float = 0.001
    """Largest error with which the policy sees the hole's position, per horizontal axis, constant in an episode [m]."""
    start_aside_m: float = 0.02
    """Largest horizontal distance of the peg from the hole at the start, per axis [m]."""
    start_above_m: tuple[float, float] = (0.02, 0.05)
    """Least and largest height of the peg's tip above the hole at the start [m]."""
    motion: ToolMotionConfig = FINE
    """How an action moves the tool."""
    impedance: ImpedanceConfig = field(default_factory=lambda: SOFT)
    """Springs and dampers of the tool."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.reward not in ("sparse", "dense"):
            raise ConfigError(f"reward = '{self.reward}'; choose sparse or dense")
        if not 0.0 < self.depth_m <= 0.024:
            raise ConfigError(f"depth_m = {self.depth_m}; the hole is 0.025 m deep, choose at most 0.024")
        if not 0.0 <= self.start_above_m[0] < self.start_above_m[1]:
            raise ConfigError(f"start_above_m = {self.start_above_m}; give least and largest height, not negative")


class PandaPegInsert(Task):
    """The task. The peg's tip is measured through the joints; the hole's pose comes from the state's objects.

    Args:
        config: settings.
    """

    def __init__(self, config: PandaPegInsertConfig | None = None) -> None:
        self.config = config = config if config is not None else PandaPegInsertConfig()
        self.name, self.model = "panda-peg-insert", FOLDER / "peg_insert.xml"
        self.impedance = config.impedance
        self.spec = impedance_spec(PANDA, config.impedance)
        self.control_period_s, self.timestep_s, self.episode_s = 0.1, 0.001, 10.0
        self.ends_on_success = True
        self.cameras = ("front", "wrist")
        self.motion = ToolMotion(config.motion, self.control_period_s, opening_m=PEG_WIDTH_M)
        self.action = self.motion.action
        frame = PANDA.base_frame
        self.observation = (
            Term("tool_from_start", AXES, "1", frame, -3.0, 3.0, 0.05),
            Term("tool_velocity", AXES, "1", frame, -3.0, 3.0, 0.1),
            Term("tool_to_target", AXES, "1", frame, -2.0, 2.0, config.motion.leash_m),
            Term("tip_to_hole", AXES, "1", frame, -3.0, 3.0, 0.05),
            Term("tip_to_hole_near", AXES, "1", frame, -1.0, 1.0, 0.005),
        )

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The hole somewhere in its area; the peg in the hand, above the hole and beside it."""
        config = self.config
        middle = np.array([0.5, 0.0])
        hole = np.zeros((count, 7))
        hole[:, :2] = middle + rng.uniform(-config.hole_range_m, config.hole_range_m, size=(count, 2))
        hole[:, 2], hole[:, 3] = BLOCK_HEIGHT_M, 1.0
        tool = hole[:, :3].copy()
        tool[:, :2] += rng.uniform(-config.start_aside_m, config.start_aside_m, size=(count, 2))
        tool[:, 2] += PEG_LENGTH_M + rng.uniform(*config.start_above_m, size=count)
        position = self.motion.joints_at(tool)
        position[:, GRIPPER_INDEX] = PEG_WIDTH_M
        peg = np.concatenate([tool, np.broadcast_to([0.0, 1.0, 0.0, 0.0], (count, 4))], axis=-1)
        return Start(position, np.zeros_like(position), {HOLE: hole, PEG: peg})

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Remember where the tool began, and draw the error with which the hole is seen."""
        episode = self.motion.begin(state)
        xp = namespace(state.joint_position)
        tool = episode["tool"]
        error = rng.uniform(-self.config.hole_error_m, self.config.hole_error_m, size=tool.shape)
        error[..., 2] = 0.0
        return {**episode, "tool_start": tool, "hole_error": xp.asarray(error)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., 15); positions relative to the hole and to where the episode began."""
        tool = self.motion.kinematics(state.joint_position)[0]
        seen = self._tip_to_hole(state) + episode["hole_error"]
        blocks = [
            tool - episode["tool_start"],
            self.motion.velocity(state)[..., :3],
            episode["tool_target"] - tool,
            seen,
            seen,
        ]
        return scaled(blocks, self.observation)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> ToolPoseReference:
        """The tool displaced by `action`."""
        return self.motion.reference(action, state, episode)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Success: the tip is `depth_m` below the top of the hole, in it."""
        xp = namespace(action)
        after = self.motion.advance(action, episode)
        to_hole = self._tip_to_hole(state)
        beside = xp.linalg.vector_norm(to_hole[..., :2], axis=-1)
        success = (to_hole[..., 2] >= self.config.depth_m) & (beside <= BESIDE_M)
        reward = xp.astype(success, to_hole.dtype)
        if self.config.reward == "dense":
            reward = xp.exp(-20.0 * self.distance(state, episode))
        outcome = Outcome(reward=reward, success=success, terminated=xp.zeros_like(success))
        return outcome, {**after, "tool": self.motion.kinematics(state.joint_position)[0]}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """Distance of the tip from the depth asked for, in the middle of the hole, (...,) [m]."""
        xp = namespace(state.joint_position)
        to_hole = self._tip_to_hole(state)
        left = xp.maximum(self.config.depth_m - to_hole[..., 2], xp.zeros_like(to_hole[..., 2]))
        return xp.sqrt(to_hole[..., 0] ** 2 + to_hole[..., 1] ** 2 + left**2)

    def scripted(self) -> Policy:
        """Over the hole, then down."""
        from robostack.policies.scripted_insert import ScriptedInsert

        return ScriptedInsert(self.observation, self.config.motion)

    def _tip_to_hole(self, state: RobotState) -> Array:
        """From the peg's tip to the middle of the hole at its top, (..., 3) [m]; z is the depth, when positive."""
        position, rotation, _ = self.motion.kinematics(state.joint_position)
        tip = position + PEG_LENGTH_M * rotation[..., :, 2]
        return state.object_pose(HOLE)[..., :3] - tip


TASK = PandaPegInsert

__all__ = ["TASK", "PandaPegInsert", "PandaPegInsertConfig"]
