"""Calls a service of a running driver from another process."""

from __future__ import annotations

import os
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from hardware.errors import ConfigError, DeviceError
from robostack.nodes.profile import profile_in_use, udp_addresses

_SPIN_S = 0.05
_AGAIN_S = 1.0
"""Time without an answer after which the request is made again [s]; both services may be called any number of times."""


def call_driver(service: str, namespace: str, limit_s: float) -> str:
    """Ask the driver in `namespace` for its service "stop" or "reset"; what it answered.

    Args:
        service: name of the service.
        namespace: ROS namespace of the driver; "": none.
        limit_s: time in which it must have been found and have answered [s].

    Raises:
        DeviceError: nobody answered in time, or the driver could not do it.
        ConfigError: this process would listen beyond loopback and the robot's network.
    """
    prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
    name = f"{prefix}/driver/{service}"
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node(f"robostack_{service}_{os.getpid()}", context=context)
        wrong = profile_in_use(os.environ, udp_addresses())
        if wrong:
            raise ConfigError(wrong)
        client = node.create_client(Trigger, name)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        deadline_s, asked_s, answer = time.monotonic() + limit_s, float("-inf"), None
        while time.monotonic() < deadline_s:
            if client.service_is_ready() and time.monotonic() - asked_s > _AGAIN_S:
                asked_s, answer = time.monotonic(), client.call_async(Trigger.Request())
            executor.spin_once(timeout_sec=_SPIN_S)
            if answer is not None and answer.done() and answer.exception() is None:
                found = answer.result()
                if not found.success:
                    raise DeviceError(f"{name}: {found.message or 'the driver refused'}")
                return str(found.message)
        found_it = "did not answer" if asked_s > 0.0 else "was not found"
        raise DeviceError(
            f"{name} {found_it} within {limit_s:g} s. Is the robot launched here, with the same --ros.domain-id, "
            "--ros.lan-address and --namespace? To stop a robot at once, press its emergency stop."
        )
    finally:
        rclpy.shutdown(context=context)
