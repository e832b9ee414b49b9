"""`robostack learn TASK`: the learner of an actor elsewhere; `robostack learn keys FOLDER`: the keys that both need."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next
from robostack.cli.train import settings

PORT = 5488


@dataclass(frozen=True)
class KeysOptions:
    """Make the keys of a learner and of a robot that may connect to it."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Where to; its part <robot> is then copied to the robot."""
    robot: str = "robot"
    """Name of the robot; a further one is added to the same folder under another name."""


@dataclass(frozen=True)
class LearnOptions:
    """Learn from what actors elsewhere experience, and send them the policy."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """Name of the task; `robostack list tasks`."""
    keys: Path
    """Folder of keys; made by `robostack learn keys FOLDER`. There is no way without."""
    dir: Path | None = None
    """Run folder; default: runs/<task>-<learner>-remote."""
    learner: str = "rlpd"
    """Name of a learner with a replay: rlpd, sac."""
    demos: Path | None = None
    """Dataset of demonstrations; half of each batch is drawn from them."""
    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback can be reached by other machines, which need a key."""
    port: int = PORT
    """TCP port."""
    resume: bool = False
    """Go on with the run in the folder."""
    seed: int = 0
    """Of weights and batches."""
    steps: int = 0
    """Environment steps to receive, after which the learner ends once it owes no update; 0: until it is stopped."""
    publish_every: int = 50
    """Updates between two versions of the weights."""
    checkpoint_every_s: float = 60.0
    """Time between two checkpoints [s]."""
    owed_limit: int = 0
    """Owed updates at which actors are asked to begin no further episode; 0: no limit."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = field(default=())
    """A setting of the learner, as name=value; may be given several times."""
    json: bool = False
    """Print the figures as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    if arguments[:1] == ["keys"]:
        return _make_keys(parse_options(KeysOptions, "learn keys", arguments[1:]))
    options = parse_options(LearnOptions, "learn", arguments)
    from robostack.remote.keys import learner_keys

    learner_keys(options.keys)  # before anything that takes long
    from robostack.cli.foreground import StatusLine
    from robostack.learning.learn_service import LearnService, LearnServiceConfig
    from robostack.remote.learner_port import LearnerPort

    folder = options.dir or Path("runs") / f"{options.task}-{options.learner}-remote"
    config = LearnServiceConfig(
        task=options.task,
        learner=options.learner,
        seed=options.seed,
        settings=settings(options.set),
        demos="" if options.demos is None else str(options.demos.resolve()),
        publish_every=options.publish_every,
        checkpoint_every_s=options.checkpoint_every_s,
        owed_limit=options.owed_limit,
    )
    line, asked = StatusLine(), []

    def on_signal(number: int, _frame: object) -> None:
        asked.append(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    port = lambda: LearnerPort(options.host, options.port, options.keys)  # noqa: E731
    try:
        with LearnService(folder, config, port, resume=options.resume, say=line.say) as service:
            line.say(f"ready: {options.learner} for {options.task} at {service.end.port.address}, run in {folder}")
            while not asked and not (0 < options.steps <= service.learner.steps and service.idle):
                service.turn()
                line.show(_line(service.figures()))
            checkpoint = service.checkpoint()
            figures = service.figures()
            service.end.tell()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    line.say(_line(figures))
    console().print(f"checkpoint: {checkpoint}", markup=False, soft_wrap=True)
    if options.json:
        print_json_line({**figures, "run": str(folder), "checkpoint": str(checkpoint)})
    else:
        print(folder)
    print_next(f"robostack evaluate {folder}")
    return 0


def _line(figures: Mapping[str, Any]) -> str:
    """The status in one line."""
    text = (
        f"{figures['steps']} steps, {figures['updates']} updates, {figures['owed']} owed; replay {figures['online']}"
        f" + {figures['demos']} demonstrated; weights {figures['version']}; {figures['actors']} actor(s)"
    )
    if "actor_unacknowledged" in figures:
        text += f", {figures['actor_unacknowledged']} unacknowledged"
    return f"{text}; waits for {figures['waits_for']}" if figures["waits_for"] else text


def _make_keys(options: KeysOptions) -> int:
    from robostack.remote.keys import make_keys

    for path in make_keys(options.folder, options.robot):
        print(path)
    side = options.folder / options.robot
    console().print(f"copy {side} to the robot; {options.folder / 'learner'} stays here", markup=False, soft_wrap=True)
    print_next(f"robostack learn TASK --keys {options.folder}")
    return 0


COMMAND = Command(summary="Learn from an actor on another machine, or make the keys for it", main=main)
