"""The driver of the Go2: joint PD targets to its motors over DDS, at low level."""

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
from hardware.go2.commands import COMMANDS
from hardware.go2.config import Go2Config
from hardware.go2.health import OWNED, reading_fault, recovery_of
from hardware.go2.link import CHECK, CHECK_MODE, DEVICE, RELEASE_MODE, DdsLink
from hardware.go2.packets import POSITION_OFF, CommandPacket, LowState
from hardware.go2.spec import GO2
from hardware.records import JointCommand, RobotMode, RobotState
from hardware.spec import RobotSpec

__all__ = ["Go2Config", "Go2Robot"]

_STOP_PACKETS = 5
_WATCH_PERIOD_S = 0.01
_POLL_S, _ASK_AGAIN_S = 0.01, 0.3


class Go2Robot:
    """A connection to one Go2; see `hardware.robot.Robot`.

    The robot publishes its state by itself. A thread asks every `recheck_s` whether Unitree's motion service is still
    released, and repeats the damping command after `stop`. Between commands the driver is silent, so that the motors
    damp by themselves when the caller's loop dies.

    Args:
        config: network and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: Go2Config, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._link: DdsLink | None = None
        self._packet = CommandPacket()
        self._damping = CommandPacket().fill(POSITION_OFF, 0.0, 0.0, 0.0, config.damping)
        self._newest: tuple[LowState, float] | None = None
        self._following = self._servo_commanded = self._owned = False
        self._stopped = self._fault = ""
        self._start_s = self._sent_s = 0.0
        self._floor, self._ceiling = GO2.position_min, GO2.position_max

    @property
    def spec(self) -> RobotSpec:
        """The Go2."""
        return GO2

    @property
    def bad_packets(self) -> int:
        """States refused for their size, head or checksum since `connect`."""
        return self._link.bad if self._link is not None else 0

    @property
    def low_state(self) -> LowState:
        """All of the newest state: foot sensors, accelerometer, motor temperatures, battery.

        Raises:
            DeviceNotConnectedError: there is no connection.
        """
        newest = self._newest
        if self._link is None or newest is None:
            raise self._closed()
        return newest[0]

    def connect(self) -> None:
        """Reach the robot, have its motion service release the motors, and see that it is sound. Moves nothing itself.

        A robot that stands sinks to the ground when its motion service lets go: let it lie down first.

        Raises:
            MissingExtraError: cyclonedds is not installed.
            DeviceNotConnectedError: no states arrive, or nobody listens to commands.
            ProtocolError: states cannot be read, or the motion switcher does not answer.
            DeviceFaultError: the motion service does not let go, or the robot has a fault.
        """
        self.disconnect()
        link = DdsLink(self.config, self._clock)
        try:
            self._newest = self._handshake(link)
        except BaseException:
            link.close()
            raise
        self._following = self._servo_commanded = self._owned = False
        self._stopped = self._fault = ""
        self._link = link
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(link, self._closing), name="go2-watch", daemon=True)
        self._thread.start()

    def read(self) -> RobotState:
        """The newest measurement; never waits.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
        """
        with self._lock:
            link = self._opened()
            newest = link.receive() or self._newest
            if newest is None:
                raise self._closed()
            self._newest = newest
            state, captured_s = newest
            self._fault = self._fault or reading_fault(state)
        age_s = self._clock.now() - captured_s
        if age_s > GO2.state_age_max_s:
            source = f"Go2 state ({link.bad} bad; {link.last_error})" if link.bad else "Go2 state"
            raise StaleDataError(source, age_s, GO2.state_age_max_s)
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
            if self._following and now_s - self._sent_s > self.config.silence_max_s:
                self._halt(f"no command for {now_s - self._sent_s:.3f} s, so its motors went into damping")
            fault = self._fault or self._stopped
            if fault:
                raise DeviceFaultError(DEVICE, fault, recovery_of(fault))
            if not self._following:
                self._begin(fields.position, now_s)
            COMMANDS.check_ranges(fields, self._floor, self._ceiling)
            ramp_s = self.config.gain_ramp_s
            share = min((now_s - self._start_s) / ramp_s, 1.0) if ramp_s > 0.0 else 1.0
            packet = self._packet.fill(
                fields.position if fields.position is not None else POSITION_OFF,
                fields.velocity,
                share * fields.effort,
                share * fields.stiffness,
                fields.damping,
            )
            link.send(packet)
            self._sent_s, self._following, self._servo_commanded = now_s, True, True

    def stop(self) -> None:
        """Damp all motors: zero stiffness, damping only. Sent several times at once, then until `recover`."""
        self._halt("a stop by stop()")

    def recover(self) -> None:
        """Allow commands again after a stop; as `connect`, it looks at the robot first.

        Raises:
            DeviceNotConnectedError: no states arrive, or nobody listens to commands.
            ProtocolError: states cannot be read, or the motion switcher does not answer.
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
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        with self._lock:
            link, self._link, self._thread = self._link, None, None
            if link is not None:
                link.close()

    # --- at connect

    def _handshake(self, link: DdsLink) -> tuple[LowState, float]:
        """First state, release of the motors, a state after that, and someone who listens."""
        self._await_state(link)
        if self.config.motion_service:
            self._release(link)
        newest = self._await_state(link)
        deadline_s = self._clock.now() + self.config.connect_timeout_s
        while not link.heard:
            if self._clock.now() > deadline_s:
                raise DeviceNotConnectedError(DEVICE, self._address(), f"why nobody listens to rt/lowcmd; {CHECK}")
            self._pause(_POLL_S)
            newest = link.receive() or newest
        fault = reading_fault(newest[0])
        if not fault and newest[0].charge < self.config.charge_min:
            fault = f"a battery at {newest[0].charge} %"
        if fault:
            raise DeviceFaultError(DEVICE, fault, recovery_of(fault))
        return newest

    def _await_state(self, link: DdsLink) -> tuple[LowState, float]:
        """The next good state."""
        deadline_s = self._clock.now() + self.config.connect_timeout_s
        while (newest := link.receive()) is None:
            if self._clock.now() > deadline_s:
                if link.bad:
                    raise ProtocolError(link.last_error)
                raise DeviceNotConnectedError(DEVICE, self._address(), CHECK)
            self._pause(_POLL_S / 5)
        return newest

    def _release(self, link: DdsLink) -> None:
        """Ask who owns the motors, and ask for their release, until nobody does."""
        deadline_s = self._clock.now() + self.config.connect_timeout_s
        asked_s, owner = -np.inf, None
        while owner != "":
            now_s = self._clock.now()
            if now_s > deadline_s:
                if owner is None:
                    raise ProtocolError(
                        "the Go2's motion switcher does not answer, so who owns the motors is unknown; "
                        "set motion_service=False only for a simulator that has none"
                    )
                fault = OWNED.format(owner)
                raise DeviceFaultError(DEVICE, fault, recovery_of(fault))
            if now_s - asked_s > _ASK_AGAIN_S:
                if owner:
                    link.request(RELEASE_MODE)
                link.request(CHECK_MODE)
                asked_s = now_s
            self._pause(_POLL_S)
            name = link.mode_name()
            owner = owner if name is None else name

    def _pause(self, duration_s: float) -> None:
        self._clock.sleep_until(self._clock.now() + duration_s)

    # --- while connected

    def _watch(self, link: DdsLink, closing: threading.Event) -> None:
        """The thread: who owns the motors, and damping while stopped."""
        asked_s = self._clock.now()
        while not closing.wait(_WATCH_PERIOD_S):
            with self._lock:
                try:
                    if self._stopped and not self._owned and self._servo_commanded:
                        link.send(self._damping)
                    if self.config.motion_service:
                        asked_s = self._recheck(link, asked_s)
                except ProtocolError as error:
                    self._fault = self._fault or f"that its motors' owner is unknown ({error})"
                except DeviceError:
                    return  # closed; read and send say so

    def _recheck(self, link: DdsLink, asked_s: float) -> float:
        owner = link.mode_name()
        if owner is not None:
            self._owned = bool(owner)
            if owner:
                self._fault = self._fault or OWNED.format(owner)
        now_s = self._clock.now()
        if now_s - asked_s < self.config.recheck_s:
            return asked_s
        link.request(CHECK_MODE)
        return now_s

    def _mode(self) -> tuple[RobotMode, str]:
        if self._fault:
            return RobotMode.FAULT, self._fault
        return (RobotMode.IDLE, self._stopped) if self._stopped else (RobotMode.RUNNING, "")

    def _begin(self, position: FloatArray | None, now_s: float) -> None:
        """The first command: near the measured pose, which may lie a little outside the commanded range."""
        measured = self._newest[0].position if self._newest is not None else GO2.default_position
        if position is not None:
            step = np.abs(position - measured)
            joint, limit = int(np.argmax(step)), self.config.first_step_max_rad
            if step[joint] > limit:
                raise LimitViolationError(
                    f"first command of joint '{GO2.joint_names[joint]}' (start at the measured position) [rad]",
                    float(position[joint]),
                    float(measured[joint]) - limit,
                    float(measured[joint]) + limit,
                )
        # A folded robot rests on its stops; from there the way in is open, none further out.
        self._floor = np.minimum(GO2.position_min, measured - 0.02)
        self._ceiling = np.maximum(GO2.position_max, measured + 0.02)
        self._start_s = now_s

    def _halt(self, why: str) -> None:
        """Damp, and refuse commands from now on; where the motion service owns the motors, leave them to it."""
        with self._lock:
            link = self._link
            if link is None:
                return
            self._stopped = self._stopped or why
            self._following = False
            for _ in range(0 if self._owned else _STOP_PACKETS):
                try:
                    link.send(self._damping)
                except DeviceError:
                    return

    def _opened(self) -> DdsLink:
        if self._link is None:
            raise self._closed()
        return self._link

    def _closed(self) -> DeviceNotConnectedError:
        return DeviceNotConnectedError(DEVICE, self._address(), "that connect() was called, and not disconnect() since")

    def _address(self) -> str:
        return f"{self.config.interface}, DDS domain {self.config.domain}"
