"""`robostack launch ROBOT`: start the nodes of a launch file, with or without ROS's own tools installed."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import tyro

from hardware.errors import UnknownNameError
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_error, print_json_line, print_next
from robostack.launching.description import Argument, LaunchDescription
from robostack.launching.finder import launch_files, load_launch, resolve_arguments
from robostack.launching.supervisor import Supervisor, SupervisorConfig

USAGE = "usage: robostack launch NAME [--flags]   launch files: "


def options_type(description: LaunchDescription) -> type[Any]:
    """A frozen dataclass with one field per argument of the launch file, and those of the supervisor."""
    fields: list[tuple[str, Any, Any]] = []
    for argument in description.arguments:
        kind, default = _kind_of(argument)
        help_text = tyro.conf.arg(help=argument.description)
        fields.append((argument.name, Annotated[kind, help_text], dataclasses.field(default=default)))
    fields += [
        ("ros", SupervisorConfig, dataclasses.field(default_factory=SupervisorConfig)),
        (
            "json",
            Annotated[bool, tyro.conf.arg(help="print the exit statuses as JSON on the last line")],
            dataclasses.field(default=False),
        ),
    ]
    made = dataclasses.make_dataclass("LaunchOptions", fields, frozen=True)
    made.__doc__ = description.summary
    return made


def _kind_of(argument: Argument) -> tuple[Any, Any]:
    if set(argument.choices) == {"false", "true"}:
        return bool, argument.default == "true"
    if argument.choices:
        return Literal[argument.choices], argument.default
    return str, argument.default


def given_values(description: LaunchDescription, options: Any) -> dict[str, str]:
    """What the launch file gets: text, with "true" and "false" for switches."""
    values = {}
    for argument in description.arguments:
        value = getattr(options, argument.name)
        values[argument.name] = str(value).lower() if isinstance(value, bool) else str(value)
    return resolve_arguments(description, values)


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when everything ended in order."""
    names = ", ".join(sorted(launch_files()))
    if not arguments or arguments[0] in ("-h", "--help"):
        console().print(USAGE + names, markup=False)
        return 0 if arguments else 2
    name, *rest = arguments
    if name.startswith("-"):
        raise UnknownNameError("launch file (it comes first)", name, launch_files())
    description = load_launch(name)
    options = parse_options(options_type(description), f"launch {name}", rest)
    values = given_values(description, options)
    items = description.describe(values)
    check_policy(values)
    supervisor = Supervisor(items, _print_line, options.ros)
    asked: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        asked.append(number)
        supervisor.request_stop()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        statuses = supervisor.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    status = exit_status(statuses, supervisor.ended_by, bool(asked))
    _close(name, values, statuses, status, options.json)
    return status


def check_policy(values: Mapping[str, str]) -> None:
    """Refuse a policy that the policy node would refuse, before anything is started that could move.

    Raises:
        UnknownNameError: there is no such task.
        ConfigError: the task has no scripted policy.
        CheckpointError: the policy cannot be read.
        ContractMismatchError: it was trained for another robot or task.
    """
    if not (values.get("policy") and values.get("task")):
        return
    from robostack.policies.opening import policy_for
    from robostack.tasks.with_history import open_task

    policy_for(values["policy"], open_task(values["task"]))


def exit_status(statuses: Mapping[str, int], ended_by: str, asked: bool) -> int:
    """0 if the process that ended the launch ended well and no other one failed on its way out.

    Args:
        statuses: exit status per process; negative: the signal that ended it.
        ended_by: the process whose end ended the launch; "" if none.
        asked: whether a person ended it.
    """
    if not asked and ended_by and statuses[ended_by] != 0:
        return 1
    return 0 if all(status == 0 for status in statuses.values()) else 1


def _close(name: str, values: Mapping[str, str], statuses: Mapping[str, int], status: int, as_json: bool) -> None:
    for process, code in statuses.items():
        if code != 0:
            print_error(f"launch: {process} ended with status {code}")
    if status != 0:
        print_next("robostack info")
    if as_json:
        print_json_line({"launch": name, "statuses": dict(statuses), "arguments": dict(values)})


def _print_line(process: str, line: str) -> None:
    sys.stderr.write(f"[{process}] {line}\n")
    sys.stderr.flush()


COMMAND = Command(summary="Start a robot's ROS 2 nodes, and a virtual robot if wanted.", main=main)
