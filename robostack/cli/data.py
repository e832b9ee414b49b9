"""`robostack data ...`: look at demonstrations on disk, put them right, merge their files, convert them, make more."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hardware.errors import ConfigError
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next, print_table
from robostack.cli.sub_verbs import SubVerbs, run_sub_verb

if TYPE_CHECKING:
    from robostack.data.dataset import Dataset

Positional = Annotated[Path, tyro.conf.Positional]
MOST_LINES = 40
"""Findings shown; the rest is counted."""


@dataclass(frozen=True)
class CheckOptions:
    """Look at every file of a dataset. Exit status 0 only if there is no error."""

    path: Positional
    """Folder of the dataset."""
    deep: bool = False
    """Decode every frame of every video too."""
    json: bool = False
    """Print the findings as one JSON object on the last line of standard output."""


@dataclass(frozen=True)
class RepairOptions:
    """Put a dataset right after a crash or damage; also makes an .mcap file that was cut off whole again."""

    path: Positional
    """Folder of the dataset, or an .mcap file."""
    deep: bool = False
    """Decode every frame of every video to find damage."""
    json: bool = False
    """Print what was done as one JSON object on the last line of standard output."""


@dataclass(frozen=True)
class CompactOptions:
    """Merge the files of a dataset into the few large ones of the standard, without encoding again."""

    path: Positional
    """Folder of the dataset."""
    output: Path | None = None
    """A new folder for the result; by default it replaces the dataset."""
    json: bool = False
    """Print what was done as one JSON object on the last line of standard output."""


@dataclass(frozen=True)
class ConvertOptions:
    """Convert: an .mcap file or rosbag2 folder to a dataset, a dataset to .mcap, a v2.0 or v2.1 dataset to v3.0."""

    source: Positional
    """What to convert."""
    target: Positional
    """Where to: a folder, or a file that ends with .mcap."""
    fps: float = 30.0
    """From a bag: time steps per second [Hz]."""
    state: str = "joint_states"
    """From a bag: topic of the column observation.state."""
    state_fields: tuple[str, ...] = ("position",)
    """From a bag: parts of the joint states: position, velocity, effort."""
    action: str = ""
    """From a bag: topic of the column action; by default executed_command, else joint_trajectory, else cmd_vel."""
    requested: str = "requested_command"
    """From a bag: topic of the column complementary_info.requested_action, where it is there."""
    events: str = "episode_events"
    """From a bag: topic that says when episodes begin and end; where it is missing the bag is one episode."""
    cameras: tuple[str, ...] = field(default_factory=tuple)
    """From a bag: topics of pictures; by default all."""
    task: str = ""
    """From a bag: the task in words, where the bag does not say it."""
    robot_type: str = ""
    """From a bag: name of the robot, where the bag does not say it."""
    episodes: tuple[int, ...] = field(default_factory=tuple)
    """To .mcap: which episodes; by default all."""
    json: bool = False
    """Print what was done as one JSON object on the last line of standard output."""


@dataclass(frozen=True)
class InfoOptions:
    """Say what a dataset holds."""

    path: Positional
    """Folder of the dataset."""
    quality: bool = False
    """Also judge each demonstration: return, coverage, and whether it goes together with the others."""
    json: bool = False
    """Print one JSON object on the last line of standard output."""


def check_main(arguments: list[str]) -> int:
    """`robostack data check`."""
    from robostack.data.check import check

    options = parse_options(CheckOptions, "data check", arguments)
    found = check(options.path, options.deep)
    rows = [(item.level, item.where, item.message) for item in found.findings]
    if rows:
        print_table(("level", "where", "what"), rows[:MOST_LINES], stderr=options.json)
    if len(rows) > MOST_LINES:
        console().print(f"... and {len(rows) - MOST_LINES} more; --json shows all")
    errors = sum(item.level == "error" for item in found.findings)
    console().print(
        f"{found.episodes} episodes, {found.frames} time steps: {errors} errors, {len(rows) - errors} warnings"
    )
    print_next(f"robostack data {'info' if found.ok else 'repair'} {options.path}")
    if options.json:
        findings = [dataclasses.asdict(item) for item in found.findings]
        print_json_line({"ok": found.ok, "episodes": found.episodes, "frames": found.frames, "findings": findings})
    return 0 if found.ok else 1


def repair_main(arguments: list[str]) -> int:
    """`robostack data repair`."""
    options = parse_options(RepairOptions, "data repair", arguments)
    if options.path.is_file():
        from robostack.data.raw_record import recover_record

        count = recover_record(options.path, options.path)
        console().print(f"{options.path} has its index again: {count} messages")
        print_next(f"robostack viz {options.path}")
        if options.json:
            print_json_line({"messages": count})
        return 0
    from robostack.data.repair import repair

    done = repair(options.path, options.deep)
    for index, reason in done.lost:
        console().print(f"episode {index} is damaged and was taken out: {reason}", markup=False, soft_wrap=True)
    for name in done.removed:
        console().print(f"removed {name}: of an unfinished episode", markup=False, soft_wrap=True)
    if done.set_aside:
        console().print(f"{len(done.set_aside)} files of damaged episodes are in {options.path / 'damaged'}")
    if done.adopted:
        console().print(f"{done.adopted} complete episodes were not counted yet and are now")
    console().print(f"{done.episodes} episodes" + ("" if done.changed else ": nothing to put right"))
    print_next(f"robostack data check {options.path}")
    if options.json:
        print_json_line({**dataclasses.asdict(done), "changed": done.changed})
    return 0


def compact_main(arguments: list[str]) -> int:
    """`robostack data compact`."""
    from robostack.data.compact import compact

    options = parse_options(CompactOptions, "data compact", arguments)
    done = compact(options.path, options.output)
    console().print(f"{done.episodes} episodes: {done.files_before} files became {done.files_after}")
    print_next(f"robostack data check {options.output or options.path}")
    if options.json:
        print_json_line(dataclasses.asdict(done))
    return 0


def convert_main(arguments: list[str]) -> int:
    """`robostack data convert`."""
    from robostack.data.v21 import convert_v21, is_v21

    options = parse_options(ConvertOptions, "data convert", arguments)
    source, target = options.source, options.target
    following = f"robostack data check {target}"
    if not source.exists():
        raise ConfigError(f"{source} does not exist")
    if target.suffix == ".mcap":
        from robostack.data.bag_writing import dataset_to_bag

        count, what = dataset_to_bag(source, target, options.episodes), "episodes written"
        following = f"robostack viz {target}"
    elif is_v21(source):
        count, what = convert_v21(source, target), "episodes converted to v3.0"
    elif source.is_file() or (source / "metadata.yaml").is_file():
        from robostack.data.bag_reading import BagMapping, bag_to_dataset

        names = [item.name for item in dataclasses.fields(BagMapping)]
        mapping = BagMapping(**{name: getattr(options, name) for name in names})
        count, what = bag_to_dataset(source, target, mapping), "episodes added"
    else:
        raise ConfigError(
            f"{source} is no .mcap file, no rosbag2 folder and no v2.1 dataset. "
            "To turn a dataset into a bag, name a target that ends with .mcap."
        )
    console().print(f"{target}: {count} {what}")
    print_next(following)
    if options.json:
        print_json_line({"source": str(source), "target": str(target), "episodes": count})
    return 0


def augment_main(arguments: list[str]) -> int:
    """`robostack data augment`."""
    from robostack.cli.augment_options import augment_main as run  # it needs the simulation, the other verbs do not

    return run(arguments)


def info_main(arguments: list[str]) -> int:
    """`robostack data info`."""
    from robostack.data.dataset import Dataset

    options = parse_options(InfoOptions, "data info", arguments)
    dataset = Dataset(options.path)
    found = _facts(dataset)
    if options.quality:
        found["quality"] = _quality(options.path, quiet=options.json)
    if options.json:
        print_json_line(found)
        return 0
    rows: list[tuple[str, object]] = [
        (key, value) for key, value in found.items() if key not in ("features", "tasks", "quality")
    ]
    rows += [("task", task) for task in dataset.tasks]
    rows += [(f"feature {name}", text) for name, text in found["features"].items()]
    print_table(("what", "value"), [(what, "none" if value is None else value) for what, value in rows])
    print_next(
        f"robostack data check {options.path}" if options.quality else f"robostack data info {options.path} --quality"
    )
    return 0


def _facts(dataset: Dataset) -> dict[str, Any]:
    features = {
        name: f"{item.dtype} {list(item.shape)}" + (f": {', '.join(item.names)}" if item.names else "")
        for name, item in dataset.features.items()
    }
    contract = dataset.contract
    return {
        "robot": dataset.robot_type,
        "fps": dataset.fps,
        "episodes": dataset.num_episodes,
        "time steps": dataset.num_frames,
        "duration_s": dataset.num_frames / dataset.fps,
        "dropped frames": sum(part.dropped for row in dataset.rows for part in row.videos.values()),
        "contract": None if contract is None else f"{contract.task} on {contract.robot}",
        "tasks": list(dataset.tasks),
        "features": features,
    }


def _quality(path: Path, quiet: bool) -> dict[str, Any]:
    """The quality report, also as a table."""
    from robostack.data.quality import dataset_quality

    found, verdicts = dataset_quality(path)
    rows = []
    for item, verdict in zip(found.episodes, verdicts, strict=True):
        fits = ("", "") if verdict is None else (f"{verdict.compatibility:.2f}", verdict.advice)
        rows.append((
            item.index, item.length, f"{item.value:.4g}", f"{item.quality:.2f}", item.success, f"{item.coverage:.2f}",
            f"{item.own:.2f}", f"{item.roughness:.3f}", *fits,
        ))  # fmt: skip
    headings = ("episode", "steps", "return", "quality", "success", "coverage", "own", "roughness", "fits", "advice")
    print_table(headings, rows, stderr=quiet)
    per_step = f"{found.coverage:.2f} per time step"
    text = f"{found.cells} distinct states and actions, {per_step}; mean return {found.mean_return:.4g}"
    console().print(text)
    episodes = [
        {**dataclasses.asdict(item), "verdict": None if verdict is None else dataclasses.asdict(verdict)}
        for item, verdict in zip(found.episodes, verdicts, strict=True)
    ]
    return {"cells": found.cells, "coverage": found.coverage, "mean_return": found.mean_return, "episodes": episodes}


VERBS: SubVerbs = {
    "info": (info_main, "say what a dataset holds, and how good its demonstrations are"),
    "check": (check_main, "look at every file"),
    "repair": (repair_main, "put it right after a crash or damage"),
    "compact": (compact_main, "merge its files into few large ones"),
    "augment": (augment_main, "make more of a simulated task's, from a few, at other places"),
    "convert": (convert_main, "bag to dataset and back, format v2.1 to v3.0"),
}


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return run_sub_verb("data", VERBS, arguments)


COMMAND = Command(summary="Check, repair, merge, convert and judge demonstrations on disk", main=main)
