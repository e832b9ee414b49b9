from __future__ import annotations

import pytest

from hardware.errors import CheckpointError, ConfigError, UnknownNameError
from robostack.cli import launch
from robostack.cli.launch import check_policy, exit_status, given_values, main, options_type
from robostack.cli.options import parse_options
from robostack.launching.description import Argument, LaunchDescription
from robostack.launching.finder import load_launch

DESCRIPTION = LaunchDescription(
    "for tests",
    (
        Argument("virtual", "false", "switch", ("false", "true")),
        Argument("mode", "slow", "choice", ("slow", "fast")),
        Argument("results_path", "", "file"),
    ),
    lambda values: [],
)


def values(*arguments: str) -> dict[str, str]:
    return given_values(DESCRIPTION, parse_options(options_type(DESCRIPTION), "launch x", arguments))


def test_flags_become_the_arguments_of_the_launch_file():
    assert values() == {"virtual": "false", "mode": "slow", "results_path": ""}
    given = values("--virtual", "--mode", "fast", "--results-path", "r.jsonl")
    assert given == {"virtual": "true", "mode": "fast", "results_path": "r.jsonl"}


def test_wrong_usage_exits_with_status_2():
    for arguments in (["--mode", "medium"], ["--results-pat", "x"]):
        with pytest.raises(SystemExit) as found:
            values(*arguments)
        assert found.value.code == 2


def test_every_argument_of_the_ur5e_file_has_a_flag_with_its_default():
    description = load_launch("ur5e")
    options = parse_options(options_type(description), "launch ur5e", [])
    assert given_values(description, options) == {argument.name: argument.default for argument in description.arguments}
    assert options.ros.lan_address == ""


def test_an_unknown_launch_file_and_a_missing_address_are_named():
    with pytest.raises(UnknownNameError, match="ur5e"):
        main(["ur5"])
    with pytest.raises(ConfigError, match="address of the robot"):
        main(["ur5e"])
    with pytest.raises(UnknownNameError, match="comes first"):
        main(["--virtual"])
    assert main([]) == 2
    assert main(["--help"]) == 0


def test_a_policy_that_cannot_run_is_found_before_anything_is_started(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "Supervisor", lambda *_: pytest.fail("something would be started"))
    for policy, error, words in (
        (str(tmp_path / "none.onnx"), CheckpointError, "none.onnx"),
        (str(tmp_path), CheckpointError, "robostack train|policy"),
    ):
        with pytest.raises(error, match=words):
            main(["ur5e", "--virtual", "--policy", policy])
    with pytest.raises(UnknownNameError, match="ur5e-reach"):
        main(["ur5e", "--virtual", "--task", "ur5e-rech", "--policy", "scripted"])
    check_policy({"task": "ur5e-reach", "policy": "scripted"})
    check_policy({"task": "nothing such", "policy": ""})


@pytest.mark.parametrize(
    ("statuses", "ended_by", "asked", "expected"),
    [
        ({"driver": 0, "policy": 0}, "policy", False, 0),
        ({"driver": 0, "policy": 1}, "policy", False, 1),
        ({"driver": 0, "policy": 0}, "", True, 0),
        ({"driver": -9, "policy": 0}, "policy", False, 1),
        ({"driver": -9}, "", True, 1),
    ],
)
def test_the_exit_status_is_0_only_if_everything_ended_in_order(statuses, ended_by, asked, expected):
    assert exit_status(statuses, ended_by, asked) == expected


def test_the_virtual_verb_runs_the_device_process(monkeypatch):
    from robostack.cli import virtual

    seen: list[list[str]] = []

    def run_device(arguments, hint):
        seen.append([*arguments, hint("ur5e", "host", "127.0.0.9")])
        return 0

    monkeypatch.setattr(virtual, "run_device", run_device)
    assert virtual.COMMAND.main(["ur5e", "--host", "127.0.0.9"]) == 0
    hint = "next, in another terminal: robostack launch ur5e --host 127.0.0.9"
    assert seen == [["ur5e", "--host", "127.0.0.9", hint]]
