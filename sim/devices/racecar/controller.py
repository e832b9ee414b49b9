"""The firmware of the virtual VESC: frames, commands, motor control and timeout.

Written from the documented layout of the messages, apart from the driver.
"""

from __future__ import annotations

import math
from collections import deque

from sim.devices.racecar.car import TICK_S, Car

ERPM_PER_RAD_S = 4614 * 0.05
"""Electrical rpm per speed of the drive shaft: 4614 per m/s on wheels of 5 cm radius."""
MIN_ERPM = 900
"""Below this set point the speed control lets the motor coast."""
TORQUE_PER_AMPERE = 0.06
"""At the drive shaft [Nm/A]."""
CURRENT_MAX_A = 30.0
_SPEED_GAIN_A = 8.0 / 1000.0
_SPEED_INTEGRAL_S = 0.3
_SERVO_STRAIGHT, _SERVO_PER_RAD, _SERVO_RATE = 0.5304, -1.2135, 3.2
_STEERING_STOP = 0.4
_VALUES = 4
_TIMEOUT_COMMANDS = (5, 6, 7, 8, 9, 30)


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021) & 0xFFFF if value & 0x8000 else value << 1
    return value


class Vesc:
    """Obeys bytes and drives the car; `tick` moves it on by `TICK_S`.

    Args:
        car: what it drives.
        timeout_s: time without a motor command after which the motor is cut [s].
        timeout_brake_a: brake current from then on [A].
        delay_s: time from a command to motor and servo [s].
        old_firmware: whether answers end before the newer fields.
    """

    def __init__(
        self, car: Car, *, timeout_s: float, timeout_brake_a: float, delay_s: float = 0.0, old_firmware: bool = False
    ) -> None:
        self.car, self.timeout_s, self.timeout_brake_a = car, timeout_s, timeout_brake_a
        self.old_firmware = old_firmware
        self.ticks = 0
        self.fault = 0
        self.kill_switch = False
        self.tachometer_jump = 0
        self.mode, self.setting = "off", 0.0
        self.servo = _SERVO_STRAIGHT
        self.steering = 0.0
        self.current_a = self._integral_a = 0.0
        self.counters = {"commands": 0, "bad_frames": 0, "timeouts": 0}
        self._commanded_tick = -math.inf
        self._in_flight: deque[tuple[str, float, float]] = deque([("off", 0.0, self.servo)] * round(delay_s / TICK_S))
        self._input = b""

    @property
    def timed_out(self) -> bool:
        """Whether the motor is cut because commands have stopped."""
        return (self.ticks - self._commanded_tick) * TICK_S > self.timeout_s

    def receive(self, data: bytes) -> bytes:
        """Obey what came from the computer; the answers."""
        self._input += data
        answers = b""
        while len(self._input) >= 2:
            if self._input[0] != 2 or self._input[1] == 0:
                self._input = self._input[1:]
                continue
            length = self._input[1]
            if len(self._input) < length + 5:
                break
            payload, tail = self._input[2 : 2 + length], self._input[2 + length : 5 + length]
            if tail != crc16(payload).to_bytes(2, "big") + b"\x03":
                self.counters["bad_frames"] += 1
                self._input = self._input[1:]
                continue
            self._input = self._input[5 + length :]
            answers += self._obey(payload)
        return answers

    def tick(self) -> None:
        """Control the motor and the servo, and move the car."""
        self.ticks += 1
        silent = self.timed_out
        if silent and self.mode != "off":
            self.mode, self.setting = "off", 0.0
            self.counters["timeouts"] += 1
        self._in_flight.append((self.mode, self.setting, self.servo))
        mode, setting, servo = self._in_flight.popleft()
        brake_a = self.timeout_brake_a if silent else 0.0
        self.current_a = 0.0 if self.fault or self.kill_switch else self._current(mode, setting, brake_a)
        wanted = max(-_STEERING_STOP, min(_STEERING_STOP, (servo - _SERVO_STRAIGHT) / _SERVO_PER_RAD))
        step = _SERVO_RATE * TICK_S
        self.steering += max(-step, min(step, wanted - self.steering))
        self.car.step(TORQUE_PER_AMPERE * self.current_a, self.steering)

    @property
    def erpm(self) -> float:
        """Electrical revolutions per minute."""
        return self.car.shaft_speed * ERPM_PER_RAD_S

    def _current(self, mode: str, setting: float, brake_a: float) -> float:
        """Motor current [A]."""
        if mode == "rpm" and abs(setting) >= MIN_ERPM:
            error_a = _SPEED_GAIN_A * (setting - self.erpm)
            change = error_a * TICK_S / _SPEED_INTEGRAL_S
            self._integral_a = max(-CURRENT_MAX_A, min(CURRENT_MAX_A, self._integral_a + change))
            return max(-CURRENT_MAX_A, min(CURRENT_MAX_A, error_a + self._integral_a))
        self._integral_a = 0.0
        if mode == "current":
            current = setting
        elif mode == "brake" or brake_a:
            strength = abs(setting) if mode == "brake" else brake_a
            # A brake never turns the motor the other way: its current fades with the speed.
            current = -max(-strength, min(strength, 0.02 * self.erpm))
        else:
            current = 0.0
        return max(-CURRENT_MAX_A, min(CURRENT_MAX_A, current))

    def _obey(self, payload: bytes) -> bytes:
        command, rest = payload[0], payload[1:]
        self.counters["commands"] += 1
        if command in _TIMEOUT_COMMANDS:
            self._commanded_tick = self.ticks
        if command == 0:
            return _framed(b"\x00\x06\x02" + b"virtual\x00")
        if command == _VALUES:
            return _framed(self._values())
        number = int.from_bytes(rest[:4], "big", signed=True)
        if command == 6:
            self.mode, self.setting = "current", number / 1000
        elif command == 7:
            self.mode, self.setting = "brake", number / 1000
        elif command == 8:
            self.mode, self.setting = "rpm", float(number)
        elif command == 12:
            self.servo = int.from_bytes(rest[:2], "big", signed=True) / 1000
        return b""

    def _values(self) -> bytes:
        """The answer to GET_VALUES."""
        turns = self.car.shaft_angle * ERPM_PER_RAD_S / 60.0
        tachometer = (math.floor(6.0 * turns) + self.tachometer_jump + 2**31) % 2**32 - 2**31
        text = bytes([_VALUES])
        for value, width in (
            (312, 2), (287, 2), (self.current_a * 100, 4), (self.current_a * 60, 4), (0, 4), (self.current_a * 100, 4),
            (self.erpm / 23250 * 1000, 2), (self.erpm, 4), (118, 2), (0, 4), (0, 4), (0, 4), (0, 4),
            (tachometer, 4), (abs(tachometer), 4), (self.fault, 1),
        ):  # fmt: skip
            text += round(value).to_bytes(width, "big", signed=True)
        text += (0).to_bytes(4, "big") + bytes([7])
        if not self.old_firmware:
            text += bytes(6) + bytes(8) + bytes([self.timed_out | self.kill_switch << 1])
        return text


def _framed(payload: bytes) -> bytes:
    return bytes([2, len(payload)]) + payload + crc16(payload).to_bytes(2, "big") + b"\x03"
