"""The camera node: one camera of any kind, published as ROS images.

A thread waits for each frame and publishes it at once, stamped with its capture time. A camera that is lost is opened
again by its driver; meanwhile `diagnostics` says why there are no images.

Publishes, under the name of the camera, `image_raw/compressed` (JPEG), `image_raw`, `depth/image_raw` where there is
depth, and `camera_info`; and `diagnostics`. Subscribes `joint_states` for a camera that draws the robot it shows.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from controllers.histogram import DurationHistogram
from hardware.camera import CAMERAS, Camera, CameraEntry, CameraFrame, StateFollower
from hardware.errors import ConfigError, DeviceError, ProtocolError, StaleDataError
from hardware.registry import load_object
from hardware.robot import ROBOTS
from robostack.nodes.camera_messages import camera_info_message, compressed_message, depth_message, image_message
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import Level, diagnostics_message, state_from_message
from robostack.nodes.parameters import configuration_from, refuse_unknown
from robostack.nodes.qos import qos
from robostack.nodes.run_node import run_node

_WAIT_S = 0.5
_JOIN_S = 5.0
_QUALITY_MAX = 95


@dataclass(frozen=True)
class CameraNodeConfig:
    """Parameters of the camera node, besides those of the camera (prefix `camera.`)."""

    kind: str = "opencv"
    """Registry name of the kind of camera, or "module:NAME" of a CameraEntry."""
    camera_name: str = "camera"
    """Name of this camera; its topics begin with it."""
    images: Literal["compressed", "raw", "both"] = "compressed"
    """Which colour images are published; raw ones are for readers on this machine."""
    jpeg_quality: int = 90
    """Quality of compressed images, 1 to 95."""
    frame_id: str = ""
    """Frame of the images; "": the camera's name and "_optical_frame"."""
    diagnostics_rate_hz: float = 1.0
    """Rate at which diagnostics are published [Hz]."""

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= _QUALITY_MAX:
            raise ConfigError(f"jpeg_quality = {self.jpeg_quality}; it is 1 to {_QUALITY_MAX}")
        if not self.camera_name.replace("_", "").isalnum():
            raise ConfigError(f"the name of a camera has letters, digits and _, not '{self.camera_name}'")


def load_camera(kind: str) -> CameraEntry:
    """The kind of camera called `kind`, or the object named by "module:NAME".

    Raises:
        UnknownNameError: no such kind.
    """
    return load_object(kind) if ":" in kind else CAMERAS.load(kind)  # type: ignore[return-value]


