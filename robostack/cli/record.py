"""`robostack record ROBOT`: demonstrations of an operator become a dataset."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hardware.errors import ConfigError, MissingExtraError
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import print_json_line, print_next
from robostack.cli.robot_options import foreground_options, launch_items, robot_of, teleop_field, teleop_type
from robostack.cli.teleoperate import coupling_fields, operate, print_usage
from robostack.launching.description import NodeSpec, ParameterValue
from robostack.teleoperation.episodes import Episodes, EpisodesConfig


@dataclass(frozen=True)
class DatasetOptions(EpisodesConfig):
    """What is recorded, and where."""

    repo_id: str = ""
    """Name "user/dataset": the folder is then that one in the cache of LeRobot (HF_LEROBOT_HOME)."""
    root: str = ""
    """Folder of the dataset; empty: by repo_id, and without that datasets/ROBOT."""
    fps: int = 30
    """Time steps per second."""
    single_task: str = ""
    """What is demonstrated, in words; empty: "teleoperate ROBOT"."""
    video: bool = True
    """Whether images are stored as video; otherwise as PNG in the tables."""
    raw: bool = True
    """Whether the ROS messages are recorded too, in the folder `raw` of the dataset (MCAP, for Foxglove)."""

    def folder(self, robot: str) -> Path:
        """The folder of the dataset."""
        if self.root:
            return Path(self.root)
        return dataset_folder(self.repo_id) if self.repo_id else Path("datasets") / robot


def dataset_folder(repo_id: str) -> Path:
    """Where LeRobot keeps the dataset called `repo_id` on this computer."""
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_LEROBOT_HOME") or cache / "lerobot") / repo_id


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when the session ended in order and every episode that was to be kept is on the disk."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print_usage("record")
        return 0 if arguments else 2
    robot, rest = robot_of(arguments, "record")
    device = teleop_type(rest)
    resume = Annotated[bool, tyro.conf.arg(help="add episodes to the dataset that is there")]
    extra = [
        teleop_field(device),
        ("dataset", DatasetOptions, dataclasses.field(default_factory=DatasetOptions)),
        ("resume", resume, dataclasses.field(default=False)),
        *coupling_fields(),
    ]
    options = parse_options(foreground_options(robot, extra, COMMAND.summary), f"record {robot}", rest)
    dataset: DatasetOptions = options.dataset
    folder = dataset.folder(robot)
    before = require_folder(folder, options.resume)
    items, cameras = launch_items(robot, options)
    recorder: dict[str, ParameterValue] = {
        "robot": robot,
        "root": str(folder.absolute()),
        "fps": dataset.fps,
        "cameras": list(cameras),
        "video": dataset.video,
        "raw": dataset.raw,
    }
    if not cameras:
        del recorder["cameras"]  # ROS knows no type for an empty list
    items.append(NodeSpec("recorder", "robostack.nodes.recorder_node", recorder, namespace=options.namespace))
    task = dataset.single_task or f"teleoperate {robot}"
    status = operate(robot, device, options, items, cameras, Episodes(dataset), task)
    after = episodes_in(folder)
    if after:
        print_next(f"robostack data check {folder}")
        print_next(
            f"robostack replay {folder} --robot {robot}{' --virtual' if options.virtual else ''} --episode {after - 1}"
        )
    if options.json:
        print_json_line({"dataset": str(folder), "episodes": after - before, "total_episodes": after, "status": status})
    return status


def require_folder(folder: Path, resume: bool) -> int:
    """Refuse to mix a new dataset with what is there, before anything moves; the number of episodes there.

    Raises:
        ConfigError: there is a dataset and it is not to be continued, or there is none to continue.
        MissingExtraError: the packages that write datasets are not installed.
    """
    for package in ("pyarrow", "mcap"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "data", "recording") from error
    there = (folder / "meta" / "info.json").is_file()
    if there and not resume:
        raise ConfigError(f"{folder} holds a dataset; add to it with --resume, or choose another --dataset.root")
    if resume and not there:
        raise ConfigError(f"{folder} holds no dataset to resume; leave --resume out")
    if not there and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds other files; choose a new folder with --dataset.root")
    return episodes_in(folder)


def episodes_in(folder: Path) -> int:
    """Number of complete episodes in a dataset; 0 without one."""
    from robostack.data.layout import read_info

    return read_info(folder).total_episodes if (folder / "meta" / "info.json").is_file() else 0


COMMAND = Command(summary="Record demonstrations of an operator as a dataset.", main=main)
