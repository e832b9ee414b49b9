"""A running robot program: a compiled script, its threads, and the functions of the controller that it may call."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sim.devices.ur5e.config import CYCLE_S
from sim.devices.ur5e.urscript import BUILTIN, FILENAME, MAIN, USER, ScriptError, parse

if TYPE_CHECKING:
    from sim.devices.ur5e.controller import Controller

Cycles = Generator[None, None, Any]
"""Runs until the next controller cycle at each `next`."""
SPIN_LIMIT = 20_000
"""Loop passes within one cycle after which a script is taken for an infinite loop."""


class Program(Protocol):
    """Anything that runs in the controller's cycle."""

    name: str

    def step(self) -> bool:
        """Run until the next cycle; False when the program has ended.

        Raises:
            ScriptError: it failed.
        """
        ...


class Array(list[Any]):
    """A list of URScript: no concatenation, no repetition."""

    def __add__(self, other: object) -> Any:
        raise TypeError("lists cannot be added")

    def __mul__(self, other: object) -> Any:
        raise TypeError("lists cannot be multiplied")

    __rmul__ = __mul__


class _HaltError(Exception):
    """The script called halt."""


class ScriptProgram:
    """A script that runs inside the controller.

    Args:
        text: URScript.
        controller: what its functions act on.

    Raises:
        ScriptError: the text is not a valid script.
    """

    def __init__(self, text: str, controller: Controller) -> None:
        plain, blocking = _plain(controller), _blocking(controller)
        self.name, module = parse(text, plain.keys(), blocking.keys())
        self._passes = 0
        self._threads: dict[int, Cycles] = {}
        helpers: dict[str, Callable[..., Any]] = {
            "copy": lambda value: Array(value) if isinstance(value, list) else value,
            "halt": _halt, "index": _index, "join": self._join, "kill": self._kill,
            "list": Array, "pose": _pose, "run": self._run, "spin": self._spin, "truth": _truth,
        }  # fmt: skip
        scope: dict[str, Any] = {BUILTIN + name: call for name, call in {**plain, **blocking, **helpers}.items()}
        scope["__builtins__"] = {}
        try:
            exec(compile(module, FILENAME, "exec"), scope)  # a tree of our own nodes only, see urscript.py
        except (SyntaxError, ValueError, RecursionError) as error:
            line = error.lineno or 0 if isinstance(error, SyntaxError) else 0
            raise ScriptError(f"cannot be compiled: {_explain(error)}", line) from error
        self._main: Cycles = scope[MAIN]()

    def step(self) -> bool:
        """Run every thread until its next cycle; False once the main thread has ended."""
        self._passes = 0
        try:
            for handle in list(self._threads):
                if handle in self._threads and not _advance(self._threads[handle]):
                    self._threads.pop(handle, None)
            return _advance(self._main)
        except _HaltError:
            return False
        except ScriptError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, NameError, RecursionError) as error:
            raise ScriptError(_explain(error), _line(error)) from error

    def _spin(self) -> None:
        self._passes += 1
        if self._passes > SPIN_LIMIT:
            raise ValueError("infinite loop: the program does not wait for the controller (sync, sleep or a motion)")

    def _run(self, thread: Cycles) -> int:
        handle = max(self._threads, default=0) + 1
        self._threads[handle] = thread
        return handle

    def _kill(self, handle: int) -> None:
        self._threads.pop(handle, None)

    def _join(self, handle: int) -> Cycles:
        while handle in self._threads:
            yield


def _advance(cycles: Cycles) -> bool:
    try:
        next(cycles)
    except StopIteration:
        return False
    return True


