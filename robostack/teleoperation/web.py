"""A web page with joystick, sliders, phone orientation, camera pictures and an emergency stop."""

from __future__ import annotations

from hardware.teleoperator import TeleoperatorEntry

TELEOPERATOR = TeleoperatorEntry(
    device="robostack.teleoperation.web_page.device:WebTeleoperator",
    config="robostack.teleoperation.web_page.config:WebConfig",
    summary="web page for desktop and phone: joystick, sliders, tilt, cameras, emergency stop",
)
