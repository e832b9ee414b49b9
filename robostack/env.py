"""A task on a robot, simulated or physical, as a Gymnasium environment; and on many simulated ones at once.

Observations and actions are float64 from the sensor to the policy: nothing is rounded in between, and a policy that
wants float32 casts once. Actions beyond their bounds are clipped to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from controllers.plant import Plant
from controllers.reference import BaseReference, JointReference
from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import RobotState
from robostack.tasks.task import Episode, Task, Term
from sim.randomization.distribution import Distribution

Info = dict[str, Any]


@runtime_checkable
class HasDynamics(Protocol):
    """A plant whose dynamics can be set: a simulated one."""

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,)."""
        ...


class PlacesObjects(Protocol):
    """A plant whose surroundings can be put in order: a simulated one."""

    def reset(
        self,
        joint_position: Array,
        joint_velocity: Array,
        ids: Array | None = None,
        objects: Mapping[str, Array] | None = None,
    ) -> RobotState:
        """Put robots at a state and objects at poses."""
        ...


class ImageSource(Protocol):
    """Cameras that look at one robot: `sim.camera_rendering.EngineCameras`, or physical ones."""

    names: tuple[str, ...]
    """Names of the cameras; their images are the blocks of the observation of that name."""
    shape: tuple[int, int, int]
    """Height, width and 3, the same for every camera."""

    def read(self) -> dict[str, NDArray[np.uint8]]:
        """The newest image of each camera, RGB, (height, width, 3)."""
        ...


class RobotEnv(gymnasium.Env[Any, Any]):
    """One robot doing one task.

    Info carries `success` (whether the task is accomplished now) and, after a reset, `dynamics` (what was drawn, by
    name).

    Args:
        task: what to do.
        plant: the robot under its tracking controller: one simulation, or a physical robot.
        dynamics: drawn from at every reset; None leaves the dynamics alone. Simulation only.
        seed: of the random numbers until `reset(seed=...)` says otherwise.
        images: cameras to look through; observations are then dictionaries: "state", the vector, and the image of each
            camera under its name.

    Raises:
        ConfigError: the plant holds several robots, or has no dynamics that can be set.
    """

    def __init__(
        self,
        task: Task,
        plant: Plant,
        dynamics: Distribution | None = None,
        seed: int | None = None,
        images: ImageSource | None = None,
    ) -> None:
        if plant.batch_shape not in ((), (1,)):
            raise ConfigError(f"RobotEnv runs one robot, the plant holds {plant.batch_shape}; use RobotVectorEnv")
        self.task, self.plant, self.dynamics = task, plant, _require_settable(dynamics, plant)
        self.metadata = {"render_modes": []}
        self.images = images
        self.observation_space: spaces.Space[Any] = box(task.observation)
        if images is not None:
            pictures = {name: spaces.Box(0, 255, images.shape, np.uint8) for name in images.names}
            self.observation_space = spaces.Dict({"state": self.observation_space, **pictures})
        self.action_space = box(task.action)
        self._low, self._high = bounds(task.action)
        self._checked = False
        self._action_shape = (*plant.batch_shape, len(self._low))
        self._limit = step_limit(task)
        self._steps = 0
        self._state: RobotState | None = None
        self._episode: Episode = {}
        if seed is not None:
            self.np_random = np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Start an episode: draw the dynamics, bring the robot to a start, draw a goal.

        Args:
            seed: of all further random numbers.
            options: may carry `dynamics`, values by name to set instead of drawing them.

        Raises:
            DeviceError: the physical robot cannot be brought to the start.
        """
        super().reset(seed=seed)
        rng = self.np_random
        drawn = self._set_dynamics(options)
        start = self.task.start(rng, 1)
        position, velocity = start.joint_position, start.joint_velocity
        if self.plant.batch_shape == ():
            # A physical robot is brought to the start by a slow motion, and stands there.
            position, velocity = position[0], np.zeros_like(velocity[0])
        state = _reset(self.plant, position, velocity, None, start.objects)
        self._state, self._steps = state, 0
        self._episode = self.task.begin(rng, state)
        if not self._checked:
            require_shapes(self.task, state, self._episode)
            self._checked = True
        return self._observe(state), {"success": False, "dynamics": drawn}

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, Info]:
        """Act for one control period.

        Raises:
            NonFiniteError: the action is not finite.
            DeviceError: the physical robot stopped.
            SimulationError: the physics failed.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        task = self.task
        bounded = bounded_action(action, self._low, self._high).reshape(self._action_shape)
        state = self.plant.follow(_for_joints(task.reference(bounded, self._state, self._episode)))
        outcome, self._episode = task.judge(bounded, state, self._episode)
        self._state = state
        self._steps += 1
        observation = self._observe(state)
        # item() turns an array of one element, of shape (1,) or (), into a Python number.
        success = bool(outcome.success.item())
        terminated = bool(outcome.terminated.item()) or (success and task.ends_on_success)
        truncated = not terminated and self._steps >= self._limit
        return observation, float(outcome.reward.item()), terminated, truncated, {"success": success}

    @property
    def state(self) -> RobotState | None:
        """The newest measurement, in the plant's batch shape; None before the first reset."""
        return self._state

    @property
    def episode(self) -> Episode:
        """What the task remembers of this episode (goal, ...), in the plant's batch shape."""
        return self._episode

    def _observe(self, state: RobotState) -> Any:
        """The observation: a vector, or with cameras a dictionary."""
        vector = self.task.observe(state, self._episode).reshape(-1)
        return vector if self.images is None else {"state": vector, **self.images.read()}

    def _set_dynamics(self, options: dict[str, Any] | None) -> dict[str, float]:
        """Give the simulation its dynamics for one episode; returns them."""
        values: dict[str, Any] = {}
        if options and "dynamics" in options:
            values = {name: np.array([value], dtype=np.float64) for name, value in options["dynamics"].items()}
        elif self.dynamics is not None:
            values = self.dynamics.sample(self.np_random, 1)
        if values:
            if not isinstance(self.plant, HasDynamics):
                raise ConfigError(f"the dynamics of a physical '{self.task.spec.name}' cannot be set; leave them out")
            self.plant.set_dynamics(values)
        return {name: float(value[0]) for name, value in values.items()}


