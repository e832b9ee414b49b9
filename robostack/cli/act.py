"""`robostack act TASK`: a simulated robot that acts here and learns elsewhere, by a `robostack learn TASK`."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.learn import PORT
from robostack.cli.options import parse_options
from robostack.cli.output import print_json_line, print_next

BATCH_PERIOD_S = 0.05
"""A simulation fills batches faster than a robot [s]."""


@dataclass(frozen=True)
class ActOptions:
    """Act in simulation with the weights of a learner elsewhere, and send it every transition."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """Name of the task; `robostack list tasks`."""
    keys: Path
    """Folder of keys, or the robot's part of it."""
    address: str = f"127.0.0.1:{PORT}"
    """Of the learner, host:port."""
    steps: int = 0
    """Steps to act for; 0: until it is stopped."""
    seed: int = 0
    """Of exploration, starts and goals."""
    fixed_dynamics: bool = False
    """Act with the nominal dynamics instead of randomised ones."""
    ahead: int = 50
    """Steps that the simulation may be ahead of the learner's updates; 0: no limit."""
    real_time: bool = False
    """Act at the task's rate instead of as fast as the learner allows."""
    spool: Path = Path("runs/spool")
    """Folder for what the learner has not acknowledged."""
    json: bool = False
    """Print the figures as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(ActOptions, "act", arguments)
    from robostack.cli.foreground import StatusLine
    from robostack.contract import contract_of
    from robostack.make import make_env
    from robostack.remote.acting import ActingLoop
    from robostack.remote.actor_link import LinkConfig
    from robostack.remote.remote_actor import RemoteActor

    env = make_env(options.task, randomize=not options.fixed_dynamics, seed=options.seed)
    link = LinkConfig(options.address, options.keys, options.spool, batch_period_s=BATCH_PERIOD_S)
    actor = RemoteActor(contract_of(env.task), link, options.seed)
    loop = ActingLoop(env, actor, ahead=options.ahead, real_time=options.real_time)
    line, asked = StatusLine(), []

    def on_signal(number: int, _frame: object) -> None:
        asked.append(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    actor.start()
    try:
        while not asked and not 0 < options.steps <= loop.steps:
            loop.turn()
            while actor.link.notes:
                line.say(actor.link.notes.popleft())
            line.show(_line(loop.figures()))
    finally:
        actor.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    figures = loop.figures()
    line.say(_line(figures))
    if options.json:
        print_json_line(figures)
    print_next(f"robostack learn {options.task} --keys {options.keys} --resume")
    return 0


def _line(figures: dict[str, Any]) -> str:
    """The status in one line."""
    text = f"{figures['steps']} steps, {figures['episodes']} episodes, weights {figures['weights_version']}"
    text += f", {figures['acknowledged']} acknowledged, {figures['unacknowledged']} not yet"
    if figures["episodes"]:
        text += f"; of the last episodes {100 * figures['success']:.0f} % succeeded, return {figures['return']:.4g}"
    return f"{text}; waits for {figures['waits_for']}" if figures["waits_for"] else text


COMMAND = Command(summary="Act in simulation for a learner on another machine", main=main)
