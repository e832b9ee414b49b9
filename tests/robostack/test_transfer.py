"""A policy judged in several worlds, and where it fails first."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.cli import transfer as verb
from robostack.evaluation import EpisodeResult
from robostack.sensitivity import sensitivities
from robostack.statistics import wilson_interval
from robostack.tasks.cartpole import CartPole
from robostack.tasks.panda_pick_cube import PandaPickCube
from robostack.tasks.ur5e_reach import Ur5eReach
from robostack.transfer import in_simulation, on_virtual_robot


class Balancing:
    """A linear controller; good for the nominal pole."""

    def reset(self) -> None:
        pass

    def act(self, observation):
        cart, moving, cosine, sine, turning = observation
        return np.clip([(38.0 * np.arctan2(sine, cosine) + 8.0 * turning + cart + 2.0 * moving) / 10.0], -1.0, 1.0)


def test_worlds_of_the_simulation_and_the_same_seed_the_same_starts():
    pytest.importorskip("pybullet")
    told: list[tuple[str, int]] = []
    task = CartPole()
    task.episode_s = 0.5
    worlds = in_simulation(task, Balancing(), 3, 7, ("mujoco", "pybullet"), lambda *args: told.append(args))
    assert [world.name for world in worlds] == ["nominal", "uniform", "pybullet, nominal", "pybullet, uniform"]
    assert told[:3] == [("nominal", 1), ("nominal", 2), ("nominal", 3)]
    assert all(world.result is not None and len(world.result.episodes) == 3 for world in worlds)
    drawn = [[episode.dynamics for episode in worlds[index].result.episodes] for index in (1, 3)]
    assert drawn[0] == drawn[1] != [None] * 3
    np.testing.assert_allclose(
        [episode.total_reward for episode in worlds[0].result.episodes],
        [episode.total_reward for episode in worlds[2].result.episodes],
    )


def test_a_world_that_cannot_be_run_says_why():
    pytest.importorskip("pybullet")
    task = PandaPickCube()
    worlds = in_simulation(task, task.scripted(), 1, 0, ("mujoco", "pybullet"), lambda *_: None)
    assert worlds[0].result is not None
    assert worlds[1].result is None
    assert "impedance" in worlds[1].why_not
    virtual = on_virtual_robot(task, "scripted", 1, 0, None, lambda *_: None)
    assert virtual.why_not == "'panda' has no virtual device"


def episodes() -> list[EpisodeResult]:
    """Fails where gravity is above 12; the length does not matter."""
    rng = np.random.default_rng(0)
    drawn = [{"world/gravity": rng.uniform(2, 17), "link:pole/half_length": rng.uniform(0.1, 0.9)} for _ in range(200)]
    return [EpisodeResult(one["world/gravity"] < 12.0, 1.0, 0.0, None, one) for one in drawn]


def test_the_parameter_that_matters_comes_first():
    first, second = sensitivities(episodes())
    assert first.parameter == "world/gravity"
    assert (first.drop, second.drop < 0.5) == (1.0, True)
    assert first.worst > 12.0
    assert len(first.centres) == 5
    assert (np.diff(first.centres) > 0).all()
    assert (first.low[0], first.high[0]) == wilson_interval(40, 40)


def test_sensitivity_needs_episodes_with_dynamics():
    with pytest.raises(ConfigError, match="at least 5"):
        sensitivities(episodes()[:4])
    with pytest.raises(ConfigError, match="drawn dynamics"):
        sensitivities([*episodes()[:9], EpisodeResult(True, 1.0, 0.0, None)])


def test_the_command_leaves_a_table_a_plot_and_the_result(tmp_path, capsys):
    arguments = [
        "scripted",
        "--task",
        "ur5e-reach",
        "--episodes",
        "6",
        "--engines",
        "mujoco",
        "--virtual-episodes",
        "0",
    ]
    assert verb.main([*arguments, "--output-dir", str(tmp_path), "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line == json.loads((tmp_path / "result.json").read_text())
    assert set(line["worlds"]) == {"nominal", "uniform"}
    assert line["worlds"]["uniform"]["episodes"] == 6
    assert line["sensitivity"]
    assert (tmp_path / "sensitivity.png").stat().st_size > 10_000


def test_an_episode_that_was_broken_off_fails_and_says_why(tmp_path, monkeypatch, capsys):
    from robostack.demo import robot_run

    records = [
        {"success": True, "duration_s": 1.0, "total_reward": 2.0, "reason": "success"},
        {"success": False, "duration_s": 0.0, "total_reward": 0.0, "reason": "aborted: the state is stale"},
    ]
    monkeypatch.setattr(robot_run, "run_on_robot", lambda *_: robot_run.RobotRun(tuple(records), {}))
    world = on_virtual_robot(Ur5eReach(), "scripted", 2, 0, tmp_path, lambda *_: None)
    assert world.aborted == ("aborted: the state is stale",) and world.result.successes == 1
    arguments = [
        "scripted",
        "--task",
        "ur5e-reach",
        "--episodes",
        "1",
        "--engines",
        "mujoco",
        "--virtual-episodes",
        "2",
    ]
    assert verb.main([*arguments, "--output-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "1 of 2" in captured.out and "virtual robot: an episode was aborted: the state is stale" in captured.err
    stored = json.loads((tmp_path / "result.json").read_text())["worlds"]["virtual robot"]
    assert stored["aborted"] == ["aborted: the state is stale"]
