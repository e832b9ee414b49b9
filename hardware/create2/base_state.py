"""From the readings of a Create 2 to states: pose, velocity, contacts and mode."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from hardware.create2.open_interface import LIGHT_BUMP_MAX, OiMode, Reading, counts_between
from hardware.create2.spec import (
    AXLE_LENGTH,
    CONTACTS,
    COUNTS_PER_TURN,
    PROXIMITY,
    STREAM_PERIOD_S,
    WHEEL_DIAMETER,
    WHEEL_SPEED_MAX,
)
from hardware.planar_odometry import PlanarOdometry
from hardware.records import RobotMode, RobotState

METRES_PER_COUNT = math.pi * WHEEL_DIAMETER / COUNTS_PER_TURN
_WINDOW = 6
"""Readings over which the velocity is averaged: one count in 15 ms would be 3 cm/s."""
_PLAUSIBLE_COUNTS = 1.5 * WHEEL_SPEED_MAX * STREAM_PERIOD_S / METRES_PER_COUNT
"""Largest change of an encoder from one reading to the next."""
_MISSING_MAX = 10
_CAUSE_READINGS = 20
_HOME_BASE, _CHARGER = 2, 1


class BaseState:
    """Counts the way, and finds out why the robot has left the mode in which it takes commands."""

    def __init__(self) -> None:
        self.odometry = PlanarOdometry()
        self.implausible_readings = 0
        """Readings whose encoders had moved farther than the wheels can."""
        self.reading: Reading | None = None
        """The newest one taken."""
        self._missing = 0
        self._steps: deque[tuple[float, float, int]] = deque(maxlen=_WINDOW)
        self._recent: deque[str] = deque(maxlen=_CAUSE_READINGS)
        self._cause = ""

    def skip(self) -> None:
        """A packet came, but was damaged: the way it told of comes with the next one."""
        self._missing += 1

    def take(self, reading: Reading) -> bool:
        """Count the way of one reading; False if it cannot be true, and was left out."""
        before, self.reading = self.reading, reading
        self._recent.append(trouble(reading))
        if before is None:
            return True
        periods = 1 + min(self._missing, _MISSING_MAX)
        self._missing = 0
        left = counts_between(before.left_counts, reading.left_counts)
        right = counts_between(before.right_counts, reading.right_counts)
        if max(abs(left), abs(right)) > _PLAUSIBLE_COUNTS * periods:
            self.implausible_readings += 1  # the next way is counted from here
            return False
        distance = 0.5 * (left + right) * METRES_PER_COUNT
        turn = (right - left) * METRES_PER_COUNT / AXLE_LENGTH
        self.odometry.advance(distance, turn)
        self._steps.append((distance, turn, periods))
        return True

    def state(self, capture_time_s: float, wanted: OiMode) -> RobotState:
        """The state that the newest reading tells of; `wanted` is the mode in which the robot takes commands."""
        reading = self.reading
        if reading is None:
            raise ValueError("no reading was taken yet")
        duration_s = max(1, sum(periods for _, _, periods in self._steps)) * STREAM_PERIOD_S
        mode, detail = self._mode(reading, wanted)
        return RobotState(
            capture_time_s=capture_time_s,
            joint_position=np.zeros(0),
            joint_velocity=np.zeros(0),
            base_position=self.odometry.position,
            base_quaternion=self.odometry.quaternion,
            base_linear_velocity=np.array([sum(step[0] for step in self._steps) / duration_s, 0.0, 0.0]),
            base_angular_velocity=np.array([0.0, 0.0, sum(step[1] for step in self._steps) / duration_s]),
            mode=mode,
            detail=detail,
            contacts=contacts(reading),
            proximity=proximity(reading),
        )

    def _mode(self, reading: Reading, wanted: OiMode) -> tuple[RobotMode, str]:
        if reading.mode == wanted:
            self._cause = ""
            return RobotMode.RUNNING, f"battery {reading.charge_mah / max(1, reading.capacity_mah):.0%}"
        # The mode falls back together with what caused it; the cause may be over a moment later.
        self._cause = self._cause or next((cause for cause in reversed(self._recent) if cause), "")
        if self._cause:
            return RobotMode.PROTECTIVE_STOP, f"it stopped itself: {self._cause}"
        shown = OiMode(reading.mode).name.lower() if reading.mode in tuple(OiMode) else str(reading.mode)
        return RobotMode.FAULT, f"it is in mode {shown} (a button was pressed, or its guard process stopped it)"


def contacts(reading: Reading) -> dict[str, bool]:
    """Every switch by name."""
    bits = reading.bumps_and_drops
    switches = (bits & 2, bits & 1, bits & 8, bits & 4, *reading.cliffs)
    return {name: bool(on) for name, on in zip(CONTACTS, switches, strict=True)}


def proximity(reading: Reading) -> dict[str, float]:
    """Every light bumper by name, as the share of its full signal; beyond that it is full."""
    return {
        name: min(signal / LIGHT_BUMP_MAX, 1.0) for name, signal in zip(PROXIMITY, reading.light_bumps, strict=True)
    }


def trouble(reading: Reading) -> str:
    """What makes the robot leave safe mode, in words; "" for nothing. Bumpers do not."""
    found = [name.replace("_", " ") for name, on in contacts(reading).items() if on and not name.startswith("bumper")]
    if reading.charging_sources & _HOME_BASE:
        found.append("on the home base")
    if reading.charging_sources & _CHARGER:
        found.append("charger plugged in")
    return ", ".join(found)
