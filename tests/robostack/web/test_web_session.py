"""Dead-man switch, order, silence and control, on a virtual clock."""

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import ProtocolError
from hardware.teleoperator import OperatorEvent
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.messages import Input
from robostack.teleoperation.web_page.session import EVENTS_MAX, Session

CONFIG = WebConfig(linear_speed_m_s=0.2, angular_speed_rad_s=0.5)
X = (1.0, 0.0, 0.0)


class Desk:
    """A session with one browser in control, and the inputs that browser would send."""

    def __init__(self):
        self.clock = VirtualClock(100.0)
        self.session = Session(CONFIG, self.clock)
        self.client = self.session.join()
        assert self.session.take(self.client) == ""
        self.number = 0

    def send(self, enabled=True, linear=X, sequence=None, client=None, seen_age_s=0.05, client_time_s=None, **fields):
        self.number += 1
        now_s = self.clock.now()
        given = Input(
            self.number if sequence is None else sequence,
            now_s if client_time_s is None else client_time_s,
            now_s - seen_age_s,
            0,
            enabled,
            linear,
            fields.get("angular", (0.0, 0.0, 0.0)),
            fields.get("gripper"),
        )
        return self.session.accept(client or self.client, given)

    def press(self, **fields):
        self.send(enabled=False)
        return self.send(**fields)

    @property
    def command(self):
        return self.session.command()


@pytest.fixture
def desk():
    return Desk()


def test_deflections_become_velocities(desk):
    desk.press(linear=(0.5, -1.0, 0.25), angular=(0.0, 0.0, -1.0), gripper=0.3)
    command = desk.command
    assert command.enabled
    np.testing.assert_allclose(command.tool_linear_velocity, [0.1, -0.2, 0.05])
    np.testing.assert_allclose(command.tool_angular_velocity, [0.0, 0.0, -0.5])
    assert command.gripper == 0.3
    assert command.capture_time_s == 100.0


def test_without_the_dead_man_switch_there_is_no_velocity(desk):
    desk.press()
    desk.send(enabled=False)
    assert not desk.command.enabled
    assert not np.any(desk.command.tool_linear_velocity)


def test_before_anyone_is_in_control_nobody_holds_and_readings_are_fresh():
    clock = VirtualClock(5.0)
    session = Session(CONFIG, clock)
    clock.advance(3600.0)
    assert not session.command().enabled
    assert session.command().capture_time_s == 3605.0


def test_a_held_control_must_be_let_go_once_before_it_counts(desk):
    desk.send()
    assert not desk.command.enabled
    assert desk.session.view(desk.client)["why_not"] == "let go of the controls first"
    desk.press()
    assert desk.command.enabled
    assert desk.session.view(desk.client)["enabled"]


def test_silence_disables_and_the_reading_grows_old(desk):
    desk.press()
    desk.clock.advance(0.25)
    assert desk.command.enabled
    desk.clock.advance(0.001)
    assert not desk.command.enabled
    desk.clock.advance(10.0)
    assert desk.command.capture_time_s == 100.0


def test_after_a_short_gap_it_goes_on_after_a_long_one_only_from_rest(desk):
    desk.press()
    desk.clock.advance(0.9)
    desk.send()
    assert desk.command.enabled
    desk.clock.advance(1.1)
    desk.send()
    assert not desk.command.enabled
    desk.press()
    assert desk.command.enabled


def test_old_and_repeated_inputs_are_dropped(desk):
    desk.press(sequence=50, linear=(1.0, 0.0, 0.0))
    first = desk.command
    assert not desk.send(sequence=50, linear=(-1.0, 0.0, 0.0))
    assert not desk.send(sequence=49, linear=(-1.0, 0.0, 0.0))
    assert not desk.send(sequence=51, client_time_s=99.0, linear=(-1.0, 0.0, 0.0))
    assert desk.session.view(desk.client)["dropped"] == 3
    assert desk.command.sequence == first.sequence
    np.testing.assert_allclose(desk.command.tool_linear_velocity, first.tool_linear_velocity)
    assert desk.send(sequence=51)
    assert desk.command.sequence == first.sequence + 1


