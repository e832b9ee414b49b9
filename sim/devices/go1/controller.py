"""The motor controller of the virtual Go1: whose commands the motors obey, the watchdog, and what is reported."""

from __future__ import annotations

import math

from hardware.arrays import FloatArray
from sim.devices.go1.body import BREED
from sim.devices.go1.config import VirtualGo1Config
from sim.devices.go1.wire import Readings, read_command, write_state
from sim.devices.quadruped_body import MotorOrder, QuadrupedBody
from sim.devices.quadruped_config import CYCLE_S

LOW_LEVEL, HIGH_LEVEL = 0xFF, 0xEE
_ATTENTIVE_CYCLES = 50
"""So long after a command answers are prepared ahead."""
_SHOWN_JOINT = 2
"""The joint whose encoder fails with the fault `out_of_range`: the calf of the first leg."""


class MotorController:
    """Everything behind the socket; time moves only with `cycle`.

    Args:
        config: dynamics, checksum, watchdog.
    """

    def __init__(self, config: VirtualGo1Config) -> None:
        self.config = config
        self.body = QuadrupedBody(BREED, config)
        self.cycles = 0
        self.high_level = config.high_level
        """Unitree's high-level mode owns the motors: low-level commands are answered and not obeyed."""
        self.other_sender = False
        """Someone else commands at low level as well (a sport-mode program that was not ended)."""
        self.charge = 80
        self.encoder: float | None = None
        """What the failing encoder reads [rad]; None while it is sound."""
        self.counters = {"commands": 0, "bad_commands": 0, "answers": 0, "watchdog_trips": 0, "battery_off": 0}
        self.last_order: MotorOrder | None = None
        self._commanded_s = -math.inf
        self._answer: bytes | None = None  # prepared in the cycle, so that it can be sent at once
        self._heard_cycle = -_ATTENTIVE_CYCLES
        self._tripped = True
        self._held: FloatArray | None = None

    @property
    def time_s(self) -> float:
        """Time since power-up [s]."""
        return self.cycles * CYCLE_S

    @property
    def servoing(self) -> bool:
        """Whether any motor follows a command."""
        return self.body.servoing

    def command(self, data: bytes) -> bytes | None:
        """Take one datagram; the answer, or None to what is no LowCmd."""
        read = read_command(data, self.config.crc)
        if read is None:
            self.counters["bad_commands"] += 1
            return None
        level, order, battery_off = read
        self.counters["commands"] += 1
        self._heard_cycle = self.cycles
        self.counters["battery_off"] += battery_off == 0xA5
        if level == LOW_LEVEL:
            self.last_order, self._commanded_s = order, self.time_s
            self._tripped = False
        self.counters["answers"] += 1
        return self._answer if self._answer is not None else write_state(self.readings(), self.config.crc)

    def cycle(self) -> None:
        """One cycle of 2 ms."""
        self.cycles += 1
        self.body.step(self._order())
        spoken_to = self.cycles - self._heard_cycle < _ATTENTIVE_CYCLES
        self._answer = write_state(self.readings(), self.config.crc) if spoken_to else None

    def readings(self) -> Readings:
        """What the sensors say now."""
        body, dynamics = self.body, self.body.dynamics
        position = body.noisy(body.position, dynamics.position_noise_rad)
        if self.encoder is not None:
            position[_SHOWN_JOINT] = self.encoder
        return Readings(
            level_flag=HIGH_LEVEL if self.high_level else LOW_LEVEL,
            mode=body.mode,
            q=position,
            dq=body.noisy(body.velocity, dynamics.velocity_noise_rad_s),
            tau=body.torque,
            quaternion=body.sensor("imu_quaternion"),
            gyroscope=body.noisy(body.sensor("imu_gyro"), dynamics.gyroscope_noise_rad_s),
            accelerometer=body.sensor("imu_accelerometer"),
            foot_force=body.foot_force(),
            tick_ms=round(1e3 * self.time_s) & 0xFFFFFFFF,
            charge=self.charge,
        )

    def _order(self) -> MotorOrder:
        """What the motors get: what a vendor's program wants, else the last command while it is young."""
        if self.high_level or self.other_sender:
            return self._stand_still()
        self._held = None
        if self.last_order is None or self.time_s - self._commanded_s > self.config.watchdog_s:
            if not self._tripped:
                self._tripped = True
                self.counters["watchdog_trips"] += bool((self.last_order or self.body.damping_order()).mode.any())
            return self.body.damping_order()
        return self.last_order

    def _stand_still(self) -> MotorOrder:
        """Hold the pose that was found when the vendor's program took over."""
        if self._held is None:
            self._held = self.body.position
        return self.body.standing_order(self._held)

    def damped(self) -> bool:
        """Whether no motor has stiffness: in damping mode, or in servo mode with a gain of zero."""
        order = self.last_order
        stiff = self.servoing and order is not None and bool((order.kp > 0.0).any() or (order.tau != 0.0).any())
        return not (stiff or self.high_level or self.other_sender)
