"""Host side of the servo program: targets out, robot states in, and the proof that both ends are in step."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import cast

import numpy as np

from hardware.arrays import FloatArray
from hardware.clock import Clock
from hardware.errors import DeviceFaultError, DeviceNotConnectedError, ProtocolError
from hardware.host_time import HostTime
from hardware.records import RobotMode, RobotState
from hardware.ur5e import servo_program, status
from hardware.ur5e.bring_up import DEVICE
from hardware.ur5e.config import UR5eConfig
from hardware.ur5e.rtde import Value
from hardware.ur5e.rtde_client import RtdeClient
from hardware.ur5e.servo_program import ServoMode
from hardware.ur5e.spec import UR5E

OUTPUTS = (
    "timestamp",
    "actual_q",
    "actual_qd",
    "actual_TCP_pose",
    "robot_mode",
    "safety_status_bits",
    "runtime_state",
    "speed_scaling",
    servo_program.ECHO_OUTPUT,
    servo_program.STATE_OUTPUT,
    servo_program.RUN_OUTPUT,
)
"""RTDE variables read in every package."""
EFFORT_OUTPUT = "actual_current_as_torque"
"""RTDE variable of the joint torques [Nm]; only software 5.23 and later has it, without it states carry no efforts."""
INPUTS = (servo_program.MODE_INPUT, servo_program.COUNTER_INPUT, *servo_program.TARGET_INPUTS)
"""RTDE variables written in every package."""

START_TIMEOUT_S = 5.0
"""Longest wait for an uploaded program to run [s]; the controller compiles it first."""
_COUNTER_MAX = 2**31 - 1
_RING = 1024
_POLL_S = 0.004


class ServoLink:
    """One RTDE connection with the servo program on its other end.

    Args:
        config: address and settings.
        clock: the monotonic clock of capture times.

    Raises:
        DeviceNotConnectedError: nothing answers, or no data comes.
        ProtocolError: the controller refuses a request.
    """

    def __init__(self, config: UR5eConfig, clock: Clock) -> None:
        self.speed_scaling = 1.0
        """What the speed slider and the controller's limits leave of every motion, 0 to 1."""
        self.last_round_trip_s: float | None = None
        """Time from sending a package to reading the first one that echoes its counter [s]."""
        self._config = config
        self._clock = clock
        self._host_time = HostTime()
        # A program of an earlier process has another number, so it is never taken for our own.
        self._run = time.time_ns() // 1_000_000 % _COUNTER_MAX
        self._counter = self._echo = 0
        self._run_shown = -1
        self._quaternion = np.zeros(4)
        self._sent_s = np.full(_RING, np.nan)
        self._client = RtdeClient(config.host, config.rtde_port, config.connect_timeout_s)
        try:
            self.state = self._subscribe()
            """The newest state read."""
        except BaseException:
            self._client.close()
            raise

    def poll(self) -> RobotState:
        """The newest state; the one before if no package has come since.

        Raises:
            DeviceNotConnectedError: the connection broke.
            ProtocolError: the bytes are no RTDE data.
        """
        values = self._client.newest()
        if values is not None:
            self._accept(values)
        return self.state

    def write(self, mode: ServoMode, target: FloatArray) -> None:
        """Send one package, which also feeds the program's watchdog.

        Args:
            mode: what the program shall do.
            target: joint positions, (6,) [rad].

        Raises:
            DeviceNotConnectedError: the connection broke.
        """
        self._counter = self._counter % _COUNTER_MAX + 1
        values: dict[str, Value] = dict(zip(servo_program.TARGET_INPUTS, target.tolist(), strict=True))
        values[servo_program.MODE_INPUT] = int(mode)
        values[servo_program.COUNTER_INPUT] = self._counter
        self._sent_s[self._counter % _RING] = self._clock.now()
        self._client.send(values)

    def start_program(self) -> None:
        """Upload the servo program and wait until it runs and has seen mode HOLD.

        Raises:
            DeviceFaultError: a stop came in between.
            DeviceNotConnectedError: the script port does not answer.
            ProtocolError: the program does not run.
        """
        config = self._config
        here = self.state.joint_position
        self.write(ServoMode.HOLD, here)
        text = servo_program.servo_program(
            run=self._run,
            watchdog_s=config.watchdog_s,
            lookahead_s=config.lookahead_s,
            gain=config.gain,
            deceleration=config.stop_deceleration,
            first_step_max_rad=config.first_step_max_rad,
        )
        try:
            with socket.create_connection((config.host, config.script_port), config.connect_timeout_s) as port:
                port.sendall(text.encode("ascii"))
                # The connection stays open meanwhile: closing it early could drop the program on its way.
                if not self.wait(lambda state: state.mode is RobotMode.RUNNING, START_TIMEOUT_S):
                    raise self._not_started()
        except OSError as error:
            address = f"{config.host}:{config.script_port}"
            raise DeviceNotConnectedError(f"{DEVICE} (script port)", address, f"network services ({error})") from error
        # An echo of this package proves that the program's loop has run with mode HOLD, which arms it.
        self.write(ServoMode.HOLD, here)
        if not self.wait(lambda _: self._echo == self._counter, config.connect_timeout_s):
            raise self._not_started()

    def wait(self, ready: Callable[[RobotState], bool], timeout_s: float) -> bool:
        """Read until a new state is `ready`; False when `timeout_s` [s] have passed. Not for a control loop.

        Raises: as `poll`.
        """
        deadline_s = self._clock.now() + timeout_s
        while self._clock.now() < deadline_s:
            values = self._client.newest()
            if values is not None and ready(self._accept(values)):
                return True
            self._clock.sleep_until(self._clock.now() + _POLL_S)
        return False

    def close(self) -> None:
        """Close the connection. Idempotent, never raises."""
        self._client.close()

    def _subscribe(self) -> RobotState:
        """Agree on the data, and wait for the first."""
        client, config = self._client, self._config
        client.negotiate()
        try:
            client.set_up_output(UR5E.control_rate_hz, (*OUTPUTS, EFFORT_OUTPUT))
        except ProtocolError:
            client.set_up_output(UR5E.control_rate_hz, OUTPUTS)
        client.set_up_input(INPUTS)
        client.start()
        if not self.wait(lambda _: True, config.connect_timeout_s):
            address = f"{config.host}:{config.rtde_port}"
            raise DeviceNotConnectedError(DEVICE, address, "that its controller runs: RTDE started, but no data came")
        return self.state

    def _accept(self, values: dict[str, Value]) -> RobotState:
        """Take over one data package."""
        now_s = self._clock.now()
        self.speed_scaling = cast(float, values["speed_scaling"])
        self._run_shown = cast(int, values[servo_program.RUN_OUTPUT])
        echo = cast(int, values[servo_program.ECHO_OUTPUT])
        if echo != self._echo:
            self._echo = echo
            if 0 <= self._counter - echo < _RING:
                self.last_round_trip_s = now_s - float(self._sent_s[echo % _RING])
        pose = np.array(values["actual_TCP_pose"])
        quaternion = quaternion_from_rotation_vector(pose[3:])
        # A rotation by half a turn (the tool straight down is one) flips its axis with the least noise; the quaternion
        # must not flip with it.
        self._quaternion = quaternion if quaternion @ self._quaternion >= 0.0 else -quaternion
        effort = values.get(EFFORT_OUTPUT)
        mode, detail = self._mode(values)
        self.state = RobotState(
            capture_time_s=self._host_time.capture_time(cast(float, values["timestamp"]), now_s),
            joint_position=np.array(values["actual_q"]),
            joint_velocity=np.array(values["actual_qd"]),
            joint_effort=None if effort is None else np.array(effort),
            tool_position=pose[:3],
            tool_quaternion=self._quaternion,
            mode=mode,
            detail=detail,
        )
        return self.state

    def _mode(self, values: dict[str, Value]) -> tuple[RobotMode, str]:
        mode, detail = status.arm_mode(cast(int, values["safety_status_bits"]), cast(int, values["robot_mode"]))
        if mode is RobotMode.RUNNING:
            mode, detail = status.program_mode(
                cast(int, values["runtime_state"]),
                cast(int, values[servo_program.STATE_OUTPUT]),
                own_program=self._run_shown == self._run,
            )
        outside = status.reading_fault(cast(tuple[float, ...], values["actual_q"]))
        if outside and mode in (RobotMode.RUNNING, RobotMode.IDLE):
            return RobotMode.FAULT, outside
        if mode is RobotMode.RUNNING and self.speed_scaling < 1.0:
            detail = f"speed scaled to {self.speed_scaling:.0%}"
        return mode, detail

    def _not_started(self) -> DeviceFaultError | ProtocolError:
        mode, detail = self.state.mode, self.state.detail
        if mode in (RobotMode.PROTECTIVE_STOP, RobotMode.EMERGENCY_STOP):
            return DeviceFaultError(DEVICE, detail, status.RECOVERY[mode])
        said = "; ".join(message.text for message in self._client.messages) or "nothing"
        return ProtocolError(
            f"the servo program does not run on the UR5e ({detail or 'no echo'}; the controller says: {said}). "
            "Check that it is in remote control, and read the teach pendant"
        )


def quaternion_from_rotation_vector(vector: FloatArray) -> FloatArray:
    """Unit quaternion w x y z, (4,), of a rotation vector, (3,) [rad]: axis times angle."""
    half = 0.5 * float(np.linalg.norm(vector))
    # np.sinc(x) is sin(pi x) / (pi x), smooth at zero.
    return np.concatenate(([np.cos(half)], 0.5 * np.sinc(half / np.pi) * vector))
