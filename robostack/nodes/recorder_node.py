"""The recorder node: writes down what a robot does, as a dataset and as the raw messages, in a process of its own.

Episodes begin and end with the messages on `episode_events`, once it has said on `recorder_status` that it is ready.
Ending the process keeps a running episode as far as it went; killing it loses that episode and nothing else.

Subscribes `episode_events`, `joint_states` or `odom`, `requested_command`, `executed_command`, `joint_trajectory` or
`cmd_vel`, the cameras' `image_raw/compressed`, and, for the raw record only, `tool_pose`, `imu/data`, `diagnostics`,
`robot_spec` and the cameras' `camera_info`. Publishes, latched, `recorder_status` (JSON): that it is ready, then one
message per episode.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Imu, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, ContractMismatchError, DatasetError, ProtocolError
from robostack.data.raw_record import RawRecorder
from robostack.data.writer import DatasetWriter
from robostack.nodes.base_messages import state_from_odometry
from robostack.nodes.camera_messages import color_from_message
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.driver_node import load_robot
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import stamp_to_ns, state_from_message
from robostack.nodes.parameters import configuration_from, refuse_unknown
from robostack.nodes.qos import qos
from robostack.nodes.run_node import run_node
from robostack.teleoperation.episode_recorder import EpisodeRecorder, EpisodeReport
from robostack.teleoperation.frame_layout import FrameLayout

_STEP_S = 0.02
_EVENT_AGE_MAX_S = 5.0


@dataclass(frozen=True)
class RecorderNodeConfig:
    """Parameters of the recorder node.

    Raises:
        ConfigError: no folder given.
    """

    robot: str = "ur5e"
    """Registry name of the robot, or "module:NAME" of a RobotEntry."""
    root: str = ""
    """Folder of the dataset."""
    fps: int = 30
    """Time steps per second of the dataset."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras to record."""
    video: bool = True
    """Whether images are stored as video; otherwise as PNG in the tables."""
    raw: bool = True
    """Whether the messages are recorded as they come too, in the folder `raw` of the dataset."""
    settle_s: float = 0.1
    """How long after its moment a time step is made, so that all messages of that moment have arrived [s]."""
    operators: str = "teleoperation"
    """Senders of commands whose names begin with this are persons."""

    def __post_init__(self) -> None:
        if not self.root:
            raise ConfigError("recorder: root is empty; name the folder of the dataset")
        if not 1 <= self.fps <= 200:
            raise ConfigError(f"recorder: fps = {self.fps} is outside [1, 200]")