class CameraNode(ManagedNode):
    """See the module. configure = open the camera, activate = publish.

    Args:
        overrides: parameter values, for tests.
    """

    def __init__(self, overrides: Sequence[Any] = ()) -> None:
        super().__init__("camera", overrides)
        self.config = configuration_from(self, CameraNodeConfig)
        self.entry = load_camera(self.config.kind)
        self.camera_config = configuration_from(self, self.entry.config_type(), "camera.")
        refuse_unknown(self)
        self.bridge = ClockBridge(self.get_clock())
        self.frames = 0
        """Frames published."""
        self.latency = DurationHistogram()
        """From capture to publication."""
        self._frame_id = self.config.frame_id or f"{self.config.camera_name}_optical_frame"
        self._camera: Camera | None = None
        self._entities: list[tuple[Any, Any]] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self._since = (time.monotonic(), 0)

    def configure(self) -> None:
        """Open the camera and build the topics.

        Raises:
            DeviceNotConnectedError: no such camera.
            MissingExtraError: its library is not installed.
        """
        camera = self.entry.open(self.camera_config)
        camera.connect()
        self._camera = camera
        name, profile = self.config.camera_name, qos("image", "publisher")
        self._info = self._publisher(CameraInfo, f"{name}/camera_info", profile)
        self._raw = self._publisher(Image, f"{name}/image_raw", profile) if self.config.images != "compressed" else None
        self._compressed = self._depth = None
        if self.config.images != "raw":
            self._compressed = self._publisher(CompressedImage, f"{name}/image_raw/compressed", profile)
        if getattr(self.camera_config, "depth", False):
            self._depth = self._publisher(Image, f"{name}/depth/image_raw", profile)
        self._status = self._publisher(DiagnosticArray, "diagnostics", qos("status", "publisher"))
        timer = self.create_timer(1.0 / self.config.diagnostics_rate_hz, self._report)
        self._entities.append((timer, self.destroy_timer))
        if isinstance(camera, StateFollower):
            self._follow(camera)
        self.get_logger().info(f"camera '{name}' ({self.config.kind}) is open")

    def activate(self) -> None:
        """Publish every frame from now on."""
        self._ending.clear()
        self._since = (time.monotonic(), self.frames)
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()
        self.get_logger().info(
            f"ready: camera '{self.config.camera_name}' publishes on {self.config.camera_name}/image_raw"
        )

    def deactivate(self) -> None:
        """Publish no more."""
        thread, self._thread = self._thread, None
        self._ending.set()
        if thread is not None:
            thread.join(_JOIN_S)

    def cleanup(self) -> None:
        """Close the camera and the topics."""
        for entity, destroy in self._entities:
            destroy(entity)
        self._entities = []
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.disconnect()

    def _publisher(self, kind: Any, topic: str, profile: Any) -> Any:
        publisher = self.create_publisher(kind, topic, profile)
        self._entities.append((publisher, self.destroy_publisher))
        return publisher

    def _follow(self, camera: StateFollower) -> None:
        spec = ROBOTS.load(camera.robot).spec

        def on_state(message: JointState) -> None:
            try:
                camera.follow(state_from_message(message, spec, self.bridge.monotonic(message.header.stamp)))
            except ProtocolError as error:
                self._say(str(error))

        subscription = self.create_subscription(JointState, "joint_states", on_state, qos("state", "subscription"))
        self._entities.append((subscription, self.destroy_subscription))

    def _run(self) -> None:
        camera = self._camera
        while camera is not None and not self._ending.is_set():
            try:
                frame = camera.read_next(_WAIT_S)
            except StaleDataError as error:
                self._say(str(error))
                continue
            except DeviceError as error:
                self._say(str(error))
                self._ending.wait(_WAIT_S)
                continue
            self._say("")
            self._publish(frame)

    def _publish(self, frame: CameraFrame) -> None:
        stamp, frame_id = self.bridge.stamp(frame.capture_time_s), self._frame_id
        if self._compressed is not None:
            self._compressed.publish(compressed_message(frame, stamp, frame_id, self.config.jpeg_quality))
        if self._raw is not None:
            self._raw.publish(image_message(frame, stamp, frame_id))
        if self._depth is not None and (depth := depth_message(frame, stamp, frame_id)) is not None:
            self._depth.publish(depth)
        self._info.publish(camera_info_message(frame.intrinsics, stamp, frame_id))
        self.frames += 1
        self.latency.add(time.monotonic() - frame.capture_time_s)

    def _say(self, trouble: str) -> None:
        """Log what is wrong when it changes."""
        kind, known = trouble.partition(":")[0], self._trouble.partition(":")[0]
        if kind != known:
            self.get_logger().warning(trouble) if trouble else self.get_logger().info("images come again")
        self._trouble = trouble

    def _report(self) -> None:
        now_s, (then_s, then) = time.monotonic(), self._since
        self._since = (now_s, self.frames)
        rate_hz = (self.frames - then) / max(now_s - then_s, 1e-9)
        values = {
            "frames": self.frames,
            "rate_hz": rate_hz,
            "latency_p50_ms": 1e3 * self.latency.percentile(0.5),
            "latency_p99_ms": 1e3 * self.latency.percentile(0.99),
            "reopened": getattr(self._camera, "reopened", 0),
        }
        level: Level = "error" if self._trouble else "ok"
        name = f"{self.get_name()}: {self.config.camera_name}"
        message = self._trouble or f"{rate_hz:.1f} images/s"
        stamp = self.get_clock().now().to_msg()
        self._status.publish(diagnostics_message(stamp, name, level, message, values, self.config.kind))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; the exit status."""
    return run_node(CameraNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
