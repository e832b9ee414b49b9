"""Brings the controller to where it takes programs, over the dashboard, or says what a person must do first."""

from __future__ import annotations

from hardware.clock import Clock
from hardware.errors import DeviceFaultError
from hardware.ur5e.dashboard import DashboardClient

DEVICE = "UR5e"
_POLL_S = 0.1
_ABLE = ("NORMAL", "REDUCED")

_RECOVERY = {
    "PROTECTIVE_STOP": "clear what the arm touched, wait 5 s, then call recover() or use the teach pendant",
    "SAFEGUARD_STOP": "close the safeguard (door, light curtain)",
    "AUTOMATIC_MODE_SAFEGUARD_STOP": "close the safeguard (door, light curtain)",
    "SYSTEM_EMERGENCY_STOP": "release the emergency stop of the cell, then initialise the robot on the teach pendant",
    "ROBOT_EMERGENCY_STOP": "release the emergency stop button, then initialise the robot on the teach pendant",
    "RECOVERY": "move the arm back into its limits on the teach pendant",
}


def bring_up(dashboard: DashboardClient, clock: Clock, *, power_on: bool, unlock: bool, timeout_s: float) -> None:
    """Leave the arm powered, brakes released, in remote control. It does not move.

    Args:
        dashboard: the connection.
        clock: for the waits.
        power_on: whether to switch on a robot that is off.
        unlock: whether to release a protective stop; only when a person asked for it.
        timeout_s: longest wait for each step [s].

    Raises:
        DeviceFaultError: a person must act first; says what to do.
        DeviceNotConnectedError: the dashboard does not answer.
    """
    remote = dashboard.request("is in remote control").strip().lower()
    if remote == "false":  # older software does not know the question and takes programs at any time
        raise DeviceFaultError(
            DEVICE, "local control", "switch to remote control at the top right of the teach pendant"
        )
    status = dashboard.safety_status()
    if status == "PROTECTIVE_STOP" and unlock:
        status = _unlock(dashboard, clock, timeout_s)
    if status not in _ABLE:
        action = _RECOVERY.get(status, "read the teach pendant and restart the safety system there")
        raise DeviceFaultError(DEVICE, status.lower().replace("_", " "), action)
    _release(dashboard, clock, power_on, timeout_s)


def _unlock(dashboard: DashboardClient, clock: Clock, timeout_s: float) -> str:
    """Release a protective stop; the safety status after it."""
    dashboard.close_safety_popup()
    reply = dashboard.unlock_protective_stop()
    if "releasing" not in reply.lower():
        raise DeviceFaultError(DEVICE, "protective stop", f"the controller says: {reply}")
    deadline_s = clock.now() + timeout_s
    while (status := dashboard.safety_status()) == "PROTECTIVE_STOP" and clock.now() < deadline_s:
        clock.sleep_until(clock.now() + _POLL_S)
    return status


def _release(dashboard: DashboardClient, clock: Clock, power_on: bool, timeout_s: float) -> None:
    """Power on and release the brakes, as far as needed."""
    deadline_s = clock.now() + timeout_s
    asked: set[str] = set()
    while (mode := dashboard.robot_mode()) != "RUNNING":
        if mode in ("POWER_OFF", "IDLE") and not power_on:
            raise DeviceFaultError(DEVICE, f"robot mode {mode}", "switch it on at the teach pendant, or set power_on")
        if clock.now() >= deadline_s:
            raise DeviceFaultError(DEVICE, f"robot mode {mode}", "start it on the teach pendant and read its messages")
        if mode == "POWER_OFF" and mode not in asked:
            dashboard.power_on()
        elif mode == "IDLE" and mode not in asked:
            dashboard.brake_release()
        asked.add(mode)
        clock.sleep_until(clock.now() + _POLL_S)
