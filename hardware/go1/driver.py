"""The driver of the Go1: joint PD targets to its motors over UDP, at low level."""

from __future__ import annotations

import threading

import numpy as np

from hardware.arrays import FloatArray
from hardware.clock import Clock, SystemClock
from hardware.errors import (
    DeviceError,
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    ProtocolError,
    StaleDataError,
)
from hardware.go1.commands import COMMANDS
from hardware.go1.config import Go1Config
from hardware.go1.health import owner_fault, power, reading_fault, recovery_of
from hardware.go1.link import CHECK, DEVICE, UdpLink
from hardware.go1.packets import DAMPING, POSITION_OFF, SERVO, CommandPacket, LowState
from hardware.go1.spec import GO1
from hardware.records import JointCommand, RobotMode, RobotState
from hardware.spec import RobotSpec

__all__ = ["Go1Config", "Go1Robot"]

_STOP_PACKETS = 5
_IDLE_PERIOD_S = 0.01
_PERSIST_S = 0.05
"""How long motors out of servo mode, or too much power, are put up with before they are a fault [s]."""


class Go1Robot:
    """A connection to one Go1; see `hardware.robot.Robot`.

    The robot speaks only when spoken to. While nothing is commanded a thread asks for its state a hundred times a
    second: with damping by mode before the first command, with zero stiffness after `stop`. Between commands it is
    silent, so that the motors damp by themselves when the caller's loop dies.

    Args:
        config: address and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: Go1Config, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.RLock()
        self._idle, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._link: UdpLink | None = None
        self._packet = CommandPacket(config.crc)
        self._newest: tuple[LowState, float] | None = None
        self._following = self._servo_commanded = False
        self._stopped = self._fault = ""
        self._start_s = self._sent_s = 0.0
        self._floor, self._ceiling = GO1.position_min, GO1.position_max
        self._servo_seen_s = self._power_low_s = 0.0

    @property
    def spec(self) -> RobotSpec:
        """The Go1."""
        return GO1

    @property
    def last_round_trip_s(self) -> float | None:
        """Time from a command to the arrival of its answer at this computer [s]; None before the first."""
        return self._link.last_round_trip_s if self._link is not None else None

    @property
    def bad_packets(self) -> int:
        """Packets refused for their length, head or checksum since `connect`."""
        return self._link.bad if self._link is not None else 0

    @property
    def low_state(self) -> LowState:
        """All of the newest packet: foot sensors, accelerometer, motor temperatures, battery.

        Raises:
            DeviceNotConnectedError: there is no connection.
        """
        newest = self._newest
        if self._link is None or newest is None:
            raise self._closed()
        return newest[0]

    def connect(self) -> None:
        """Reach the robot, and see that it is sound and that nobody else commands its motors. They stay in damping.

        Raises:
            DeviceNotConnectedError: nothing answers at the address.
            ProtocolError: what answers is no Go1, or uses the other form of the checksum.
            DeviceFaultError: its high-level mode owns the motors, a reading cannot be true, or the battery is low.
        """
        self.disconnect()
        link = UdpLink(self.config, self._clock)
        self._packet = CommandPacket(self.config.crc)
        try:
            self._newest = self._handshake(link)
        except BaseException:
            link.close()
            raise
        self._following = self._servo_commanded = False
        self._stopped = self._fault = ""
        self._link = link
        self._closing.clear()
        self._idle.set()
        self._thread = threading.Thread(target=self._keep_asking, name="go1-idle", daemon=True)
        self._thread.start()

    def read(self) -> RobotState:
        """The newest measurement; never waits.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
        """
        with self._lock:
            link = self._opened()
            state, captured_s = self._receive(link)
        age_s = self._clock.now() - captured_s
        if age_s > GO1.state_age_max_s:
            raise StaleDataError(self._source(link), age_s, GO1.state_age_max_s)
        mode, detail = self._mode()
        return RobotState(
            capture_time_s=captured_s,
            joint_position=state.position,
            joint_velocity=state.velocity,
            joint_effort=state.effort,
            base_quaternion=state.quaternion,
            base_angular_velocity=state.angular_velocity,
            mode=mode,
            detail=detail,
        )

    def send(self, command: JointCommand) -> None:
        """Hand one command to the motors. Never waits.

        Each motor applies stiffness (q* - q) + damping (qd* - qd) + effort. Without a position there is no stiffness;
        gains that the command does not carry are those of the specification. After the first command stiffness and
        torques grow from nothing over `gain_ramp_s`.

        Raises:
            ConfigError: the command is empty, or of wrong shape.
            NonFiniteError: it contains what is not a finite number.
            LimitViolationError: a value is out of its range, or the first position far from the measured.
            DeviceFaultError: the robot was stopped, has a fault, or was left without commands; the message says why.
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        fields = COMMANDS.checked(command)
        with self._lock:
            link = self._opened()
            now_s = self._clock.now()
            self._require_control(now_s)
            if not self._following:
                self._begin(fields.position, now_s)
            COMMANDS.check_ranges(fields, self._floor, self._ceiling)
            ramp_s = self.config.gain_ramp_s
            share = min((now_s - self._start_s) / ramp_s, 1.0) if ramp_s > 0.0 else 1.0
            packet = self._packet.fill(
                SERVO,
                fields.position if fields.position is not None else POSITION_OFF,
                fields.velocity,
                share * fields.effort,
                share * fields.stiffness,
                fields.damping,
            )
            link.send(packet)
            if now_s - self._sent_s > _PERSIST_S:  # after a pause the motors may have damped, and get their time again
                self._servo_seen_s = now_s
            self._sent_s, self._following, self._servo_commanded = now_s, True, True
            self._idle.clear()

    def stop(self) -> None:
        """Damp all motors: zero stiffness, damping only. Sent several times at once, then until `recover`."""
        self._halt("a stop by stop()")

    def recover(self) -> None:
        """Allow commands again after a stop; as `connect`, it looks at the robot first and leaves it in damping.

        Raises:
            DeviceNotConnectedError: nothing answers at the address.
            ProtocolError: what answers is no Go1.
            DeviceFaultError: the robot has a fault that a person must see to first.
        """
        self.connect()

    def disconnect(self) -> None:
        """Damp the motors and close. Idempotent, never raises."""
        if self._link is None:
            return
        if self._servo_commanded:
            self.stop()
        self._closing.set()
        self._idle.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        with self._lock:
            link, self._link, self._thread = self._link, None, None
            if link is not None:
                link.close()

    def _handshake(self, link: UdpLink) -> tuple[LowState, float]:
        """Ask until answers come, then watch them for a while."""
        begin_s = self._clock.now()
        deadline_s, first_s = begin_s + self.config.connect_timeout_s, None
        newest: tuple[LowState, float] | None = None
        refusal: DeviceNotConnectedError | None = None
        probe = self._packet.fill(DAMPING)
        while first_s is None or self._clock.now() < first_s + self.config.check_s:
            try:
                link.send(probe)
                answer = link.receive()
            except DeviceNotConnectedError as error:
                answer, refusal = None, error  # a robot that is still starting refuses at first
            if answer is not None:
                newest = answer
                first_s = self._clock.now() if first_s is None else first_s
            if first_s is None and self._clock.now() > deadline_s:
                if link.bad:
                    raise ProtocolError(link.last_error)
                raise refusal or DeviceNotConnectedError(DEVICE, self._address(), CHECK)
            self._clock.sleep_until(self._clock.now() + 1.0 / GO1.control_rate_hz)
        if newest is None:
            raise DeviceNotConnectedError(DEVICE, self._address(), CHECK)
        state = newest[0]
        fault = owner_fault(state, servo_commanded=False) or reading_fault(state)
        if not fault and state.charge < self.config.charge_min:
            fault = f"a battery at {state.charge} %"
        if fault:
            raise DeviceFaultError(DEVICE, fault, recovery_of(fault))
        return newest

    def _keep_asking(self) -> None:
        """The idle thread: state requests that carry damping, while no commands are sent."""
        while not self._closing.is_set():
            self._idle.wait()
            with self._lock:
                link = self._link
                if link is None or self._closing.is_set():
                    return
                if self._idle.is_set():
                    try:
                        link.send(self._damping_packet())
                        self._receive(link)
                    except DeviceError:
                        pass  # the caller of read() is told; this thread goes on asking
            self._closing.wait(_IDLE_PERIOD_S)

    def _damping_packet(self) -> bytes:
        """Damping by mode before the first command; afterwards servo mode with zero stiffness."""
        if not self._servo_commanded:
            return self._packet.fill(DAMPING)
        return self._packet.fill(SERVO, damping=self.config.damping)

    def _receive(self, link: UdpLink) -> tuple[LowState, float]:
        """Take in what has arrived; the newest state."""
        answer = link.receive()
        if answer is not None:
            self._newest = answer
            self._examine(*answer)
        if self._newest is None:
            raise self._closed()
        return self._newest

    def _examine(self, state: LowState, captured_s: float) -> None:
        """Latch what is wrong with `state`."""
        if self._fault:
            return
        fault = owner_fault(state, servo_commanded=self._servo_commanded) or reading_fault(state)
        if self._following and bool((state.mode == SERVO).all()):
            self._servo_seen_s = captured_s
        if power(state) <= self.config.power_max_w:
            self._power_low_s = captured_s
        if not fault and captured_s - self._power_low_s > _PERSIST_S:
            fault = f"{power(state):.0f} W of mechanical power"
        if not fault and self._following and captured_s - self._servo_seen_s > _PERSIST_S:
            fault = "motors in damping although servo mode is commanded"
        self._fault = fault

    def _mode(self) -> tuple[RobotMode, str]:
        if self._fault:
            return RobotMode.FAULT, self._fault
        if self._stopped:
            return RobotMode.IDLE, f"stopped: {self._stopped}"
        return RobotMode.RUNNING, ""

    def _require_control(self, now_s: float) -> None:
        """Refuse commands to a robot that is stopped, faulty, or was left alone.

        Raises:
            DeviceFaultError: says which.
        """
        if self._following and now_s - self._sent_s > self.config.silence_max_s:
            self._halt(f"no command for {now_s - self._sent_s:.3f} s, so its motors went into damping")
        fault = self._fault or self._stopped
        if fault:
            raise DeviceFaultError(DEVICE, fault, recovery_of(fault))

    def _begin(self, position: FloatArray | None, now_s: float) -> None:
        """The first command: near the measured pose, which may lie outside the commanded range."""
        measured = self._newest[0].position if self._newest is not None else GO1.default_position
        if position is not None:
            step = np.abs(position - measured)
            joint, limit = int(np.argmax(step)), self.config.first_step_max_rad
            if step[joint] > limit:
                raise LimitViolationError(
                    f"first command of joint '{GO1.joint_names[joint]}' (start at the measured position) [rad]",
                    float(position[joint]),
                    float(measured[joint]) - limit,
                    float(measured[joint]) + limit,
                )
        # A folded robot rests on its stops, outside the range; from there the way in is open, none further out.
        self._floor = np.minimum(GO1.position_min, measured - 0.02)
        self._ceiling = np.maximum(GO1.position_max, measured + 0.02)
        self._start_s = self._servo_seen_s = self._power_low_s = now_s

    def _halt(self, why: str) -> None:
        """Damp, and refuse commands from now on."""
        with self._lock:
            link = self._link
            if link is None:
                return
            self._stopped = self._stopped or why
            self._following = False
            packet = self._damping_packet()
            for _ in range(_STOP_PACKETS):
                try:
                    link.send(packet)
                except DeviceError:
                    continue  # an earlier packet's refusal is reported by the next send; the others still go out
            self._idle.set()

    def _opened(self) -> UdpLink:
        if self._link is None:
            raise self._closed()
        return self._link

    def _closed(self) -> DeviceNotConnectedError:
        return DeviceNotConnectedError(DEVICE, self._address(), "that connect() was called, and not disconnect() since")

    def _source(self, link: UdpLink) -> str:
        return f"Go1 state ({link.bad} bad packets; {link.last_error})" if link.bad else "Go1 state"

    def _address(self) -> str:
        return f"{self.config.host}:{self.config.port}"
