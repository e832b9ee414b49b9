"""The description for ROS's launch and the one for our supervisor start the same things.

ROS's launch is on no package index, so these tests put a small stand-in in its place that keeps what it was given.
"""

from __future__ import annotations

import sys
import types

import pytest

from hardware.errors import MissingExtraError
from robostack.launching.description import Argument, LaunchDescription, NodeSpec, ProcessSpec
from robostack.launching.finder import load_launch, resolve_arguments
from robostack.launching.ros_launch import actions_of, to_launch_description
from robostack.launching.supervisor import command_line, parameter_text


class Recorded:
    def __init__(self, *args, **kwargs) -> None:
        self.args, self.kwargs = args, kwargs


@pytest.fixture
def ros(monkeypatch):
    """Stand-ins for launch and launch_ros."""
    names = {
        "launch": ["LaunchDescription"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "OpaqueFunction",
            "ExecuteProcess",
            "RegisterEventHandler",
            "Shutdown",
        ],
        "launch.event_handlers": ["OnProcessIO"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
    }
    made = types.SimpleNamespace()
    for module_name, classes in names.items():
        module = types.ModuleType(module_name)
        for name in classes:
            kind = type(name, (Recorded,), {})
            setattr(module, name, kind)
            setattr(made, name if module_name != "launch" else "RosDescription", kind)
        monkeypatch.setitem(sys.modules, module_name, module)
    return made


def output(text: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(text=text.encode())


def nodes_of(actions, ros):
    """All nodes that the actions start, the ready lines of helper processes having been printed."""
    nodes = []
    for action in actions:
        if isinstance(action, ros.Node):
            nodes.append(action)
        elif isinstance(action, ros.RegisterEventHandler):
            on_stdout = action.args[0].kwargs["on_stdout"]
            nodes += nodes_of(on_stdout(output("ready ur5e {}")) or [], ros)
    return nodes


def test_arguments_keep_name_default_description_and_choices(ros):
    description = load_launch("ur5e")
    entities = to_launch_description(description).args[0]
    declared = [entity for entity in entities if isinstance(entity, ros.DeclareLaunchArgument)]
    assert [entity.args[0] for entity in declared] == [argument.name for argument in description.arguments]
    virtual = declared[0].kwargs
    assert (virtual["default_value"], virtual["choices"]) == ("false", ["false", "true"])
    assert declared[1].kwargs["choices"] is None


def test_both_sources_start_the_same_processes_with_the_same_parameters(ros):
    description = load_launch("ur5e")
    values = resolve_arguments(description, {"virtual": "true", "policy": "scripted", "namespace": "left"})
    items = description.describe(values)
    entities = to_launch_description(description).args[0]
    start = entities[-1].kwargs["function"]
    actions = start(types.SimpleNamespace(launch_configurations=values))
    helper = next(action for action in actions if isinstance(action, ros.ExecuteProcess))
    assert [part for part in helper.kwargs["cmd"] if part != "-u"] == command_line(items[0])
    nodes = nodes_of(actions, ros)
    assert len(nodes) == 2
    for node, item in zip(nodes, items[1:], strict=True):
        assert [node.kwargs["executable"], *node.kwargs["arguments"]] == command_line(item)[:3]
        assert (node.kwargs["name"], node.kwargs["namespace"]) == (item.name, "left")
        plain = {
            name: value.args[0] if isinstance(value, ros.ParameterValue) else value
            for name, value in node.kwargs["parameters"][0].items()
        }
        assert plain == dict(item.parameters)
        given = [part for part in command_line(item) if ":=" in part and not part.startswith("__")]
        assert given == [f"{name}:={parameter_text(value)}" for name, value in plain.items()]


def test_nodes_wait_for_the_ready_line_even_if_it_comes_in_two_pieces(ros):
    items = [ProcessSpec("helper", "m", ready_line="ready helper"), NodeSpec("driver", "n")]
    actions = actions_of(items)
    assert not any(isinstance(action, ros.Node) for action in actions)
    handler = next(action for action in actions if isinstance(action, ros.RegisterEventHandler)).args[0]
    on_stdout = handler.kwargs["on_stdout"]
    assert on_stdout(output("starting\nready he")) is None
    assert len(on_stdout(output("lper 127.0.0.2\n"))) == 1
    assert on_stdout(output("ready helper again")) is None


def test_only_a_required_node_ends_the_launch_and_texts_are_typed(ros):
    required, extra = actions_of([NodeSpec("a", "m", {"serial": "007", "k": 1.5}), NodeSpec("b", "m", required=False)])
    assert isinstance(required.kwargs["on_exit"][0], ros.Shutdown)
    assert extra.kwargs["on_exit"] is None
    parameters = required.kwargs["parameters"][0]
    assert parameters["serial"].kwargs == {"value_type": str}
    assert parameters["k"] == 1.5


def test_without_ros_the_error_names_the_other_way(monkeypatch):
    monkeypatch.setitem(sys.modules, "launch", None)
    with pytest.raises(MissingExtraError, match="robostack launch"):
        to_launch_description(LaunchDescription("s", (Argument("a", "", "d"),), lambda _: []))
