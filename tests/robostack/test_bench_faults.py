"""The benchmark of faults, and what its cells are made of: counting, places, checks, and repeats after a stall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardware.errors import ConfigError, DeviceError, MissingExtraError, StaleDataError
from hardware.records import BaseCommand, RobotState
from hardware.ur5e import UR5E
from robostack.bench import faults
from robostack.bench.fault_cells import checks, moving_driver, stalls
from robostack.bench.fault_cells.cell import CELL_SETS, MATRIX, Cell, CellFailedError, CellSet, cells_of
from robostack.bench.faults import BENCH


class NoStall:
    longest_s = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Stall(NoStall):
    longest_s = 1.0


def passes(place: str) -> None:
    pass


def fails(place: str) -> None:
    raise CellFailedError("the arm went on")


def is_unexpected(place: str) -> None:
    raise DeviceError("the cable")


@pytest.fixture
def sets(monkeypatch) -> dict[str, CellSet]:
    """What is registered."""
    found: dict[str, CellSet] = {}
    monkeypatch.setattr(type(CELL_SETS), "names", lambda self: tuple(sorted(found)))
    monkeypatch.setattr(type(CELL_SETS), "load", lambda self, name: found[name])
    monkeypatch.setattr(stalls, "StallMeter", NoStall)
    return found


def test_every_cell_is_counted_and_failures_are_explained(sets):
    sets["arm"] = CellSet("host", cells_of(passes, fails))
    sets["base"] = CellSet("path", cells_of(is_unexpected))
    measured = BENCH.run(False)
    assert measured.figures == {
        "cells": 3.0,
        "passed": 1.0,
        "arm/passes": 1.0,
        "arm/fails": 0.0,
        "base/is_unexpected": 0.0,
    }
    assert not measured.met
    assert measured.notes == (
        "arm/fails failed: CellFailedError: the arm went on",
        "base/is_unexpected failed: DeviceError: the cable",
    )


def test_the_aim_is_met_when_all_pass_and_not_when_none_was_run(sets):
    assert not BENCH.run(False).met
    sets["arm"] = CellSet("host", cells_of(passes))
    assert BENCH.run(False).met


def test_the_quick_form_runs_the_ur5e_only(sets):
    sets["ur5e"], sets["arm"] = CellSet("host", cells_of(passes)), CellSet("host", cells_of(fails))
    assert BENCH.run(True).figures == {"cells": 1.0, "passed": 1.0, "ur5e/passes": 1.0}


def test_a_missing_package_leaves_a_robot_out(sets):
    def needs_more(place: str) -> None:
        raise MissingExtraError("sdk", "toy", "the toy")

    sets["toy"] = CellSet("host", cells_of(needs_more, fails))
    sets["ur5e"] = CellSet("host", cells_of(passes))
    measured = BENCH.run(False)
    assert measured.figures == {"cells": 1.0, "passed": 1.0, "ur5e/passes": 1.0}
    assert "toy is left out" in measured.notes[0]


def test_a_defect_in_a_cell_is_not_taken_for_a_failure(sets):
    def defect(place: str) -> None:
        raise ZeroDivisionError

    sets["toy"] = CellSet("host", cells_of(defect))
    with pytest.raises(ZeroDivisionError):
        BENCH.run(False)


def test_places_are_new_every_time():
    hosts = set()
    for _ in range(50):
        with faults.fresh_place("host") as host:
            parts = [int(part) for part in host.split(".")]
            assert parts[0] == 127 and all(0 <= part <= 255 for part in parts) and 0 < parts[3] < 255
            hosts.add(host)
    assert len(hosts) == 50
    domains = set()
    for _ in range(50):
        with faults.fresh_place("domain") as domain:
            domains.add(int(domain))
    assert len(domains) == 50 and min(domains) >= 2 and max(domains) <= 230
    with faults.fresh_place("path") as path:
        assert Path(path).parent.is_dir() and not Path(path).exists()
    assert not Path(path).parent.exists()


def attempts_that(*outcomes: Exception | None):
    """A cell whose attempts end like this, and the places it was given."""
    left, places = list(outcomes), []

    def cell(place: str) -> None:
        places.append(place)
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome

    return cell, places


def test_a_failure_during_a_stall_is_no_verdict(monkeypatch):
    monkeypatch.setattr(stalls, "StallMeter", Stall)
    cell, places = attempts_that(CellFailedError("late"), AssertionError(), None)
    assert stalls.run_cell(cell, "there") == 2
    assert places == ["there"] * 3
    cell, places = attempts_that(*[CellFailedError("always")] * 3)
    with pytest.raises(CellFailedError):
        stalls.run_cell(cell, "there", attempts=3)
    assert len(places) == 3
    with pytest.raises(ValueError, match="at least once"):
        stalls.run_cell(cell, "there", attempts=0)


def test_a_failure_without_a_stall_is_one(monkeypatch):
    monkeypatch.setattr(stalls, "StallMeter", NoStall)
    cell, places = attempts_that(CellFailedError("wrong"), None)
    with pytest.raises(CellFailedError, match="wrong"):
        stalls.run_cell(cell, "there")
    assert len(places) == 1


def test_repeats_are_told(sets, monkeypatch):
    monkeypatch.setattr(stalls, "StallMeter", Stall)
    cell, _ = attempts_that(CellFailedError("late"), None)
    sets["toy"] = CellSet("host", (Cell("frozen", cell),))
    measured = BENCH.run(False)
    assert measured.met and "toy/frozen passed at attempt 2" in measured.notes[0]


def test_the_stall_meter_sees_a_clock_that_jumps(monkeypatch):
    times = iter([0.0, 0.005, 0.1, 0.105])
    meter = stalls.StallMeter()
    monkeypatch.setattr(stalls.time, "monotonic", lambda: next(times))
    turns = iter([False, False, False, True])
    monkeypatch.setattr(meter._ended, "wait", lambda _: next(turns))
    meter._watch()
    assert meter.longest_s == pytest.approx(0.095)


@pytest.mark.parametrize("robot", CELL_SETS.names())
def test_every_robot_has_the_whole_matrix(robot):
    names = [cell.fault for cell in CELL_SETS.load(robot).cells]
    assert set(MATRIX) <= set(names)
    assert len(names) == len(set(names))


def test_checks_pass_where_all_is_well():
    checks.expect(1, "never said")
    checks.until(lambda: True, "never said", 0.0)
    checks.raises(ConfigError, "wrong", lambda: _raise(ConfigError("a wrong key")))
    checks.runs(_Loop(None))
    checks.faulted(_Loop("state is stale"), "stale")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: checks.expect([], "an empty list"), "an empty list"),
        (lambda: checks.until(lambda: False, "the end", 0.0), "not seen within 0 s: the end"),
        (lambda: checks.raises(ConfigError, "right", lambda: _raise(ConfigError("wrong"))), "'right' is not in"),
        (lambda: checks.raises(ConfigError, "right", lambda: None), "no ConfigError with 'right' was raised"),
        (lambda: checks.runs(_Loop("stale")), "the loop stopped: stale"),
        (lambda: checks.faulted(_Loop("other"), "stale"), "another reason than 'stale': other"),
    ],
)
def test_checks_fail_in_words(check, words):
    with pytest.raises(CellFailedError, match=words):
        check()


def test_raises_lets_other_errors_through():
    with pytest.raises(DeviceError):
        checks.raises(ConfigError, "", lambda: _raise(DeviceError("other")))


def test_fresh_waits_for_a_state_that_is_not_stale():
    robot = _Robot([StaleDataError("toy", 0.3, 0.05), 5.0])
    assert checks.fresh(robot).capture_time_s == 5.0
    with pytest.raises(StaleDataError):
        checks.fresh(_Robot([StaleDataError("toy", 0.3, 0.05)]), timeout_s=-1.0)


def test_the_age_of_a_state(monkeypatch):
    monkeypatch.setattr(checks.time, "monotonic", lambda: 7.0)
    assert checks.age_s(_Robot([5.0])) == 2.0
    assert checks.age_s(_Robot([StaleDataError("toy", 0.3, 0.05)])) == 0.3


def test_the_driver_that_is_killed_swings_its_joints_within_their_ranges():
    robot = _Robot([0.0])
    at = moving_driver._motion(robot, {"wrist_1_joint": 0.5, "elbow_joint": 100.0})
    index, elbow = UR5E.joint_names.index("wrist_1_joint"), UR5E.joint_names.index("elbow_joint")
    start = at(0.0).position
    np.testing.assert_array_equal(start, UR5E.default_position)
    quarter = at(0.5).position
    assert quarter[index] - start[index] == pytest.approx(0.5)
    assert quarter[elbow] == UR5E.position_max[elbow]
    assert np.count_nonzero(quarter != start) == 2


def test_the_driver_that_is_killed_drives_a_base():
    command = moving_driver._motion(_Robot([]), {moving_driver.FORWARD: 0.2})(3.0)
    assert isinstance(command, BaseCommand)
    assert command.linear_velocity.tolist() == [0.2, 0.0] and command.yaw_rate == 0.0


class _Loop:
    def __init__(self, fault: str | None) -> None:
        self.fault = fault


class _Robot:
    """States with these capture times, or these errors."""

    spec = UR5E

    def __init__(self, results: list) -> None:
        self._results = results

    def read(self) -> RobotState:
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return RobotState(result, np.array(UR5E.default_position), np.zeros(6))


def _raise(error: Exception) -> None:
    raise error
