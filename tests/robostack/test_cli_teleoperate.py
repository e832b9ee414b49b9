"""The flags of teleoperate, record and replay, and what they refuse before anything is started."""

from __future__ import annotations

import json

import pytest

from hardware.errors import ConfigError, UnknownNameError
from hardware.teleoperator import TELEOPERATORS
from robostack.cli.foreground import StatusLine, status_text
from robostack.cli.main import run
from robostack.cli.options import parse_options
from robostack.cli.record import DatasetOptions, dataset_folder, require_folder
from robostack.cli.replay import motion_of, robot_in
from robostack.cli.robot_options import (
    foreground_options,
    launch_items,
    robot_of,
    teleop_config,
    teleop_field,
    teleop_type,
)
from robostack.cli.teleoperate import coupling_fields, device_help
from robostack.data.dataset import Dataset
from robostack.data.writer import DatasetWriter
from robostack.teleoperation.frame_layout import FrameLayout


def parsed(robot: str, *arguments: str):
    device = teleop_type(arguments)
    extra = [teleop_field(device), *coupling_fields()]
    return device, parse_options(foreground_options(robot, extra, ""), "teleoperate", list(arguments))


@pytest.mark.parametrize("name", TELEOPERATORS.names())
def test_every_device_has_flags_and_a_configuration_from_them(name):
    device, options = parsed("so101", "--virtual", "--teleop.type", name)
    config = teleop_config(device, options.teleop, "so101")
    assert config == TELEOPERATORS.load(name).config_type()() or getattr(config, "robot", "") == "so101"
    assert TELEOPERATORS.summary(name)


def test_flags_are_spelled_as_users_know_them():
    device, options = parsed("so101", "--teleop.type=leader_arm", "--teleop.port", "/dev/x", "--coupling.align", "wait")
    config = teleop_config(device, options.teleop, "so101")
    assert (device, config.port, config.robot, options.coupling.align) == ("leader-arm", "/dev/x", "so101", "wait")
    assert teleop_type([]) == "keyboard"
    with pytest.raises(UnknownNameError, match="keyboard"):
        teleop_type(["--teleop.type", "mouse"])


def test_the_launch_file_is_started_without_a_policy_and_with_cameras():
    _, options = parsed("ur5e", "--virtual", "--cameras", "{front: {kind: opencv, source: 0}}")
    items, cameras = launch_items("ur5e", options)
    assert [item.name for item in items] == ["virtual_ur5e", "driver", "front_camera"]
    assert cameras == ("front",)
    assert not {"policy", "task", "episodes"} & set(vars(options))
    _, options = parsed("ur5e")
    with pytest.raises(ConfigError, match="address of the robot"):
        launch_items("ur5e", options)


def test_the_robot_comes_first():
    assert robot_of(["so101", "--virtual"], "record") == ("so101", ["--virtual"])
    for wrong in (["--virtual"], [], ["so100"]):
        with pytest.raises(UnknownNameError, match="so101"):
            robot_of(wrong, "record")


def test_a_device_that_is_not_there_is_one_line_and_nothing_is_started(capsys, tmp_path):
    flags = ("--teleop.type", "gamepad", "--teleop.device", str(tmp_path / "js9"))
    assert run(["teleoperate", "so101", "--virtual", *flags]) == 1
    captured = capsys.readouterr()
    assert "gamepad is not connected" in captured.err
    assert "ready so101" not in captured.err


@pytest.mark.parametrize("verb", ["teleoperate", "record", "replay"])
def test_help_without_a_robot_says_what_comes_first(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert run([verb]) == 2
    assert f"usage: robostack {verb}" in capsys.readouterr().err


def written(folder, episodes: int = 1):
    from hardware.so101 import SO101

    layout = FrameLayout(SO101, {})
    features = layout.features()
    frame = {name: False if feature.dtype == "bool" else [0.0] * feature.shape[0] for name, feature in features.items()}
    with DatasetWriter(folder, fps=30, features=features, robot_type="so101") as writer:
        for _ in range(episodes):
            for _ in range(5):
                writer.add(frame, "t")
            writer.finish_episode()


def test_a_new_dataset_never_mixes_with_what_is_there(tmp_path):
    folder = tmp_path / "set"
    assert require_folder(folder, resume=False) == 0
    with pytest.raises(ConfigError, match="no dataset to resume"):
        require_folder(folder, resume=True)
    written(folder)
    with pytest.raises(ConfigError, match="--resume"):
        require_folder(folder, resume=False)
    assert require_folder(folder, resume=True) == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("")
    with pytest.raises(ConfigError, match="other files"):
        require_folder(tmp_path / "other", resume=False)


def test_datasets_are_where_lerobot_looks_for_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path))
    assert dataset_folder("me/reach") == tmp_path / "me" / "reach"
    assert DatasetOptions(repo_id="me/reach").folder("ur5e") == tmp_path / "me" / "reach"
    assert str(DatasetOptions(root="here").folder("ur5e")) == "here"
    assert str(DatasetOptions().folder("ur5e")) == "datasets/ur5e"


def test_replay_refuses_what_is_not_there(tmp_path, capsys):
    assert run(["replay", str(tmp_path / "none")]) == 1
    written(tmp_path / "set")
    dataset = Dataset(tmp_path / "set")
    with pytest.raises(ConfigError, match="has 1 episodes"):
        motion_of(dataset, 1, "so101")
    assert run(["replay", str(tmp_path / "set"), "--robot", "so100"]) == 1
    assert "so101" in capsys.readouterr().err
    assert robot_in(["--episode", "0", "--robot=ur5e"]) == "ur5e"
    assert robot_in(["--robot.type", "ur5e"]) == "ur5e"
    assert robot_in([]) == ""


def test_the_status_is_one_line():
    status = {
        "robot": "ur5e",
        "enabled": True,
        "safety": "follows commands",
        "stopped": False,
        "state_age_s": 0.008,
        "rate_hz": 49.7,
        "lateness_ms": 1.23,
        "phase": "record",
        "recording": True,
        "episode": 2,
        "episodes": 10,
        "episode_time_s": 4.2,
        "message": "",
    }
    assert json.dumps(status)
    assert status_text(status) == (
        "ur5e | enabled | record 3/10 4 s | state 8 ms | 50 Hz, p99 late 1.2 ms | follows commands"
    )
    stopped = {**status, "stopped": True, "state_age_s": None, "episodes": 0, "message": "press reset"}
    assert status_text(stopped) == "ur5e | STOPPED | no measurements | 50 Hz, p99 late 1.2 ms | press reset"


def test_without_a_terminal_only_lines_that_stay_are_written(capsys):
    line = StatusLine()
    line.show("passing")
    line.say("staying")
    line.close()
    assert capsys.readouterr().err == "staying\n"


def test_every_device_explains_itself():
    assert "SPACE STOP" in device_help(TELEOPERATORS.load("keyboard").open())
    pad = device_help(TELEOPERATORS.load("gamepad").open())
    assert "hold RB" in pad
    assert "Esc finish" in pad
