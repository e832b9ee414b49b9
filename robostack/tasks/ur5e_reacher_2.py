"""UR-Reacher-2: two joints of a UR5e bring the tool to points of a vertical plane, by joint velocities.

The task of Mahmood et al., "Benchmarking Reinforcement Learning Algorithms on Real-World Robots" (CoRL 2018, arXiv
1809.07731), which Vasan et al. (NeurIPS 2024, arXiv 2411.15370) learn on the robot: 40 ms cycle, episodes of 4 s, eight
observations, a reward that asks for precision. Shoulder lift and elbow move; the other joints stay, so that the tool
moves in the plane of the arm. Chosen here, because the papers give them for another room: the rectangle of targets, and
what counts as success (which neither the reward nor the end of an episode knows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controllers.kinematics import SerialChain
from controllers.reference import JointReference
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import RobotState
from hardware.ur5e import SCENE, UR5E
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from robostack.tasks.ur5e_reach import DYNAMICS, WALL_GAIN, WALL_MARGIN_M

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

JOINTS = ("shoulder_lift_joint", "elbow_joint")
"""The joints that move."""
PLANE = (0, 2)
"""Axes of the base frame in which the tool then moves: x and z."""
REWARD_PERIOD_S = 0.008
"""The reward is per this time, whatever the cycle is [s]."""
SCRIPTED_GAIN = 4.0
"""Approach speed of the scripted policy, per metre of error [1/s]."""


@dataclass(frozen=True)
class Ur5eReacher2Config:
    """Settings of the task."""

    joint_speed_rad_s: float = 0.3
    """Joint speed at action 1 [rad/s]: the published limit, a tenth of what the joints can do."""
    target_min: tuple[float, float] = (0.34, 0.17)
    """Lower corner of the rectangle of targets, x and z in the base frame [m]."""
    target_max: tuple[float, float] = (0.56, 0.45)
    """Upper corner of the rectangle of targets, x and z in the base frame [m]."""
    precision_m: float = 0.1
    """Width of the bell in the reward, exp(-distance^2 / precision^2) [m]."""
    tolerance_m: float = 0.025
    """Distance at the end of an episode that counts as success [m]."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if not all(low < high for low, high in zip(self.target_min, self.target_max, strict=True)):
            raise ConfigError(f"target_min {self.target_min} must lie below target_max {self.target_max}")
        if not 0.0 < self.joint_speed_rad_s <= 1.0:
            raise ConfigError(f"joint_speed_rad_s = {self.joint_speed_rad_s} must lie in (0, 1]")


