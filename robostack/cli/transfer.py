"""`robostack transfer POLICY`: success in worlds that a policy was not trained in, and where it fails first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.evaluate import open_evaluated
from robostack.cli.next_launch import print_next_launch
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_table

if TYPE_CHECKING:
    from robostack.sensitivity import Sensitivity
    from robostack.transfer import World


@dataclass(frozen=True)
class TransferOptions:
    """Judge a policy in worlds that it was not trained in."""

    policy: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Run folder, checkpoint folder, ONNX file, or "scripted" for the task's hand-written policy."""
    task: str | None = None
    """Name of the task; default: the one the policy was trained for."""
    episodes: int = 100
    """Episodes in every simulated world."""
    engines: tuple[str, ...] = ("mujoco", "pybullet")
    """Physics engines, the one of the training first."""
    virtual_episodes: int = 10
    """Episodes on the virtual robot, in real time; 0: none."""
    seed: int = 1000
    """Of starts, goals and dynamics."""
    output_dir: Path | None = None
    """Folder for the plot, the result and logs; default: runs/transfer-<task>."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(TransferOptions, "transfer", arguments)
    from robostack.sensitivity import BINS, as_figures, sensitivities
    from robostack.transfer import in_simulation, on_virtual_robot
    from robostack.visualization.sensitivity_plot import write_sensitivity_plot

    task, policy = open_evaluated(options.policy, options.task)
    folder = options.output_dir or Path("runs") / f"transfer-{task.name}"
    folder.mkdir(parents=True, exist_ok=True)
    with console().status("starting") as status:

        def report(world: str, number: int) -> None:
            status.update(f"{world}: episode {number}")

        worlds = in_simulation(task, policy, options.episodes, options.seed, options.engines, report)
        if options.virtual_episodes > 0:
            worlds.append(
                on_virtual_robot(
                    task, options.policy, options.virtual_episodes, options.seed, folder / "virtual", report
                )
            )
    found: list[Sensitivity] = []
    drawn = next((world.result for world in worlds if world.name == "uniform"), None)
    plot = folder / "sensitivity.png"
    if drawn is not None and len(drawn.episodes) >= BINS:
        found = sensitivities(drawn.episodes)
        units = {parameter.name: parameter.unit for parameter in task.dynamics}
        write_sensitivity_plot(plot, found, units, f"{task.name}: success of {options.policy}")
    result = {"policy": options.policy, "task": task.name, "seed": options.seed, "worlds": _figures(worlds)}
    result["sensitivity"] = as_figures(found)
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print_json_line(result)
    else:
        _print(worlds, found, plot)
    print_next_launch(task.spec.name, task.name, options.policy)
    return 0


def _figures(worlds: list[World]) -> dict[str, Any]:
    return {world.name: _world_figures(world) for world in worlds}


def _world_figures(world: World) -> dict[str, Any]:
    if world.result is None:
        return {"why_not": world.why_not}
    return world.result.figures() | ({"aborted": list(world.aborted)} if world.aborted else {})


def _print(worlds: list[World], found: list[Sensitivity], plot: Path) -> None:
    rows = []
    for world in worlds:
        if world.result is None:
            rows.append((world.name, "not run", world.why_not, ""))
            continue
        figures = world.result.figures()
        low, high = figures["success_ci95"]
        error = figures.get("final_error_mm")
        rows.append(
            (
                world.name,
                f"{figures['successes']} of {figures['episodes']}",
                f"{100 * low:.0f} to {100 * high:.0f} %",
                "" if error is None else f"{error:.1f}",
            )
        )
    print_table(("world", "success", "95 % interval", "final error [mm]"), rows)
    for world in worlds:
        for reason in world.aborted:
            console().print(f"{world.name}: an episode was {reason}", markup=False, soft_wrap=True)
    if found:
        named = [(one.parameter, f"{100 * one.drop:.0f} points", f"{one.worst:.3g}") for one in found if one.drop > 0.0]
        if named:
            print_table(("fails first along", "drop of success", "worst near"), named[:5])
        print(plot)


COMMAND = Command(summary="Judge a policy in worlds it was not trained in", main=main)
