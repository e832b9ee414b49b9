"""One operator at one robot: events, silence, loss and return of the device; on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest
from test_coupling import FORWARD, UR5E

from hardware.errors import ConfigError, DeviceNotConnectedError, StaleDataError
from hardware.records import RobotState
from hardware.teleoperator import OperatorCommand, OperatorEvent
from robostack.teleoperation.coupling import OperatorCoupling
from robostack.teleoperation.session import OperatorSession, SessionConfig

PERIOD_S = 0.02


class Device:
    """Says what it is told to say; `lost` makes it disappear."""

    def __init__(self) -> None:
        self.lost = self.late = False
        self.enabled, self.frozen = True, False
        self.events: tuple[OperatorEvent, ...] = ()
        self.calls: list[str] = []
        self.now_s, self.sequence = 0.0, 0
        self._last: OperatorCommand | None = None

    def connect(self) -> None:
        self.calls.append("connect")
        if self.lost:
            raise DeviceNotConnectedError("device", "port", "the cable")

    def read(self) -> OperatorCommand:
        if self.lost:
            raise DeviceNotConnectedError("device", "port", "the cable")
        if self.late:
            raise StaleDataError("device", 0.2, 0.1)
        if self.frozen and self._last is not None:
            return self._last
        self.sequence += 1
        events, self.events = self.events, ()
        self._last = OperatorCommand(
            self.now_s, self.sequence, self.enabled, tool_linear_velocity=FORWARD, events=events
        )
        return self._last

    def disconnect(self) -> None:
        self.calls.append("disconnect")


class Leader(Device):
    """Without a dead-man switch."""

    def set_enabled(self, enabled: bool) -> None:
        self.enabled = enabled


@pytest.fixture
def device():
    return Device()


class Operator:
    def __init__(self, device: Device, keys: Device | None = None) -> None:
        self.device, self.keys = device, keys
        self.session = OperatorSession(device, OperatorCoupling(UR5E), keys)
        self.session.connect()
        self.now_s = 10.0

    def step(self, count: int = 1, moveable: bool = True):
        steps = []
        for _ in range(count):
            self.now_s += PERIOD_S
            self.device.now_s = self.now_s
            state = RobotState(self.now_s, np.array(UR5E.spec.default_position), np.zeros(6)) if moveable else None
            steps.append(self.session.step(state, self.now_s))
        return steps[-1] if count == 1 else steps


def test_it_moves_the_robot_and_passes_events_on(device):
    operator = Operator(device)
    device.events = (OperatorEvent.SUCCESS,)
    step = operator.step()
    assert step.reference is not None
    assert (step.enabled, step.stop, step.events) == (True, False, (OperatorEvent.SUCCESS,))


def test_without_a_robot_that_may_move_only_events_count(device):
    operator = Operator(device)
    device.events = (OperatorEvent.RESET,)
    step = operator.step(moveable=False)
    assert (step.reference, step.enabled, step.events) == (None, False, (OperatorEvent.RESET,))


def test_the_emergency_stop_acts_in_the_same_period_and_the_next_motion_ramps(device):
    operator = Operator(device)
    operator.step(30)
    device.events = (OperatorEvent.STOP,)
    step = operator.step()
    assert (step.reference, step.enabled, step.stop) == (None, False, True)
    step = operator.step()
    assert not step.stop, "said once"
    assert np.max(np.abs(step.reference.value)) < 0.05


def test_a_silent_device_in_use_holds_then_stops_the_robot_once(device):
    operator = Operator(device)
    operator.step(10)
    device.frozen = True
    steps = operator.step(80)
    held = [index for index, step in enumerate(steps) if step.reference is None]
    stopped = [index for index, step in enumerate(steps) if step.stop]
    assert held[0] == 12  # 0.25 s
    assert stopped == [50]  # 1 s
    assert "silent for 1.0 s" in steps[50].message


def test_silence_of_an_operator_who_has_let_go_stops_nothing(device):
    operator = Operator(device)
    operator.step(10)
    device.enabled = False
    operator.step(5)
    device.frozen = True
    assert not any(step.stop for step in operator.step(200))


def test_a_lost_device_stops_the_robot_and_comes_back_without_a_restart(device):
    operator = Operator(device)
    operator.step(10)
    device.lost = True
    steps = operator.step(60)
    assert steps[-1].message.startswith("device is not connected")
    assert sum(step.stop for step in steps) == 1
    tries = device.calls.count("connect")
    operator.step(100)
    assert device.calls.count("connect") - tries == 2, "once per second"
    device.lost = False
    assert operator.step(60)[-1].enabled


def test_keys_beside_the_device_speak_and_may_be_lost():
    keys = Device()
    operator = Operator(Device(), keys)
    keys.events = (OperatorEvent.FAILURE,)
    assert operator.step().events == (OperatorEvent.FAILURE,)
    keys.lost = True
    assert operator.step().enabled, "the device goes on"
    assert operator.session.keys is None


def test_without_a_terminal_there_are_no_keys():
    keys = Device()
    keys.lost = True
    assert Operator(Device(), keys).session.keys is None


def test_the_clutch_couples_a_leader_and_stop_and_loss_release_it():
    leader, keys = Leader(), Device()
    leader.enabled = False
    operator = Operator(leader, keys)
    assert not operator.step().enabled
    keys.events = (OperatorEvent.CLUTCH,)
    operator.step()
    assert operator.step().enabled
    keys.events = (OperatorEvent.STOP,)
    operator.step()
    assert not leader.enabled
    leader.set_enabled(True)
    leader.lost = True
    operator.step()
    assert not leader.enabled


def test_a_leader_that_is_late_once_stays_coupled_and_one_that_stays_away_does_not():
    leader = Leader()
    operator = Operator(leader)
    operator.step(10)
    leader.late = True
    assert not any(step.stop for step in operator.step(20))
    leader.late = False
    assert operator.step().enabled
    leader.late = True
    assert sum(step.stop for step in operator.step(80)) == 1
    assert not leader.enabled
    assert leader.calls == ["connect"], "it was there all the time"


def test_a_device_that_is_not_there_at_the_start_is_an_error(device):
    device.lost = True
    with pytest.raises(DeviceNotConnectedError):
        Operator(device)
    with pytest.raises(ConfigError, match="stop_after_s"):
        SessionConfig(stop_after_s=0.0)