def test_who_has_not_seen_the_robot_lately_does_not_move_it(desk):
    desk.press()
    for _ in range(10):  # inputs arrive at full rate, but what they react to is older than 0.5 s
        desk.clock.advance(0.03)
        assert not desk.send(seen_age_s=0.51)
    assert not desk.command.enabled
    assert desk.session.view(desk.client)["why_not"] == "connection too slow"
    assert desk.send(seen_age_s=0.49)
    assert desk.command.enabled


def test_inputs_that_pile_up_behind_a_stall_are_dropped(desk):
    desk.press()
    made_at_s = desk.clock.now()
    desk.clock.advance(2.0)
    for late in range(60):
        age_s = desk.clock.now() - (made_at_s + 0.03 * late)
        desk.send(seen_age_s=age_s, client_time_s=made_at_s + 0.03 * late)
        assert not desk.command.enabled


def test_nobody_has_seen_the_future(desk):
    with pytest.raises(ProtocolError, match="future"):
        desk.send(seen_age_s=-1.0)


def test_only_one_is_in_control(desk):
    other = desk.session.join()
    desk.press()
    assert "else is in control" in desk.session.take(other)
    desk.send(client=other, linear=(-1.0, 0.0, 0.0), sequence=1000)
    np.testing.assert_allclose(desk.command.tool_linear_velocity, [0.2, 0.0, 0.0])
    assert desk.session.event(other, OperatorEvent.SUCCESS) == "Take control first."
    assert desk.session.view(other)["control"] == "other"
    assert desk.session.view(desk.client)["control"] == "you"


def test_control_that_is_given_back_is_free_and_nobody_holds(desk):
    other = desk.session.join()
    desk.press()
    desk.session.release(desk.client)
    assert not desk.command.enabled
    assert desk.session.view(other)["control"] == "free"
    assert desk.session.take(other) == ""
    desk.session.release(desk.client)  # not in control any more: changes nothing
    assert desk.session.view(other)["control"] == "you"
    desk.send(client=other, sequence=1)
    assert not desk.command.enabled, "a new operator starts from rest"


def test_a_lost_connection_disables_at_once_and_grows_old_until_someone_takes_over(desk):
    desk.press()
    desk.session.leave(desk.client)
    assert not desk.command.enabled
    desk.clock.advance(7.0)
    assert desk.command.capture_time_s == 100.0
    other = desk.session.join()
    assert desk.session.view(other)["control"] == "free"
    assert desk.session.take(other) == ""
    assert desk.command.capture_time_s == 107.0
    assert not desk.command.enabled


def test_a_silent_operator_can_be_replaced(desk):
    desk.press()
    other = desk.session.join()
    desk.clock.advance(2.0)
    assert desk.session.take(other) != ""
    desk.clock.advance(0.01)
    assert desk.session.take(other) == ""
    desk.send()  # the old one wakes up
    assert not desk.command.enabled


def test_the_stop_is_told_at_once_kept_for_the_reader_and_disables(desk):
    told = []
    desk.session.on_stop = lambda: told.append(desk.session.stop_event.is_set())
    desk.press()
    desk.session.stop()
    assert told == [True]
    command = desk.command
    assert command.events == (OperatorEvent.STOP,)
    assert not command.enabled
    desk.send()
    assert not desk.command.enabled, "a control that is still held does not move the robot again"
    desk.press()
    assert desk.command.enabled


def test_events_are_read_once_and_in_order(desk):
    for event in (OperatorEvent.FAILURE, OperatorEvent.RERECORD):
        assert desk.session.event(desk.client, event) == ""
    assert desk.command.events == (OperatorEvent.FAILURE, OperatorEvent.RERECORD)
    assert desk.command.events == ()


def test_unread_events_are_bounded_and_a_stop_is_never_lost(desk):
    desk.session.stop()
    for _ in range(10 * EVENTS_MAX):
        desk.session.event(desk.client, OperatorEvent.SUCCESS)
        desk.session.stop()
    events = desk.command.events
    assert len(events) == EVENTS_MAX
    assert events.count(OperatorEvent.STOP) == 1
