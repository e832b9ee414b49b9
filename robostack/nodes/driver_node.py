"""The driver node of any robot of joints, or on wheels: the fast loop in a thread of its own, ROS at its edge.

Tracking controller, safety filter and driver run together in that thread; ROS brings set-points in (the newest one
counts) and measurements out. Whether a set-point is stale is decided in the loop by its time stamp. The robot is
stopped on every way out of this process, before ROS is.

Publishes `joint_states`, `tool_pose` (robots with a tool), `imu/data` (legged robots), `odom` (robots on wheels),
`contacts` (robots that feel their surroundings), `diagnostics` and, latched, `robot_spec`. Subscribes
`joint_trajectory`, one point per message, or `cmd_vel`, from one sender at a time (`header.frame_id`). Services
`~/stop`, `~/reset`.

For recorders, and only while one listens, also `requested_command` and `executed_command`: what the controller asked
for and what the safety filter let through, with the stamp of the state they answer.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.loop import ControlLoop, LoopConfig, LoopSample
from controllers.memory_lock import lock_memory
from controllers.reference import BaseReference, JointReference
from controllers.safety import SafetyConfig
from hardware.errors import ConfigError, DeviceError, NonFiniteError, ProtocolError
from hardware.records import RobotState
from hardware.registry import load_object
from hardware.robot import ROBOTS, Robot, RobotEntry
from robostack.files import write_text
from robostack.nodes.base_messages import (
    base_reference_from_message,
    is_rest,
    odometry_to_message,
    surroundings_to_message,
)
from robostack.nodes.claim import CommandClaim
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.control import come_to_rest, figures_of, open_loop, report_of
from robostack.nodes.latency import AnswerLatency
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import (
    Level,
    command_to_message,
    diagnostics_message,
    imu_to_message,
    reference_from_message,
    stamp_to_ns,
    state_to_message,
    tool_to_message,
)
from robostack.nodes.parameters import configuration_from, refuse_unknown
from robostack.nodes.qos import qos
from robostack.nodes.run_node import run_node


@dataclass(frozen=True)
class DriverNodeConfig:
    """Parameters of the driver node, besides those of the robot's driver (prefix `driver.`)."""

    robot: str = "ur5e"
    """Registry name of the robot, or "module:NAME" of a RobotEntry."""
    state_rate_hz: float = 100.0
    """Rate at which measurements are published [Hz]."""
    diagnostics_rate_hz: float = 2.0
    """Rate at which diagnostics are published [Hz]; a fault is published at once."""
    claim_silence_s: float = 1.0
    """A sender of commands that is silent for this long gives up its claim [s]."""
    cmd_vel_stamped: bool = True
    """Robots on wheels: whether `cmd_vel` is a TwistStamped; otherwise a Twist, whose age nobody can check."""
    cmd_vel_horizon_s: float = 0.2
    """Robots on wheels: time for which a velocity command is valid [s]."""
    report_path: str = ""
    """File for a JSON report of the session, written when the node deactivates; empty: none."""


def load_robot(name: str) -> RobotEntry:
    """The robot called `name`, or the object named by "module:NAME".

    Raises:
        UnknownNameError: no such robot.
    """
    return load_object(name) if ":" in name else ROBOTS.load(name)  # type: ignore[return-value]


