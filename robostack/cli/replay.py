"""`robostack replay DATASET`: make a robot do a recorded episode again, and say how well it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hardware.errors import ConfigError, UnknownNameError
from hardware.robot import ROBOTS
from robostack.cli.command import Command
from robostack.cli.foreground import StatusLine, run_with_children
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_error, print_json_line, print_next
from robostack.cli.record import dataset_folder
from robostack.cli.robot_options import foreground_options, launch_items
from robostack.launching.finder import launch_files
from robostack.teleoperation.replay import RecordedMotion, Replay, ReplayConfig, ReplayResult, recorded_motion

if TYPE_CHECKING:
    from robostack.data.dataset import Dataset
    from robostack.nodes.lifecycle import ManagedNode

USAGE = (
    "usage: robostack replay DATASET [--robot ROBOT] [--virtual] [--episode N] [flags]   DATASET: folder or user/name"
)
RATE_HZ = 50.0
"""Rate of commands [Hz]."""


def main(arguments: list[str]) -> int:
    """Run the verb; 0 if the motion was reproduced within the tolerances."""
    if not arguments or arguments[0].startswith("-"):
        console().print(USAGE, markup=False)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    name, *rest = arguments
    dataset = open_dataset(name)
    robot = robot_in(rest) or str(dataset.robot_type)
    if robot not in launch_files():
        raise UnknownNameError("robot (--robot)", robot, launch_files())
    options = parse_options(foreground_options(robot, _fields(robot), COMMAND.summary), f"replay {name}", rest)
    motion = motion_of(dataset, options.episode, robot)
    result, status = replay(robot, motion, options)
    within = status == 0 and result.within(options.replay)
    report(result, options.replay, within)
    if options.json:
        values = {"dataset": str(dataset.root), "episode": options.episode, "robot": robot, "status": status}
        print_json_line({**values, **dataclasses.asdict(result), "within_tolerance": within})
    if within:
        print_next(f"robostack data info {dataset.root}")
    return 0 if within else 1


def _fields(robot: str) -> list[tuple[str, Any, Any]]:
    return [
        ("robot", Annotated[str, tyro.conf.arg(help="robot that does it again")], dataclasses.field(default=robot)),
        ("episode", Annotated[int, tyro.conf.arg(help="index of the episode")], dataclasses.field(default=0)),
        ("replay", ReplayConfig, dataclasses.field(default_factory=ReplayConfig)),
    ]


def open_dataset(name: str) -> Dataset:
    """The dataset in the folder `name`, or the one that LeRobot keeps under that name.

    Raises:
        DatasetError: there is none.
        MissingExtraError: the packages that read datasets are not installed.
    """
    from robostack.data.dataset import Dataset

    folder = Path(name)
    return Dataset(folder if folder.exists() or not dataset_folder(name).exists() else dataset_folder(name))


def robot_in(arguments: Sequence[str]) -> str:
    """What `--robot` names; "" without it."""
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in ("--robot", "--robot.type"):
            return value if equals else (list(arguments[index + 1 : index + 2]) or [""])[0]
    return ""


def motion_of(dataset: Dataset, episode: int, robot: str) -> RecordedMotion:
    """The motion in one episode.

    Raises:
        ConfigError: there is no such episode, or it is another robot's.
    """
    if not 0 <= episode < dataset.num_episodes:
        raise ConfigError(f"episode {episode}: {dataset.root} has {dataset.num_episodes} episodes, counted from 0")
    return recorded_motion(dataset.episode(episode), dataset.features, dataset.fps, ROBOTS.load(robot).spec)


def replay(robot: str, motion: RecordedMotion, options: Any) -> tuple[ReplayResult, int]:
    """Do `motion` again; how well, and the exit status of what ran."""
    items, _ = launch_items(robot, options)
    spec = ROBOTS.load(robot).spec
    again = Replay(motion, spec, options.replay, 1.0 / RATE_HZ)
    line = StatusLine()

    def create(ended: Callable[[], str]) -> ManagedNode:
        from robostack.nodes.replay_node import ReplayNode, ReplaySetup

        return ReplayNode(ReplaySetup(spec, again, say=line.say, ended=ended))

    status = run_with_children(items, create, options.ros, options.namespace, line.say)
    return again.result(), status


def report(result: ReplayResult, config: ReplayConfig, within: bool) -> None:
    """Say how well the motion was reproduced."""
    if not result.compared:
        print_error("nothing was replayed")
        return
    console().print(
        f"{result.compared} of {result.steps} time steps: rms difference from the recording {result.rms_rad:.4f} rad "
        f"(tolerance {config.tolerance_rms:g}), largest {result.max_rad:.4f} rad at {result.worst_joint} "
        f"(tolerance {config.tolerance_max:g})",
        markup=False,
        soft_wrap=True,
    )
    if not result.complete:
        print_error(
            "too little of the motion was measured to judge it; the computer was busy, or the robot was stopped"
        )
    elif not within:
        print_error("the motion was not reproduced within the tolerances")


COMMAND = Command(summary="Make a robot do a recorded episode again.", main=main)
