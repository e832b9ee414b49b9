"""Reach: bring the tool of a UR5e to random points in front of the arm and hold it there, the tool pointing down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from controllers.kinematics import KeptKinematics, SerialChain
from controllers.reference import JointReference
from controllers.rotations import rotation_error
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.ur5e import SCENE, UR5E
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.dynamics import DynamicsParameter

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

AXES = ("x", "y", "z")
BANK_SIZE = 256
"""Number of joint positions that episodes start from."""
BANK_SEED = 20
"""Seed of those positions; they are the same in every process."""
CANDIDATES = 8
"""Targets drawn per episode, of which the first that is far enough from the tool is taken."""
PAST = 4
"""Actions that are observed: as many as can be under way, given the lag of the servos and the largest latency."""
WALL_GAIN = 4.0
"""Largest speed towards a wall of the workspace, per metre of distance from it [1/s]."""
WALL_MARGIN_M = 0.03
"""Distance from the walls of the workspace at which the tool comes to rest [m]."""

DYNAMICS = (
    DynamicsParameter("link/mass", "1", 1.0, 0.8, 1.2),
    DynamicsParameter("joint/damping", "1", 1.0, 0.5, 2.0),
    DynamicsParameter("joint/frictionloss", "1", 1.0, 0.5, 2.0),
    DynamicsParameter("joint/armature", "1", 1.0, 0.8, 1.2),
    DynamicsParameter("actuator/stiffness", "1", 1.0, 0.7, 1.3),
    DynamicsParameter("actuator/damping", "1", 1.0, 0.7, 1.3),
    DynamicsParameter("actuator/latency", "s", 0.0, 0.0, 0.06),
)
"""What training randomises. The latency covers the delay from command to motion of the controller and the network."""


@dataclass(frozen=True)
class Ur5eReachConfig:
    """Settings of the task."""

    action: Literal["tool_twist", "joint_velocity"] = "tool_twist"
    """What the policy commands: the tool's linear velocity (its orientation is kept), or six joint speeds."""
    tool_speed_m_s: float = 0.3
    """Tool velocity per axis at action 1 [m/s]."""
    joint_speed_rad_s: float = 0.8
    """Joint speed at action 1 [rad/s]."""
    target_min: tuple[float, float, float] = (0.32, -0.25, 0.15)
    """Lower corner of the box of targets, base frame [m]."""
    target_max: tuple[float, float, float] = (0.58, 0.25, 0.45)
    """Upper corner of the box of targets, base frame [m]."""
    target_distance_min_m: float = 0.1
    """Smallest distance of a new target from the tool [m]."""
    tolerance_m: float = 0.01
    """Distance at which the target counts as reached [m]."""
    hold_s: float = 0.5
    """How long the tool must stay within the tolerance [s]."""
    orientation_gain: float = 4.0
    """Rate at which "tool_twist" takes back errors of the tool's orientation [1/s]."""
    damping: float = 0.03
    """Damping of the least squares that turn tool velocity into joint speeds."""
    expected_lag_s: float = 0.11
    """Delay from an action to the motion it causes, as the observation assumes it [s]: servo plus mean latency."""
    near_weight: float = 0.3
    """Cost per step of being away from the target."""
    near_m: float = 0.01
    """Distance at which half of that cost is left [m]."""
    action_change_penalty: float = 0.02
    """Weight of the mean squared change of the action in the reward."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.action not in ("tool_twist", "joint_velocity"):
            raise ConfigError(f"action = '{self.action}'; choose tool_twist or joint_velocity")
        if not all(low < high for low, high in zip(self.target_min, self.target_max, strict=True)):
            raise ConfigError(f"target_min {self.target_min} must lie below target_max {self.target_max}")


class Ur5eReach(Task):
    """The task. Positions are computed from joint positions by one kinematic chain, so that all places agree.

    Args:
        config: settings.
    """

    def __init__(self, config: Ur5eReachConfig | None = None) -> None:
        self.config = config = config if config is not None else Ur5eReachConfig()
        self.name, self.spec, self.model = "ur5e-reach", UR5E, SCENE
        self.control_period_s, self.timestep_s, self.episode_s = 0.04, 0.002, 4.0
        self.ends_on_success = True
        self.dynamics = DYNAMICS
        self.chain = SerialChain.from_mjcf(SCENE, UR5E.joint_names, str(UR5E.tool_frame), UR5E.base_frame)
        self._tool_down = frozen(self.chain.forward(UR5E.default_position)[1])
        self._room = (frozen(UR5E.workspace_min) + WALL_MARGIN_M, frozen(UR5E.workspace_max) - WALL_MARGIN_M)
        self._joint_speed_limit = frozen(0.9 * UR5E.velocity_max)
        self._kinematics = KeptKinematics(self.chain)
        if config.action == "tool_twist":
            self.action = (
                Term("tool_linear_velocity", AXES, "m/s", UR5E.base_frame, -1.0, 1.0, config.tool_speed_m_s),
            )
        else:
            names = UR5E.joint_names
            self.action = (Term("joint_velocity", names, "rad/s", "", -1.0, 1.0, config.joint_speed_rad_s),)
        self.observation = self._terms()

    def _terms(self) -> tuple[Term, ...]:
        """Blocks of the observation, in the order in which `observe` joins them."""
        frame, speed = UR5E.base_frame, self.config.tool_speed_m_s
        past = tuple(f"{element}_{age}" for age in range(1, PAST + 1) for element in self.action[0].elements)
        terms = [
            Term("tool_to_target", AXES, "1", frame, -3.0, 3.0, 0.3),
            Term("tool_to_target_near", AXES, "1", frame, -1.0, 1.0, 0.06),
            Term("target_ahead", AXES, "1", frame, -1.0, 1.0, 0.06),
            Term("tool_velocity", AXES, "1", frame, -3.0, 3.0, speed),
            Term("previous_actions", past, "1", "", -1.0, 1.0),
        ]
        if self.config.action == "joint_velocity":
            terms.append(Term("joint_position", UR5E.joint_names, "1", "", -7.0, 7.0, 1.0))
        return tuple(terms)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """Joint positions of random points in the box, the tool pointing down, at rest."""
        position = self._bank[rng.integers(len(self._bank), size=count)]
        return Start(joint_position=position, joint_velocity=np.zeros_like(position))

    @cached_property
    def _bank(self) -> FloatArray:
        """Joint positions with the tool pointing down inside the box, (k, num_joints) [rad]."""
        points = self._points(np.random.default_rng(BANK_SEED), (BANK_SIZE,))
        start = np.broadcast_to(UR5E.default_position, (BANK_SIZE, len(UR5E.joints)))
        rotation = np.broadcast_to(self._tool_down, (BANK_SIZE, 3, 3))
        position, converged = self.chain.inverse(points, rotation, start)
        if not np.any(converged):
            raise ConfigError(f"no point between {self.config.target_min} and {self.config.target_max} can be reached")
        return np.asarray(position[converged])

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """A target at least `target_distance_min_m` away from the tool."""
        xp = namespace(state.joint_position)
        tool = self._kinematics(state.joint_position)[0]
        candidates = xp.asarray(self._points(rng, (*tool.shape[:-1], CANDIDATES)))
        far = xp.linalg.vector_norm(candidates - tool[..., None, :], axis=-1) >= self.config.target_distance_min_m
        first = xp.argmax(xp.astype(far, xp.int64), axis=-1, keepdims=True)
        chosen = (xp.arange(CANDIDATES) == first)[..., None]
        target = xp.sum(xp.where(chosen, candidates, xp.zeros_like(candidates)), axis=-2)
        actions = xp.zeros((*tool.shape[:-1], PAST * len(self.action[0].elements)), dtype=tool.dtype)
        distance = xp.linalg.vector_norm(target - tool, axis=-1)
        return {"target": target, "distance": distance, "actions": actions, "held_s": xp.zeros_like(distance)}

    def _points(self, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        """Uniform points in the box, (*shape, 3) [m]."""
        return rng.uniform(self.config.target_min, self.config.target_max, size=(*shape, 3))

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., num_observations)."""
        xp = namespace(state.joint_position)
        tool, _, jacobian = self._kinematics(state.joint_position)
        error = episode["target"] - tool
        velocity = (jacobian[..., :3, :] @ state.joint_velocity[..., None])[..., 0]
        ahead = error - self._under_way(jacobian, episode["actions"])
        blocks = [error, error, ahead, velocity, episode["actions"]]
        if self.config.action == "joint_velocity":
            blocks.append(state.joint_position)
        scaled = [
            xp.clip(block * (1.0 / term.scale), term.low, term.high)
            for block, term in zip(blocks, self.observation, strict=True)
        ]
        return xp.concat(scaled, axis=-1)

    def _under_way(self, jacobian: Array, actions: Array) -> Array:
        """Motion of the tool that past actions asked for and that has yet to come, by the expected lag, (..., 3) [m].

        Seen from the target, this is what a Smith predictor (1957) takes off the error of a loop with a delay.
        """
        size, lag = len(self.action[0].elements), self.config.expected_lag_s / self.control_period_s
        weights = [min(max(lag - age, 0.0), 1.0) for age in range(PAST)]
        summed = sum(weight * actions[..., age * size : (age + 1) * size] for age, weight in enumerate(weights))
        motion = summed * (self.action[0].scale * self.control_period_s)
        if self.config.action == "joint_velocity":
            motion = (jacobian[..., :3, :] @ motion[..., None])[..., 0]
        return motion

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """Joint speeds for `action`, all scaled down together where one would exceed its limit.

        With "tool_twist", the tool slows down towards the walls of its workspace (a velocity damper, Faverjon and
        Tournassoud 1987), so that the safety filter of the robot never has to stop it there.
        """
        xp = namespace(action)
        velocity = action * self.action[0].scale
        if self.config.action == "tool_twist":
            tool, rotation, jacobian = self._kinematics(state.joint_position)
            low, high = (xp.asarray(bound.copy()) - tool for bound in self._room)
            velocity = xp.minimum(xp.maximum(velocity, low * WALL_GAIN), high * WALL_GAIN)
            turn = rotation_error(xp.asarray(self._tool_down.copy()), rotation) * self.config.orientation_gain
            velocity = self.joint_speeds(jacobian, xp.concat([velocity, turn], axis=-1))
        excess = xp.max(xp.abs(velocity) / xp.asarray(self._joint_speed_limit.copy()), axis=-1, keepdims=True)
        velocity = velocity / xp.maximum(excess, xp.ones_like(excess))
        return JointReference("velocity", velocity, self.control_period_s, created_s=state.newest_capture_time_s)

    def joint_speeds(self, jacobian: Array, twist: Array) -> Array:
        """Damped least squares: J' (J J' + damping^2 I)^-1 twist.

        Args:
            jacobian: (..., 6, num_joints).
            twist: linear then angular velocity of the tool in the base frame, (..., 6) [m/s], [rad/s].

        Returns:
            (..., num_joints) [rad/s].
        """
        xp = namespace(jacobian)
        transposed = xp.matrix_transpose(jacobian)
        gram = jacobian @ transposed + self.config.damping**2 * xp.eye(6, dtype=jacobian.dtype)
        return (transposed @ xp.linalg.solve(gram, twist[..., None]))[..., 0]

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Reward = progress towards the target, in steps at full speed, less costs that vanish there.

        progress = (distance before - distance after) / (tool speed x period);
        costs = near_weight distance / (distance + near_m) + penalty of the action's change.
        Progress sums to the distance covered whatever the path, and costs are never negative, so that the way to the
        largest return is to reach the target and to stay there until success ends the episode.
        """
        xp = namespace(action)
        config = self.config
        distance = self.distance(state, episode)
        progress = (episode["distance"] - distance) / (config.tool_speed_m_s * self.control_period_s)
        before = episode["actions"][..., : action.shape[-1]]
        change = xp.mean((action - before) ** 2, axis=-1)
        near = distance / (distance + config.near_m)
        reward = progress - config.near_weight * near - config.action_change_penalty * change
        held = xp.where(
            distance <= config.tolerance_m, episode["held_s"] + self.control_period_s, xp.zeros_like(distance)
        )
        success = held >= config.hold_s - 1e-9
        outcome = Outcome(reward=reward, success=success, terminated=xp.zeros_like(success))
        actions = xp.concat([action, episode["actions"][..., : -action.shape[-1]]], axis=-1)
        return outcome, {"target": episode["target"], "distance": distance, "actions": actions, "held_s": held}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """Distance of the tool from the target, (...,) [m]."""
        xp = namespace(state.joint_position)
        return xp.linalg.vector_norm(episode["target"] - self._kinematics(state.joint_position)[0], axis=-1)

    def scripted(self) -> Policy:
        """A proportional controller on the observed error."""
        from robostack.policies.scripted_reach import ScriptedReach

        return ScriptedReach(self)


TASK = Ur5eReach

__all__ = ["TASK", "Ur5eReach", "Ur5eReachConfig"]
