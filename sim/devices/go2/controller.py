"""The motor controller of the virtual Go2: whose commands the motors obey, the watchdog, and what is reported."""

from __future__ import annotations

import json
import math

from hardware.arrays import FloatArray
from sim.devices.go2.body import BREED
from sim.devices.go2.config import VirtualGo2Config
from sim.devices.go2.wire import Readings, read_command
from sim.devices.quadruped_body import MotorOrder, QuadrupedBody
from sim.devices.quadruped_config import CYCLE_S

_SHOWN_JOINT = 2
"""The joint whose encoder fails with the fault `out_of_range`: the calf of the first leg."""
_CHECK, _SELECT, _RELEASE = 1001, 1002, 1003
_UNKNOWN_API = 3203


class MotorController:
    """Everything behind the topics; time moves only with `cycle`.

    Args:
        config: dynamics, watchdog.
    """

    def __init__(self, config: VirtualGo2Config) -> None:
        self.config = config
        self.body = QuadrupedBody(BREED, config)
        self.cycles = 0
        self.service = config.service
        """Unitree's motion service that owns the motors; commands are read and not obeyed then. "" for none."""
        self.clings = False
        """Whether the motion service does not let go."""
        self.charge = 80
        self.encoder: float | None = None
        """What the failing encoder reads [rad]; None while it is sound."""
        self.counters = {"commands": 0, "bad_commands": 0, "watchdog_trips": 0, "battery_off": 0, "disobeyed": 0}
        self.last_order: MotorOrder | None = None
        self._commanded_s = -math.inf
        self._tripped = True
        self._held: FloatArray | None = None

    @property
    def time_s(self) -> float:
        """Time since power-up [s]."""
        return self.cycles * CYCLE_S

    def command(self, data: bytes) -> None:
        """Take one LowCmd; what is none is counted."""
        read = read_command(data)
        if read is None:
            self.counters["bad_commands"] += 1
            return
        order, battery_off = read
        self.counters["commands"] += 1
        self.counters["battery_off"] += battery_off == 0xA5
        if self.service:
            self.counters["disobeyed"] += 1
            return
        self.last_order, self._commanded_s, self._tripped = order, self.time_s, False

    def answer(self, api: int, parameter: str) -> tuple[int, str]:
        """What the motion switcher says: code and data."""
        if api == _CHECK:
            return 0, json.dumps({"form": "0", "name": self.service})
        if api == _RELEASE:
            self.service = self.service if self.clings else ""
            return 0, ""
        if api == _SELECT:
            self.service = str(json.loads(parameter)["name"])
            return 0, ""
        return _UNKNOWN_API, ""

    def cycle(self) -> None:
        """One cycle of 2 ms."""
        self.cycles += 1
        self.body.step(self._order())

    def readings(self) -> Readings:
        """What the sensors say now."""
        body, dynamics = self.body, self.body.dynamics
        position = body.noisy(body.position, dynamics.position_noise_rad)
        if self.encoder is not None:
            position[_SHOWN_JOINT] = self.encoder
        return Readings(
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

    def damped(self) -> bool:
        """Whether no motor has stiffness: in damping mode, or in servo mode with a gain of zero."""
        order = self.last_order
        return not self.service and not (
            self.body.servoing and order is not None and bool((order.kp > 0.0).any() or (order.tau != 0.0).any())
        )

    def _order(self) -> MotorOrder:
        """What the motors get: what the motion service wants, else the last command while it is young."""
        if self.service:
            return self._stand_still()
        self._held = None
        if self.last_order is None or self.time_s - self._commanded_s > self.config.watchdog_s:
            if not self._tripped:
                self._tripped = True
                self.counters["watchdog_trips"] += 1
            return self.body.damping_order()
        return self.last_order

    def _stand_still(self) -> MotorOrder:
        """Hold the pose that was found when the motion service took over."""
        if self._held is None:
            self._held = self.body.position
        return self.body.standing_order(self._held)
