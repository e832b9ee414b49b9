"""Turns a launch description into one of ROS's own, for `ros2 launch`. Needs the packages launch and launch_ros."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from hardware.errors import MissingExtraError
from robostack.launching.description import LaunchDescription, NodeSpec, ProcessSpec


def to_launch_description(description: LaunchDescription) -> Any:
    """A `launch.LaunchDescription` with the same arguments that starts the same processes.

    Raises:
        MissingExtraError: this environment has no launch or launch_ros; `robostack launch` needs neither.
    """
    try:
        from launch.actions import DeclareLaunchArgument, OpaqueFunction

        from launch import LaunchDescription as RosLaunchDescription  # type: ignore[attr-defined]
    except ImportError as error:
        raise MissingExtraError("launch", "ros", "a ROS launch file (or use `robostack launch` instead)") from error
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in description.arguments
    ]

    def start(context: Any) -> list[Any]:
        values = {argument.name: context.launch_configurations[argument.name] for argument in description.arguments}
        return actions_of(description.describe(values))

    return RosLaunchDescription([*declared, OpaqueFunction(function=start)])


def actions_of(items: Sequence[ProcessSpec | NodeSpec]) -> list[Any]:
    """Launch actions for `items`; what follows a helper process waits for its ready line."""
    from launch.actions import ExecuteProcess, RegisterEventHandler
    from launch.event_handlers import OnProcessIO

    actions: list[Any] = []
    for index, item in enumerate(items):
        if isinstance(item, NodeSpec):
            actions.append(_node(item))
            continue
        command = [sys.executable, "-u", "-m", item.module, *item.arguments]
        process = ExecuteProcess(cmd=command, name=item.name, output="both")
        if not item.ready_line:
            actions.append(process)
            continue
        on_output = _once_ready(item.ready_line, items[index + 1 :])
        handler = OnProcessIO(target_action=process, on_stdout=on_output, on_stderr=on_output)
        return [*actions, RegisterEventHandler(handler), process]
    return actions


def _once_ready(ready_line: str, following: Sequence[ProcessSpec | NodeSpec]) -> Callable[[Any], list[Any] | None]:
    """A handler of process output that starts `following` the first time that `ready_line` was printed."""
    seen: list[str] = []
    started: list[bool] = []

    def handler(event: Any) -> list[Any] | None:
        seen.append(event.text.decode(errors="replace"))
        if started or ready_line not in "".join(seen):
            return None
        started.append(True)
        return actions_of(following)

    return handler


def _node(item: NodeSpec) -> Any:
    from launch.actions import Shutdown
    from launch_ros.actions import Node
    from launch_ros.parameter_descriptions import ParameterValue

    # Texts are typed, else launch_ros reads them as YAML and turns a serial number into an integer.
    parameters = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in item.parameters.items()
    }
    return Node(
        executable=sys.executable,
        arguments=["-m", item.module],
        name=item.name,
        namespace=item.namespace or None,
        parameters=[parameters] if parameters else [],
        remappings=list(item.remappings.items()),
        output="both",
        on_exit=[Shutdown(reason=f"{item.name} ended")] if item.required else None,
    )
