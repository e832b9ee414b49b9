"""A virtual arm with its torque off goes where the hand that carries it goes, and no further than its joints do."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.so101 import SO101
from sim.devices.so101.config import VirtualSO101Config
from sim.devices.so101.device import VirtualSO101


@pytest.fixture
def arm(tmp_path):
    return VirtualSO101(VirtualSO101Config(port=str(tmp_path / "arm"), preset="nominal"))


def test_it_follows_the_hand_and_stays_when_that_rests(arm):
    steps = 500
    start = arm.arm.position
    arm.inject("hand", 0.3)
    for _ in range(steps):
        arm.arm.step(arm._drive())
    duration_s = arm.arm.data.time
    np.testing.assert_allclose(arm.arm.position - start, 0.3 * duration_s, atol=1e-9)
    np.testing.assert_allclose(arm.status()["velocity"], 0.3)
    arm.inject("hand", 0.0)
    held = arm.arm.position
    arm.arm.step(arm._drive())
    np.testing.assert_array_equal(arm.arm.position, held)
    assert not any(arm.status()["velocity"])


def test_it_ends_at_the_range_of_the_joints(arm):
    arm.inject("hand", 5.0)
    for _ in range(2000):
        arm.arm.step(arm._drive())
    np.testing.assert_allclose(arm.arm.position, SO101.position_max)
