"""The virtual UR5e: the controller in real time, and the sockets that clients of the real one connect to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from hardware.errors import AddressInUseError, UnknownNameError
from sim.devices.ur5e.config import CYCLE_S, VirtualUR5eConfig
from sim.devices.ur5e.controller import Controller
from sim.devices.ur5e.dashboard_server import DashboardServer
from sim.devices.ur5e.network import Server, readable
from sim.devices.ur5e.rtde_server import RtdeServer
from sim.devices.ur5e.script_server import ScriptServer

_CATCH_UP_S = 0.02
"""Lateness up to which missed cycles are run at once [s]. After a longer stall of this machine they are skipped: the
controller's clock stays true, as a real one's does, and the program does not take the stall for a silent client."""

_ELBOW = 2
"""Joint of the fault encoder_error."""


class VirtualUR5e:
    """A UR5e that exists only on the network.

    One thread does everything: it sleeps until the next cycle of an absolute schedule, reads the sockets, runs one
    controller cycle and sends. `poll` does the same without real time, for tests.

    Args:
        config: address and dynamics.
    """

    def __init__(self, config: VirtualUR5eConfig) -> None:
        self.config = config
        self.controller = Controller(config)
        self.rtde = RtdeServer(self.controller)
        self.dashboard = DashboardServer(self.controller)
        ports = {"primary": config.primary_port, "secondary": config.secondary_port, "real-time": config.realtime_port}
        scripts = [ScriptServer(name, port, self.controller) for name, port in ports.items()]
        self._servers: list[Server] = [self.rtde, self.dashboard, *scripts]
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running = False
        self._refuse_until_s: float | None = None
        self._late_cycles, self._skipped_cycles, self._lateness_max_s, self._busy_s = 0, 0, 0.0, 0.0
        self._faults: dict[str, Callable[[float], None]] = {
            "protective_stop": self._protective_stop,
            "emergency_stop": lambda value: self.controller.emergency_stop(value > 0.0),
            "lost_connection": self._lose_connection,
            "refused_recipe": self._refuse_recipes,
            "dead_script": self._kill_script,
            "speed_scaling": self._scale_speed,
            "frozen": self._freeze,
            "late": self._delay,
            "corrupted": self._corrupt,
            "wrong_size": self._wrong_size,
            "encoder_error": self._encoder_error,
        }

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults.

        protective_stop 1 stops and 0 unlocks at once; emergency_stop 1 presses and 0 releases the button;
        lost_connection drops every client and refuses new ones for `value` seconds; refused_recipe answers IN_USE to
        input recipes until 0; dead_script ends the program; speed_scaling sets the slider to `value`; frozen sends
        nothing until 0; late delays all that is sent by `value` seconds; corrupted spoils the next `value` data
        packages; wrong_size gives the next `value` data packages a size that is one too large; encoder_error adds
        `value` [rad] to what the elbow reads.
        """
        return tuple(self._faults)

    def start(self) -> None:
        """Listen on all ports and let time run.

        Raises:
            AddressInUseError: a port is taken; none is left open.
        """
        if self._thread is not None:
            return
        self.listen()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="virtual-ur5e", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every port. Idempotent."""
        self._running = False
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._refuse_until_s = None
        for server in self._servers:
            server.close()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen; see `faults`.

        Raises:
            UnknownNameError: there is no such fault.
        """
        if fault not in self._faults:
            raise UnknownNameError("fault of the virtual UR5e", fault, self._faults)
        with self._lock:
            self._faults[fault](value)

    def status(self) -> Mapping[str, object]:
        """What the controller sees, without noise, and counters of the loop."""
        with self._lock:
            controller, arm = self.controller, self.controller.arm
            cycles = max(1, controller.cycles)
            status: dict[str, Any] = {
                "time_s": controller.time_s,
                "robot_mode": controller.robot_mode.name,
                "safety_mode": controller.safety_mode.name,
                "runtime_state": controller.runtime_state.name,
                "stop_reason": controller.stop_reason,
                "program": controller.program.name if controller.program is not None else None,
                "position": arm.true_position.tolist(),
                "velocity": arm.true_velocity.tolist(),
                "target": controller.motion.position.tolist(),
                "tool_pose": arm.tool_pose(arm.true_position),
                "speed_scaling": controller.speed_scaling,
                "clients": {server.name: len(server.clients) for server in self._servers},
                "packages_sent": self.rtde.packages_sent,
                "bad_packages": self.rtde.bad_packages,
                "cycles": controller.cycles,
                "late_cycles": self._late_cycles,
                "skipped_cycles": self._skipped_cycles,
                "lateness_max_s": self._lateness_max_s,
                "busy_fraction": self._busy_s / (cycles * CYCLE_S),
                "log": list(controller.messages)[-20:],
            }
            return {**status, **controller.counters}

    def listen(self) -> None:
        """Open every port, without letting time run.

        Raises:
            AddressInUseError: a port is taken; none is left open.
        """
        try:
            for server in self._servers:
                server.listen()
        except (AddressInUseError, OSError):
            for server in self._servers:
                server.close()
            raise

    def poll(self) -> None:
        """One cycle: serve the sockets, run the controller, send."""
        with self._lock:
            now_s = self.controller.time_s
            if self._refuse_until_s is not None and now_s >= self._refuse_until_s:
                self._reopen(now_s)
            ready = readable(self._servers)
            for server in self._servers:
                if ready:
                    server.poll(ready)
            self.controller.cycle()
            self.rtde.publish()
            for server in self._servers:
                server.flush(self.controller.time_s)

    def _run(self) -> None:
        deadline_s = time.monotonic()
        while self._running:
            deadline_s += CYCLE_S
            begin_s = time.monotonic()
            if begin_s < deadline_s:
                time.sleep(deadline_s - begin_s)
            begin_s = time.monotonic()
            late_s = begin_s - deadline_s
            self._lateness_max_s = max(self._lateness_max_s, late_s)
            self._late_cycles += late_s > CYCLE_S
            if late_s > _CATCH_UP_S:
                missed = int(late_s / CYCLE_S)
                deadline_s += missed * CYCLE_S
                self._skip(missed)
            self.poll()
            self._busy_s += time.monotonic() - begin_s

    def _reopen(self, now_s: float) -> None:
        """Listen again after a lost connection; later, if someone else has taken a port."""
        try:
            self.listen()
        except AddressInUseError as error:
            self.controller.log(str(error))
            self._refuse_until_s = now_s + 1.0
        else:
            self._refuse_until_s = None

    def _skip(self, cycles: int) -> None:
        """Let the controller's clock run on without it."""
        with self._lock:
            self.controller.cycles += cycles
            self._skipped_cycles += cycles

    # --- faults

    def _protective_stop(self, value: float) -> None:
        if value > 0.0:
            self.controller.protective_stop("injected")
        else:
            self.controller.clear_protective_stop()

    def _lose_connection(self, value: float) -> None:
        for server in self._servers:
            server.close()
        self._refuse_until_s = self.controller.time_s + value

    def _refuse_recipes(self, value: float) -> None:
        self.rtde.refuse_inputs = value > 0.0

    def _kill_script(self, value: float) -> None:
        if value > 0.0:
            self.controller.stop_program()

    def _scale_speed(self, value: float) -> None:
        self.controller.speed_slider = min(max(value, 0.0), 1.0)

    def _freeze(self, value: float) -> None:
        for server in self._servers:
            server.muted = value > 0.0

    def _delay(self, value: float) -> None:
        for server in self._servers:
            server.delay_s = max(value, 0.0)

    def _corrupt(self, value: float) -> None:
        self.rtde.corrupt_packages = int(value)

    def _wrong_size(self, value: float) -> None:
        self.rtde.missized_packages = int(value)

    def _encoder_error(self, value: float) -> None:
        self.controller.arm.encoder_error[_ELBOW] = value
