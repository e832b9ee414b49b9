"""The controller of the virtual arm: modes, safety, registers, the program and the motion, one cycle at a time."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

import numpy as np

from hardware.ur5e import UR5E
from sim.devices.ur5e.arm import Arm
from sim.devices.ur5e.config import CYCLE_S, VirtualUR5eConfig
from sim.devices.ur5e.motion import Motion
from sim.devices.ur5e.program import Program, ScriptProgram
from sim.devices.ur5e.registers import Inputs, Registers
from sim.devices.ur5e.urrtde_program import UrRtdeProgram, is_urrtde
from sim.devices.ur5e.urscript import ScriptError

TRACKING_ERROR_MAX_RAD = 0.25
"""Distance of the measured from the target position that makes a protective stop."""
SERVO_JUMP_MAX_RAD = 1.0
"""Distance of a `servoj` goal from the current target that makes a protective stop, as the path sanity check does."""
OVERSPEED_FACTOR = 1.15
"""Measured joint speed over the specified one that makes a protective stop."""
_POWER_CYCLES = 250
_SLIDER, _SLIDER_MASK = "speed_slider_fraction", "speed_slider_mask"


class RobotMode(IntEnum):
    """RTDE `robot_mode`."""

    POWER_OFF = 3
    POWER_ON = 4
    IDLE = 5
    RUNNING = 7


class SafetyMode(IntEnum):
    """RTDE `safety_mode`."""

    NORMAL = 1
    PROTECTIVE_STOP = 3
    ROBOT_EMERGENCY_STOP = 7


class RuntimeState(IntEnum):
    """RTDE `runtime_state`."""

    STOPPED = 1
    PLAYING = 2
    PAUSED = 4


SAFETY_BITS = {
    SafetyMode.NORMAL: 1 << 0,
    SafetyMode.PROTECTIVE_STOP: 1 << 2 | 1 << 10,
    SafetyMode.ROBOT_EMERGENCY_STOP: 1 << 6 | 1 << 7 | 1 << 10,
}
"""RTDE `safety_status_bits`: 0 normal, 2 protective stop, 6 robot emergency stop, 7 emergency stop, 10 stopped."""


class Controller:
    """Everything but the sockets. `cycle` moves it on by `CYCLE_S`; nothing here knows about real time.

    Args:
        config: the arm and the state it powers up in.
    """

    def __init__(self, config: VirtualUR5eConfig) -> None:
        start = np.array(UR5E.default_position if config.initial_position is None else config.initial_position)
        self.config = config
        self.arm = Arm(config.arm_dynamics(), start, config.seed)
        self.motion = Motion(start)
        self.inputs, self.outputs = Inputs(), Registers()
        self.cycles = 0
        self.robot_mode = RobotMode.RUNNING if config.powered else RobotMode.POWER_OFF
        self.safety_mode = SafetyMode.NORMAL
        self.runtime_state = RuntimeState.STOPPED
        self.speed_slider = config.speed_scaling
        self.program: Program | None = None
        self.stop_reason = ""
        self.messages: deque[str] = deque(maxlen=200)
        self.errors: deque[str] = deque(maxlen=50)
        self.counters = {"programs": 0, "protective_stops": 0, "emergency_stops": 0}
        self._watchdogs: dict[str, tuple[float, str]] = {}
        self._stopped_s = 0.0
        self._mode_after: tuple[int, RobotMode] | None = None

    @property
    def time_s(self) -> float:
        """Time since power-up [s]."""
        return self.cycles * CYCLE_S

    @property
    def speed_scaling(self) -> float:
        """Speed of the motion relative to what the program asks, 0..1."""
        if self.inputs.values.get(_SLIDER_MASK, 0):
            return min(self.speed_slider, max(0.0, min(1.0, self.inputs.values.get(_SLIDER, 1.0))))
        return self.speed_slider

    def log(self, message: str) -> None:
        """Keep a line for the controller's log."""
        self.messages.append(f"{self.time_s:.3f} {message}")

    # --- one cycle

    def cycle(self) -> None:
        """One controller cycle: power, watchdogs, program, motion, physics, safety."""
        self.cycles += 1
        if self._mode_after is not None and self.cycles >= self._mode_after[0]:
            self.robot_mode, self._mode_after = self._mode_after[1], None
        if self.runtime_state is RuntimeState.PLAYING:
            self._check_watchdogs()
            self._run_program()
        self.motion.advance(self.speed_scaling)
        if self.robot_mode is RobotMode.RUNNING:
            self.arm.step(self.motion.position, self.motion.velocity)
            if self.safety_mode is SafetyMode.NORMAL:
                self._check_safety()
        elif self.motion.still:
            self.arm.brake()
            self.motion.hold(self.arm.true_position)
        else:
            self.arm.step(self.motion.position, self.motion.velocity)

    def _run_program(self) -> None:
        if self.program is None:
            return
        try:
            running = self.program.step()
        except ScriptError as error:
            self.errors.append(f"{self.program.name}: {error}")
            running = False
        if not running and self.runtime_state is RuntimeState.PLAYING:
            self.stop_program()

    def _check_watchdogs(self) -> None:
        for name, (period_s, action) in self._watchdogs.items():
            if self.time_s - self.inputs.written_s.get(name, 0.0) > period_s:
                self.errors.append(f"RTDE watchdog of {name}: nothing written for {period_s:.3f} s; action {action}")
                if action == "pause":
                    self.pause_program()
                else:
                    self.stop_program()
                return

    def _check_safety(self) -> None:
        motion, arm = self.motion, self.arm
        position = motion.position
        outside = (position < UR5E.position_min) | (position > UR5E.position_max)
        fast = np.abs(arm.true_velocity) > OVERSPEED_FACTOR * UR5E.velocity_max
        error = np.abs(position - arm.true_position) > TRACKING_ERROR_MAX_RAD
        for failed, reason in ((outside, "position limit"), (fast, "speed limit"), (error, "deviates from path")):
            if failed.any():
                names = ", ".join(np.array(UR5E.joint_names)[failed])
                self.protective_stop(f"{names}: {reason}")
                return
        if motion.goal_distance > SERVO_JUMP_MAX_RAD:
            self.protective_stop(f"path sanity check: servoj goal is {motion.goal_distance:.2f} rad away")

    # --- programs

    def start_program(self, text: str) -> bool:
        """Stop what runs and start the script `text`; False (and a line in `errors`) when it is refused."""
        if not self.config.remote_control:
            self.errors.append("script refused: the robot is in local control")
            return False
        self.stop_program()
        if self.robot_mode is not RobotMode.RUNNING or self.safety_mode is not SafetyMode.NORMAL:
            self.errors.append(f"script refused: robot {self.robot_mode.name}, safety {self.safety_mode.name}")
            return False
        try:
            self.program = UrRtdeProgram(self) if is_urrtde(text) else ScriptProgram(text, self)
        except ScriptError as error:
            self.errors.append(f"script error: {error}")
            return False
        self.counters["programs"] += 1
        self.runtime_state = RuntimeState.PLAYING
        return True

    def stop_program(self) -> None:
        """End the program, if any; the arm comes to a stop and holds."""
        self.program = None
        self._watchdogs.clear()
        self.runtime_state = RuntimeState.STOPPED
        self.motion.stop()

    def pause_program(self) -> bool:
        """Pause the running program; False when none runs."""
        if self.runtime_state is not RuntimeState.PLAYING:
            return False
        self.runtime_state = RuntimeState.PAUSED
        self.motion.stop()
        return True

    def play(self) -> bool:
        """Continue a paused program; False when there is none, or the robot may not move."""
        if self.runtime_state is not RuntimeState.PAUSED or self.safety_mode is not SafetyMode.NORMAL:
            return False
        self.runtime_state = RuntimeState.PLAYING
        return True

    def set_watchdog(self, variable_name: str, min_frequency: float, action: str = "pause") -> None:
        """`rtde_set_watchdog`: act when a client writes an input less often than `min_frequency` [Hz]."""
        if min_frequency <= 0.0 or action == "ignore":
            self._watchdogs.pop(variable_name, None)
            return
        self.inputs.written_s[variable_name] = self.time_s
        self._watchdogs[variable_name] = (1.0 / min_frequency, action)

    # --- power and safety

    def power_on(self) -> None:
        """Power the joints; the brakes stay engaged."""
        if self.robot_mode is RobotMode.POWER_OFF and self.safety_mode is SafetyMode.NORMAL:
            self.robot_mode = RobotMode.POWER_ON
            self._mode_after = (self.cycles + _POWER_CYCLES, RobotMode.IDLE)

    def power_off(self) -> None:
        """Stop, engage the brakes, cut the power."""
        self.stop_program()
        self.robot_mode, self._mode_after = RobotMode.POWER_OFF, None

    def brake_release(self) -> None:
        """Release the brakes, powering the joints first where needed."""
        self.power_on()
        if self.robot_mode in (RobotMode.POWER_ON, RobotMode.IDLE):
            self._mode_after = (self.cycles + _POWER_CYCLES, RobotMode.RUNNING)

    def protective_stop(self, reason: str) -> None:
        """Stop the arm and pause the program until someone unlocks."""
        if self.safety_mode is not SafetyMode.NORMAL:
            return
        self.safety_mode = SafetyMode.PROTECTIVE_STOP
        self.stop_reason, self._stopped_s = reason, self.time_s
        self.counters["protective_stops"] += 1
        self.log(f"protective stop: {reason}")
        self.pause_program()
        # What was asked for is forgotten: the arm holds where it is.
        self.motion.hold(self.arm.true_position)

    def unlock_protective_stop(self) -> bool:
        """Leave a protective stop; False before `unlock_delay_s` has passed."""
        if self.safety_mode is SafetyMode.PROTECTIVE_STOP:
            if self.time_s - self._stopped_s < self.config.unlock_delay_s:
                return False
            self.clear_protective_stop()
        return True

    def clear_protective_stop(self) -> None:
        """Leave a protective stop now."""
        if self.safety_mode is SafetyMode.PROTECTIVE_STOP:
            self.safety_mode, self.stop_reason = SafetyMode.NORMAL, ""

    def emergency_stop(self, pressed: bool) -> None:
        """Press the emergency button, or release it; after a release power and brakes must be switched on again."""
        if pressed and self.safety_mode is not SafetyMode.ROBOT_EMERGENCY_STOP:
            self.counters["emergency_stops"] += 1
            self.stop_reason = "emergency stop button"
            self.power_off()
            self.safety_mode = SafetyMode.ROBOT_EMERGENCY_STOP
        elif not pressed and self.safety_mode is SafetyMode.ROBOT_EMERGENCY_STOP:
            self.safety_mode, self.stop_reason = SafetyMode.NORMAL, ""
