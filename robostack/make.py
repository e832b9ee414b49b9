"""From the name of a task to its environment in simulation."""

from __future__ import annotations

from pathlib import Path
from typing import overload

import mujoco

from hardware.errors import ConfigError
from robostack.env import ImageSource, RobotEnv, RobotVectorEnv
from robostack.tasks.task import Task
from robostack.tasks.with_history import open_task
from sim.engine import ENGINES
from sim.impedance_actuators import with_impedance
from sim.mujoco_engine import MujocoEngine
from sim.randomization.distribution import Distribution
from sim.randomization.uniform import UniformDistribution
from sim.simulated_plant import SimulatedPlant


def simulate(task: Task, count: int = 1, threads: int = 1, engine: str = "mujoco") -> SimulatedPlant:
    """Simulated robots for a task, with room for the latencies that it randomises.

    Args:
        task: what they are for.
        count: number of simulations.
        threads: threads that step them; results do not depend on it.
        engine: registry name of the physics engine.

    Raises:
        ConfigError: the task is for a robot on wheels, or needs what the engine has not.
        UnknownNameError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    if not task.spec.joints:
        raise ConfigError(
            f"task '{task.name}' has no simulation of its own; "
            f"it runs under: robostack launch {task.spec.name} --virtual"
        )
    latency_max_s = max((entry.high for entry in task.dynamics if entry.name == "actuator/latency"), default=0.0)
    model: Path | mujoco.MjSpec = task.model
    if task.impedance is not None:
        model = with_impedance(task.model, task.spec, task.impedance)
    made = ENGINES.load(engine).open(task.spec, model, count, threads, task.timestep_s, latency_max_s)
    return SimulatedPlant(made, impedance=task.impedance is not None)


@overload
def make_env(
    task: str | Task,
    count: None = None,
    threads: int = 1,
    randomize: bool | Distribution = True,
    seed: int | None = 0,
    image_size: int | None = None,
    engine: str = "mujoco",
) -> RobotEnv: ...


@overload
def make_env(
    task: str | Task,
    count: int,
    threads: int = 1,
    randomize: bool | Distribution = True,
    seed: int | None = 0,
    *,
    engine: str = "mujoco",
) -> RobotVectorEnv: ...


def make_env(
    task: str | Task,
    count: int | None = None,
    threads: int = 1,
    randomize: bool | Distribution = True,
    seed: int | None = 0,
    image_size: int | None = None,
    engine: str = "mujoco",
) -> RobotEnv | RobotVectorEnv:
    """A task's environment in simulation.

    Args:
        task: a task or its registry name ("ur5e-reach").
        count: number of simulations stepped together; None for a single environment.
        threads: threads that step them.
        randomize: draw the dynamics that the task names uniformly between their bounds, or from this distribution;
            False keeps the model as it is.
        seed: of the random numbers; None draws one.
        image_size: width and height of the images of the task's cameras [px], which are then observed too; a single
            environment only. None: no images.
        engine: registry name of the physics engine; `robostack list engines`.

    Raises:
        ConfigError: images of a task without cameras, or of many simulations, are asked for.
        UnknownNameError: there is no such task or engine.
        MissingExtraError: the engine is not installed.
    """
    made = open_task(task) if isinstance(task, str) else task
    plant = simulate(made, 1 if count is None else count, threads, engine)
    dynamics: Distribution | None = None
    if not isinstance(randomize, bool):
        dynamics = randomize
    elif randomize and made.dynamics:
        dynamics = UniformDistribution(made.dynamics)
    if count is None:
        return RobotEnv(made, plant, dynamics, seed, None if image_size is None else _cameras(made, plant, image_size))
    if image_size is not None:
        raise ConfigError("images are observed by single environments only; leave `count` or `image_size` out")
    return RobotVectorEnv(made, plant, dynamics, seed)


def _cameras(task: Task, plant: SimulatedPlant, image_size: int) -> ImageSource:
    """The cameras of a task."""
    if not task.cameras or not isinstance(plant.engine, MujocoEngine):
        raise ConfigError(f"task '{task.name}' has no cameras; leave `image_size` out")
    from sim.camera_rendering import EngineCameras

    return EngineCameras(plant.engine, task.cameras, image_size, image_size)
