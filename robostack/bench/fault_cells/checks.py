"""What cells of the fault matrix check with; each raises `CellFailedError` where the check fails."""

from __future__ import annotations

import time
from collections.abc import Callable

from controllers.loop import ControlLoop
from hardware.errors import RobostackError, StaleDataError
from hardware.records import RobotMode, RobotState
from hardware.robot import Robot
from robostack.bench.fault_cells.cell import CellFailedError

EVER = 1e9
"""Longer than any cell lasts."""
_POLL_S = 0.002


def expect(holds: object, otherwise: str) -> None:
    """Require that `holds` is true.

    Raises:
        CellFailedError: it is not; the message is `otherwise`.
    """
    if not holds:
        raise CellFailedError(otherwise)


def until(ready: Callable[[], object], what: str = "what was expected", timeout_s: float = 10.0) -> None:
    """Wait until `ready()` is true.

    Raises:
        CellFailedError: it was not within `timeout_s` [s]; the message says that `what` was not seen.
    """
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        expect(time.monotonic() < deadline_s, f"not seen within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)


def raises(kind: type[RobostackError], text: str, action: Callable[[], object]) -> None:
    """Require that `action()` raises an error of `kind` with `text` in its message.

    Raises:
        CellFailedError: it raises nothing, or an error with another message.
    """
    try:
        action()
    except kind as error:
        expect(text in str(error), f"'{text}' is not in the message: {error}")
    else:
        raise CellFailedError(f"no {kind.__name__} with '{text}' was raised")


def faulted(loop: ControlLoop, text: str) -> None:
    """Wait until `loop` has stopped its robot for a reason with `text` in it.

    Raises:
        CellFailedError: it does not, or for another reason.
    """
    until(lambda: loop.fault is not None, f"a stop of the loop for '{text}'")
    expect(text in str(loop.fault), f"the loop stopped for another reason than '{text}': {loop.fault}")


def runs(loop: ControlLoop) -> None:
    """Require that `loop` has not stopped its robot.

    Raises:
        CellFailedError: it has.
    """
    expect(loop.fault is None, f"the loop stopped: {loop.fault}")


def fresh(robot: Robot, timeout_s: float = 10.0) -> RobotState:
    """The newest state, also where this machine stalls for a moment.

    Raises:
        StaleDataError: no fresh state came within `timeout_s` [s].
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return robot.read()
        except StaleDataError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_POLL_S)


def age_s(robot: Robot) -> float:
    """Age of the newest state [s], also where it is too old."""
    try:
        return time.monotonic() - float(robot.read().capture_time_s)
    except StaleDataError as error:
        return error.age_s


def is_in(robot: Robot, mode: RobotMode) -> None:
    """Require that the driver of `robot` reports `mode`.

    Raises:
        CellFailedError: it reports another one.
    """
    state = fresh(robot)
    expect(state.mode is mode, f"the driver reports {state.mode.value} ({state.detail}), not {mode.value}")
