"""The demonstration's figures, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from robostack.demo.report import robot_figures, table_row
from robostack.visualization.episodes import ReachTrace


def trace(error_m: float, success: bool) -> ReachTrace:
    tool = np.array([[0.1, 0.0, 0.0], [error_m, 0.0, 0.0]])
    return ReachTrace(np.array([0.0, 1.0]), np.zeros((2, 6)), tool, np.zeros(3), success)


def record(success: bool, duration_s: float, reason: str) -> dict:
    return {"success": success, "duration_s": duration_s, "reason": reason}


def test_a_reach_that_was_broken_off_counts_as_one_that_failed():
    episodes = [
        record(True, 1.5, "success"),
        record(False, 0.6, "aborted: the driver reports: state is stale"),
        record(False, 0.0, "aborted: waiting"),  # before its first step: there is no trace of it
        record(True, 2.5, "success"),
    ]
    found = robot_figures([trace(0.002, True), trace(0.05, False), trace(0.004, True)], episodes)
    assert (found["episodes"], found["successes"], found["aborted"], found["success"]) == (4, 2, 2, 0.5)
    assert found["final_error_mm"] == pytest.approx(4.0) and found["time_to_reach_s"] == pytest.approx(2.0)
    low, high = found["success_ci95"]
    assert 0.14 < low < 0.16 and 0.84 < high < 0.86  # Wilson's interval of 2 of 4: 0.150 to 0.850
    assert table_row("arm", found)[1] == "2 of 4 (15-85 %), 2 broken off"


def test_without_a_success_there_is_no_time():
    found = robot_figures([trace(0.05, False)], [record(False, 4.0, "time limit")])
    assert found["success"] == 0.0 and found["aborted"] == 0 and "time_to_reach_s" not in found
    assert table_row("arm", found)[3] == "-"
