"""The virtual Go2: its motor controller in real time on a DDS domain that is bound to loopback."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from hardware.errors import AddressInUseError, UnknownNameError
from hardware.udp_sockets import socket_descriptors, tie, tied_to
from sim.devices.go2.config import VirtualGo2Config
from sim.devices.go2.controller import MotorController
from sim.devices.go2.topics import cyclonedds, low_level, service
from sim.devices.go2.wire import write_state
from sim.devices.quadruped_config import CYCLE_S

_CATCH_UP_S = 0.02
"""Lateness up to which missed cycles are run at once [s]; after a longer stall of this machine they are skipped."""
_ONLY_LOOPBACK = """<CycloneDDS><Domain Id="any">
<General><Interfaces><NetworkInterface name="lo"/></Interfaces><AllowMulticast>false</AllowMulticast></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer Address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


class VirtualGo2:
    """A Go2 that exists only on the network. One thread keeps the cycle: commands in, physics, state out, service.

    Args:
        config: domain and dynamics.
    """

    def __init__(self, config: VirtualGo2Config) -> None:
        self.config = config
        self.controller = MotorController(config)
        self._lock = threading.Lock()
        self._ends: dict[str, Any] = {}
        self._sockets: set[int] = set()
        self._thread: threading.Thread | None = None
        self._running = False
        self._late: deque[tuple[float, bytes]] = deque()
        self._delay_s, self._muted, self._deaf, self._service_mute = 0.0, False, False, False
        self._spoil = {"corrupted": 0, "wrong_checksum": 0}
        self._skipped_cycles, self._states = 0, 0
        self._faults: dict[str, Callable[[float], None]] = {
            "unplugged": self._unplug,
            "frozen": self._freeze,
            "late": self._delay,
            "corrupted": lambda value: self._spoil.update(corrupted=int(value)),
            "wrong_checksum": lambda value: self._spoil.update(wrong_checksum=int(value)),
            "out_of_range": self._spoil_encoder,
            "service": self._take_over,
            "service_clings": self._cling,
            "service_mute": self._mute_service,
            "low_battery": self._discharge,
            "push": self.controller.body.push,
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        unplugged loses all messages both ways until 0; frozen sends nothing until 0, but obeys; late delays states by
        `value` seconds; corrupted spoils one byte of the next `value` states, wrong_checksum the checksum; out_of_range
        makes one calf's encoder read `value` rad until NaN; service lets Unitree's motion service take the motors until
        0; with service_clings it does not let go, with service_mute nobody answers for it; low_battery sets the state
        of charge [%]; push gives the trunk a sideways velocity [m/s].
        """
        return tuple(self._faults)

    def start(self) -> None:
        """Join the domain and let time run.

        Raises:
            MissingExtraError: cyclonedds is not installed.
            AddressInUseError: this process has the domain open already.
            DeviceError: the system does not let its sockets be kept on loopback.
        """
        dds, number = cyclonedds(), self.config.domain
        command, state = low_level()
        asked, answered, _, _ = service()
        before = socket_descriptors()
        try:
            domain = dds.domain.Domain(number, _ONLY_LOOPBACK)
        except dds.core.DDSException as error:
            raise AddressInUseError("the virtual Go2", f"DDS domain {number} of this process") from error
        participant = dds.domain.DomainParticipant(number)
        self._sockets = socket_descriptors() - before
        tie(self._sockets)
        reliable = dds.core.Qos(dds.core.Policy.Reliability.Reliable(0), dds.core.Policy.History.KeepLast(8))

        def topic(name: str, kind: Any) -> Any:
            return dds.topic.Topic(participant, name, kind)

        prefix = "rt/api/motion_switcher/"
        self._ends = {
            "domain": domain,
            "command": dds.sub.DataReader(participant, topic("rt/lowcmd", command)),
            "state": dds.pub.DataWriter(participant, topic("rt/lowstate", state)),
            "request": dds.sub.DataReader(participant, topic(prefix + "request", asked), qos=reliable),
            "response": dds.pub.DataWriter(participant, topic(prefix + "response", answered), qos=reliable),
        }
        self._running = True
        self._thread = threading.Thread(target=self._run, name="virtual-go2", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the domain. Idempotent."""
        if self._thread is None:
            return
        self._running = False
        self._thread.join()
        self._thread = None
        domain = self._ends["domain"]
        domain._delete(domain._ref)
        self._ends, self._sockets = {}, set()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen; see `faults`.

        Raises:
            UnknownNameError: there is no such fault.
        """
        if fault not in self._faults:
            raise UnknownNameError("fault of the virtual Go2", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the robot itself sees, without noise, and counters."""
        with self._lock:
            controller, body = self.controller, self.controller.body
            order = controller.last_order
            status: dict[str, Any] = {
                "time_s": controller.time_s,
                "position": body.position.tolist(),
                "velocity": body.velocity.tolist(),
                "torque": body.torque.tolist(),
                "height": body.height,
                "motor_modes": body.mode.tolist(),
                "damped": controller.damped(),
                "service": controller.service,
                "foot_force": body.foot_force().tolist(),
                "states": self._states,
                "interfaces": sorted(tied_to(self._sockets)),
                "skipped_cycles": self._skipped_cycles,
            }
            for name in ("q", "dq", "tau", "kp", "kd"):
                status[f"order_{name}"] = getattr(order, name).tolist() if order is not None else None
            return {**status, **controller.counters}

    def _run(self) -> None:
        """Keep an absolute schedule."""
        next_s = time.monotonic() + CYCLE_S
        while self._running:
            time.sleep(max(next_s - time.monotonic(), 0.0))
            late_s = time.monotonic() - next_s
            with self._lock:
                if late_s > _CATCH_UP_S:
                    missed = int(late_s / CYCLE_S)
                    next_s += missed * CYCLE_S
                    self.controller.cycles += missed
                    self._skipped_cycles += missed
                self._hear()
                self.controller.cycle()
                self._tell()
            next_s += CYCLE_S

    def _hear(self) -> None:
        """Commands and questions that have arrived."""
        for sample in self._ends["command"].take(8):
            data = getattr(sample, "data", b"")  # without any when a writer has gone
            if data and not self._deaf:
                self.controller.command(data)
        for request in self._ends["request"].take(8):
            if not hasattr(request, "header") or self._deaf or self._muted or self._service_mute:
                continue
            _, response, header, status = service()
            identity = request.header.identity
            code, data = self.controller.answer(identity.api_id, request.parameter)
            self._ends["response"].write(response(header(identity, status(code)), data, []))

    def _tell(self) -> None:
        """The state of this cycle, or what was held back so far."""
        now_s = time.monotonic()
        self._late.append((now_s + self._delay_s, self._spoiled(write_state(self.controller.readings()))))
        while self._late and self._late[0][0] <= now_s:
            _, data = self._late.popleft()
            if not self._muted:
                sample = low_level()[1]()
                sample.data = data
                self._ends["state"].write(sample)
                self._states += 1

    def _spoiled(self, state: bytes) -> bytes:
        for fault, place in (("corrupted", 300), ("wrong_checksum", len(state) - 2)):
            if self._spoil[fault] > 0:
                self._spoil[fault] -= 1
                state = state[:place] + bytes([state[place] ^ 0x55]) + state[place + 1 :]
        return state

    # --- faults

    def _unplug(self, value: float) -> None:
        self._deaf = self._muted = value > 0.0

    def _freeze(self, value: float) -> None:
        self._muted = value > 0.0

    def _delay(self, value: float) -> None:
        self._delay_s = max(value, 0.0)

    def _spoil_encoder(self, value: float) -> None:
        self.controller.encoder = None if math.isnan(value) else value

    def _take_over(self, value: float) -> None:
        self.controller.service = "normal" if value > 0.0 else ""

    def _cling(self, value: float) -> None:
        self.controller.clings = value > 0.0

    def _mute_service(self, value: float) -> None:
        self._service_mute = value > 0.0

    def _discharge(self, value: float) -> None:
        self.controller.charge = int(value)
