"""The virtual Go1: its motor controller in real time behind a UDP socket."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from hardware.errors import AddressInUseError, UnknownNameError
from sim.devices.go1.config import VirtualGo1Config
from sim.devices.go1.controller import MotorController
from sim.devices.quadruped_config import CYCLE_S

_CATCH_UP_S = 0.02
"""Lateness up to which missed cycles are run at once [s]; after a longer stall of this machine they are skipped."""
_PACKET_MAX = 2048


class VirtualGo1:
    """A Go1 that exists only on the network. One thread waits for datagrams, answers each at once, and keeps the cycle.

    Args:
        config: address and dynamics.
    """

    def __init__(self, config: VirtualGo1Config) -> None:
        self.config = config
        self.controller = MotorController(config)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._running = False
        self._wake: tuple[int, int] | None = None
        self._late: deque[tuple[float, bytes, tuple[str, int]]] = deque()
        self._delay_s, self._muted, self._deaf = 0.0, False, False
        self._spoil = {"corrupted": 0, "wrong_checksum": 0}
        self._skipped_cycles, self._lateness_max_s = 0, 0.0
        self._faults: dict[str, Callable[[float], None]] = {
            "unplugged": self._unplug,
            "frozen": self._freeze,
            "late": self._delay,
            "corrupted": lambda value: self._spoil.update(corrupted=int(value)),
            "wrong_checksum": lambda value: self._spoil.update(wrong_checksum=int(value)),
            "out_of_range": self._spoil_encoder,
            "overheat": self._overheat,
            "high_level": self._high_level,
            "other_sender": self._other_sender,
            "low_battery": self._discharge,
            "push": lambda value: self.controller.body.push(value),
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        unplugged loses all packets both ways until 0; frozen answers nothing until 0, but obeys; late delays answers by
        `value` seconds; corrupted spoils one byte of the next `value` answers, wrong_checksum the checksum;
        out_of_range makes one calf's encoder read `value` rad until NaN; overheat switches one motor off until 0;
        high_level lets Unitree's own mode take the motors until 0, other_sender a second sender at low level;
        low_battery sets the state of charge [%]; push gives the trunk a sideways velocity [m/s].
        """
        return tuple(self._faults)

    def start(self) -> None:
        """Listen and let time run.

        Raises:
            AddressInUseError: the port is taken.
        """
        if self._thread is not None:
            return
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            server.bind((self.config.host, self.config.port))
        except OSError as error:
            server.close()
            if error.errno == errno.EADDRINUSE:
                raise AddressInUseError("the virtual Go1", f"{self.config.host}:{self.config.port}") from error
            raise
        server.setblocking(False)
        self._socket, self._wake, self._running = server, os.pipe(), True
        self._thread = threading.Thread(target=self._run, args=(server,), name="virtual-go1", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port. Idempotent."""
        if self._thread is None or self._wake is None or self._socket is None:
            return
        self._running = False
        os.write(self._wake[1], b"x")
        self._thread.join()
        self._socket.close()
        for end in self._wake:
            os.close(end)
        self._thread = self._socket = self._wake = None

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen; see `faults`.

        Raises:
            UnknownNameError: there is no such fault.
        """
        if fault not in self._faults:
            raise UnknownNameError("fault of the virtual Go1", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the robot itself sees, without noise, and counters."""
        with self._lock:
            controller, body = self.controller, self.controller.body
            status: dict[str, Any] = {
                "time_s": controller.time_s,
                "position": body.position.tolist(),
                "velocity": body.velocity.tolist(),
                "torque": body.torque.tolist(),
                "height": body.height,
                "motor_modes": body.mode.tolist(),
                "damped": controller.damped(),
                "stiffness": controller.last_order.kp.tolist() if controller.last_order is not None else None,
                "target": controller.last_order.q.tolist() if controller.last_order is not None else None,
                "foot_force": body.foot_force().tolist(),
                "skipped_cycles": self._skipped_cycles,
                "lateness_max_s": self._lateness_max_s,
            }
            return {**status, **controller.counters}

    def _run(self, server: socket.socket) -> None:
        """Answer datagrams as they come, and step physics on an absolute schedule."""
        wake = self._wake[0] if self._wake is not None else -1
        next_s = time.monotonic() + CYCLE_S
        while self._running:
            due_s = min(next_s, self._late[0][0]) if self._late else next_s
            ready, _, _ = select.select([server.fileno(), wake], [], [], max(due_s - time.monotonic(), 0.0))
            now_s = time.monotonic()
            self._lateness_max_s = max(self._lateness_max_s, now_s - next_s)
            if now_s - next_s > _CATCH_UP_S:
                missed = int((now_s - next_s) / CYCLE_S)
                next_s += missed * CYCLE_S
                with self._lock:
                    self.controller.cycles += missed
                self._skipped_cycles += missed
            while now_s >= next_s:
                with self._lock:
                    self.controller.cycle()
                next_s += CYCLE_S
            if server.fileno() in ready:  # after the cycles, so that a stall of this machine does not make answers old
                self._serve(server)
            while self._late and self._late[0][0] <= now_s:
                _, answer, address = self._late.popleft()
                self._send(server, answer, address)

    def _serve(self, server: socket.socket) -> None:
        """Every datagram that has arrived."""
        while True:
            try:
                data, address = server.recvfrom(_PACKET_MAX)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # an earlier answer found its port closed
            if self._deaf:
                continue
            with self._lock:
                answer = self.controller.command(data)
            if answer is None or self._muted:
                continue
            answer = self._spoiled(answer)
            if self._delay_s > 0.0:
                self._late.append((time.monotonic() + self._delay_s, answer, address))
            else:
                self._send(server, answer, address)

    def _send(self, server: socket.socket, answer: bytes, address: tuple[str, int]) -> None:
        try:
            server.sendto(answer, address)
        except (BlockingIOError, ConnectionError):
            return  # as on a real network: the packet is lost

    def _spoiled(self, answer: bytes) -> bytes:
        for fault, place in (("corrupted", 300), ("wrong_checksum", len(answer) - 2)):
            if self._spoil[fault] > 0:
                self._spoil[fault] -= 1
                answer = answer[:place] + bytes([answer[place] ^ 0x55]) + answer[place + 1 :]
        return answer

    # --- faults

    def _unplug(self, value: float) -> None:
        self._deaf = self._muted = value > 0.0

    def _freeze(self, value: float) -> None:
        self._muted = value > 0.0

    def _delay(self, value: float) -> None:
        self._delay_s = max(value, 0.0)

    def _spoil_encoder(self, value: float) -> None:
        self.controller.encoder = None if math.isnan(value) else value

    def _overheat(self, value: float) -> None:
        self.controller.body.overheated[1] = value > 0.0

    def _high_level(self, value: float) -> None:
        self.controller.high_level = value > 0.0

    def _other_sender(self, value: float) -> None:
        self.controller.other_sender = value > 0.0

    def _discharge(self, value: float) -> None:
        self.controller.charge = int(value)
