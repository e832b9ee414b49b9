"""The launch file of the Create 2: virtual robot on a pseudo terminal, driver node, cmd_vel and odom."""

from __future__ import annotations

import pytest
from base_launch import drives_stands_and_ends_at_rest, launches

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow]


def test_it_follows_velocities_and_ends_in_mode_off(observer, start, tmp_path):
    seen = drives_stands_and_ends_at_rest("create2", observer, start, str(tmp_path / "port"), "--nominal")
    assert seen["mode"] == "off" and seen["wheel_targets_mm_s"] == [0, 0]


def test_the_launch_file_starts_and_ends_in_order(tmp_path, domain_id):
    lines = launches("create2", tmp_path, domain_id, str(tmp_path / "port"))
    assert any("commands are taken on 'cmd_vel'" in line for line in lines)
    assert not (tmp_path / "port").exists()
