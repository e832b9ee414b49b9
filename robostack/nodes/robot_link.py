"""The topics between a policy and the driver of its robot: joints or wheels, the same to the policy node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from controllers.reference import BaseReference, JointReference
from hardware.errors import ConfigError, ProtocolError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.nodes.base_messages import (
    Surroundings,
    base_reference_to_message,
    state_from_odometry,
    surroundings_from_message,
)
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.messages import reference_to_message, stamp_to_ns, state_from_message
from robostack.nodes.qos import qos

FELT_AGE_MAX_S = 0.1
"""What a base feels may be this much older than its odometry [s]."""


class Listener(Protocol):
    """Who gets the measurements."""

    def on_state(self, state: RobotState, stamp: Time) -> None:
        """One measurement, and its capture time as ROS time."""
        ...

    def on_nonsense(self, reason: str) -> None:
        """A message that is not of this robot."""
        ...


class JointLink:
    """Subscribes `joint_states`, publishes `joint_trajectory`.

    Args:
        node: opens the topics, and closes them when it is destroyed.
        spec: the robot.
        sender: identifies the commanding session.
        bridge: from ROS time to monotonic time.
        listener: gets the measurements.
    """

    state_topic, command_topic = "joint_states", "joint_trajectory"

    def __init__(self, node: Node, spec: RobotSpec, sender: str, bridge: ClockBridge, listener: Listener) -> None:
        self.spec, self.sender, self.bridge, self.listener = spec, sender, bridge, listener
        self.commands: Any = node.create_publisher(JointTrajectory, self.command_topic, qos("command", "publisher"))
        states = node.create_subscription(JointState, self.state_topic, self._on_state, qos("state", "subscription"))
        self.entities = [(node.destroy_publisher, self.commands), (node.destroy_subscription, states)]
        """How to close each topic."""

    def send(self, reference: JointReference | BaseReference, stamp: Time) -> None:
        """Send a set-point that answers the measurement of `stamp`.

        Raises:
            ConfigError: it is one for wheels.
        """
        if not isinstance(reference, JointReference):
            raise ConfigError(f"'{self.spec.name}' has joints; the task gave a {type(reference).__name__}")
        self.commands.publish(reference_to_message(reference, self.spec, stamp, self.sender))

    def release(self, stamp: Time) -> None:
        """Let the robot hold its pose, and others command it: a trajectory without points, as in ros2_control."""
        message = JointTrajectory(joint_names=list(self.spec.joint_names))
        message.header.stamp, message.header.frame_id = stamp, self.sender
        self.commands.publish(message)

    def _on_state(self, message: JointState) -> None:
        try:
            state = state_from_message(message, self.spec, self.bridge.monotonic(message.header.stamp))
        except ProtocolError as error:
            self.listener.on_nonsense(str(error))
            return
        self.listener.on_state(state, message.header.stamp)


class BaseLink:
    """Subscribes `odom` and `contacts`, publishes `cmd_vel`; arguments as `JointLink`.

    Odometry of a robot that has bumpers is passed on only together with what they felt at that time.
    """

    state_topic, command_topic = "odom", "cmd_vel"

    def __init__(self, node: Node, spec: RobotSpec, sender: str, bridge: ClockBridge, listener: Listener) -> None:
        self.spec, self.sender, self.bridge, self.listener = spec, sender, bridge, listener
        self._feels = spec.base is not None and bool(spec.base.front_contacts)
        self._felt: Surroundings | None = None
        self._felt_ns = 0
        self.commands: Any = node.create_publisher(TwistStamped, self.command_topic, qos("velocity", "publisher"))
        contacts = node.create_subscription(DiagnosticArray, "contacts", self._on_felt, qos("state", "subscription"))
        states = node.create_subscription(Odometry, self.state_topic, self._on_state, qos("state", "subscription"))
        self.entities = [
            (node.destroy_publisher, self.commands),
            (node.destroy_subscription, contacts),
            (node.destroy_subscription, states),
        ]
        """How to close each topic."""

    def send(self, reference: JointReference | BaseReference, stamp: Time) -> None:
        """Send a velocity that answers the measurement of `stamp`.

        Raises:
            ConfigError: it is one for joints.
        """
        if not isinstance(reference, BaseReference):
            raise ConfigError(f"'{self.spec.name}' drives; the task gave a {type(reference).__name__}")
        self.commands.publish(base_reference_to_message(reference, self.spec, stamp, self.sender))

    def release(self, stamp: Time) -> None:
        """Let the robot stand: a zero velocity, which is never stale."""
        self.send(BaseReference(0.0, 0.0, 0.0), stamp)

    def _on_felt(self, message: DiagnosticArray) -> None:
        try:
            self._felt, self._felt_ns = surroundings_from_message(message), stamp_to_ns(message.header.stamp)
        except ProtocolError as error:
            self.listener.on_nonsense(str(error))

    def _on_state(self, message: Odometry) -> None:
        stamp = message.header.stamp
        late = self._felt is None or abs(stamp_to_ns(stamp) - self._felt_ns) > FELT_AGE_MAX_S * 1e9
        if late and self._feels:
            return  # to the policy node the measurement is then missing, which it says and acts upon
        felt = None if late else self._felt
        self.listener.on_state(state_from_odometry(message, felt, self.bridge.monotonic(stamp)), stamp)


RobotLink = JointLink | BaseLink
OpenLink = Callable[[Node, RobotSpec, str, ClockBridge, Listener], RobotLink]


def open_link(node: Node, spec: RobotSpec, sender: str, bridge: ClockBridge, listener: Listener) -> RobotLink:
    """The topics of the driver of `spec`; see `JointLink`."""
    kind: OpenLink = JointLink if spec.joints else BaseLink
    return kind(node, spec, sender, bridge, listener)
