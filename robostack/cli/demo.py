"""`robostack demo`: train, evaluate, export, launch a virtual UR5e, let the policy reach over the wire, and report."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is first imported

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next, print_table

if TYPE_CHECKING:
    from robostack.demo.robot_run import RobotRun
    from robostack.learning.training import Progress
    from robostack.tasks.ur5e_reach import Ur5eReach
    from robostack.visualization.episodes import ReachTrace

TASK, ROBOT = "ur5e-reach", "ur5e"
FPS = 25


@dataclass(frozen=True)
class DemoOptions:
    """From nothing to a learned policy on a virtual arm with dynamics that training never saw."""

    output_dir: Path = Path("runs/demo")
    """Folder for everything the demonstration leaves; an earlier one is renamed."""
    steps: int = 30_000
    """Control steps of training per seed."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds trained side by side; the better policy goes on."""
    reaches: int = 30
    """Reaches of the learned policy on the virtual arm."""
    scripted_reaches: int = 15
    """Reaches of the scripted policy, for comparison."""
    evaluation_episodes: int = 100
    """Episodes of the evaluation in simulation."""
    seed: int = 1000
    """Of goals, and of the hidden dynamics of the virtual arm."""
    video_reaches: int = 8
    """Reaches shown in the video; 0: no video."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(DemoOptions, "demo", arguments)
    folder = options.output_dir
    _set_aside(folder)
    started_s = time.monotonic()
    policy, simulation = _learn(options)
    from robostack.export import export_onnx
    from robostack.files import write_text
    from robostack.tasks.ur5e_reach import Ur5eReach

    exported = export_onnx(policy, folder / "policy.onnx")
    console().print(
        f"exported to {exported.path}; largest difference from the original {exported.max_error:.1e} of half the range",
        markup=False,
        soft_wrap=True,
    )
    task = Ur5eReach()
    runs = {
        "learned": _run(options, "learned policy on the virtual arm", str(exported.path), options.reaches),
        "scripted": _run(options, "scripted policy on the virtual arm", "scripted", options.scripted_reaches),
    }
    result = _result(options, task, simulation, runs)
    _pictures(options, task, {name: _traces(task, run) for name, run in runs.items()})
    result["wall_s"] = time.monotonic() - started_s
    import json

    write_text(folder / "result.json", json.dumps(result, indent=2))
    _print_result(result, runs, options)
    return 0


def _set_aside(folder: Path) -> None:
    """Rename what an earlier demonstration left."""
    if folder.exists():
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(folder.stat().st_mtime))
        folder.rename(folder.with_name(f"{folder.name}-{stamp}"))


def _learn(options: DemoOptions) -> tuple[Path, dict[str, Any]]:
    """Train, choose, and judge in simulation; the checkpoint, and figures by policy."""
    from robostack.demo.training import choose, train_seeds
    from robostack.evaluation import evaluate
    from robostack.policies.mlp import load_policy
    from robostack.tasks.ur5e_reach import Ur5eReach

    with _bars("training") as bars:
        tasks = {seed: bars.add_task(f"training, seed {seed}", total=options.steps) for seed in options.seeds}

        def show(seed: int, progress: Progress) -> None:
            error = f", {progress.final_error_mm:.0f} mm" if progress.final_error_mm is not None else ""
            words = f"training, seed {seed}: {100 * progress.success:.0f} % success{error}"
            bars.update(tasks[seed], completed=progress.steps, description=words)

        checkpoints = train_seeds(TASK, options.seeds, options.steps, options.output_dir / "training", show)
    with console().status("evaluating in simulation, dynamics randomised"):
        best = choose(TASK, list(zip(options.seeds, checkpoints, strict=True)), 30, options.seed + 1)
        policy = options.output_dir / "policy"
        shutil.copytree(best.checkpoint, policy)
        # Other episodes than those the seed was chosen by.
        count, seed = options.evaluation_episodes, options.seed + 2
        learned = evaluate(TASK, load_policy(policy), episodes=count, seed=seed)
        scripted = evaluate(TASK, Ur5eReach().scripted(), episodes=count, seed=seed)
    return policy, {"learned": learned.figures(), "scripted": scripted.figures(), "chosen_seed": best.seed}


def _run(options: DemoOptions, title: str, policy: str, reaches: int) -> RobotRun:
    """Launch the virtual arm and the nodes, and let `policy` reach."""
    from robostack.demo.robot_run import run_on_robot
    from robostack.launching.finder import load_launch

    arguments = {
        "virtual": "true",
        "virtual_seed": str(options.seed),
        "task": TASK,
        "policy": policy if policy == "scripted" else str(Path(policy).absolute()),
        "episodes": str(reaches),
        "seed": str(options.seed),
        "to_start": "false",
        "pause_s": "0.2",
        "virtual_resets": "10",
    }
    folder = options.output_dir / ("scripted" if policy == "scripted" else "learned")
    with _bars(title) as bars:
        bar = bars.add_task(title, total=reaches)

        def show(episode: dict[str, Any]) -> None:
            bars.update(bar, advance=1, description=f"{title}: reach {episode['episode'] + 1}, {episode['reason']}")

        return run_on_robot(load_launch(ROBOT), arguments, folder, show)


def _traces(task: Ur5eReach, run: RobotRun) -> list[ReachTrace]:
    return run.traces(lambda joint_position: task.chain.forward(joint_position)[0])


def _result(
    options: DemoOptions, task: Ur5eReach, simulation: dict[str, Any], runs: dict[str, RobotRun]
) -> dict[str, Any]:
    """All figures, as they go into `result.json`."""
    from robostack.demo.report import robot_figures
    from robostack.machine import machine, versions

    robot = {
        name: {
            **robot_figures(_traces(task, run), run.episodes),
            "driver": run.report,
        }
        for name, run in runs.items()
    }
    return {
        "task": TASK,
        "robot": ROBOT,
        "seeds": list(options.seeds),
        "steps": options.steps,
        "simulation": simulation,
        "virtual_robot": robot,
        "versions": versions(),
        "machine": machine(),
    }


def _pictures(options: DemoOptions, task: Ur5eReach, traces: dict[str, list[ReachTrace]]) -> None:
    """Figure and video; says so where nothing can be rendered."""
    from robostack.visualization.episodes import frame_count, write_figure, write_video
    from robostack.visualization.scene import RenderingError, SceneRenderer

    shown = traces["learned"][: options.video_reaches]
    try:
        with SceneRenderer(task.model, task.spec.joint_names, "overview", 640, 480) as renderer:
            write_figure(options.output_dir / "demo.png", renderer, traces["learned"], traces["scripted"])
            if shown:
                with _bars("video") as bars:
                    bar = bars.add_task("video", total=frame_count(shown, FPS))
                    video = options.output_dir / "demo.mp4"
                    write_video(video, renderer, shown, FPS, lambda: bars.update(bar, advance=1))
    except RenderingError as error:
        console().print(f"no pictures: {error}", markup=False, soft_wrap=True)


def _print_result(result: dict[str, Any], runs: dict[str, RobotRun], options: DemoOptions) -> None:
    from robostack.demo.report import COLUMNS, loop_rows, table_row

    rows: list[Sequence[object]] = []
    for place, key in (("simulation", "simulation"), ("virtual robot", "virtual_robot")):
        rows += [table_row(f"{place}, {name} policy", result[key][name]) for name in ("learned", "scripted")]
    print_table(COLUMNS, rows, stderr=options.json)
    print_table(("driver, learned policy", ""), loop_rows(runs["learned"].report), stderr=options.json)
    console().print(
        f"intervals: 95 %. Took {result['wall_s']:.0f} s. Figure, video and result.json: {options.output_dir}"
    )
    print_next(f"robostack launch {ROBOT} --virtual --policy {options.output_dir / 'policy'}")
    if options.json:
        print_json_line(result)


@contextmanager
def _bars(title: str) -> Iterator[Any]:
    """Progress bars on standard error; on something that is no terminal, one line at the end of each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console()) as bars:
        if not console().is_terminal:
            console().print(f"{title} ...", markup=False)
        yield bars


COMMAND = Command(summary="Train, launch and reach with a virtual UR5e: the whole way in minutes", main=main)
