"""The control chain of a driver node: made from configuration, and put into words and figures for diagnostics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from controllers.base import BaseSafetyFilter, BaseTrackingController
from controllers.kinematics import SerialChain
from controllers.loop import ControlLoop, LoopConfig
from controllers.safety import SafetyConfig, SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.records import RobotState
from hardware.robot import Robot, RobotEntry

REST_SPEED = 0.05
"""Speed below which a robot counts as at rest: of a joint or of turning [rad/s], of a base [m/s]."""
REST_LIMIT_S = 0.5
"""Time a robot has to come to rest before its own stop is used [s]."""


def open_loop(robot: Robot, entry: RobotEntry, loop: LoopConfig, safety: SafetyConfig) -> ControlLoop:
    """The control loop of a connected robot, not yet started."""
    spec = robot.spec
    if spec.base is not None and not spec.joints:
        base = BaseTrackingController(spec, loop.rate_hz)
        return ControlLoop(robot, base, BaseSafetyFilter(spec, safety, loop.rate_hz), config=loop)
    chain = None
    if spec.tool_frame is not None and spec.workspace_min is not None:
        chain = SerialChain.from_mjcf(entry.model, spec.joint_names, spec.tool_frame, spec.base_frame)
    controller = JointTrackingController(spec, loop.rate_hz)
    return ControlLoop(robot, controller, SafetyFilter(spec, chain, safety, loop.rate_hz), config=loop)


def come_to_rest(loop: ControlLoop) -> None:
    """Brake within the limits, if the loop runs without fault; returns at rest or after `REST_LIMIT_S`."""
    if not loop.running or loop.fault is not None:
        return
    loop.hold()
    deadline_s = loop.clock.now() + REST_LIMIT_S
    while loop.fault is None and loop.clock.now() < deadline_s:
        loop.run_until(loop.clock.now() + 5.0 * loop.period_s)
        if _speed(loop.latest().state) < REST_SPEED:
            return


def _speed(state: RobotState) -> float:
    """The largest speed that was measured, of joints and base."""
    measured = (state.joint_velocity, state.base_linear_velocity, state.base_angular_velocity)
    return max((float(np.abs(speeds).max(initial=0.0)) for speeds in measured if speeds is not None), default=0.0)


def figures_of(loop: ControlLoop) -> dict[str, object]:
    """Flat figures of the loop, for diagnostics."""
    statistics = asdict(loop.statistics())
    interventions: dict[str, int] = statistics.pop("interventions")
    figures = {name: value for name, value in statistics.items() if value is not None and value != ""}
    figures |= {f"intervention {reason}": count for reason, count in interventions.items()}
    if loop.running:
        sample = loop.latest()
        figures["safety"] = sample.action.value
        figures["safety_reasons"] = ", ".join(reason.value for reason in sample.reasons)
        if sample.state.contacts is not None:
            figures["contacts"] = ", ".join(name for name, on in sample.state.contacts.items() if on)
    return figures


def report_of(loop: ControlLoop, faults: list[dict[str, Any]]) -> dict[str, Any]:
    """The loop's part of a session report: statistics, interventions by reason, and the history of faults."""
    return {**asdict(loop.statistics()), "faults": faults}
