"""Options and body of `robostack data augment`."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hardware.errors import ConfigError
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next
from robostack.contract import contract_of
from robostack.data.augmentation import AugmentConfig, AugmentReport, augment
from robostack.data.dataset import Dataset
from robostack.policies.opening import open_policy
from robostack.tasks.with_history import open_task

Positional = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True)
class AugmentOptions:
    """Make more demonstrations of a simulated task from a few: the same relative to the object, where it is now."""

    source: Positional
    """Dataset of the demonstrations."""
    target: Positional
    """Folder of the new dataset, with the shown demonstrations and the new ones; one that is there is continued."""
    settings: Annotated[AugmentConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=AugmentConfig)
    """How many, and how."""
    task: str = ""
    """Registry name of the task; by default as the dataset says."""
    policy: Path | None = None
    """Checkpoint or ONNX file: demonstrations are made from starts where this policy fails."""
    json: bool = False
    """Print what was done as one JSON object on the last line of standard output."""


def augment_main(arguments: list[str]) -> int:
    """Make the demonstrations.

    Raises:
        ConfigError: the dataset does not say which task it is of, and no task is given.
    """
    options = parse_options(AugmentOptions, "data augment", arguments)
    contract = Dataset(options.source).contract
    if not options.task and contract is None:
        raise ConfigError(f"{options.source} does not say which task it is of; name it with --task")
    task = open_task(options.task or (contract.task if contract is not None else ""))
    policy = None if options.policy is None else open_policy(options.policy, contract_of(task))
    columns = (TextColumn("demonstrations"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console()) as bars:
        bar = bars.add_task("", total=options.settings.episodes)
        attempts = itertools.count(1)

        def show(made: int, success: bool) -> None:
            bars.update(bar, completed=made, description=f"{next(attempts)} attempts")

        done = augment(task, options.source, options.target, options.settings, policy, show)
    _say(options, done)
    return 0


def _say(options: AugmentOptions, done: AugmentReport) -> None:
    console().print(
        f"{options.target}: {done.made} demonstrations made from {done.shown} in {done.attempts} attempts; "
        f"{100.0 * done.acceptance:.0f} % were a success, and again when replayed"
    )
    if options.policy is not None:
        console().print(f"the policy failed from {done.policy_failures} of {done.policy_starts} starts")
    print_next(f"robostack data info {options.target} --quality")
    if options.json:
        print_json_line({**dataclasses.asdict(done), "acceptance": done.acceptance})
