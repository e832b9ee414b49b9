"""Push a box to a place on the table by joint accelerations, with seventeen unknown parameters of the dynamics.

After the task PandaPush of DORAEMON (Tiboni et al., ICLR 2024, https://github.com/gabrieletiboni/doraemon): the same
parameters and bounds, actions, observations, noises, length and tolerance. Robot model and rewards are this package's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from controllers.feed_forward import TrajectoryReference
from controllers.kinematics import SerialChain
from hardware.arrays import Array, frozen, namespace
from hardware.errors import ConfigError
from hardware.panda import FOLDER, PANDA
from hardware.panda.spec import GRIPPER
from hardware.records import RobotState
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.dynamics import DynamicsParameter

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

BOX = "box"
"""Body and geom of the box."""
HALF_HEIGHT_M = 0.03
"""Half the height of the box [m]."""
ARM = tuple(name for name in PANDA.joint_names if name != GRIPPER)
NOISE_BANK = 32
"""Noises drawn per episode; a control step takes the next one."""
LOW_TOOL_M = 0.012
"""Height of the tool below which its finger tips press on the table [m]."""

DYNAMICS = (
    DynamicsParameter(f"link:{BOX}/mass", "kg", 0.4, 0.2, 0.6),
    DynamicsParameter(f"contact:{BOX}/friction", "1", 0.25, 0.025, 0.5),
    DynamicsParameter(f"link:{BOX}/com_y", "m", 0.0, -0.05, 0.05),
    *(DynamicsParameter(f"joint:{name}/damping", "N m s/rad", 0.5, 0.025, 2.5) for name in ARM),
    *(DynamicsParameter(f"joint:{name}/frictionloss", "N m", 0.1, 0.025, 3.0) for name in ARM),
)
"""What is randomised, with DORAEMON's bounds."""