def _line(error: BaseException) -> int:
    """Line of the script in which `error` was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILENAME]
    return frames[-1].lineno or 0 if frames else 0


def _explain(error: Exception) -> str:
    if isinstance(error, NameError) and error.name:
        return f"variable '{error.name[2:]}' has no value"
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    return re.sub(rf"\b(?:{BUILTIN}|{USER})", "", words)


def _halt() -> None:
    raise _HaltError


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"a condition must be True or False, not {value!r}")
    return value


def _index(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise LookupError(f"list index must be a whole number from 0, not {value!r}")
    return value


def _pose(values: list[Any]) -> Array:
    if len(values) != 6:
        raise ValueError(f"a pose has 6 numbers, not {len(values)}")
    return Array(values)


def _joints(values: object) -> Any:
    """A joint vector handed to a motion function, (6,)."""
    if not isinstance(values, list) or len(values) != 6:
        raise ValueError(f"expected a list of 6 joint values, not {values!r}")
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"joint values must be finite, not {values!r}")
    return array


def _cycle_count(duration_s: float) -> int:
    """Whole cycles of a motion that lasts `duration_s` [s]; at least one."""
    return max(1, round(duration_s / CYCLE_S))


def _register(values: list[Any]) -> Callable[[int], Any]:
    return lambda index: values[_index(index)]


def _setter(values: list[Any], kind: Callable[[Any], Any]) -> Callable[[int, Any], None]:
    def write(index: int, value: Any) -> None:
        values[_index(index)] = kind(value)

    return write


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"an integer register takes a number, not {value!r}")
    return (int(value) + 2**31) % 2**32 - 2**31


def _array(values: Iterable[float]) -> Array:
    return Array(float(value) for value in values)


def _norm(value: Any) -> float:
    return math.hypot(*value) if isinstance(value, list) else abs(value)


def _plain(controller: Controller) -> dict[str, Callable[..., Any]]:
    """Functions that return at once."""
    inputs, outputs, motion, arm = controller.inputs, controller.outputs, controller.motion, controller.arm
    return {
        "read_input_integer_register": _register(inputs.ints),
        "read_input_float_register": _register(inputs.doubles),
        "read_input_boolean_register": _register(inputs.bits),
        "read_output_integer_register": _register(outputs.ints),
        "read_output_float_register": _register(outputs.doubles),
        "write_output_integer_register": _setter(outputs.ints, _integer),
        "write_output_float_register": _setter(outputs.doubles, float),
        "write_output_boolean_register": _setter(outputs.bits, _truth),
        "get_actual_joint_positions": lambda: _array(arm.position),
        "get_actual_joint_speeds": lambda: _array(arm.velocity),
        "get_target_joint_positions": lambda: _array(motion.position),
        "get_target_joint_speeds": lambda: _array(motion.velocity),
        "get_actual_tcp_pose": lambda: _array(arm.tool_pose(arm.position)),
        "get_steptime": lambda: CYCLE_S,
        "is_steady": lambda: motion.still,
        "textmsg": lambda *parts: controller.log(" ".join(str(part) for part in parts)),
        "rtde_set_watchdog": controller.set_watchdog,
        "protective_stop": lambda: controller.protective_stop("requested by the program"),
        "norm": _norm,
        "sqrt": math.sqrt, "pow": math.pow, "sin": math.sin, "cos": math.cos, "tan": math.tan, "atan2": math.atan2,
        "floor": math.floor, "ceil": math.ceil, "d2r": math.radians, "r2d": math.degrees, "length": len,
    }  # fmt: skip


def _blocking(controller: Controller) -> dict[str, Callable[..., Cycles]]:  # noqa: C901  one nested function per builtin
    """Functions that take controller cycles. Parameter names are those of the script manual."""
    motion = controller.motion

    def wait(cycles: int) -> Cycles:
        for _ in range(cycles):
            yield

    def servoj(q: Any, a: float = 0, v: float = 0, t: float = 0.002, lookahead_time: float = 0.1, gain: float = 300) -> Cycles:  # noqa: E501  # fmt: skip
        if not 0.03 <= lookahead_time <= 0.2 or not 100 <= gain <= 2000:
            raise ValueError("servoj: lookahead_time must be in 0.03..0.2 s and gain in 100..2000")
        motion.servo(_joints(q), lookahead_time, gain)
        yield from wait(_cycle_count(t))

    def speedj(qd: Any, a: float, t: float = 0.0) -> Cycles:
        motion.speed(_joints(qd), a)
        if t > 0.0:
            yield from wait(_cycle_count(t))
            return
        yield
        while not motion.at_speed:
            yield

    def stopj(a: float = 2.0) -> Cycles:
        motion.stop(a)
        yield
        while not motion.still:
            yield

    def movej(q: Any, a: float = 1.4, v: float = 1.05, t: float = 0.0, r: float = 0.0) -> Cycles:
        goal = _joints(q)
        if t != 0.0 or r != 0.0 or a <= 0.0 or v <= 0.0:
            raise ValueError("movej: this controller takes a > 0 and v > 0, no duration and no blending")
        if not motion.still:
            yield from stopj(a)
        while True:
            motion.move(goal, v, a)
            while not motion.moved:
                yield
            if np.allclose(motion.position, goal, rtol=0.0, atol=1e-9):
                return
            # Paused on the way: go on from here.
            while not motion.still:
                yield

    return {
        "servoj": servoj, "speedj": speedj, "stopj": stopj, "movej": movej,
        "sync": lambda: wait(1),
        "sleep": lambda t: wait(max(0, math.ceil(t / CYCLE_S - 1e-9))),
    }  # fmt: skip