class DriverNode(ManagedNode):
    """See the module. configure = connect, activate = hold the measured pose, deactivate = come to rest and stop.

    Args:
        overrides: parameter values, for tests.
    """

    def __init__(self, overrides: Sequence[Any] = ()) -> None:
        super().__init__("driver", overrides)
        self.config = configuration_from(self, DriverNodeConfig)
        self.entry = load_robot(self.config.robot)
        self.spec = self.entry.spec
        self.loop_config = configuration_from(self, LoopConfig, "loop.")
        self.safety_config = configuration_from(self, SafetyConfig, "safety.")
        self.driver_config = configuration_from(self, self.entry.config_type(), "driver.")
        refuse_unknown(self)
        self.claim = CommandClaim(self.config.claim_silence_s)
        self.latency = AnswerLatency()
        self.bridge = ClockBridge(self.get_clock())
        self._counts = {"commands": 0, "rejected": 0, "deadline_missed": 0, "sender_lost": 0}
        self._rejection = ""
        self._robot: Robot | None = None
        self._loop: ControlLoop | None = None
        self._entities: list[tuple[Any, Any]] = []
        self._published_s = -1.0
        self._reported_fault = self._halted = ""
        self._faults: list[dict[str, Any]] = []

    def configure(self) -> None:
        """Connect to the robot, without moving it, and build the topics and services.

        Raises:
            DeviceError: no connection, or the device is not ready to move; says what to check.
        """
        refusal = lock_memory()  # before the device waits for answers
        if refusal:
            self.get_logger().info(refusal)
        robot = self.entry.open(self.driver_config)
        self._robot = robot
        # A second line besides `close`: whatever ends the interpreter, the device is told to stop first.
        atexit.register(robot.disconnect)
        robot.connect()
        self._loop = open_loop(robot, self.entry, self.loop_config, self.safety_config)
        self._open_topics()
        self.get_logger().info(f"connected to {self.spec.name}")

    def activate(self) -> None:
        """Start the loop; it holds the measured pose until the first command."""
        self.claim.release()
        self._halted = ""
        if self._loop is not None:
            self._loop.start()
        topic = "joint_trajectory" if self.spec.joints else "cmd_vel"
        self.get_logger().info(f"ready: {self.spec.name} holds its pose; commands are taken on '{topic}'")

    def deactivate(self) -> None:
        """Bring the robot to rest and stop it; write the report."""
        if self._loop is not None:
            was_running = self._loop.running
            self._note_fault()
            come_to_rest(self._loop)
            self._loop.stop()
            if was_running or self._halted:
                self._write_report()
        if self._robot is not None:
            self._robot.stop()

    def cleanup(self) -> None:
        """Disconnect."""
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()
        if self._robot is not None:
            self._robot.disconnect()
            atexit.unregister(self._robot.disconnect)
        self._robot = self._loop = None

    def _open_topics(self) -> None:
        self._states = self._publisher(JointState, "joint_states", "state") if self.spec.joints else None
        self._odometry = self._publisher(Odometry, "odom", "state") if self.spec.base else None
        self._tools = self._publisher(PoseStamped, "tool_pose", "state") if self.spec.tool_frame else None
        state = self._newest_state()
        kind = JointState if self.spec.joints else TwistStamped
        self._commands = {name: self._publisher(kind, f"{name}_command", "state") for name in ("requested", "executed")}
        floating = self.spec.base is None and state is not None and state.base_angular_velocity is not None
        self._imu = self._publisher(Imu, "imu/data", "state") if floating else None
        feels = state is not None and surroundings_to_message(state, self.spec, self.bridge.stamp(0.0)) is not None
        self._contacts = self._publisher(DiagnosticArray, "contacts", "state") if feels else None
        self._diagnostics = self._publisher(DiagnosticArray, "diagnostics", "status")
        descriptions = self._publisher(String, "robot_spec", "description")
        descriptions.publish(String(data=json.dumps(asdict(self.spec))))
        if self.spec.joints:
            events = SubscriptionEventCallbacks(deadline=self._on_deadline, liveliness=self._on_liveliness)
            self._subscribe(JointTrajectory, "joint_trajectory", "command", self._on_trajectory, event_callbacks=events)
        elif self.config.cmd_vel_stamped:
            self._subscribe(TwistStamped, "cmd_vel", "velocity", self._on_twist_stamped)
        else:
            self._subscribe(Twist, "cmd_vel", "velocity", self._on_twist)
        for name, answer in (("~/stop", self._on_stop), ("~/reset", self._on_reset)):
            self._entities.append((self.destroy_service, self.create_service(Trigger, name, answer)))
        for rate_hz, tick in (
            (self.config.state_rate_hz, self._publish_state),
            (self.config.diagnostics_rate_hz, self._publish_diagnostics),
        ):
            self._entities.append((self.destroy_timer, self.create_timer(1.0 / rate_hz, tick)))

    def _publisher(self, kind: Any, topic: str, channel: str) -> Any:
        publisher = self.create_publisher(kind, topic, qos(channel, "publisher"))
        self._entities.append((self.destroy_publisher, publisher))
        return publisher

    def _subscribe(self, kind: Any, topic: str, channel: str, take: Callable[[Any], None], **options: Any) -> None:
        subscription = self.create_subscription(kind, topic, take, qos(channel, "subscription"), **options)
        self._entities.append((self.destroy_subscription, subscription))

    def _publish_state(self) -> None:
        sample = self._newest_sample()
        state = sample.state if sample is not None else self._newest_state()
        if state is None or float(state.capture_time_s) == self._published_s:
            return  # a measurement is published once: repeating it would hide that it is old
        self._published_s = float(state.capture_time_s)
        stamp = self.bridge.stamp(self._published_s)
        tool = tool_to_message(state, self.spec, stamp)
        if tool is not None and self._tools is not None:
            self._tools.publish(tool)
        imu = imu_to_message(state, self.spec, stamp) if self._imu is not None else None
        if imu is not None and self._imu is not None:
            self._imu.publish(imu)
        felt = surroundings_to_message(state, self.spec, stamp) if self._contacts is not None else None
        if felt is not None and self._contacts is not None:
            self._contacts.publish(felt)  # before odom, so that whoever waits for that has both
        odometry = odometry_to_message(state, self.spec, stamp) if self._odometry is not None else None
        if odometry is not None and self._odometry is not None:
            self._odometry.publish(odometry)
        message = state_to_message(state, self.spec, stamp)
        self.latency.sent(stamp_to_ns(stamp), time.monotonic())
        if self._states is not None:
            self._states.publish(message)
        for name, publisher in self._commands.items():
            command = getattr(sample, name, None)
            if command is not None and publisher.get_subscription_count():
                publisher.publish(command_to_message(command, self.spec, stamp))
        if self._fault() != self._reported_fault:
            self._publish_diagnostics()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        def reference(created_s: float) -> JointReference:
            return reference_from_message(message, self.spec, created_s)

        # As in ros2_control: a trajectory without points means stay where you are. The robot is free again.
        self._on_command(message.header, reference if message.points else None)
        if not message.points and self.claim.owner == (message.header.frame_id or "(unnamed)"):
            self.claim.release()

    def _on_twist_stamped(self, message: TwistStamped) -> None:
        def reference(created_s: float) -> BaseReference:
            return base_reference_from_message(message.twist, self.spec, self.config.cmd_vel_horizon_s, created_s)

        if stamp_to_ns(message.header.stamp) == 0:  # typed by hand on a command line
            message.header.stamp = self.get_clock().now().to_msg()
        # Standing still needs no further commands: zero is never stale.
        self._on_command(message.header, None if is_rest(message.twist) else reference)

    def _on_twist(self, message: Twist) -> None:
        self._on_twist_stamped(TwistStamped(twist=message))

    def _on_command(self, header: Header, reference: Callable[[float], JointReference | BaseReference] | None) -> None:
        """Take one command, from the sender `header.frame_id`; without a reference it means come to rest."""
        now_s = time.monotonic()
        sender = header.frame_id or "(unnamed)"
        loop = self._loop
        if loop is None or not loop.running or not self.active:
            return
        if not self.claim.accept(sender, now_s):
            if self.claim.refused[sender] == 1:
                self.get_logger().error(
                    f"commands of '{sender}' are refused: '{self.claim.owner}' commands this robot. Stop one of them."
                )
            return
        self._counts["commands"] += 1
        self.latency.answered(stamp_to_ns(header.stamp), now_s)
        if reference is None:
            loop.hold()
            return
        try:
            loop.set_reference(reference(self.bridge.monotonic(header.stamp)))
        except NonFiniteError as error:
            self._halt(f"command of '{sender}': {error}")
        except (ProtocolError, ConfigError) as error:
            self._counts["rejected"] += 1
            if str(error) != self._rejection:
                self._rejection = str(error)
                self.get_logger().error(f"command of '{sender}' rejected: {error}")

    def _newest_sample(self) -> LoopSample | None:
        """The newest cycle of the loop, while it runs."""
        loop = self._loop
        return loop.latest() if loop is not None and loop.running else None

    def _newest_state(self) -> RobotState | None:
        """From the loop while it runs, else from the driver itself; None where there is none."""
        sample, robot = self._newest_sample(), self._robot
        if sample is not None:
            return sample.state
        try:
            return robot.read() if robot is not None else None
        except DeviceError:
            return None

    def _publish_diagnostics(self) -> None:
        level, summary = self._condition()
        self._note_fault()
        values: dict[str, object] = {
            "active": self.active,
            "owner": self.claim.owner,
            "refused_senders": ", ".join(sorted(self.claim.refused)),
            "last_rejection": self._rejection,
            **self._counts,
            **{f"answer_{name}": value for name, value in self.latency.summary().items()},
            **(figures_of(self._loop) if self._loop is not None else {}),
        }
        stamp = self.get_clock().now().to_msg()
        name = f"{self.get_fully_qualified_name()}: control loop"
        self._diagnostics.publish(diagnostics_message(stamp, name, level, summary, values, self.spec.name))

    def _note_fault(self) -> None:
        """Log a fault once, and keep it for the report."""
        fault = self._fault()
        if fault and fault != self._reported_fault:
            self.get_logger().error(f"{self.spec.name} was stopped: {fault}. When it is safe, call the service reset")
            self._faults.append({"time": datetime.now(UTC).isoformat(), "fault": fault})
        self._reported_fault = fault

    def _condition(self) -> tuple[Level, str]:
        """Level and one line on how the robot is."""
        fault = self._fault()
        if fault:
            return "error", fault
        if not self.active:
            return "stale", "not active"
        if self.claim.refused:
            return "warning", f"commands of {', '.join(sorted(self.claim.refused))} were refused: two senders"
        return "ok", "follows commands" if self.claim.owner else "holds its pose, no commands yet"

    def _on_stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Service `~/stop`: the robot's own safe stop, latched until `~/reset`."""
        self._halt("stopped by the service stop")
        response.success, response.message = True, f"{self.spec.name} is stopped; call reset to go on"
        return response

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Service `~/reset`: a person has seen to the cause; make the device ready and hold the measured pose."""
        robot, loop = self._robot, self._loop
        if robot is None or loop is None or not self.active:
            response.success, response.message = False, "the driver is not active"
            return response
        try:
            loop.stop()
            getattr(robot, "recover", robot.connect)()
            loop.start()
        except DeviceError as error:
            self._halt(str(error))
            response.success, response.message = False, str(error)
            return response
        self._halted = ""
        self.claim.release()
        self._publish_diagnostics()
        response.success, response.message = True, f"{self.spec.name} holds its pose"
        return response

    def _halt(self, reason: str) -> None:
        """Stop the robot by its own means and say why until reset."""
        self._halted = reason
        self.get_logger().error(reason)
        if self._loop is not None:
            self._loop.stop()
        self._publish_diagnostics()

    def _fault(self) -> str:
        """Why the robot stands still; "" while it follows."""
        if self._halted:
            return self._halted
        return (self._loop.fault or "") if self._loop is not None else ""

    def _on_deadline(self, event: Any) -> None:
        self._counts["deadline_missed"] = int(event.total_count)

    def _on_liveliness(self, event: Any) -> None:
        if event.alive_count_change < 0:
            self._counts["sender_lost"] += 1

    def _write_report(self) -> None:
        """The session as JSON, if a path is given."""
        if not self.config.report_path or self._loop is None:
            return
        report = {
            "robot": self.spec.name,
            "loop": report_of(self._loop, self._faults),
            "commands": {**self._counts, "refused": dict(self.claim.refused)},
            "answer": self.latency.summary(),
        }
        try:
            write_text(Path(self.config.report_path), json.dumps(report, indent=2, default=str))
        except OSError as error:
            self.get_logger().error(f"report {self.config.report_path} cannot be written: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the driver node with the parameters given by `--ros-args`."""
    return run_node(DriverNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
