"""The next command for a policy: only what can be launched, with the task where it is not the usual one."""

from __future__ import annotations

import pytest

from robostack.cli.next_launch import launch_command, print_next_launch


@pytest.mark.parametrize(
    ("robot", "task", "command"),
    [
        ("ur5e", "ur5e-reach", "robostack launch ur5e --virtual --policy p.onnx"),
        ("ur5e", "ur5e-reacher-2", "robostack launch ur5e --virtual --task ur5e-reacher-2 --policy p.onnx"),
        ("panda", "panda-push", ""),  # in simulation only
        ("go1", "go1-stand", ""),  # its launch file takes no policy
    ],
)
def test_only_what_can_be_launched_is_named(robot, task, command):
    assert launch_command(robot, task, "p.onnx") == command


def test_another_command_can_take_its_place(capsys):
    print_next_launch("panda", "panda-push", "p.onnx")
    print_next_launch("panda", "panda-push", "p.onnx", "robostack evaluate p.onnx")
    print_next_launch("ur5e", "ur5e-reach", "p.onnx", "robostack evaluate p.onnx")
    shown = capsys.readouterr().err
    assert shown == "next: robostack evaluate p.onnx\nnext: robostack launch ur5e --virtual --policy p.onnx\n"
