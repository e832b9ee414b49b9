"""The launch file of the Create 2: virtual robot on a pseudo terminal, driver node, cmd_vel and odom."""

from __future__ import annotations

import pytest
from base_launch import drives_stands_and_ends_at_rest, launches, status, virtual
from geometry_msgs.msg import Twist

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow]


def test_it_follows_velocities_and_ends_in_mode_off(observer, start, tmp_path):
    seen = drives_stands_and_ends_at_rest("create2", observer, start, str(tmp_path / "port"), "--nominal")
    assert seen["mode"] == "off" and seen["wheel_targets_mm_s"] == [0, 0]


def test_the_launch_file_starts_and_ends_in_order(tmp_path, domain_id):
    lines = launches("create2", tmp_path, domain_id, str(tmp_path / "port"))
    assert any("commands are taken on 'cmd_vel'" in line for line in lines)
    assert not (tmp_path / "port").exists()


def test_older_tools_send_a_twist_without_stamp(observer, start, tmp_path):
    port = str(tmp_path / "port")
    device = virtual("create2", port, "--nominal")
    try:
        driver = start("driver_node", robot="create2", driver__port=port, cmd_vel_stamped=False)
        driver.wait_for("ready: create2", limit_s=20.0)
        commands, message = observer.create_publisher(Twist, "cmd_vel", 1), Twist()
        message.linear.x = 0.2
        observer.until(lambda: commands.get_subscription_count() > 0)
        observer.until(lambda: status(device)["speed"] > 0.1, each=lambda: commands.publish(message))
        observer.until(lambda: status(device)["mode"] == "passive")  # the sender has fallen silent
        assert status(device)["speed"] < 0.05
    finally:
        device.terminate()
        device.wait(10.0)
        device.stdin.close()
        device.stdout.close()
