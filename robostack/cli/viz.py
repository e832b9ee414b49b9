"""`robostack viz`: demonstrations as a file that Foxglove and rerun open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from hardware.errors import ConfigError
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next


@dataclass(frozen=True)
class VizOptions:
    """Turn a dataset into an .mcap file to look at, with pictures, joints and events; or say how to open a record."""

    path: Annotated[Path, tyro.conf.Positional]
    """Folder of a dataset, or an .mcap file."""
    output: Path | None = None
    """The file to write; by default beside the dataset, named after it."""
    episodes: tuple[int, ...] = field(default_factory=tuple)
    """Which episodes; by default all."""
    json: bool = False
    """Print the name of the file as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(VizOptions, "viz", arguments)
    file = options.path
    if not file.exists():
        raise ConfigError(f"{file} does not exist")
    if file.is_dir():
        from robostack.data.bag_writing import dataset_to_bag

        file = options.output or options.path.resolve().with_name(f"{options.path.resolve().name}.mcap")
        count = dataset_to_bag(options.path, file, options.episodes)
        console().print(f"{file}: {count} episodes")
    for line in (
        "Foxglove: open the application or its web page, 'Open local file', then add panels: Image (topics that",
        "  end with /image_raw/compressed), Plot (joint_states, executed_command, dataset/...), Raw Messages",
        "  (episode_events).",
        "  Over SSH, copy the file first.",
        f"rerun, if it is installed: rerun {file}",
    ):
        console().print(line, markup=False, soft_wrap=True)
    if options.json:
        print_json_line({"file": str(file)})
    following = f"info {options.path}" if options.path.is_dir() else f"convert {file} FOLDER"
    print_next(f"robostack data {following}")
    return 0


COMMAND = Command(summary="Turn demonstrations into a file that Foxglove and rerun open", main=main)
