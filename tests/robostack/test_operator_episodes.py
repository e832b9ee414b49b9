"""When episodes begin and end: keys, time limits, obstacles; on a virtual clock."""

from __future__ import annotations

import pytest

from hardware.errors import ConfigError
from hardware.teleoperator import OperatorEvent
from robostack.teleoperation.episodes import Episodes as Recording
from robostack.teleoperation.episodes import EpisodesConfig, Phase

SUCCESS, FAILURE = OperatorEvent.SUCCESS, OperatorEvent.FAILURE
RERECORD, FINISH = OperatorEvent.RERECORD, OperatorEvent.FINISH


class Session:
    def __init__(self, **settings) -> None:
        config = EpisodesConfig(**{"num_episodes": 2, "episode_time_s": 10.0, "reset_time_s": 5.0, **settings})
        self.recording, self.now_s = Recording(config), 100.0

    def after(self, seconds: float, *events: OperatorEvent, obstacle: str = ""):
        self.now_s += seconds
        return self.recording.step(self.now_s, events, obstacle)

    @property
    def phase(self) -> Phase:
        return self.recording.phase


def test_the_first_episode_begins_once_nothing_is_in_the_way():
    session = Session()
    assert session.after(60.0, obstacle="no driver") == []
    (change,) = session.after(1.0)
    assert (change.begins, change.episode) == (True, 0)
    assert session.phase is Phase.RECORD


def test_success_failure_and_time_limit_are_kept_and_counted():
    session = Session(num_episodes=3)
    session.after(0.0)
    (ended,) = session.after(1.0, SUCCESS)
    assert (ended.reason, ended.success, ended.keep, ended.episode) == ("success", True, True, 0)
    session.after(5.0)
    (ended,) = session.after(1.0, FAILURE)
    assert (ended.reason, ended.success, ended.keep, ended.episode) == ("failure", False, True, 1)
    session.after(5.0)
    assert session.after(9.9) == []
    (ended,) = session.after(0.2)
    assert (ended.reason, ended.success, ended.keep, ended.episode) == ("time limit", False, True, 2)
    assert session.phase is Phase.DONE
    assert session.after(100.0, SUCCESS, RERECORD) == []


def test_record_again_discards_and_keeps_the_number():
    session = Session()
    session.after(0.0)
    (ended,) = session.after(1.0, RERECORD)
    assert (ended.keep, ended.episode, ended.reason) == (False, 0, "re-record")
    assert session.phase is Phase.RESET
    (begun,) = session.after(5.0)
    assert begun.episode == 0
    session.after(1.0, SUCCESS)
    assert session.recording.episode == 1


def test_the_right_arrow_ends_the_pause_early_but_not_before_the_robot_is_ready():
    session = Session()
    session.after(0.0)
    session.after(1.0, SUCCESS)
    assert session.after(1.0, SUCCESS, obstacle="stopped") == []
    (begun,) = session.after(0.5)
    assert begun.begins


@pytest.mark.parametrize("obstacle", ["measurements are 210 ms old", ""], ids=["aborted", "time limit"])
def test_a_success_that_comes_too_late_for_an_episode_does_not_begin_the_next_one(obstacle):
    session = Session()
    session.after(0.0)
    (ended,) = session.after(9.0, obstacle=obstacle) if obstacle else session.after(10.0)
    assert not ended.begins
    assert session.after(0.1, SUCCESS) == []
    assert session.after(0.3, SUCCESS) == []
    (begun,) = session.after(0.2, SUCCESS)
    assert begun.begins


def test_finish_keeps_what_runs_and_ends_at_once_between_episodes():
    session = Session()
    session.after(0.0)
    (ended,) = session.after(2.0, FINISH)
    assert (ended.reason, ended.keep, session.phase) == ("finished early", True, Phase.DONE)
    session = Session()
    session.after(0.0)
    session.after(1.0, SUCCESS)
    assert session.after(1.0, FINISH) == []
    assert session.phase is Phase.DONE


def test_an_obstacle_aborts_the_episode_which_is_recorded_again():
    session = Session()
    session.after(0.0)
    (ended,) = session.after(1.0, obstacle="protective stop")
    assert (ended.reason, ended.keep, ended.episode) == ("aborted: protective stop", False, 0)
    assert session.after(60.0, obstacle="protective stop") == []
    (begun,) = session.after(0.0)
    assert (begun.begins, begun.episode) == (True, 0)


def test_events_of_one_period_act_in_order():
    session = Session()
    session.after(0.0)
    changes = session.after(1.0, SUCCESS, SUCCESS)
    assert [change.begins for change in changes] == [False, True]


def test_closing_keeps_the_running_episode():
    session = Session()
    session.after(0.0)
    (ended,) = session.recording.close(101.0)
    assert ended.keep
    assert session.recording.close(102.0) == []


@pytest.mark.parametrize("wrong", [{"num_episodes": 0}, {"episode_time_s": 0.0}, {"reset_time_s": -1.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EpisodesConfig(**wrong)
