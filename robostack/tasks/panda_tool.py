"""What the Panda's tasks share: small displacements of a tool that points down, under Cartesian impedance control.

An action displaces the tool's target, which is what the springs pull to. The target stays in a box, and near the tool,
so that pushing against something does not wind it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from controllers.impedance import ToolPoseReference
from controllers.kinematics import KeptKinematics, SerialChain
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError
from hardware.panda import MODEL, PANDA
from hardware.panda.spec import GRIPPER, OPEN_WIDTH_M
from hardware.records import RobotState
from robostack.tasks.task import Episode, Term

AXES = ("x", "y", "z")
GRIP_THRESHOLD = 0.5
"""Gripper actions above it close, below its negative open, in between change nothing (SERL)."""
GRIPPER_INDEX = int(PANDA.indices([GRIPPER])[0])


@dataclass(frozen=True)
class ToolMotionConfig:
    """How an action moves the tool."""

    step_m: float = 0.03
    """Displacement per axis at action 1 [m]."""
    leash_m: float = 0.06
    """Largest distance per axis of the target from the tool [m]."""
    turn_rad: float = 0.0
    """Turn about the vertical at action 1 [rad]; 0: the tool keeps its orientation, the action has no such element."""
    box_min: tuple[float, float, float] = (0.32, -0.28, 0.0125)
    """Lower corner of the box that the target stays in, base frame [m]; the finger tips reach 9.5 mm below the tool."""
    box_max: tuple[float, float, float] = (0.6, 0.28, 0.4)
    """Upper corner of that box [m]."""
    turn_max_rad: float = 1.2
    """Largest turn of the tool from its default orientation [rad]."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if not all(low < high for low, high in zip(self.box_min, self.box_max, strict=True)):
            raise ConfigError(f"box_min {self.box_min} must lie below box_max {self.box_max}")
        if not 0.0 < self.step_m <= self.leash_m:
            raise ConfigError(f"step_m {self.step_m} must be positive and at most leash_m {self.leash_m}")