class RobotVectorEnv(VectorEnv[Any, Any, Any]):
    """Many simulations of one robot doing one task, stepped together.

    Episodes restart within the step that ends them (`AutoresetMode.SAME_STEP`): the observation returned is then the
    first one of the new episode, and `info["final_obs"]`, (num_envs, num_observations), the last one of the old; where
    no episode ended both are equal, so that `final_obs` is always the observation that the action led to. Info also
    carries `success`, (num_envs,), and with randomised dynamics `dynamics`: name -> values in force during the step.
    Where an episode ended and the task measures a distance, `final_distance`, (num_envs,) [m], has it; nan elsewhere.

    Args:
        task: what to do.
        plant: simulated robots, batch shape (count,).
        dynamics: drawn from at every reset; None leaves the dynamics alone.
        seed: of the random numbers until `reset(seed=...)` says otherwise.

    Raises:
        ConfigError: the plant is not a batch, or has no dynamics that can be set.
    """

    def __init__(self, task: Task, plant: Plant, dynamics: Distribution | None = None, seed: int | None = None) -> None:
        if len(plant.batch_shape) != 1:
            raise ConfigError("RobotVectorEnv runs simulations of batch shape (count,); use RobotEnv for one robot")
        self.task, self.plant, self.dynamics = task, plant, _require_settable(dynamics, plant)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = plant.batch_shape[0]
        self.single_observation_space, self.single_action_space = box(task.observation), box(task.action)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
        self._low, self._high = bounds(task.action)
        self._limit = step_limit(task)
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._state: RobotState | None = None
        self._episode: Episode = {}
        self._drawn: dict[str, FloatArray] = {}
        if seed is not None:
            self._np_random = np.random.default_rng(seed)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, Info]:
        """Start an episode in every simulation. One `seed` serves all; a list is refused."""
        if isinstance(seed, list):
            raise ConfigError("the simulations share one random generator: give one seed")
        super().reset(seed=seed, options=options)
        self._start(None)
        self._steps[:] = 0
        if self._state is None:
            raise ConfigError("the plant returned no state")
        observation = self.task.observe(self._state, self._episode)
        info: Info = {"success": np.zeros(self.num_envs, dtype=np.bool_)}
        if self._drawn:
            info["dynamics"] = {name: values.copy() for name, values in self._drawn.items()}
        return observation, info

    def step(self, actions: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Act for one control period in every simulation, actions (num_envs, num_actions).

        Raises:
            NonFiniteError: an action is not finite.
            SimulationError: the physics failed.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        task = self.task
        bounded = bounded_action(actions, self._low, self._high)
        state = self.plant.follow(_for_joints(task.reference(bounded, self._state, self._episode)))
        outcome, self._episode = task.judge(bounded, state, self._episode)
        self._state = state
        self._steps += 1
        observation = final = task.observe(state, self._episode)
        success, terminated = outcome.success, outcome.terminated
        if task.ends_on_success:
            terminated = terminated | success
        truncated = (self._steps >= self._limit) & ~terminated
        info: Info = {"success": success, "final_obs": final}
        if self._drawn:
            info["dynamics"] = {name: values.copy() for name, values in self._drawn.items()}
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            distance = getattr(task, "distance", None)
            if distance is not None:
                info["final_distance"] = np.where(terminated | truncated, distance(state, self._episode), np.nan)
            started = self._start(ended)
            observation = final.copy()
            observation[ended] = task.observe(started, {name: value[ended] for name, value in self._episode.items()})
            self._steps[ended] = 0
        return observation, outcome.reward, terminated, truncated, info

    @property
    def state(self) -> RobotState | None:
        """The newest state of all simulations; None before the first reset."""
        return self._state

    @property
    def episode(self) -> Episode:
        """What the task remembers of each simulation's episode (goal, ...)."""
        return self._episode

    def _start(self, ids: NDArray[np.intp] | None) -> RobotState:
        """Start episodes in the simulations `ids`, None for all; the states they start from."""
        count = self.num_envs if ids is None else len(ids)
        rng = self.np_random
        if self.dynamics is not None and isinstance(self.plant, HasDynamics):
            drawn = self.dynamics.sample(rng, count)
            self.plant.set_dynamics(drawn, ids)
            for name, values in drawn.items():
                self._drawn.setdefault(name, np.empty(self.num_envs))[slice(None) if ids is None else ids] = values
        start = self.task.start(rng, count)
        self._state = _reset(self.plant, start.joint_position, start.joint_velocity, ids, start.objects)
        if ids is None:
            self._episode = self.task.begin(rng, self._state)
            return self._state
        started = state_rows(self._state, ids)
        for name, value in self.task.begin(rng, started).items():
            # A copy, because a task may keep an array of the state it was given.
            self._episode[name] = np.array(self._episode[name])
            self._episode[name][ids] = value
        return started


def box(terms: tuple[Term, ...]) -> spaces.Box:
    """The space of vectors that `terms` describe, float64."""
    low, high = bounds(terms)
    return spaces.Box(low, high, dtype=np.float64)  # type: ignore[arg-type]


def bounds(terms: tuple[Term, ...]) -> tuple[FloatArray, FloatArray]:
    """Bounds of the vector that `terms` describe, each (n,)."""
    low = [term.low for term in terms for _ in term.elements]
    high = [term.high for term in terms for _ in term.elements]
    return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)


