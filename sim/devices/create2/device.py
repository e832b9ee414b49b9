"""The virtual Create 2 in real time: world, firmware and serial line in one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from hardware.errors import UnknownNameError
from sim.devices.create2.brain import MODE_NAMES, Brain
from sim.devices.create2.config import VirtualCreate2Config
from sim.devices.create2.world import TICK_S, World
from sim.devices.serial_line import SerialLine

_CATCH_UP_S = 0.1
"""After a longer stall of this machine the time in between is left out."""


class VirtualCreate2:
    """A Create 2 that exists only behind a pseudo terminal; see `sim.devices.device.VirtualDevice`.

    Args:
        config: port, dynamics and start.
    """

    def __init__(self, config: VirtualCreate2Config) -> None:
        self.config = config
        self.world = World(config.dynamics(), config.x, config.y, config.heading, config.room)
        self.brain = Brain(self.world, docked=config.docked, dock_sleep_s=config.dock_sleep_s)
        self.line = SerialLine("create2", config.port, 115_200)
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
            "encoder_jump": lambda value: setattr(self.brain, "encoder_jump", int(value)),
            "unplugged": self._unplug,
            "lifted": lambda value: setattr(self.brain, "lifted", value > 0.0),
            "cliff": lambda value: setattr(self.brain, "forced_cliff", value > 0.0),
            "docked": lambda value: setattr(self.brain, "docked", value > 0.0),
            "asleep": lambda value: setattr(self.brain, "asleep", value > 0.0),
            "clean_button": lambda _: self.brain.wake(),
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        frozen: neither sends nor listens until 0; late: sends `value` seconds later; corrupted, wrong_checksum: spoils
        the next `value` packets, or their checksums; encoder_jump: encoders off by `value` counts; unplugged: pulls
        the cable for `value` seconds; lifted, cliff, docked, asleep: so it is, until 0; clean_button: wakes it.
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
        self._thread = threading.Thread(target=self._run, name="virtual-create2", daemon=True)
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
            raise UnknownNameError("fault of the virtual Create 2", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the robot and an observer of the room see."""
        with self._lock:
            x, y, heading = self.world.pose
            return {
                "time_s": self.brain.ticks * TICK_S,
                "mode": MODE_NAMES[self.brain.mode],
                "wheel_targets_mm_s": list(self.brain.targets_mm_s),
                "x": x,
                "y": y,
                "heading": heading,
                "speed": self.world.speed,
                "bumps": list(self.world.bumps()),
                "cliffs": list(self.world.cliffs()),
                "asleep": self.brain.asleep,
                "last_fall_back": self.brain.last_fall_back,
                "plugged": self.line.plugged,
                **self.brain.counters,
            }

    def poll(self, now_s: float) -> None:
        """One tick: listen, move on, send."""
        with self._lock:
            if self._plug_at_s is not None and now_s >= self._plug_at_s:
                self._plug_at_s = None
                self.line.plug()
            heard = self.line.poll(now_s)
            answer = b"" if self._frozen else self.brain.receive(heard)
            packet = self.brain.tick()
            for data in (answer, packet):
                if data and not self._frozen:
                    self.line.send(data, now_s)

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
        """Spoil a packet of the stream: a bit in its middle, or its checksum."""
        if self._spoil > 0:
            self._spoil -= 1
            at = len(data) // 2
            return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        if self._miscount > 0:
            self._miscount -= 1
            return data[:-1] + bytes([(data[-1] + 1) % 256])
        return data

    def _unplug(self, value: float) -> None:
        self.line.unplug()
        self._plug_at_s = time.monotonic() + value
