"""The UDP side of the driver: one packet out, one answer back, and which answer is the newest."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from collections import deque

from hardware.clock import Clock
from hardware.errors import DeviceNotConnectedError, ProtocolError
from hardware.go1.config import Go1Config
from hardware.go1.packets import LowState, unpack_state
from hardware.host_time import JUMP_S, HostTime

DEVICE = "Go1"
CHECK = (
    "that the robot is on and its network cable is in, that this computer has an address in its network "
    "(192.168.123.x), and that `ping` reaches it"
)
_PACKET_MAX = 2048
_TIMESTAMP_NS = 35
"""SO_TIMESTAMPNS of Linux: the kernel notes when a datagram arrived. Elsewhere the time of reading counts."""
_TIMESPEC = struct.Struct("@qq")
_UNANSWERED_S = 0.1
"""Commands without an answer for this long are taken for lost [s]."""
_NEVER_EVEN = 50
"""After this many answers in a row that left others outstanding, an earlier loss has shifted the pairing."""


class UdpLink:
    """A socket connected to one robot. Nothing here waits.

    The robot answers each command with its newest state. Capture times come from the robot's clock (`HostTime`), so
    that an answer that was held up shows its age.

    Args:
        config: addresses and form of the checksum.
        clock: the monotonic clock of capture times.

    Raises:
        DeviceNotConnectedError: this computer has no way to the address, or the local port is taken.
    """

    def __init__(self, config: Go1Config, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._host_time = HostTime()
        self._newest_s = 0.0
        self._drained_s = clock.now()
        self._outstanding: deque[float] = deque()
        self._answers_unpaired = 0
        self._control = socket.CMSG_SPACE(_TIMESPEC.size)
        self.last_round_trip_s: float | None = None
        """Time from the newest answered command to the arrival of its answer [s]."""
        self.sent, self.received, self.bad = 0, 0, 0
        """Packets."""
        self.last_error = ""
        """Why the newest bad packet was refused."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
            self._socket.bind(("", config.local_port))
            self._socket.connect((config.host, config.port))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise self._broken(error) from error

    def send(self, packet: bytes) -> None:
        """Send one command.

        Raises:
            DeviceNotConnectedError: the network refuses it.
        """
        now_s = time.time()
        try:
            self._socket.send(packet)
        except BlockingIOError:
            return  # a full buffer: like a packet lost on the way
        except OSError as error:
            raise self._broken(error) from error
        self.sent += 1
        self._outstanding.append(now_s)

    def receive(self) -> tuple[LowState, float] | None:
        """The newest good answer of those that have arrived, and its capture time [s]; None if there is none.

        Raises:
            DeviceNotConnectedError: the network reports the robot unreachable.
        """
        newest: tuple[LowState, float] | None = None
        while True:
            drained_s = self._clock.now()
            try:
                data, control, _, _ = self._socket.recvmsg(_PACKET_MAX, self._control)
            except BlockingIOError:
                self._drained_s = drained_s
                return newest
            except OSError as error:
                raise self._broken(error) from error
            # Wall clock first: if this thread loses the processor in between, the packet looks late, never early. One
            # that looked early would make all later ones look old; nor may a wall clock that is set do that.
            arrived_s, wall_s = _arrival(control), time.time()
            read_s = self._clock.now()
            waited_s = min(max(wall_s - arrived_s, 0.0), max(read_s - self._drained_s, 0.0))
            try:
                state = unpack_state(data, self._config.crc)
            except ProtocolError as error:
                self.bad += 1
                self.last_error = str(error)
                continue
            self.received += 1
            self._pair(arrived_s)
            captured_s = self._host_time.capture_time(state.tick_s, read_s - waited_s)
            if not 0.0 < self._newest_s - state.tick_s < JUMP_S:  # overtaken on the way
                self._newest_s = state.tick_s
                newest = state, captured_s

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()

    def _pair(self, arrived_s: float) -> None:
        """Answers come in the order of the commands; commands that were lost are dropped from the queue."""
        queue = self._outstanding
        while queue and arrived_s - queue[0] > _UNANSWERED_S:
            queue.popleft()
        if not queue:
            return
        self.last_round_trip_s = max(arrived_s - queue.popleft(), 0.0)
        self._answers_unpaired = self._answers_unpaired + 1 if queue else 0
        if self._answers_unpaired >= _NEVER_EVEN:
            queue.clear()
            self._answers_unpaired = 0

    def _broken(self, error: OSError) -> DeviceNotConnectedError:
        address = f"{self._config.host}:{self._config.port}"
        if error.errno == errno.EADDRINUSE:
            return DeviceNotConnectedError(DEVICE, address, f"local port {self._config.local_port}: it is in use")
        return DeviceNotConnectedError(DEVICE, address, f"{CHECK} ({error.strerror or error})")


def _arrival(control: list[tuple[int, int, bytes]]) -> float:
    """Wall-clock time at which the kernel got the datagram [s]; now, where it does not say."""
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMP_NS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds) + 1e-9 * float(nanoseconds)
    return time.time()
