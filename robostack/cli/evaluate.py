"""`robostack evaluate POLICY`: success, final error and time to reach in simulation, with 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.next_launch import print_next_launch
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next, print_table

if TYPE_CHECKING:
    from robostack.policies.policy import Policy
    from robostack.tasks.task import Task


@dataclass(frozen=True)
class EvaluateOptions:
    """Judge a policy in simulation."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Run folder, checkpoint folder, ONNX file, or "scripted" for the task's hand-written policy."""
    task: str | None = None
    """Name of the task; default: the one the policy was trained for."""
    episodes: int = 100
    """Number of episodes."""
    seed: int = 1000
    """Of starts, goals and dynamics."""
    fixed_dynamics: bool = False
    """Keep the nominal dynamics instead of drawing them for each episode."""
    engine: str = "mujoco"
    """Physics engine; `robostack list engines`."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(EvaluateOptions, "evaluate", arguments)
    from robostack.evaluation import evaluate

    task, policy = open_evaluated(options.policy, options.task)
    with console().status("evaluating") as status:
        result = evaluate(
            task,
            policy,
            episodes=options.episodes,
            seed=options.seed,
            randomize=not options.fixed_dynamics,
            engine=options.engine,
            on_episode=lambda number, _: status.update(f"episode {number + 1} of {options.episodes}"),
        )
    figures = result.figures()
    if options.json:
        print_json_line({"policy": options.policy, "task": task.name, **figures})
    else:
        rows = [(name, _shown(figures[name]), _shown(figures.get(f"{name}_ci95", ""))) for name in _singles(figures)]
        print_table(("figure", "value", "95 % interval"), rows)
    if options.policy == "scripted":
        print_next(f"robostack train {task.name}")
    elif options.policy.endswith(".onnx"):
        print_next_launch(task.spec.name, task.name, options.policy)
    else:
        print_next(f"robostack export {options.policy}")
    return 0


def open_evaluated(source: str, task_name: str | None) -> tuple[Task, Policy]:
    """The task and the policy, checked against each other.

    Args:
        source: run folder, checkpoint folder, ONNX file, or "scripted".
        task_name: registry name; None: the task that the policy was trained for.

    Raises:
        ConfigError: the task is not named, or has no scripted policy.
        CheckpointError: the source is missing or damaged.
        ContractMismatchError: the policy was trained for another robot or task.
    """
    from hardware.errors import ConfigError
    from robostack.checkpoint import latest_checkpoint, load_policy
    from robostack.contract import contract_of
    from robostack.policies.onnx_file import OnnxFile
    from robostack.policies.opening import open_policy
    from robostack.tasks.with_history import open_task

    if source == "scripted":
        if task_name is None:
            raise ConfigError("evaluate scripted: name the task with --task")
        task = open_task(task_name)
        scripted = task.scripted()
        if scripted is None:
            raise ConfigError(f"task '{task_name}' has no scripted policy")
        return task, scripted
    if source.endswith(".onnx"):
        trained = OnnxFile(Path(source)).contract
    else:
        trained = load_policy(latest_checkpoint(Path(source))).contract
    task = open_task(task_name or trained.task)
    return task, open_policy(Path(source), contract_of(task))


def _singles(figures: dict[str, Any]) -> list[str]:
    return [name for name in figures if not name.endswith("_ci95")]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_shown(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


COMMAND = Command(summary="Judge a policy in simulation", main=main)