@dataclass(frozen=True)
class PandaPushConfig:
    """Settings of the task."""

    acceleration_scale: float = 0.4
    """Joint acceleration at action 1, as a share of the joint's limit."""
    tolerance_m: float = 0.03
    """Distance of the box from the goal that counts as success [m]."""
    goal_min: tuple[float, float] = (0.58, -0.08)
    """Lower corner of the area of goals, x and y in the base frame [m]."""
    goal_max: tuple[float, float] = (0.64, 0.08)
    """Upper corner of that area [m]."""
    box_position: tuple[float, float] = (0.45, 0.0)
    """Where the box starts, x and y in the base frame [m]."""
    box_range_m: float = 0.01
    """Largest distance of the start from there, per axis [m]."""
    drop_m: float = 0.005
    """Largest height above the table from which the box is let go at the start [m]."""
    velocity_noise_rad_s: float = 0.0011
    """Standard deviation of the noise on measured joint velocities [rad/s]."""
    box_noise_m: float = 0.002
    """Standard deviation of the noise on the seen position of the box [m]."""
    leash_rad: float = 0.1
    """Largest distance of the joints' targets from the joints [rad]."""
    low_penalty: float = 0.5
    """Cost per step of pressing on the table."""
    acceleration_penalty: float = 0.05
    """Weight of the mean squared action in the reward."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if not all(low < high for low, high in zip(self.goal_min, self.goal_max, strict=True)):
            raise ConfigError(f"goal_min {self.goal_min} must lie below goal_max {self.goal_max}")
        if not 0.0 < self.acceleration_scale <= 1.0:
            raise ConfigError(f"acceleration_scale = {self.acceleration_scale}; it is a share of the limit, 0 to 1")


class PandaPush(Task):
    """The task. The memory holds the joints' targets, which actions accelerate.

    Args:
        config: settings.
    """

    def __init__(self, config: PandaPushConfig | None = None) -> None:
        self.config = config = config if config is not None else PandaPushConfig()
        self.name, self.spec, self.model = "panda-push", PANDA, FOLDER / "push_box.xml"
        self.control_period_s, self.timestep_s, self.episode_s = 0.02, 0.002, 6.0
        self.ends_on_success = False
        self.dynamics = DYNAMICS
        self.cameras = ("front",)
        self.chain = SerialChain.from_mjcf(self.model, PANDA.joint_names, str(PANDA.tool_frame), PANDA.base_frame)
        self._acceleration = frozen(config.acceleration_scale * PANDA.acceleration_max[:-1])
        self._start = frozen(self._behind_the_box())
        self._inertia = frozen(_mass_matrix(self.model, self._start))
        self.action = (Term("joint_acceleration", ARM, "1", "", -1.0, 1.0),)
        frame = PANDA.base_frame
        self.observation = (
            Term("joint_position", ARM, "1", "", -2.0, 2.0, 2.0),
            Term("joint_velocity", ARM, "1", "", -2.0, 2.0, 1.0),
            Term("box_position", ("x", "y"), "1", frame, -2.0, 2.0, 0.5),
            Term("box_turn", ("sine", "cosine"), "1", frame, -1.0, 1.0),
            Term("goal", ("x", "y"), "1", frame, -2.0, 2.0, 0.5),
        )

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The shut hand behind the box; the box near its place, a little above the table."""
        config = self.config
        position = np.repeat(self._start[None], count, axis=0)
        box = np.zeros((count, 7))
        box[:, :2] = config.box_position + rng.uniform(-config.box_range_m, config.box_range_m, size=(count, 2))
        box[:, 2] = HALF_HEIGHT_M + rng.uniform(0.0, config.drop_m, size=count)
        box[:, 3] = 1.0
        return Start(position, np.zeros_like(position), {BOX: box})

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """A goal, the noises of the episode, and targets at the joints, at rest."""
        xp = namespace(state.joint_position)
        shape = state.joint_position.shape[:-1]
        goal = rng.uniform(self.config.goal_min, self.config.goal_max, size=(*shape, 2))
        noise = rng.normal(size=(*shape, NOISE_BANK, len(ARM) + 2))
        arm = state.joint_position[..., : len(ARM)]
        return {
            "goal": xp.asarray(goal),
            "noise": xp.asarray(noise),
            "step": xp.zeros(shape, dtype=xp.int64),
            "joint_position": arm,
            "target": arm,
            "target_velocity": xp.zeros_like(arm),
        }

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """Joints, box and goal, (..., 20), joint velocities and the box's position with noise."""
        xp = namespace(state.joint_position)
        config, arm = self.config, len(ARM)
        taken = xp.arange(NOISE_BANK) == (episode["step"] % NOISE_BANK)[..., None]
        noise = xp.sum(xp.where(taken[..., None], episode["noise"], xp.zeros_like(episode["noise"])), axis=-2)
        box = state.object_pose(BOX)
        w, x, y, z = (box[..., index] for index in range(3, 7))
        sine, cosine = 2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)
        blocks = [
            state.joint_position[..., :arm],
            state.joint_velocity[..., :arm] + config.velocity_noise_rad_s * noise[..., :arm],
            box[..., :2] + config.box_noise_m * noise[..., arm:],
            xp.stack([sine, cosine], axis=-1),
            episode["goal"],
        ]
        parts = [
            xp.clip(block * (1.0 / term.scale), term.low, term.high)
            for block, term in zip(blocks, self.observation, strict=True)
        ]
        return xp.concat(parts, axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> TrajectoryReference:
        """The joints' targets at the end of the period, and the torque that this acceleration takes."""
        xp = namespace(action)
        position, velocity, acceleration = self._integrate(action, episode)
        inertia = xp.asarray(self._inertia.copy())
        effort = (inertia @ acceleration[..., None])[..., 0]
        hand = xp.zeros_like(position[..., :1])  # shut, and kept so
        return TrajectoryReference(
            "position",
            xp.concat([position, hand], axis=-1),
            self.control_period_s,
            xp.concat([velocity, hand], axis=-1),
            state.newest_capture_time_s,
            acceleration=xp.concat([acceleration, hand], axis=-1),
            effort=xp.concat([effort, hand], axis=-1),
        )

    def _integrate(self, action: Array, episode: Episode) -> tuple[Array, Array, Array]:
        """Targets after a period of constant acceleration, within the joints' limits and near the joints."""
        xp = namespace(action)
        period, arm = self.control_period_s, len(ARM)
        low, high, speed, scale = (
            xp.asarray(bound.copy())
            for bound in (
                PANDA.position_min[:arm],
                PANDA.position_max[:arm],
                PANDA.velocity_max[:arm],
                self._acceleration,
            )
        )
        before = episode["target_velocity"]
        velocity = xp.clip(before + scale * action * period, -speed, speed)
        position = episode["target"] + 0.5 * (before + velocity) * period
        leash = self.config.leash_rad
        bounded = xp.clip(position, episode["joint_position"] - leash, episode["joint_position"] + leash)
        bounded = xp.clip(bounded, low, high)
        velocity = xp.where(bounded == position, velocity, xp.zeros_like(velocity))
        return bounded, velocity, (velocity - before) / period

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Costs: distance of the box from the goal, of the tool from the box, pressing on the table, acceleration."""
        xp = namespace(action)
        config = self.config
        position, velocity, _ = self._integrate(action, episode)
        distance = self.distance(state, episode)
        tool = self.chain.forward(state.joint_position)[0]
        away = xp.linalg.vector_norm(tool[..., :2] - state.object_pose(BOX)[..., :2], axis=-1)
        success = distance <= config.tolerance_m
        low = xp.astype(tool[..., 2] < LOW_TOOL_M, distance.dtype)
        reward = xp.astype(success, distance.dtype) - 5.0 * distance - xp.maximum(away - 0.08, xp.zeros_like(away))
        reward = reward - config.low_penalty * low - config.acceleration_penalty * xp.mean(action**2, axis=-1)
        outcome = Outcome(reward=reward, success=success, terminated=xp.zeros_like(success))
        after = {
            "step": episode["step"] + 1,
            "joint_position": state.joint_position[..., : len(ARM)],
            "target": position,
            "target_velocity": velocity,
        }
        return outcome, {**episode, **after}

    def distance(self, state: RobotState, episode: Episode) -> Array:
        """Distance of the box from the goal, (...,) [m]."""
        xp = namespace(state.joint_position)
        return xp.linalg.vector_norm(state.object_pose(BOX)[..., :2] - episode["goal"], axis=-1)

    def scripted(self) -> Policy:
        """Behind the box, as seen from the goal, and through it."""
        from robostack.policies.scripted_push import ScriptedPush

        return ScriptedPush(self)

    def _behind_the_box(self) -> np.ndarray:
        """Joint positions with the shut hand 30 mm behind the box, finger tips 10 mm above the table, (8,) [rad]."""
        x, y = self.config.box_position
        point = np.array([[x - 0.09, y, 0.02]])
        rotation = self.chain.forward(PANDA.default_position)[1][None]
        found, converged = self.chain.inverse(point, rotation, PANDA.default_position[None])
        if not converged.all():
            raise ConfigError(f"the hand cannot reach behind the box at {self.config.box_position}")
        found[0, -1] = 0.0
        return np.asarray(found[0])


def _mass_matrix(path: object, joint_position: np.ndarray) -> np.ndarray:
    """Mass matrix of the arm at a pose, (7, 7) [kg m^2]."""
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    columns = [int(model.joint(name).dofadr[0]) for name in ARM]
    data.qpos[[int(model.joint(name).qposadr[0]) for name in ARM]] = joint_position[: len(ARM)]
    mujoco.mj_forward(model, data)
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return np.asarray(full[np.ix_(columns, columns)])


TASK = PandaPush

__all__ = ["DYNAMICS", "TASK", "PandaPush", "PandaPushConfig"]
