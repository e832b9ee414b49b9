"""Control of bases: ramps, curvature, contacts, staleness, and the control loop around both, on a virtual clock."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.base import BaseSafetyFilter, BaseTrackingController, base_of
from controllers.base_motion import BaseMotion, approach
from controllers.loop import ControlLoop
from controllers.reference import BaseReference, JointReference
from controllers.safety import SafetyAction, SafetyConfig, SafetyReason
from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceNotConnectedError, NonFiniteError
from hardware.records import BaseCommand, RobotMode, RobotState
from hardware.spec import BaseSpec, JointSpec, RobotSpec

ROUND = BaseSpec("differential", 0.5, 0.2, 2.0, 1.0, 2.0, 5.0, front_contacts=("bumper",))
CAR = BaseSpec("car", 2.0, 1.0, 3.0, 2.0, 4.0, 20.0, wheelbase=0.3, steering_max=math.atan(0.3))
PERIOD = 0.02


def spec_of(base: BaseSpec) -> RobotSpec:
    return RobotSpec("base", (), 1.0 / PERIOD, ("velocity",), "base_link", base=base)


def state(time_s=0.0, speed=0.0, yaw_rate=0.0, **more) -> RobotState:
    linear, angular = np.array([speed, 0.0, 0.0]), np.array([0.0, 0.0, yaw_rate])
    return RobotState(
        time_s, np.zeros(0), np.zeros(0), base_linear_velocity=linear, base_angular_velocity=angular, **more
    )


def command(speed, yaw_rate=0.0):
    return BaseCommand(np.array([speed, 0.0]), np.float64(yaw_rate))


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [(0.0, 1.0, 0.1), (0.5, 0.55, 0.55), (0.5, 0.0, 0.3), (0.1, -1.0, 0.0), (-0.5, -1.0, -0.6), (0.2, 0.2, 0.2)],
)
def test_approach_by_hand(value, target, expected):
    assert approach(value, target, growth=0.1, decay=0.2) == pytest.approx(expected)


def test_curvature_of_a_car_is_that_of_its_sharpest_steering():
    assert CAR.curvature_max == pytest.approx(1.0) and ROUND.curvature_max == math.inf
    motion = BaseMotion(CAR)
    assert motion.bounded_yaw_rate(3.0, 0.5) == pytest.approx(0.5)  # curvature 1 / m
    assert motion.bounded_yaw_rate(-5.0, -4.0) == pytest.approx(-3.0)  # its yaw rate limit


@given(st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(-4.0, 4.0)), min_size=1, max_size=60), st.booleans())
def test_a_controller_never_leaves_the_limits(asked, is_car):
    base = CAR if is_car else ROUND
    controller = BaseTrackingController(spec_of(base))
    controller.reset(state())
    before = 0.0
    for index, (speed, yaw_rate) in enumerate(asked):
        controller.set_reference(BaseReference(speed, yaw_rate, PERIOD))
        given_command = controller.update(state(), index * PERIOD)
        now = float(given_command.linear_velocity[0])
        assert -base.backward_max - 1e-9 <= now <= base.forward_max + 1e-9
        assert abs(now - before) <= max(base.acceleration_max, base.deceleration_max) * PERIOD + 1e-9
        assert abs(float(given_command.yaw_rate)) <= min(base.yaw_rate_max, base.curvature_max * abs(now) + 1e-9) + 1e-9
        before = now


def test_a_ramp_takes_the_time_that_acceleration_says_and_rests_exactly():
    controller = BaseTrackingController(spec_of(ROUND))
    controller.reset(state())
    controller.set_reference(BaseReference(0.4, 1.0, PERIOD))
    speeds = [controller.update(state(), index * PERIOD) for index in range(30)]
    assert float(speeds[9].linear_velocity[0]) == pytest.approx(0.2)  # ten periods at 1 m/s^2
    assert float(speeds[-1].linear_velocity[0]) == 0.4 and float(speeds[-1].yaw_rate) == 1.0
    controller.reset(state(speed=0.4))
    rest = [float(controller.update(state(), index * PERIOD).linear_velocity[0]) for index in range(11)]
    assert rest[0] == pytest.approx(0.36) and rest[-1] == 0.0


def test_a_late_cycle_moves_on_by_the_time_that_passed_but_never_leaps():
    controller = BaseTrackingController(spec_of(ROUND))
    controller.reset(state())
    controller.set_reference(BaseReference(0.5, 0.0, PERIOD))
    controller.update(state(), 0.0)
    assert float(controller.update(state(), 3 * PERIOD).linear_velocity[0]) == pytest.approx(0.08)
    assert float(controller.update(state(), 100.0).linear_velocity[0]) == pytest.approx(0.28)  # ten cycles at most


def test_a_car_keeps_its_curve_while_it_brakes():
    controller = BaseTrackingController(spec_of(CAR))
    controller.reset(state(speed=2.0, yaw_rate=1.0))
    for index in range(20):
        given_command = controller.update(state(), index * PERIOD)
        speed = float(given_command.linear_velocity[0])
        assert float(given_command.yaw_rate) == pytest.approx(0.5 * speed, abs=1e-9)
    assert 0.0 < speed < 0.5


def test_a_car_asked_too_much_drives_the_same_curve_slower():
    controller = BaseTrackingController(spec_of(CAR))
    controller.reset(state())
    controller.set_reference(BaseReference(4.0, 2.0, PERIOD))
    for index in range(200):
        given_command = controller.update(state(), index * PERIOD)
    assert float(given_command.linear_velocity[0]) == 2.0 and float(given_command.yaw_rate) == pytest.approx(1.0)


def test_references_are_checked():
    controller = BaseTrackingController(spec_of(ROUND))
    with pytest.raises(NonFiniteError, match="nan"):
        controller.check(BaseReference(math.nan, 0.0, PERIOD))
    with pytest.raises(ConfigError, match="BaseReference, not JointReference"):
        controller.check(JointReference("velocity", np.zeros(1), PERIOD))
    arm = RobotSpec("arm", (JointSpec("a", -1, 1, 1, 1, 1, 1),), 100.0, ("position",), "base")
    with pytest.raises(ConfigError, match="arm has no base"):
        base_of(arm)


def filter_at(speed=0.0, yaw_rate=0.0, base=ROUND, **config):
    made = BaseSafetyFilter(spec_of(base), SafetyConfig(**config) if config else None)
    made.reset(state(speed=speed, yaw_rate=yaw_rate))
    return made


def test_what_is_within_the_limits_passes_untouched():
    asked = command(0.01, 0.05)
    filtered = filter_at().apply(asked, state(), -1.0, 0.0)
    assert filtered.action is SafetyAction.PASS and filtered.command is asked


@pytest.mark.parametrize(
    ("start", "asked", "reason"),
    [
        ((0.5, 0.0), command(0.6), SafetyReason.VELOCITY),
        ((0.0, 2.0), command(0.0, 2.5), SafetyReason.VELOCITY),
        ((0.0, 0.0), command(0.3), SafetyReason.ACCELERATION),
        ((0.0, 0.0), command(0.0, 1.0), SafetyReason.ACCELERATION),
        ((0.0, 0.0), BaseCommand(np.array([0.0, 0.1]), np.float64(0.0)), SafetyReason.VELOCITY),
    ],
)
def test_limits_have_their_reasons(start, asked, reason):
    made = filter_at(*start)
    filtered = made.apply(asked, state(), -1.0, 0.0)
    assert filtered.action is SafetyAction.LIMITED and reason in filtered.reasons
    assert made.counts[reason] == 1
    assert abs(float(filtered.command.linear_velocity[0]) - start[0]) <= 0.0201
    assert float(filtered.command.linear_velocity[1]) == 0.0


def test_a_curve_too_sharp_for_a_car_is_opened():
    filtered = filter_at(speed=1.0, yaw_rate=1.0, base=CAR).apply(command(1.0, 2.0), state(), -1.0, 0.0)
    assert filtered.reasons == (SafetyReason.POSITION,)  # of the steering
    assert float(filtered.command.yaw_rate) == pytest.approx(1.0)


def test_a_front_contact_stops_forwards_at_once_and_leaves_backwards_open():
    made = filter_at(speed=0.4)
    touched = state(speed=0.4, contacts={"bumper": True})
    filtered = made.apply(command(0.4), touched, -1.0, 0.0)
    assert float(filtered.command.linear_velocity[0]) == 0.0 and SafetyReason.CONTACT in filtered.reasons
    filtered = made.apply(command(-0.01), touched, -1.0, PERIOD)
    assert filtered.action is SafetyAction.PASS
    assert filter_at(speed=0.4).apply(command(0.4), state(contacts={"cliff": True}), -1.0, 0.0).reasons == ()


def test_a_stale_reference_ramps_to_rest_and_only_then_stops():
    made = filter_at(speed=0.5, stale_hold_s=0.1, stale_stop_s=0.15)
    actions, speeds = [], []
    for index in range(1, 20):
        filtered = made.apply(command(0.5), state(index * PERIOD, 0.5), index * PERIOD, index * PERIOD)
        actions.append(filtered.action)
        if filtered.command is not None:
            speeds.append(float(filtered.command.linear_velocity[0]))
    assert actions[:5] == [SafetyAction.PASS] * 5 and actions[5] is SafetyAction.HOLD
    assert np.diff(speeds)[5:16] == pytest.approx(-0.04, abs=1e-3)  # 2 m/s^2
    assert speeds[-1] == 0.0 and actions[-1] is SafetyAction.STOP and made.counts[SafetyReason.STALE_REFERENCE] > 5


@pytest.mark.parametrize(
    ("asked", "measured", "reason"),
    [
        (command(math.nan), state(), SafetyReason.NON_FINITE_COMMAND),
        (command(0.0, math.inf), state(), SafetyReason.NON_FINITE_COMMAND),
        (command(0.0), state(speed=math.nan), SafetyReason.NON_FINITE_STATE),
    ],
)
def test_what_is_not_finite_stops_until_reset(asked, measured, reason):
    made = filter_at()
    assert made.apply(asked, measured, -1.0, 0.0).reasons == (reason,)
    again = made.apply(command(0.0), state(), -1.0, 0.0)
    assert again.action is SafetyAction.STOP and again.command is None
    made.reset(state())
    assert made.apply(command(0.0), state(), -1.0, 0.0).action is SafetyAction.PASS


def test_device_faults_old_states_and_malformed_commands_stop():
    made = filter_at()
    assert made.apply(command(0.0), state(mode=RobotMode.FAULT), -1.0, 0.0).reasons == (SafetyReason.DEVICE_FAULT,)
    assert made.apply(command(0.0), state(0.0), -1.0, 0.06).reasons == (SafetyReason.STALE_STATE,)
    wrong = BaseCommand(np.zeros(3), np.float64(0.0))
    assert made.apply(wrong, state(), -1.0, 0.0).reasons == (SafetyReason.MALFORMED_COMMAND,)
    assert made.apply(command(0.0), state(), -1.0, 0.0).action is SafetyAction.PASS  # none of these latches


class FakeBase:
    """Has at once the velocity that it is told."""

    def __init__(self, clock, base=ROUND):
        self.clock, self.spec = clock, spec_of(base)
        self.sent, self.stops, self.lost, self.contacts = [], 0, False, None
        self.mode, self.detail = RobotMode.RUNNING, ""

    def read(self):
        if self.lost:
            raise DeviceNotConnectedError("base", "port", "the cable")
        last = self.sent[-1] if self.sent else command(0.0)
        measured = state(self.clock.now(), float(last.linear_velocity[0]), float(last.yaw_rate))
        return replace(measured, mode=self.mode, detail=self.detail, contacts=self.contacts)

    def send(self, given_command):
        self.sent.append(given_command)

    def stop(self):
        self.stops += 1


@pytest.fixture
def loop():
    clock = VirtualClock(10.0)
    robot = FakeBase(clock)
    made = ControlLoop(robot, BaseTrackingController(robot.spec), BaseSafetyFilter(robot.spec), clock)
    made.begin()
    return made


def run(loop, cycles):
    return [loop.step(loop._pacer.wait()) for _ in range(cycles)]


def test_the_loop_drives_a_base_and_holds_it(loop):
    for _ in range(40):
        loop.set_reference(BaseReference(0.3, 0.5, 0.1))
        sample = run(loop, 1)[0]
    assert sample.action is SafetyAction.PASS
    assert float(sample.executed.linear_velocity[0]) == 0.3 and float(sample.executed.yaw_rate) == 0.5
    loop.hold()
    samples = run(loop, 60)
    speeds = [float(sample.executed.linear_velocity[0]) for sample in samples]
    assert speeds[0] == pytest.approx(0.26) and speeds[-1] == 0.0 and loop.fault is None
    assert all(sample.action is SafetyAction.PASS for sample in samples)


def test_the_loop_stops_a_base_whose_commands_end_and_begins_anew(loop):
    loop.set_reference(BaseReference(0.3, 0.0, 0.1))
    samples = run(loop, 60)
    assert max(float(s.executed.linear_velocity[0]) for s in samples if s.executed is not None) > 0.15
    assert loop.fault == "stale reference" and loop.robot.stops >= 1 and samples[-1].executed is None
    loop.reset_fault()
    assert run(loop, 1)[0].action is SafetyAction.PASS and loop.fault is None


def test_the_loop_tells_why_the_device_stopped_or_was_lost(loop):
    loop.robot.mode, loop.robot.detail = RobotMode.PROTECTIVE_STOP, "cliff left"
    run(loop, 1)
    assert loop.fault == "device fault: cliff left"
    loop.robot.mode = RobotMode.RUNNING
    loop.reset_fault()
    run(loop, 1)
    loop.robot.lost = True
    run(loop, 1)
    assert "not connected" in loop.fault
