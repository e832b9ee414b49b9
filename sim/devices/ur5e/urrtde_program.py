"""The program that the `ur-rtde` client uploads, by behaviour: its register protocol runs natively, not its 40 kB text.

The client writes a command number into integer input register 0 and its arguments into double input registers; the
program answers in integer output register 0: 1 ready, 2 done. Streaming commands (`servoJ`, `speedJ`) are answered with
ready at once, the others with done when finished, and again with ready once the client has written command 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hardware.arrays import FloatArray
from sim.devices.ur5e.config import CYCLE_S
from sim.devices.ur5e.program import Cycles
from sim.devices.ur5e.urscript import ScriptError

if TYPE_CHECKING:
    from sim.devices.ur5e.controller import Controller

READY, DONE = 1, 2
_END = 255
_ASYNC_RUNNING = 1 << 15


def is_urrtde(text: str) -> bool:
    """Whether `text` is ur-rtde's control script."""
    return re.search(r"^\s*def\s+rtde_control\s*\(", text, re.MULTILINE) is not None


class UrRtdeProgram:
    """Stands in for ur-rtde's control script.

    Args:
        controller: what it drives.
    """

    name = "rtde_control"

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._inputs, self._outputs = controller.inputs, controller.outputs
        self._waiting: Cycles | None = None
        self._answered = False
        self._async_writes = self._async_operation = 0
        self._background: Callable[[], bool] | None = None
        self._streaming: dict[int, Callable[[], None]] = {9: self._speed_j, 11: self._servo_j, 26: self._step_time,
                                                          58: self._flange_pose}  # fmt: skip
        self._commands: dict[int, Callable[[], Cycles | None]] = {
            1: self._move_j, 8: _nothing, 15: self._stop, 16: self._stop, 17: _nothing, 29: _nothing, 33: self._stop,
            31: self._protective_stop, 34: self._stop, 35: self._watchdog, 47: self._is_steady,
        }  # fmt: skip
        self._progress(-1)
        self._answer(READY)

    def step(self) -> bool:
        """One cycle of the main loop; False once the client has ended the script."""
        try:
            return self._step()
        except ValueError as error:
            raise ScriptError(str(error), 0) from error

    def _step(self) -> bool:
        if self._background is not None and self._background():
            self._background = None
            self._progress(-1)
        if self._waiting is not None:
            if next(self._waiting, DONE) is None:
                return True
            self._waiting = None
            self._answer(DONE)
        return self._dispatch(self._inputs.ints[0])

    def _dispatch(self, command: int) -> bool:
        if command in self._streaming:
            self._background = None
            self._streaming[command]()
            self._answer(READY)
        elif command == 0:
            self._answered = False
            self._answer(READY)
        elif command == _END:
            return False
        elif not self._answered:
            self._answered = True
            if command not in self._commands:
                raise ScriptError(f"ur-rtde command {command} is not supported by the virtual UR5e", 0)
            self._waiting = self._commands[command]()
            if self._waiting is None:
                self._answer(DONE)
        return True

    def _answer(self, value: int) -> None:
        self._outputs.ints[0] = value

    def _progress(self, value: int) -> None:
        """Asynchronous progress, output integer 2: bits 0-14 progress, 15 running, 16-22 writes, 24-30 operation."""
        self._async_writes = (self._async_writes + 1) % 128
        if value == 0:
            self._async_operation = (self._async_operation + 1) % 128
        word = self._async_writes << 16 | self._async_operation << 24
        self._outputs.ints[2] = word + value + _ASYNC_RUNNING if value >= 0 else word

    def _vector(self) -> FloatArray:
        return np.array(self._inputs.doubles[:6])

    # --- commands

    def _servo_j(self) -> None:
        _, _, _, lookahead_s, gain = self._inputs.doubles[6:11]
        self._controller.motion.servo(self._vector(), lookahead_s, gain)

    def _speed_j(self) -> None:
        self._controller.motion.speed(self._vector(), self._inputs.doubles[6])

    def _step_time(self) -> None:
        self._outputs.doubles[0] = CYCLE_S

    def _flange_pose(self) -> None:
        self._outputs.doubles[:6] = self._controller.arm.tool_pose(self._controller.arm.position)

    def _move_j(self) -> Cycles | None:
        motion, goal = self._controller.motion, self._vector()
        speed, acceleration = self._inputs.doubles[6:8]
        if speed <= 0.0 or acceleration <= 0.0:
            raise ScriptError("movej needs a speed and an acceleration above 0", 0)
        motion.move(goal, speed, acceleration)
        if self._inputs.ints[1] == 1:
            self._progress(0)
            self._background = lambda: motion.moved
            return None
        return self._until(lambda: motion.moved)

    def _stop(self) -> Cycles | None:
        motion = self._controller.motion
        motion.stop(max(self._inputs.doubles[0], 0.1))
        if self._background is not None:
            self._background = None
            self._progress(-1)
        return self._until(lambda: motion.still)

    def _until(self, reached: Callable[[], bool]) -> Cycles:
        yield
        while not reached():
            yield

    def _is_steady(self) -> None:
        self._outputs.ints[1] = int(self._controller.motion.still)

    def _watchdog(self) -> None:
        self._controller.set_watchdog("input_int_register_0", self._inputs.doubles[0], "stop")

    def _protective_stop(self) -> None:
        self._controller.protective_stop("requested by the program")


def _nothing() -> None:
    """Commands that change nothing here: tool frame, payload, force sensor."""