class RecorderNode(ManagedNode):
    """See the module.

    Args:
        overrides: parameter values, for tests.
    """

    def __init__(self, overrides: Sequence[Any] = ()) -> None:
        super().__init__("recorder", overrides)
        self.config = configuration_from(self, RecorderNodeConfig)
        refuse_unknown(self)
        self.spec = load_robot(self.config.robot).spec
        self.bridge = ClockBridge(self.get_clock())
        self._sizes: dict[str, tuple[int, int]] = {}
        self._writer: DatasetWriter | None = None
        self._raw: RawRecorder | None = None
        self._recorder: EpisodeRecorder | None = None
        self._layout: FrameLayout | None = None
        self._listening = False
        self._entities: list[tuple[Any, Any]] = []

    def configure(self) -> None:
        """Open the topics; the dataset too, unless the size of an image must be seen first.

        Raises:
            DatasetError: the folder cannot be written, or holds something else.
            ConfigError: the dataset that is there has other columns.
        """
        self._status = self.create_publisher(String, "recorder_status", qos("events", "publisher"))
        self._entities.append((self.destroy_publisher, self._status))
        joints = bool(self.spec.joints)
        if joints:
            self._listen(JointState, "joint_states", self._on_state)
        else:
            self._listen(Odometry, "odom", self._on_odometry)
        for name in ("requested", "executed"):
            kind: Any = JointState if joints else TwistStamped
            self._listen(kind, f"{name}_command", partial(self._on_command, name))
        sent: Any = JointTrajectory if joints else TwistStamped
        self._listen(sent, "joint_trajectory" if joints else "cmd_vel", self._on_sent)
        for camera in self.config.cameras:
            self._listen(CompressedImage, f"{camera}/image_raw/compressed", partial(self._on_image, camera))
            self._listen(CameraInfo, f"{camera}/camera_info", None)
        for kind, topic in ((PoseStamped, "tool_pose"), (Imu, "imu/data"), (DiagnosticArray, "diagnostics")):
            self._listen(kind, topic, None)
        self._listen(String, "robot_spec", None, latched=True)
        self._entities.append((self.destroy_timer, self.create_timer(_STEP_S, self._step)))
        if not self.config.cameras:
            self._open()

    def deactivate(self) -> None:
        """Keep a running episode as far as it went."""
        recorder = self._recorder
        if recorder is None or not recorder.recording:
            return
        now_s = time.monotonic()
        recorder.end(now_s, "the recorder was ended", success=False, keep=True)
        self._advance(recorder, now_s + self.config.settle_s)

    def cleanup(self) -> None:
        """Close topics and files."""
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()
        writer, raw = self._writer, self._raw
        self._writer = self._raw = self._recorder = None
        if writer is not None:
            writer.close()
        if raw is not None:
            try:
                raw.close()
            except DatasetError as error:
                self.get_logger().error(str(error))

    def _open(self) -> None:
        """The dataset and the raw record."""
        config, root = self.config, Path(self.config.root)
        layout = FrameLayout(self.spec, self._sizes, config.video)
        self._writer = DatasetWriter(
            root,
            fps=config.fps,
            features=layout.features(),
            robot_type=self.spec.name,
            contract=layout.contract(config.fps),
        )
        if config.raw:
            self._raw = RawRecorder(root / "raw" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.mcap")
            self._raw.add_metadata("robostack", {"robot": self.spec.name, "spec": json.dumps(asdict(self.spec))})
        self._layout, self._recorder = layout, EpisodeRecorder(self._writer, layout, config.fps, config.settle_s)

    def _listen(self, kind: Any, topic: str, take: Callable[[Any, int], None] | None, latched: bool = False) -> None:
        """Subscribe as it is on the wire: the raw record gets the bytes, `take` the message and its time of arrival."""
        name = self.resolve_topic_name(topic)
        module = kind.__module__.split(".")[0]
        type_name = f"{module}/msg/{kind.__name__}"

        def on_bytes(data: bytes) -> None:
            now_ns = int(self.get_clock().now().nanoseconds)
            if self._raw is not None:
                self._guard(lambda: self._write(name, type_name, data, now_ns))
            if take is not None:
                take(deserialize_message(data, kind), now_ns)

        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        # Every message, unlike a controller that wants the newest; commands and images are offered best effort.
        unreliable = kind in (JointTrajectory, CompressedImage, CameraInfo)
        reliability = ReliabilityPolicy.BEST_EFFORT if unreliable else ReliabilityPolicy.RELIABLE
        profile = QoSProfile(depth=500 if not unreliable else 60, reliability=reliability, durability=durability)
        subscription = self.create_subscription(kind, topic, on_bytes, profile, raw=True)
        self._entities.append((self.destroy_subscription, subscription))

    def _write(self, name: str, type_name: str, data: bytes, now_ns: int) -> None:
        if self._raw is not None:
            self._raw.write(name, type_name, data, now_ns)

    def _guard(self, action: Callable[[], None]) -> None:
        """A disk that cannot be written ends the recording, not the robot."""
        try:
            action()
        except DatasetError as error:
            self._fail(str(error))

    def _on_state(self, message: JointState, now_ns: int) -> None:
        if self._recorder is None:
            return
        try:
            state = state_from_message(message, self.spec, self._time_s(message.header.stamp))
        except ProtocolError as error:
            self._fail(str(error))
            return
        self._recorder.on_state(state, self._time_s(now_ns))

    def _on_odometry(self, message: Odometry, now_ns: int) -> None:
        if self._recorder is not None:
            state = state_from_odometry(message, None, self._time_s(message.header.stamp))
            self._recorder.on_state(state, self._time_s(now_ns))

    def _on_command(self, which: str, message: JointState | TwistStamped, _now_ns: int) -> None:
        if self._recorder is None or self._layout is None:
            return
        try:
            action = self._layout.action(_command_of(message))
        except ProtocolError as error:
            self._fail(str(error))
            return
        self._recorder.on_command(which, self._time_s(message.header.stamp), action)

    def _on_sent(self, message: JointTrajectory | TwistStamped, now_ns: int) -> None:
        if self._recorder is not None:
            person = message.header.frame_id.startswith(self.config.operators)
            moving = bool(getattr(message, "points", True))
            self._recorder.on_operator(self._time_s(now_ns), person and moving)

    def _on_image(self, camera: str, message: CompressedImage, _now_ns: int) -> None:
        if camera not in self._sizes:
            try:
                height, width, _ = color_from_message(message).shape
            except ProtocolError as error:
                self._fail(f"camera {camera}: {error}")
                return
            self._sizes[camera] = (height, width)
            if len(self._sizes) == len(self.config.cameras):
                self._begin_dataset()
        if self._recorder is not None:
            self._recorder.on_image(camera, self._time_s(message.header.stamp), lambda: color_from_message(message))

    def _begin_dataset(self) -> None:
        try:
            self._open()
        except (DatasetError, ConfigError, ContractMismatchError) as error:
            self._fail(str(error))

    def _on_event(self, message: String, _now_ns: int) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        try:
            event: Mapping[str, Any] = json.loads(message.data)
            at_s = self._time_s(int(event.get("stamp_ns", int(self.get_clock().now().nanoseconds))))
            number = int(event.get("number", event["episode"]))
            if time.monotonic() - at_s > _EVENT_AGE_MAX_S:
                return  # kept by ROS from before this node was there
            if event["event"] == "begin":
                recorder.begin(number, str(event.get("task") or "unnamed"), at_s)
            elif event["event"] == "end":
                keep, success = bool(event.get("keep", True)), bool(event.get("success", False))
                recorder.end(at_s, str(event.get("reason", "")), success=success, keep=keep)
        except (ValueError, KeyError, TypeError) as error:
            self.get_logger().error(f"episode_events carries no event: {error}")

    def _step(self) -> None:
        recorder = self._recorder
        if recorder is None or not self.active or self.finished:
            return
        if not self._listening and recorder.ready:
            self._listening = True
            self._listen(String, "episode_events", self._on_event, latched=True)
            self._status.publish(String(data=json.dumps({"ready": True, "root": self.config.root})))
            self.get_logger().info(f"ready to record into {self.config.root}")
        self._advance(recorder, time.monotonic())

    def _advance(self, recorder: EpisodeRecorder, now_s: float) -> None:
        try:
            report = recorder.step(now_s)
        except (DatasetError, ProtocolError, ConfigError) as error:
            recorder.abandon()
            self._fail(str(error))
            return
        if report is not None:
            self._publish(report)

    def _publish(self, report: EpisodeReport) -> None:
        values = {**asdict(report), "clock_skew_ms": report.clock_skew_ms, "text": report.text(), "failed": False}
        self._status.publish(String(data=json.dumps(values)))
        if not self._status.get_subscription_count():  # else the listener says it
            self.get_logger().info(report.text())

    def _fail(self, reason: str) -> None:
        if self.finished:
            return
        self.failure = reason
        self.get_logger().error(reason)
        self._status.publish(String(data=json.dumps({"number": -1, "text": reason, "failed": True})))
        self.finish(1)

    def _time_s(self, stamp: Time | int) -> float:
        """Monotonic time of a stamp, also of one in the future: a wrong clock is to be seen, not hidden [s]."""
        now_ns, now_s = int(self.get_clock().now().nanoseconds), time.monotonic()
        stamp_ns = stamp if isinstance(stamp, int) else stamp_to_ns(stamp)
        return now_s - (now_ns - stamp_ns) * 1e-9


def _command_of(message: JointState | TwistStamped) -> dict[str, FloatArray]:
    """The parts of a command that a message carries."""
    if isinstance(message, TwistStamped):
        return {"base": np.array([message.twist.linear.x, message.twist.angular.z])}
    parts = {"position": message.position, "velocity": message.velocity, "effort": message.effort}
    return {name: np.array(values) for name, values in parts.items() if values}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder node with the parameters given by `--ros-args`."""
    return run_node(RecorderNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