class ToolMotion:
    """Turns actions into poses for the tool, and joint positions into poses of the tool.

    Args:
        config: settings.
        control_period_s: period of the policy [s].
        opening_m: opening that the hand keeps [m]; None: actions end with an element that opens and closes it.
    """

    def __init__(self, config: ToolMotionConfig, control_period_s: float, opening_m: float | None = None) -> None:
        self.config, self.control_period_s, self.opening_m = config, control_period_s, opening_m
        self.chain = SerialChain.from_mjcf(MODEL, PANDA.joint_names, str(PANDA.tool_frame), PANDA.base_frame)
        self._down = frozen(self.chain.forward(PANDA.default_position)[1])
        self._box = frozen(config.box_min), frozen(config.box_max)
        self.kinematics = KeptKinematics(self.chain)
        """Position, rotation and Jacobian of the tool, for joint positions."""

    @cached_property
    def action(self) -> tuple[Term, ...]:
        """Blocks of the action."""
        frame = PANDA.base_frame
        terms = [Term("tool_displacement", AXES, "m", frame, -1.0, 1.0, self.config.step_m)]
        if self.config.turn_rad > 0.0:
            terms.append(Term("tool_turn", ("yaw",), "rad", frame, -1.0, 1.0, self.config.turn_rad))
        if self.opening_m is None:
            terms.append(Term("gripper", ("close",), "1", "", -1.0, 1.0))
        return tuple(terms)

    def start(self, rng: np.random.Generator, count: int, low: object, high: object) -> FloatArray:
        """Joint positions with the tool pointing down at uniform points of a box, hand open, (count, num_joints) [rad].

        Args:
            rng: random numbers.
            count: how many.
            low: lower corner, (3,) [m].
            high: upper corner, (3,) [m].

        Raises:
            ConfigError: a point cannot be reached.
        """
        points = rng.uniform(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64), size=(count, 3))
        return self.joints_at(points)

    def joints_at(self, points: FloatArray) -> FloatArray:
        """Joint positions that put the tool, pointing down, at points (k, 3) [m]; (k, num_joints) [rad].

        Raises:
            ConfigError: a point cannot be reached.
        """
        guess = np.broadcast_to(PANDA.default_position, (len(points), len(PANDA.joints)))
        found, converged = self.chain.inverse(points, np.broadcast_to(self._down, (len(points), 3, 3)), guess)
        if not np.all(converged):
            where = points[~converged][0].round(3).tolist()
            raise ConfigError(f"the tool of '{PANDA.name}' cannot reach {where} pointing down; choose a smaller box")
        return np.asarray(found)

    def begin(self, state: RobotState) -> Episode:
        """Memory at the start: the target is where the tool is; the hand is open."""
        xp = namespace(state.joint_position)
        tool = self.kinematics(state.joint_position)[0]
        zero = xp.zeros(tool.shape[:-1], dtype=tool.dtype)
        return {"tool": tool, "tool_target": tool, "turn": zero, "closed": zero}

    def advance(self, action: Array, episode: Episode) -> Episode:
        """Memory with the target that `action` asks for: displaced, in the box, and near where the tool was."""
        xp = namespace(action)
        low, high = (xp.asarray(bound.copy()) for bound in self._box)
        target = episode["tool_target"] + action[..., :3] * self.config.step_m
        leash = self.config.leash_m
        target = xp.minimum(xp.maximum(target, episode["tool"] - leash), episode["tool"] + leash)
        target = xp.minimum(xp.maximum(target, low), high)
        turn, closed = episode["turn"], episode["closed"]
        if self.config.turn_rad > 0.0:
            turn = xp.clip(
                turn + action[..., 3] * self.config.turn_rad, -self.config.turn_max_rad, self.config.turn_max_rad
            )
        if self.opening_m is None:
            grip = action[..., -1]
            closed = xp.where(grip > GRIP_THRESHOLD, xp.ones_like(closed), closed)
            closed = xp.where(grip < -GRIP_THRESHOLD, xp.zeros_like(closed), closed)
        return {**episode, "tool_target": target, "turn": turn, "closed": closed}

    def reference(self, action: Array, state: RobotState, episode: Episode) -> ToolPoseReference:
        """What the tool and the hand are to do for `action`."""
        xp = namespace(action)
        asked = self.advance(action, episode)
        half = 0.5 * asked["turn"]
        # The tool pointing down is half a turn about x; turned about the vertical it is (0, cos, sin, 0).
        zero = xp.zeros_like(half)
        quaternion = xp.stack([zero, xp.cos(half), xp.sin(half), zero], axis=-1)
        opening = OPEN_WIDTH_M if self.opening_m is None else self.opening_m
        width = opening * (1.0 - asked["closed"])
        joints = xp.full((*action.shape[:-1], GRIPPER_INDEX), xp.nan, dtype=action.dtype)
        return ToolPoseReference(
            "position",
            xp.concat([joints, width[..., None]], axis=-1),
            self.control_period_s,
            created_s=state.newest_capture_time_s,
            position=asked["tool_target"],
            quaternion=quaternion,
        )

    def velocity(self, state: RobotState) -> Array:
        """Velocity of the tool, linear then angular, (..., 6) [m/s], [rad/s]."""
        jacobian = self.kinematics(state.joint_position)[2]
        return (jacobian @ state.joint_velocity[..., None])[..., 0]


def scaled(blocks: list[Array], terms: tuple[Term, ...]) -> Array:
    """Physical blocks, (..., k) each, divided by the scales of their terms and clipped to their bounds; joined."""
    xp = namespace(blocks[0])
    parts = [
        xp.clip(block * (1.0 / term.scale), term.low, term.high) for block, term in zip(blocks, terms, strict=True)
    ]
    return xp.concat(parts, axis=-1)
