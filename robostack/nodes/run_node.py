"""The one way a node of this stack runs and ends.

The rules are measured ones: the events executor spends a third of the processor time of the others, but its `spin()`
never returns on a signal, and rclpy's own signal handlers invalidate the context before a last command can be sent.
So: own handlers that set a flag, a loop over `spin_once` with a bounded wait, and a fixed order of ending.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from hardware.errors import ConfigError
from robostack.nodes.lifecycle import EXPECTED_ERRORS, ManagedNode
from robostack.nodes.profile import profile_in_use, udp_addresses

SPIN_TIMEOUT_S = 0.05
"""Longest time between two looks at the stop flag [s]."""
FIFO_VARIABLE = "ROBOSTACK_FIFO_PRIORITY"
"""Environment variable: real-time priority of the process, 1-99; unset: ordinary scheduling."""


def run_node(create: Callable[[], ManagedNode], arguments: Sequence[str] | None = None) -> int:
    """Run one node until it is finished or told to stop by SIGINT or SIGTERM.

    Args:
        create: makes the node; called after rclpy is initialised.
        arguments: command line including the program name, with `--ros-args`; None: of this process.

    Returns:
        The exit status: 0 after an ordered end, 1 after a failure, which has been logged in one line.
    """
    logger = get_logger("robostack")
    stop = threading.Event()
    previous = _catch_signals(stop)
    _schedule_real_time(logger)
    node: ManagedNode | None = None
    try:
        rclpy.init(args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO)
        node = create()
        wrong = profile_in_use(os.environ, udp_addresses())
        if wrong:
            raise ConfigError(wrong)
        _spin(node, stop)
        return node.close()
    except EXPECTED_ERRORS as error:
        logger.error(str(error))
        return 1
    finally:
        if node is not None:
            node.close()  # a second call does nothing; the first one is here only after an exception
            node.destroy_node()
        rclpy.try_shutdown()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _spin(node: ManagedNode, stop: threading.Event) -> None:
    """Serve the node's callbacks until it is finished or `stop` is set."""
    executor = _executor()
    executor.add_node(node)
    try:
        node.autostart()
        while not (stop.is_set() or node.finished) and rclpy.ok():
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    finally:
        executor.remove_node(node)
        executor.shutdown()


def _executor() -> Any:
    """The events executor where this rclpy has it, else the single-threaded one."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        from rclpy.executors import SingleThreadedExecutor

        return SingleThreadedExecutor()
    return EventsExecutor()


def _catch_signals(stop: threading.Event) -> dict[int, Any]:
    """Let SIGINT and SIGTERM set `stop`; returns the handlers there were."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}


def _schedule_real_time(logger: Any) -> None:
    """SCHED_FIFO before rclpy starts its threads, which inherit it; worth more than any DDS setting under load."""
    text = os.environ.get(FIFO_VARIABLE, "")
    if not text:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(int(text)))
    except (ValueError, OSError) as error:
        logger.warning(f"{FIFO_VARIABLE}={text} has no effect ({error}): allow it with an rtprio limit, or use chrt")
