"""One policy in several worlds: as trained, with all dynamics, in another engine, on a virtual robot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError, DeviceError, MissingExtraError
from robostack.evaluation import EpisodeResult, EvaluationResult, evaluate
from robostack.policies.policy import Policy
from robostack.tasks.task import Task
from sim.devices.device import DEVICES

Report = Callable[[str, int], None]
"""Called with the name of a world and the number of episodes done in it."""


@dataclass(frozen=True)
class World:
    """What became of the policy in one world."""

    name: str
    """"nominal", "uniform", "pybullet", "virtual robot" ..."""
    result: EvaluationResult | None
    """Its episodes; None where it could not be run."""
    why_not: str = ""
    """Why it could not."""
    aborted: tuple[str, ...] = ()
    """Why episodes were broken off, one entry for each; they count as failures, but not of the policy."""


def in_simulation(
    task: Task, policy: Policy, episodes: int, seed: int, engines: tuple[str, ...], report: Report
) -> list[World]:
    """The nominal dynamics, all dynamics between their bounds, and both in every further engine.

    Args:
        task: what the policy is for.
        policy: what is judged.
        episodes: per world.
        seed: of starts, goals and dynamics, the same in every world.
        engines: registry names; the first is the one that it was trained in.
        report: told about progress.
    """
    worlds = []
    for engine in engines:
        for randomize in (False, True) if task.dynamics else (False,):
            dynamics = "uniform" if randomize else "nominal"
            name = dynamics if engine == engines[0] else f"{engine}, {dynamics}"

            def told(number: int, _: EpisodeResult, name: str = name) -> None:
                report(name, number + 1)

            try:
                result = evaluate(
                    task, policy, episodes=episodes, seed=seed, randomize=randomize, engine=engine, on_episode=told
                )
                worlds.append(World(name, result))
            except (ConfigError, MissingExtraError) as error:
                if engine == engines[0]:
                    raise
                worlds.append(World(name, None, str(error)))
    return worlds


def on_virtual_robot(task: Task, policy: str, episodes: int, seed: int, folder: Path, report: Report) -> World:
    """The robot's virtual device with hidden dynamics, over its own protocol, through the ROS nodes, in real time.

    Args:
        task: what the policy is for.
        policy: ONNX file, checkpoint folder, or "scripted".
        episodes: how many.
        seed: of starts, goals and the hidden dynamics.
        folder: for what the run leaves behind.
        report: told about progress.
    """
    name, robot = "virtual robot", task.spec.name
    if robot not in DEVICES.names():
        return World(name, None, f"'{robot}' has no virtual device")
    from robostack.demo.robot_run import run_on_robot
    from robostack.launching.finder import load_launch

    done = 0

    def told(_: dict[str, Any]) -> None:
        nonlocal done
        done += 1
        report(name, done)

    arguments = {
        "virtual": "true",
        "virtual_seed": str(seed),
        "task": task.name,
        "policy": policy,
        "episodes": str(episodes),
        "seed": str(seed),
        "virtual_resets": "10",
    }
    try:
        run = run_on_robot(load_launch(robot), arguments, folder, told)
    except (DeviceError, ConfigError, MissingExtraError) as error:
        return World(name, None, str(error))
    results = [
        EpisodeResult(bool(one["success"]), float(one["duration_s"]), float(one["total_reward"]), None)
        for one in run.episodes
    ]
    reasons = tuple(str(one.get("reason", "")) for one in run.episodes)
    aborted = tuple(reason for reason in reasons if reason.startswith("aborted"))
    return World(name, EvaluationResult(tuple(results)), aborted=aborted)
