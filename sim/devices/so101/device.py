"""The virtual SO-101: its servos in real time, on a pseudo terminal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np

from hardware.errors import UnknownNameError
from hardware.so101 import MODEL, PICK_CUBE, SO101
from sim.devices.so101.arm import STEP_S, Arm, Drive
from sim.devices.so101.chain import Chain
from sim.devices.so101.config import VirtualSO101Config
from sim.devices.so101.line import Line
from sim.devices.so101.servo import Measurement, VirtualServo
from sim.devices.so101.sts_servo import StsServo
from sim.devices.so101.wire import StsWire, XWire
from sim.devices.so101.x_servo import XServo

RAD_PER_TICK = 2.0 * math.pi / 4096.0
_CATCH_UP_S = 0.05
"""Lateness of the physics up to which missed steps are made up for [s]; after a longer stall they are skipped."""
_PAUSE_S = 0.02
"""After a pause this long within a request the servos expect a new one [s]."""


class VirtualSO101:
    """An SO-101 that exists only at the end of a pseudo terminal.

    Args:
        config: port, assembly and dynamics.
    """

    def __init__(self, config: VirtualSO101Config) -> None:
        self.config = config
        start = config.initial_position if config.initial_position is not None else SO101.default_position
        scene = PICK_CUBE if config.scene == "pick-cube" else MODEL
        self.arm = Arm(config.arm_dynamics(), np.array(start, dtype=np.float64), config.seed, config.carried, scene)
        self.arm.place_cube(np.random.default_rng(config.seed))
        self.line = Line(config.port, config.baud_rate)
        feetech = config.servos == "feetech"
        servos: list[VirtualServo] = [StsServo(i) if feetech else XServo(i) for i in config.ids]
        self.chain = Chain(StsWire(), servos, ()) if feetech else Chain(XWire(), servos, ((0, 2), (6, 1)))
        self._zero = np.array(config.zero_ticks, dtype=np.float64)
        self._direction = np.array(config.directions, dtype=np.float64)
        self._extra_tick = np.zeros(len(servos))
        self._heat = np.full(len(servos), -np.inf)
        self._random = np.random.default_rng(config.seed + 1)
        self._spoil = {"corrupted": 0, "wrong_checksum": 0, "noise": 0}
        self._frozen = False
        self._refuse_until_s: float | None = None
        self._lock = threading.Lock()
        self._running = False
        self._thread: threading.Thread | None = None
        self._stepped_s, self._received_s, self._skipped_s = time.monotonic(), 0.0, 0.0
        self._faults: dict[str, Callable[[float], None]] = {
            "unplugged": self._unplug,
            "frozen": self._freeze,
            "late": self._delay,
            "corrupted": lambda value: self._spoil_next("corrupted", value),
            "wrong_checksum": lambda value: self._spoil_next("wrong_checksum", value),
            "noise": lambda value: self._spoil_next("noise", value),
            "lost_servo": self._lose,
            "overload": self._overload,
            "overheating": self._overheat,
            "wild_reading": self._misread,
            "push": self._push,
            "hand": self._move_by_hand,
            "cube": lambda value: self.arm.place_cube(np.random.default_rng(int(value))),
        }
        self._measure(time.monotonic())

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        unplugged takes the port away for `value` seconds; frozen answers nothing until 0; late holds all answers back
        by `value` seconds; corrupted, wrong_checksum and noise spoil the next `value` answers (a bit in the midst, the
        last byte, bytes before it); lost_servo silences the servo with id `value` until 0; overload lets the protection
        of the servo with id `value` act; overheating heats elbow_flex to `value` degrees (0: as it is); wild_reading
        adds `value` ticks to the reading of elbow_flex; push loads shoulder_pan with `value` Nm from outside; hand is
        no fault but whoever carries the arm while the torque is off: every joint moves at `value` rad/s. cube puts the
        cube, where there is one, to the place that the seed `value` gives.
        """
        return tuple(self._faults)

    @property
    def addresses(self) -> Mapping[str, str]:
        """The pseudo terminal behind `config.port`."""
        return {"terminal": self.line.terminal}

    def start(self) -> None:
        """Open the port and let time run.

        Raises:
            AddressInUseError: another virtual device has the path.
        """
        if self._thread is not None:
            return
        self.line.claim()
        self.line.plug()
        self._stepped_s = time.monotonic()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="virtual-so101", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port. Idempotent."""
        self._running = False
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.line.unplug()
        self.line.release()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen; see `faults`.

        Raises:
            UnknownNameError: there is no such fault.
        """
        if fault not in self._faults:
            raise UnknownNameError("fault of the virtual SO-101", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the arm does, without noise, and counters of the line."""
        with self._lock:
            wishes = [servo.wish() for servo in self.chain.servos]
            return {
                "terminal": self.line.terminal,
                "position": self.arm.position.tolist(),
                "velocity": self.arm.velocity.tolist(),
                "torque": self.arm.torque.tolist(),
                "goal": self._joint_position(np.array([wish.tick for wish in wishes])).tolist(),
                "power": [wish.power for wish in wishes],
                "temperature": self._temperature().tolist(),
                "objects": {name: pose.tolist() for name, pose in self.arm.objects.items()},
                "errors": [servo.error for servo in self.chain.servos],
                "requests": self.chain.requests,
                "writes": self.chain.writes,
                "damaged": self.chain.wire.damaged,
                "collisions": self.line.collisions,
                "wrong_speed": self.line.wrong_speed,
                "skipped_s": self._skipped_s,
            }

    # --- real time

    def _run(self) -> None:
        while self._running:
            next_s = self.line.next_s()
            wake_s = min(self._stepped_s + STEP_S, next_s if next_s is not None else math.inf)
            self.line.wait(wake_s - time.monotonic())
            with self._lock:
                self._serve()

    def _serve(self) -> None:
        now_s = time.monotonic()
        if self._refuse_until_s is not None and now_s >= self._refuse_until_s:
            self._refuse_until_s = None
            self.line.plug()
        data = self.line.receive(now_s)
        if data:
            if now_s - self._received_s > _PAUSE_S:
                self.chain.wire.forget()
            self._received_s = now_s
            for answer in self.chain.obey(data, now_s):
                if not self._frozen:
                    self.line.send(self._spoiled(answer), self.config.return_delay_s)
        self.line.deliver(time.monotonic())
        self._advance(now_s)

    def _advance(self, now_s: float) -> None:
        """Let the physics catch up with real time."""
        behind_s = now_s - self._stepped_s
        if behind_s > _CATCH_UP_S:
            self._skipped_s += behind_s - STEP_S
            self._stepped_s = now_s - STEP_S
        stepped = False
        while self._stepped_s + STEP_S <= now_s:
            self.arm.step(self._drive())
            self._stepped_s += STEP_S
            stepped = True
        if stepped:
            self._measure(now_s)

    def _drive(self) -> Drive:
        wishes = [servo.wish() for servo in self.chain.servos]
        return Drive(
            goal=self._joint_position(np.array([wish.tick for wish in wishes])),
            speed=np.array([min(wish.tick_speed, 1e6) for wish in wishes]) * RAD_PER_TICK,
            power=np.array([wish.power for wish in wishes]),
        )

    def _measure(self, now_s: float) -> None:
        ticks = self._zero + self._direction * self.arm.measured_position() / RAD_PER_TICK + self._extra_tick
        speeds = self._direction * self.arm.velocity / RAD_PER_TICK
        powers = self._direction * self.arm.torque / SO101.effort_max
        heat = self._temperature()
        for index, servo in enumerate(self.chain.servos):
            measured = Measurement(
                round(float(ticks[index])), float(speeds[index]), float(powers[index]), float(heat[index])
            )
            servo.measure(measured, now_s)

    def _joint_position(self, ticks: np.ndarray) -> np.ndarray:
        return (ticks - self._zero) * self._direction * RAD_PER_TICK

    def _temperature(self) -> np.ndarray:
        return np.maximum(self.arm.temperature, self._heat)

    # --- faults

    def _spoiled(self, answer: bytes) -> bytes:
        if self._spoil["corrupted"] > 0:
            self._spoil["corrupted"] -= 1
            place = int(self._random.integers(len(answer) // 2, len(answer) - 1))
            return answer[:place] + bytes([answer[place] ^ 0x10]) + answer[place + 1 :]
        if self._spoil["wrong_checksum"] > 0:
            self._spoil["wrong_checksum"] -= 1
            return answer[:-1] + bytes([answer[-1] ^ 0x01])
        if self._spoil["noise"] > 0:
            self._spoil["noise"] -= 1
            return self._random.integers(0, 256, 7, dtype=np.uint8).tobytes() + answer
        return answer

    def _spoil_next(self, kind: str, value: float) -> None:
        self._spoil[kind] = int(value)

    def _unplug(self, value: float) -> None:
        self.line.unplug()
        self._refuse_until_s = time.monotonic() + value

    def _freeze(self, value: float) -> None:
        self._frozen = value > 0.0

    def _delay(self, value: float) -> None:
        self.line.late_s = max(0.0, value)

    def _lose(self, value: float) -> None:
        self.chain.absent = {int(value)} if value > 0.0 else set()

    def _overload(self, value: float) -> None:
        for servo in self.chain.servos:
            if servo.servo_id == int(value):
                servo.trip("overload")

    def _overheat(self, value: float) -> None:
        self._heat[SO101.joint_names.index("elbow_flex")] = value if value > 0.0 else -np.inf

    def _misread(self, value: float) -> None:
        self._extra_tick[SO101.joint_names.index("elbow_flex")] = value

    def _move_by_hand(self, value: float) -> None:
        self.arm.hand[:] = value

    def _push(self, value: float) -> None:
        self.arm.external[SO101.joint_names.index("shoulder_pan")] = value
