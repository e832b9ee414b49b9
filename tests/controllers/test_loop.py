"""The control loop against a robot of numbers on a virtual clock: start, staleness, faults, defects, statistics."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from fake_robot import PERIOD, REST, SPEC, FakeRobot

from controllers.loop import ControlLoop, LoopConfig
from controllers.reference import JointReference
from controllers.safety import SafetyAction, SafetyFilter, SafetyReason
from controllers.tracking import JointTrackingController
from hardware.clock import SystemClock, VirtualClock
from hardware.errors import ConfigError, DeviceError, DeviceFaultError, NonFiniteError
from hardware.records import JointCommand, RobotMode

SLOW = JointReference("velocity", np.array([0.3, 0.0, 0.0, -0.2, 0.1, 0.0]), 0.04)


def make(clock=None, config=None, **robot):
    clock = clock if clock is not None else VirtualClock(10.0)
    loop = ControlLoop(FakeRobot(clock, **robot), JointTrackingController(SPEC), SafetyFilter(SPEC), clock, config)
    return loop, loop.robot


def run(loop, cycles):
    return [loop.step(loop._pacer.wait()) for _ in range(cycles)]


def test_start_begins_at_the_measured_state_without_a_jump():
    loop, robot = make(position=REST + 0.3)
    loop.begin()
    run(loop, 50)
    np.testing.assert_allclose(
        [command.position for command in robot.commands], np.tile(REST + 0.3, (50, 1)), atol=1e-12
    )
    loop.set_reference(SLOW)
    steps = np.abs(np.diff([robot.commands[-1].position] + [s.executed.position for s in run(loop, 50)], axis=0))
    assert steps[0].max() < 1e-5 and steps.max() < 0.3 * PERIOD * 1.01


@pytest.mark.parametrize("mode", [RobotMode.IDLE, RobotMode.PROTECTIVE_STOP, RobotMode.EMERGENCY_STOP])
def test_refuses_to_start_on_a_robot_that_does_not_follow(mode):
    loop, robot = make()
    robot.mode, robot.detail = mode, "says the robot"
    with pytest.raises(DeviceFaultError, match="says the robot"):
        loop.start()
    assert not loop.running and robot.commands == []
    with pytest.raises(DeviceError, match=r"start\(\)"):
        loop.latest()


def test_follows_references_and_passes_them_untouched():
    loop, robot = make()
    loop.begin()
    for _ in range(10):
        loop.set_reference(SLOW)
        samples = run(loop, 20)
        assert all(sample.action is SafetyAction.PASS for sample in samples)
    np.testing.assert_allclose(robot.velocity, SLOW.value, atol=1e-3)
    assert samples[-1].requested is samples[-1].executed and loop.fault is None


def test_stale_reference_holds_damps_stops_and_latches_with_its_reason():
    loop, robot = make()
    loop.begin()
    loop.set_reference(SLOW)
    begin, actions = loop.clock.now(), {}
    for sample in run(loop, 400):
        actions.setdefault(sample.action, sample.time_s - begin)
    order = [SafetyAction.PASS, SafetyAction.HOLD, SafetyAction.DAMP, SafetyAction.STOP]
    assert list(actions) == order
    np.testing.assert_allclose([actions[action] for action in order[1:]], [0.14, 0.34, 0.54], atol=0.005)
    assert loop.fault == "stale reference" and robot.stops >= 1
    sent = len(robot.commands)
    loop.set_reference(SLOW)
    last = run(loop, 10)[-1]
    assert len(robot.commands) == sent and last.executed is None and last.state.capture_time_s == last.time_s
    assert loop.statistics().interventions == {"stale reference": loop.safety.counts[SafetyReason.STALE_REFERENCE]}


def test_after_a_hold_the_motion_goes_on_smoothly_from_where_it_is():
    loop, robot = make()
    loop.begin()
    loop.set_reference(SLOW)
    assert run(loop, 130)[-1].action is SafetyAction.HOLD
    loop.set_reference(SLOW)
    samples = run(loop, 30)
    assert [s.action for s in samples[-15:]] == [SafetyAction.PASS] * 15
    positions = np.array([command.position for command in robot.commands])
    acceleration = np.diff(positions, n=2, axis=0) / PERIOD**2
    assert np.abs(acceleration).max() <= 8.0 * 1.002


def test_a_velocity_held_against_an_obstacle_winds_nothing_up():
    """Five seconds against it, then back: the force falls at once, and the robot leaves when the reach is used up."""

    class Blocked(FakeRobot):
        def read(self):
            state = super().read()
            self.position[0] = min(self.position[0], REST[0] + 0.1)
            return replace(state, joint_position=self.position)

    clock = VirtualClock(10.0)
    loop = ControlLoop(Blocked(clock), JointTrackingController(SPEC), SafetyFilter(SPEC), clock)
    loop.begin()

    def pushed(speed, duration_s):
        samples = []
        for _ in range(round(duration_s / 0.04)):
            loop.set_reference(JointReference("velocity", np.array([speed, 0.0, 0.0, 0.0, 0.0, 0.0]), 0.04))
            samples += run(loop, round(0.04 / PERIOD))
        return np.array([sample.executed.position[0] - REST[0] for sample in samples])

    reach = loop.safety.config.tracking_error_max
    assert pushed(0.5, 5.0).max() <= 0.1 + reach + 0.5**2 / (2.0 * 8.0)  # the way to brake
    back = pushed(-0.5, 1.0)
    assert back[round(0.2 / PERIOD)] < 0.1 + reach - 0.02
    assert back[round((reach / 0.5 + 0.2) / PERIOD)] < 0.1


def test_a_dropped_reference_may_rest_for_ever():
    loop, robot = make()
    loop.begin()
    loop.set_reference(SLOW)
    run(loop, 20)
    loop.hold()
    samples = run(loop, 1000)
    assert loop.fault is None and samples[-1].action is SafetyAction.PASS
    np.testing.assert_allclose(robot.velocity, 0.0, atol=1e-9)


def test_reset_fault_begins_anew_where_the_robot_is():
    loop, robot = make()
    loop.begin()
    loop.set_reference(SLOW)
    run(loop, 400)
    robot.position = REST + 0.2  # moved by hand meanwhile
    robot.commands.clear()
    loop.reset_fault()
    sample = run(loop, 1)[0]
    assert loop.fault is None and sample.action is SafetyAction.PASS
    np.testing.assert_allclose(sample.executed.position, sample.state.joint_position, atol=1e-3)


def test_lost_device_stops_latches_and_the_state_stays_readable():
    loop, robot = make()
    loop.begin()
    run(loop, 5)
    robot.lost = True
    sample = run(loop, 3)[-1]
    assert "127.0.0.1:1" in loop.fault and "cable" in loop.fault and robot.stops == 3
    assert sample.action is SafetyAction.STOP and sample.state.capture_time_s < sample.time_s
    loop.reset_fault()
    run(loop, 1)
    assert loop.fault is not None  # nothing was cured
    robot.lost = False
    run(loop, 1)
    assert loop.fault is None


def test_protective_stop_is_told_in_the_device_s_words():
    loop, robot = make()
    loop.begin()
    run(loop, 5)
    robot.mode, robot.detail = RobotMode.PROTECTIVE_STOP, "C153A2: position deviates from path"
    run(loop, 2)
    assert loop.fault == "device fault: C153A2: position deviates from path" and robot.stops == 1


def test_old_measurements_stop_the_robot():
    loop, robot = make()
    loop.begin()
    robot.state_delay_s = 0.2
    assert run(loop, 1)[0].reasons == (SafetyReason.STALE_STATE,) and loop.fault == "stale state"


def test_non_finite_set_points_stop_the_robot():
    loop, robot = make()
    loop.begin()
    run(loop, 3)
    loop.controller.update = lambda state, now: JointCommand(position=np.full(6, np.nan))
    assert run(loop, 1)[0].reasons == (SafetyReason.NON_FINITE_COMMAND,)
    assert "non-finite" in loop.fault and robot.stops == 1 and np.isfinite(robot.commands[-1].position).all()


def test_bad_references_are_refused_where_they_are_given():
    loop, _ = make()
    loop.begin()
    with pytest.raises(NonFiniteError):
        loop.set_reference(JointReference("velocity", np.full(6, np.inf), 0.04))
    with pytest.raises(ConfigError):
        loop.set_reference(JointReference("effort", np.zeros(6), 0.04))
    assert run(loop, 2)[-1].action is SafetyAction.PASS


def test_statistics_count_overruns_and_lateness_and_the_ring_keeps_the_latest():
    loop, _ = make(config=LoopConfig(recorded_samples=4))
    loop.begin()
    run(loop, 10)
    loop.clock.advance(3.5 * PERIOD)
    run(loop, 10)
    figures = loop.statistics()
    assert figures.cycles == 20 and figures.overruns == 2 and figures.lateness_max_ms == pytest.approx(5.0)
    assert figures.round_trip_p50_ms == pytest.approx(4.0, rel=0.05) and figures.interventions == {}
    assert [s.time_s for s in loop.recorded()] == sorted(s.time_s for s in loop.recorded())
    assert len(loop.recorded()) == 4 and loop.recorded()[-1] is loop.latest()


def test_runs_in_its_own_thread_and_stops():
    loop, robot = make(SystemClock(), LoopConfig(rate_hz=200.0))
    loop.start()
    with pytest.raises(DeviceError, match="already"):
        loop.start()
    loop.set_reference(JointReference("velocity", SLOW.value, 5.0))
    loop.run_until(loop.clock.now() + 0.3)
    loop.stop()
    assert not loop.running and robot.stops == 1
    figures = loop.statistics()
    assert figures.cycles >= 10 and figures.cycles + figures.overruns >= 30
    assert robot.commands[-1].position[0] > REST[0]


def test_a_defect_in_the_controller_stops_the_robot(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    loop, robot = make(SystemClock())
    loop.controller.update = lambda state, now: 1 / 0
    loop.start()
    deadline = time.monotonic() + 5.0
    while loop.running and time.monotonic() < deadline:
        time.sleep(0.005)
    assert seen == [ZeroDivisionError] and robot.stops == 1 and "defect" in loop.fault
