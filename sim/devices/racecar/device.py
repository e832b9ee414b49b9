"""The virtual car in real time: mechanics, VESC and serial line in one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from hardware.errors import UnknownNameError
from sim.devices.racecar.car import TICK_S, Car
from sim.devices.racecar.config import VirtualRacecarConfig
from sim.devices.racecar.controller import Vesc
from sim.devices.serial_line import SerialLine

_CATCH_UP_S = 0.1
"""After a longer stall of this machine the time in between is left out."""


class VirtualRacecar:
    """A car that exists only behind a pseudo terminal; see `sim.devices.device.VirtualDevice`.

    Args:
        config: port, dynamics and start.
    """

    def __init__(self, config: VirtualRacecarConfig) -> None:
        self.config = config
        dynamics = config.dynamics()
        self.car = Car(dynamics)
        self.vesc = Vesc(
            self.car,
            timeout_s=config.timeout_s,
            timeout_brake_a=config.timeout_brake_a,
            delay_s=dynamics.command_delay_s,
            old_firmware=config.old_firmware,
        )
        self.line = SerialLine("racecar", config.port, 115_200)
        self._frozen = False
        self._spoil = self._miscount = 0
        self._plug_at_s: float | None = None
        self._lock = threading.Lock()
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._faults: dict[str, Callable[[float], None]] = {
            "frozen": lambda value: setattr(self, "_frozen", value > 0.0),
            "late": lambda value: setattr(self.line, "delay_s", max(0.0, value)),
            "corrupted": lambda value: setattr(self, "_spoil", int(value)),
            "wrong_checksum": lambda value: setattr(self, "_miscount", int(value)),
            "tachometer_jump": lambda value: setattr(self.vesc, "tachometer_jump", int(value)),
            "unplugged": self._unplug,
            "vesc_fault": lambda value: setattr(self.vesc, "fault", int(value)),
            "kill_switch": lambda value: setattr(self.vesc, "kill_switch", value > 0.0),
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        frozen: neither sends nor listens until 0; late: sends `value` seconds later; corrupted, wrong_checksum: spoils
        the next `value` answers, or their checksums; tachometer_jump: off by `value` steps; unplugged: pulls the cable
        for `value` seconds; vesc_fault: reports fault `value`, until 0; kill_switch: open, until 0.
        """
        return tuple(self._faults)

    def start(self) -> None:
        """Open the port and let time run.

        Raises:
            AddressInUseError: another virtual device has the port.
        """
        if self._thread is not None:
            return
        self.line.open()
        self.line.damage = self._damage
        self._running.set()
        self._thread = threading.Thread(target=self._run, name="virtual-racecar", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port. Idempotent."""
        self._running.clear()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.line.close()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen; see `faults`.

        Raises:
            UnknownNameError: there is no such fault.
        """
        if fault not in self._faults:
            raise UnknownNameError("fault of the virtual car", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the robot and an observer of the room see."""
        with self._lock:
            x, y, heading = self.car.pose
            return {
                "time_s": self.vesc.ticks * TICK_S,
                "motor": self.vesc.mode,
                "setting": self.vesc.setting,
                "servo": self.vesc.servo,
                "steering": self.vesc.steering,
                "current_a": self.vesc.current_a,
                "erpm": self.vesc.erpm,
                "timed_out": self.vesc.timed_out,
                "x": x,
                "y": y,
                "heading": heading,
                "speed": self.car.speed,
                "plugged": self.line.plugged,
                **self.vesc.counters,
            }

    def poll(self, now_s: float) -> None:
        """One tick: listen, move on, send."""
        with self._lock:
            if self._plug_at_s is not None and now_s >= self._plug_at_s:
                self._plug_at_s = None
                self.line.plug()
            heard = self.line.poll(now_s)
            answer = b"" if self._frozen else self.vesc.receive(heard)
            self.vesc.tick()
            if answer:
                self.line.send(answer, now_s)

    def _run(self) -> None:
        deadline_s = time.monotonic()
        while self._running.is_set():
            deadline_s += TICK_S
            now_s = time.monotonic()
            if now_s < deadline_s:
                time.sleep(deadline_s - now_s)
            elif now_s - deadline_s > _CATCH_UP_S:
                deadline_s = now_s
            self.poll(time.monotonic())

    def _damage(self, data: bytes) -> bytes:
        """Spoil an answer: a bit in its middle, or its checksum."""
        if self._spoil > 0:
            self._spoil -= 1
            at = len(data) // 2
            return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        if self._miscount > 0:
            self._miscount -= 1
            return data[:-2] + bytes([(data[-2] + 1) % 256]) + data[-1:]
        return data

    def _unplug(self, value: float) -> None:
        self.line.unplug()
        self._plug_at_s = time.monotonic() + value
