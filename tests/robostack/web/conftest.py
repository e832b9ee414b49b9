"""A served page on a free port."""

from __future__ import annotations

import pytest

from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.device import WebTeleoperator


@pytest.fixture
def device():
    device = WebTeleoperator(WebConfig(robot="ur5e", port=0, linear_speed_m_s=0.2, angular_speed_rad_s=0.5))
    device.connect()
    yield device
    device.disconnect()