def require_shapes(task: Task, state: RobotState, episode: Episode) -> None:
    """Compare what a task computes with what its terms and its robot say.

    Raises:
        ConfigError: a vector has another length than it should.
    """
    low, _ = bounds(task.action)
    joints = np.shape(state.joint_position)
    expected = len(bounds(task.observation)[0])
    found = np.shape(task.observe(state, episode))[-1]
    if found != expected:
        raise ConfigError(f"task '{task.name}': observe() gives {found} numbers, its observation terms name {expected}")
    value = np.shape(_for_joints(task.reference(np.zeros((*joints[:-1], len(low))), state, episode)).value)
    if value != joints:
        raise ConfigError(f"task '{task.name}': reference() has values of shape {value}, the robot's joints {joints}")


def step_limit(task: Task) -> int:
    """Control steps of an episode at most."""
    return max(1, round(task.episode_s / task.control_period_s))


def bounded_action(action: Array, low: FloatArray, high: FloatArray) -> FloatArray:
    """`action` within its bounds, float64.

    Raises:
        NonFiniteError: it is not finite.
    """
    array = np.asarray(action, dtype=np.float64)
    # The sum is finite if and only if every element is, for elements of a sane size; one cheap test per step.
    if not np.isfinite(np.add.reduce(array, axis=None)):
        raise NonFiniteError(f"the action is not finite: {array}")
    return np.minimum(np.maximum(array, low), high)


def state_rows(state: RobotState, ids: NDArray[np.intp]) -> RobotState:
    """The states of the robots `ids` of a batch."""
    rows: dict[str, Any] = {
        field.name: value[ids]
        for field in dataclasses.fields(state)
        if isinstance(value := getattr(state, field.name), np.ndarray)
    }
    if state.objects is not None:
        rows["objects"] = {name: pose[ids] for name, pose in state.objects.items()}
    return dataclasses.replace(state, **rows)


def _for_joints(reference: JointReference | BaseReference) -> JointReference:
    """`reference`, which no environment can follow where it is one for wheels."""
    if isinstance(reference, BaseReference):
        raise ConfigError("environments are of robots with joints; a robot on wheels learns under `robostack launch`")
    return reference


def _reset(
    plant: Plant, position: Array, velocity: Array, ids: Array | None, objects: Mapping[str, Array] | None
) -> RobotState:
    """Bring robots to a start. At a physical robot, objects are where somebody has put them."""
    if objects is None or plant.batch_shape == ():
        return plant.reset(position, velocity, ids)
    return cast(PlacesObjects, plant).reset(position, velocity, ids, objects)


def _require_settable(dynamics: Distribution | None, plant: Plant) -> Distribution | None:
    """The distribution, once the plant is known to take its values."""
    if dynamics is not None and not isinstance(plant, HasDynamics):
        raise ConfigError(f"the dynamics of a physical '{plant.spec.name}' cannot be drawn; leave `dynamics` out")
    return dynamics