class Ur5eReacher2(Task):
    """The task.

    Args:
        config: settings.
    """

    def __init__(self, config: Ur5eReacher2Config | None = None) -> None:
        self.config = config = config if config is not None else Ur5eReacher2Config()
        self.name, self.spec, self.model = "ur5e-reacher-2", UR5E, SCENE
        self.control_period_s, self.timestep_s, self.episode_s = 0.04, 0.002, 4.0
        self.ends_on_success = False
        self.dynamics = DYNAMICS
        self.chain = SerialChain.from_mjcf(SCENE, UR5E.joint_names, str(UR5E.tool_frame), UR5E.base_frame)
        self._moving = tuple(UR5E.joint_names.index(name) for name in JOINTS)
        self._room = tuple(
            (UR5E.workspace_min[axis] + WALL_MARGIN_M, UR5E.workspace_max[axis] - WALL_MARGIN_M)
            for axis in PLANE
            if UR5E.workspace_min is not None and UR5E.workspace_max is not None
        )
        middle = 0.5 * (np.array(config.target_min) + np.array(config.target_max))
        self.start_position = frozen(self.inverse(middle))
        self.action = (Term("joint_velocity", JOINTS, "rad/s", "", -1.0, 1.0, config.joint_speed_rad_s),)
        self.observation = (
            Term("joint_position", JOINTS, "rad", "", -7.0, 7.0),
            Term("joint_velocity", JOINTS, "1", "", -3.0, 3.0, config.joint_speed_rad_s),
            Term("target_to_tool", ("x", "z"), "m", UR5E.base_frame, -2.0, 2.0),
            Term("previous_action", JOINTS, "1", "", -1.0, 1.0),
        )

    def inverse(self, target: FloatArray) -> FloatArray:
        """Joint positions, (num_joints,) [rad], with the tool at `target`, x and z [m], by Newton's method.

        Raises:
            ConfigError: the two joints cannot bring the tool there.
        """
        position = np.array(UR5E.default_position)
        for _ in range(50):
            tool, jacobian = self._plane(position)
            error = target - tool
            if np.linalg.norm(error) < 1e-9:
                return position
            step = np.linalg.lstsq(jacobian, error, rcond=1e-3)[0]
            position[list(self._moving)] += np.clip(step, -0.2, 0.2)
        raise ConfigError(f"{' and '.join(JOINTS)} cannot bring the tool to x, z = {target.tolist()} m")

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The same pose for every episode: the tool in the middle of the targets, at rest."""
        position = np.tile(self.start_position, (count, 1))
        return Start(joint_position=position, joint_velocity=np.zeros_like(position))

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """A target anywhere in the rectangle."""
        xp = namespace(state.joint_position)
        shape = (*state.joint_position.shape[:-1], 2)
        target = rng.uniform(self.config.target_min, self.config.target_max, size=shape)
        return {"target": xp.asarray(target), "previous": xp.zeros(shape, dtype=state.joint_position.dtype)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., 8)."""
        xp = namespace(state.joint_position)
        tool, _ = self._plane(state.joint_position)
        blocks = (
            self._pick(state.joint_position),
            self._pick(state.joint_velocity),
            tool - episode["target"],
            episode["previous"],
        )
        scaled = [
            xp.clip(block * (1.0 / term.scale), term.low, term.high)
            for block, term in zip(blocks, self.observation, strict=True)
        ]
        return xp.concat(scaled, axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """Joint speeds for `action`; both slow down together where the tool comes near a wall of its workspace.

        A velocity damper (Faverjon and Tournassoud 1987), so that the safety filter never has to stop the tool there.
        """
        xp = namespace(action)
        speed = action * self.action[0].scale
        tool, jacobian = self._plane(state.joint_position)
        velocity = (jacobian @ speed[..., None])[..., 0]
        share = xp.ones_like(velocity[..., 0])
        for axis, (low, high) in enumerate(self._room):
            along, place = velocity[..., axis], tool[..., axis]
            bound = WALL_GAIN * xp.where(along > 0.0, high - place, low - place)
            still = along == 0.0
            room = bound / xp.where(still, xp.ones_like(along), along)
            share = xp.minimum(share, xp.where(still, xp.ones_like(room), room))
        speed = speed * xp.clip(share, 0.0, 1.0)[..., None]
        rest = xp.zeros_like(speed[..., 0])
        columns = [
            speed[..., self._moving.index(joint)] if joint in self._moving else rest
            for joint in range(len(UR5E.joint_names))
        ]
        created_s = float(np.max(np.asarray(state.capture_time_s)))
        return JointReference("velocity", xp.stack(columns, axis=-1), self.control_period_s, created_s=created_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Reward = (-d + exp(-d^2 / precision^2)) period / 8 ms, with d the distance of the tool from the target."""
        xp = namespace(action)
        distance = self.distance(state, episode)
        bell = xp.exp(-((distance / self.config.precision_m) ** 2))
        reward = (bell - distance) * (self.control_period_s / REWARD_PERIOD_S)
        success = distance <= self.config.tolerance_m
        outcome = Outcome(reward=reward, success=success, terminated=xp.zeros_like(success))
        return outcome, {"target": episode["target"], "previous": action}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """Distance of the tool from the target in the plane, (...,) [m]."""
        xp = namespace(state.joint_position)
        tool, _ = self._plane(state.joint_position)
        return xp.linalg.vector_norm(episode["target"] - tool, axis=-1)

    def scripted(self) -> Policy:
        """Straight towards the target, slower where it is near."""
        return _Straight(self)

    def _plane(self, joint_position: Array) -> tuple[Array, Array]:
        """Tool position, (..., 2) [m], and its derivative by the two joints, (..., 2, 2) [m/rad], in the plane."""
        xp = namespace(joint_position)
        tool, _, jacobian = self.chain.forward_and_jacobian(joint_position)
        rows = [xp.stack([jacobian[..., axis, joint] for joint in self._moving], axis=-1) for axis in PLANE]
        return xp.stack([tool[..., axis] for axis in PLANE], axis=-1), xp.stack(rows, axis=-2)

    def _pick(self, values: Array) -> Array:
        """The two joints out of (..., num_joints)."""
        return namespace(values).stack([values[..., joint] for joint in self._moving], axis=-1)


class _Straight:
    """The scripted policy: J q' = gain (target - tool), shortened to the largest joint speed."""

    def __init__(self, task: Ur5eReacher2) -> None:
        self.task = task

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action for `observation` (8,).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        if not np.all(np.isfinite(observation)):
            raise NonFiniteError("the observation is not finite")
        position = np.array(self.task.start_position)
        position[list(self.task._moving)] = observation[:2]
        speed = np.linalg.solve(self.task._plane(position)[1], -SCRIPTED_GAIN * observation[4:6])
        scaled = speed / self.task.action[0].scale
        return scaled / max(1.0, float(np.abs(scaled).max()))


TASK = Ur5eReacher2

__all__ = ["TASK", "Ur5eReacher2", "Ur5eReacher2Config"]
