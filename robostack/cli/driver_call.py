"""What the verbs `stop` and `reset` share: a question to the driver of a robot that was launched elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from hardware.errors import MissingExtraError
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line
from robostack.launching.supervisor import SupervisorConfig, child_environment


@dataclass(frozen=True)
class DriverCallOptions:
    """Where the driver is."""

    namespace: str = ""
    """ROS namespace of the driver."""
    limit_s: float = 10.0
    """Time in which it must have been found and have answered [s]."""
    json: bool = False
    """Write the answer to standard output as one line of JSON."""
    ros: SupervisorConfig = field(default_factory=SupervisorConfig)
    """Where the nodes run."""


def call(service: str, arguments: Sequence[str]) -> int:
    """Ask the driver for `service` and say what it answered; 0 if it did it.

    Raises:
        MissingExtraError: there is no rclpy.
        DeviceError: nobody answered in time, or the driver could not do it.
    """
    options = parse_options(DriverCallOptions, service, arguments)
    os.environ.update(child_environment(options.ros))
    try:
        from robostack.nodes.driver_service import call_driver
    except ImportError as error:
        raise MissingExtraError("rclpy", "ros", f"robostack {service}") from error
    answer = call_driver(service, options.namespace, options.limit_s)
    console().print(answer, markup=False, soft_wrap=True)
    if options.json:
        print_json_line({"service": service, "namespace": options.namespace, "answer": answer})
    return 0
