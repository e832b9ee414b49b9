"""The DDS side of the driver: topics on one network interface, and nothing that waits."""

from __future__ import annotations

import json
from typing import Any

from hardware.clock import Clock
from hardware.errors import DeviceError, DeviceNotConnectedError, ProtocolError
from hardware.go2.config import Go2Config
from hardware.go2.dds import domain_settings, require_cyclonedds, types
from hardware.go2.packets import LowState, unpack_state
from hardware.host_time import JUMP_S, HostTime
from hardware.udp_sockets import socket_descriptors, tie

DEVICE, LOOPBACK = "Go2", "lo"
CHECK = (
    "that the robot is on and its network cable is in, that `interface` names this computer's side of it with an "
    "address in the robot's network (192.168.123.x), that no firewall stops UDP, and the DDS domain"
)
CHECK_MODE, RELEASE_MODE = 1001, 1003
"""Requests to the service motion_switcher."""


class DdsLink:
    """A participant of the robot's DDS domain. Nothing here waits.

    Args:
        config: interface and domain.
        clock: the monotonic clock of capture times.

    Raises:
        MissingExtraError: cyclonedds is not installed.
        DeviceNotConnectedError: there is no such interface, or this process has the domain open already.
    """

    def __init__(self, config: Go2Config, clock: Clock) -> None:
        made = types()
        self._clock, self._types, self._address = clock, made, f"{config.interface}, DDS domain {config.domain}"
        self._error = require_cyclonedds().core.DDSException
        self._host_time, self._newest_s, self._request_id = HostTime(), 0.0, 0
        self.bad = 0
        """States refused for their size, head or checksum."""
        self.last_error = ""
        """Why the newest was refused."""
        from cyclonedds.core import Policy, Qos
        from cyclonedds.domain import Domain, DomainParticipant
        from cyclonedds.pub import DataWriter
        from cyclonedds.sub import DataReader
        from cyclonedds.topic import Topic

        before = socket_descriptors() if config.interface == LOOPBACK else set()
        try:
            self._domain: Any = Domain(config.domain, domain_settings(config.interface))
        except self._error as error:
            raise self._broken(
                f"; no such interface, or the domain is open in this process already ({error})"
            ) from error
        try:
            self._participant: Any = DomainParticipant(config.domain)
            if config.interface == LOOPBACK:  # Cyclone binds what it receives with to all addresses
                tie(socket_descriptors() - before, LOOPBACK)
            never_wait = Qos(Policy.Reliability.Reliable(0), Policy.History.KeepLast(1))
            answers = Qos(Policy.Reliability.Reliable(0), Policy.History.KeepLast(8))

            def topic(name: str, kind: Any) -> Any:
                return Topic(self._participant, name, kind)

            self._command: Any = DataWriter(self._participant, topic("rt/lowcmd", made.low_cmd), qos=never_wait)
            self._state: Any = DataReader(self._participant, topic("rt/lowstate", made.low_state))
            service = "rt/api/motion_switcher/"
            self._ask: Any = DataWriter(self._participant, topic(service + "request", made.request), qos=answers)
            self._answer: Any = DataReader(self._participant, topic(service + "response", made.response), qos=answers)
        except (self._error, DeviceError) as error:
            self.close()
            raise self._broken(f" ({error})") from error

    @property
    def heard(self) -> bool:
        """Whether someone listens to commands."""
        return bool(self._command.get_matched_subscriptions())

    def send(self, packet: bytes) -> None:
        """Send one command; what cannot go out at once is lost, as on the network.

        Raises:
            DeviceNotConnectedError: the participant was closed.
        """
        sample = self._types.low_cmd()
        sample.payload = packet
        self._write(self._command, sample)

    def receive(self) -> tuple[LowState, float] | None:
        """The newest good state of those that have arrived, and its capture time [s]; None if there is none.

        Raises:
            DeviceNotConnectedError: the participant was closed.
        """
        newest: tuple[LowState, float] | None = None
        for sample in self._take(self._state):
            payload = getattr(sample, "payload", b"")
            if not payload:
                continue  # the news that a writer has gone
            try:
                state = unpack_state(payload)
            except ProtocolError as error:
                self.bad += 1
                self.last_error = str(error)
                continue
            captured_s = self._host_time.capture_time(state.tick_s, self._clock.now())
            if not 0.0 < self._newest_s - state.tick_s < JUMP_S:  # overtaken on the way
                self._newest_s = state.tick_s
                newest = state, captured_s
        return newest

    def request(self, api: int) -> None:
        """Ask the motion switcher; `mode_name` gets its answer later.

        Raises:
            DeviceNotConnectedError: the participant was closed.
        """
        kinds = self._types.request.__annotations__["header"]
        inner = kinds.__annotations__
        self._request_id = max(self._request_id + 1, int(1e9 * self._clock.now()))
        header = kinds(inner["identity"](self._request_id, api), inner["lease"](0), inner["policy"](0, False))
        self._write(self._ask, self._types.request(header, "{}", []))

    def mode_name(self) -> str | None:
        """Which motion service owns the motors, "" for none, by an answer to our newest request; None without one.

        Raises:
            ProtocolError: the answer is an error, or cannot be read.
            DeviceNotConnectedError: the participant was closed.
        """
        name: str | None = None
        for sample in self._take(self._answer):
            header = getattr(sample, "header", None)
            if header is None or header.identity.id != self._request_id or header.identity.api_id != CHECK_MODE:
                continue
            try:
                if header.status.code != 0:
                    raise ValueError(f"error code {header.status.code}")
                name = str(json.loads(sample.data)["name"])
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"the Go2's motion switcher answered {sample.data!r}: {error}") from error
        return name

    def close(self) -> None:
        """Leave the domain. Idempotent."""
        domain, self._domain = self._domain, None
        if domain is not None:
            domain._delete(domain._ref)  # everything in it goes along; there is no public way to do it at a given time

    def _write(self, writer: Any, sample: Any) -> None:
        if self._domain is None:
            raise self._broken("; it was closed")
        try:
            writer.write(sample)
        except self._error as error:
            if error.code != self._error.DDS_RETCODE_TIMEOUT:
                raise self._broken(f" ({error})") from error

    def _take(self, reader: Any) -> list[Any]:
        if self._domain is None:
            raise self._broken("; it was closed")
        try:
            return list(reader.take(8))
        except self._error as error:
            raise self._broken(f" ({error})") from error

    def _broken(self, why: str) -> DeviceError:
        return DeviceNotConnectedError(DEVICE, self._address, CHECK + why)
