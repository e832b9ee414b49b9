"""Names the command that runs a policy on its robot, where that robot can be launched."""

from __future__ import annotations

from robostack.cli.output import print_next
from robostack.launching.finder import launch_files, load_launch


def launch_command(robot: str, task: str, policy: object) -> str:
    """The command that runs `policy` on the virtual `robot`; "" where no launch file takes a policy for it.

    Args:
        robot: its registry name.
        task: registry name of the task that the policy was trained for.
        policy: file or folder.
    """
    if robot not in launch_files():
        return ""
    default = next((item.default for item in load_launch(robot).arguments if item.name == "task"), None)
    if default is None:
        return ""
    return f"robostack launch {robot} --virtual{'' if task == default else f' --task {task}'} --policy {policy}"


def print_next_launch(robot: str, task: str, policy: object, otherwise: str = "") -> None:
    """Name it as the next command; where there is none, `otherwise`, if given."""
    if command := launch_command(robot, task, policy) or otherwise:
        print_next(command)
