"""Launch one base with its virtual device, drive it over ROS, and look at the device; for the tests of both bases."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry

from robostack.launching.finder import load_launch, resolve_arguments
from robostack.launching.supervisor import Supervisor, SupervisorConfig
from robostack.nodes.qos import qos


class Rider:
    """Sends velocities and listens to odometry, on the node of the test."""

    def __init__(self, observer) -> None:
        self.observer = observer
        self.odometry: list[Odometry] = []
        observer.create_subscription(Odometry, "odom", self.odometry.append, qos("state", "subscription"))
        self.commands = observer.create_publisher(TwistStamped, "cmd_vel", 1)  # the default profile of other tools

    def send(self, speed: float, yaw_rate: float = 0.0) -> None:
        message = TwistStamped()
        message.header.stamp = self.observer.get_clock().now().to_msg()
        message.header.frame_id = "rider"
        message.twist.linear.x, message.twist.angular.z = speed, yaw_rate
        self.commands.publish(message)

    def drive_until(self, condition, speed: float, yaw_rate: float = 0.0) -> None:
        self.observer.until(condition, each=lambda: self.send(speed, yaw_rate))


def virtual(robot: str, port: str, *flags: str):
    command = [sys.executable, "-m", "sim.devices.run", robot, "--port", port, *flags]
    device = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert device.stdout.readline().startswith(f"ready {robot}")
    return device


def status(device) -> dict[str, object]:
    device.stdin.write("status\n")
    device.stdin.flush()
    return json.loads(device.stdout.readline())


def drives_stands_and_ends_at_rest(robot, observer, start, port, *flags):
    """Follow a velocity, stand on a zero, end on SIGINT: seen at the device."""
    device = virtual(robot, port, *flags)
    try:
        driver = start("driver_node", robot=robot, driver__port=port, diagnostics_rate_hz=10.0)
        driver.wait_for(f"ready: {robot}", limit_s=20.0)
        rider = Rider(observer)
        observer.until(lambda: len(rider.odometry) > 20 and rider.commands.get_subscription_count() > 0)
        rider.drive_until(lambda: rider.odometry[-1].pose.pose.position.x > 0.25, 0.3)
        assert abs(status(device)["x"] - rider.odometry[-1].pose.pose.position.x) < 0.1
        rider.drive_until(lambda: abs(status(device)["speed"]) < 0.01, 0.0)
        observer.until(lambda: observer.says("follows commands"))  # standing on a zero command is no fault
        rider.drive_until(lambda: status(device)["speed"] > 0.2, 0.3)
        assert driver.end(signal.SIGINT)[0] == 0, driver.output
        observer.until(lambda: status(device)["speed"] < 0.02)
        return status(device)
    finally:
        device.terminate()
        device.wait(10.0)
        device.stdin.close()
        device.stdout.close()


def launches(robot, tmp_path, domain_id, port) -> list[str]:
    """Start the launch file with a virtual device, and end it as Ctrl-C does once the driver is ready."""
    description = load_launch(robot)
    items = description.describe(resolve_arguments(description, {"virtual": "true", "port": port}))
    lines: list[str] = []

    def on_output(name: str, line: str) -> None:
        lines.append(f"[{name}] {line}")
        if f"ready: {robot}" in line:
            supervisor.request_stop()

    supervisor = Supervisor(items, on_output, SupervisorConfig(domain_id=domain_id, log_dir=str(tmp_path / "log")))
    statuses = supervisor.run()
    assert statuses == {f"virtual_{robot}": 0, "driver": 0}, "\n".join(lines)
    return lines
