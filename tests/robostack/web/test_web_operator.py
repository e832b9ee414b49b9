"""The page's readings in the operator's session: letting go holds, losing the operator holds and then stops."""

from types import SimpleNamespace

import pytest

from hardware.clock import VirtualClock
from hardware.teleoperator import OperatorEvent
from robostack.teleoperation.coupling import Coupled, CouplingConfig
from robostack.teleoperation.session import OperatorSession, SessionConfig
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.messages import Input
from robostack.teleoperation.web_page.session import Session

PERIOD_S = 0.02


class Operation:
    """A page's session read by an operator's session, both on one virtual clock, in periods of 20 ms."""

    def __init__(self):
        self.clock = VirtualClock(50.0)
        self.page = Session(WebConfig(), self.clock)
        self.client = self.page.join()
        self.page.take(self.client)
        device = SimpleNamespace(read=self.page.command, connect=lambda: None, disconnect=lambda: None)
        coupling = SimpleNamespace(
            config=CouplingConfig(),
            prepare=lambda: None,
            release=lambda: None,
            step=lambda command, state, now_s: Coupled(None, command.enabled),
        )
        self.session = OperatorSession(device, coupling, config=SessionConfig(stop_after_s=1.0))
        self.session.connect()
        self.sequence = 0

    def input(self, enabled):
        self.sequence += 1
        now_s = self.clock.now()
        zero = (0.0, 0.0, 0.0)
        self.page.accept(self.client, Input(self.sequence, now_s, now_s, 0, enabled, zero, zero, None))

    def run(self, duration_s, enabled=None):
        """Periods; with an input in each where `enabled` is given. Times of enabled and of stop, from now."""
        start_s, moved, stops = self.clock.now(), [], []
        while self.clock.now() < start_s + duration_s - 1e-9:
            if enabled is not None:
                self.input(enabled)
            # A little later than the period began, as in the node.
            now_s = self.clock.now()
            self.clock.advance(1e-4)
            step = self.session.step(object(), now_s)
            if step.enabled:
                moved.append(now_s - start_s)
            if step.stop:
                stops.append(now_s - start_s)
            self.clock.advance(PERIOD_S - 1e-4)
        return moved, stops


@pytest.fixture
def operation():
    operation = Operation()
    operation.run(0.1, enabled=False)
    moved, stops = operation.run(1.0, enabled=True)
    assert len(moved) == 50
    assert stops == []
    return operation


def test_who_lets_go_and_leaves_does_not_stop_the_robot(operation):
    operation.run(0.1, enabled=False)
    operation.page.leave(operation.client)
    assert operation.run(5.0) == ([], [])


def test_who_gives_control_back_while_holding_does_not_stop_the_robot(operation):
    operation.page.release(operation.client)
    assert operation.run(5.0) == ([], [])


def test_a_lost_connection_holds_at_once_and_stops_once_a_second_later(operation):
    operation.page.leave(operation.client)
    moved, stops = operation.run(5.0)
    assert moved == []
    assert stops == [pytest.approx(1.0, abs=2 * PERIOD_S)]


@pytest.mark.parametrize("phase_s", [0.0, 1e-4, 0.0045, 0.0099, 0.01, 0.0101, 0.0199])
def test_silence_holds_after_a_quarter_second_and_stops_after_a_second_wherever_the_periods_lie(operation, phase_s):
    operation.clock.advance(phase_s)
    moved, stops = operation.run(5.0)
    assert max(moved) <= 0.25
    assert stops == [pytest.approx(1.0, abs=2 * PERIOD_S)]


def test_the_stop_is_in_the_next_period_and_a_held_control_does_not_resume(operation):
    operation.page.stop()
    step = operation.session.step(object(), operation.clock.now())
    assert step.stop
    assert step.events == (OperatorEvent.STOP,)
    assert operation.run(1.0, enabled=True) == ([], [])
    operation.run(0.1, enabled=False)
    moved, _ = operation.run(0.2, enabled=True)
    assert moved
