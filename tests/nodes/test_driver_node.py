from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from graph import position_of
from graph_robot import SPEC
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.reference import JointReference
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.messages import reference_to_message, stamp_to_ns

pytestmark = pytest.mark.graph


def calls(log):
    return [json.loads(line)["call"] for line in log.read_text().splitlines()]


def velocity(observer, sender, *speeds):
    """A function that sends one velocity command, stamped now."""

    def send():
        reference = JointReference("velocity", np.array(speeds), 0.1)
        stamp = observer.get_clock().now().to_msg()
        observer.commands.publish(reference_to_message(reference, SPEC, stamp, sender))

    return send


def ready(observer, driver):
    driver.wait_for("ready: fake")
    observer.until(lambda: observer.states and observer.commands.get_subscription_count() > 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_in_order_with_the_robot_stopped(observer, start_driver, tmp_path, number):
    report = tmp_path / "report.json"
    driver, log = start_driver(report_path=str(report))
    ready(observer, driver)
    observer.until(lambda: observer.states[-1].position[0] > 0.05, each=velocity(observer, "me", 0.5, 0.0, 0.0))
    status, duration_s = driver.end(number)
    assert (status, duration_s < 3.0) == (0, True), driver.output
    assert calls(log)[0] == "connect"
    assert calls(log)[-2:] == ["stop", "disconnect"]
    written = json.loads(report.read_text())
    assert written["robot"] == "fake"
    assert written["loop"]["cycles"] > 10
    assert written["commands"]["commands"] > 0


def test_states_carry_capture_times_and_late_joiners_get_the_description(observer, start_driver):
    driver, _ = start_driver()
    ready(observer, driver)
    observer.until(lambda: len(observer.states) > 20 and observer.specs and observer.says("holds its pose"))
    stamps = [stamp_to_ns(state.header.stamp) for state in observer.states]
    assert all(np.diff(stamps) > 0)  # each measurement once
    now_ns = observer.get_clock().now().nanoseconds
    assert 0 <= now_ns - stamps[-1] < 2e9
    assert list(observer.states[-1].name) == list(SPEC.joint_names)
    assert np.all(np.isnan(observer.states[-1].effort))
    assert [joint["name"] for joint in observer.specs[0]["joints"]] == list(SPEC.joint_names)


def test_a_robot_that_is_not_there_is_one_clear_line_and_status_1(start_driver):
    driver, _ = start_driver(driver__host="elsewhere")
    assert driver.wait() == 1
    assert "cannot configure: fake is not connected at elsewhere. Check: is its address 'here'?" in driver.output
    assert "Traceback" not in driver.output


def test_a_misspelled_parameter_is_refused(start_driver):
    driver, _ = start_driver(state_rate=50.0)
    assert driver.wait() == 1
    assert "Did you mean 'state_rate_hz'" in driver.output


def test_illegal_transitions_are_answered_and_legal_ones_done(observer, start_driver):
    driver, log = start_driver(autostart=False)

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return observer.call(ChangeState, "driver/change_state", request).success

    def state():
        return observer.call(GetState, "driver/get_state", GetState.Request()).current_state.id

    assert not change(Transition.TRANSITION_ACTIVATE)  # not configured yet
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert change(Transition.TRANSITION_CONFIGURE)
    observer.until(lambda: observer.says("not active"))
    assert change(Transition.TRANSITION_ACTIVATE)
    assert not change(Transition.TRANSITION_CONFIGURE)
    observer.until(lambda: observer.says("holds its pose"))
    assert change(Transition.TRANSITION_DEACTIVATE)
    assert calls(log)[-1] == "stop"
    assert change(Transition.TRANSITION_CLEANUP)
    assert calls(log)[-1] == "disconnect"
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert driver.end()[0] == 0


def test_a_second_commander_is_refused_reported_and_can_take_over_later(observer, start_driver):
    driver, _ = start_driver(claim_silence_s=0.5)
    ready(observer, driver)
    first = velocity(observer, "first", 0.3, 0.0, 0.0)
    second = velocity(observer, "second", 0.0, 0.3, 0.0)
    observer.until(lambda: observer.states[-1].position[0] > 0.02, each=first)

    def both():
        first()
        second()

    observer.until(lambda: observer.says("commands of second were refused"), each=both)
    assert observer.status[-1][2]["owner"] == "first"
    assert abs(observer.states[-1].position[1]) < 1e-6
    driver.wait_for("commands of 'second' are refused: 'first' commands this robot")
    observer.commands.publish(JointTrajectory(joint_names=list(SPEC.joint_names)))  # of nobody: refused as well
    observer.until(lambda: observer.states[-1].position[1] > 0.02, each=second)  # once the first one is silent
    assert driver.end()[0] == 0


def test_a_command_with_wrong_joints_is_rejected_and_the_robot_stays(observer, start_driver):
    driver, _ = start_driver()
    ready(observer, driver)

    def wrong():
        message = reference_to_message(
            JointReference("velocity", np.ones(3), 0.1), SPEC, observer.get_clock().now().to_msg(), "me"
        )
        message.joint_names = ["base", "elbow", "rist"]
        observer.commands.publish(message)

    observer.until(lambda: observer.status and observer.status[-1][2]["rejected"] != "0", each=wrong)
    assert "unknown joints rist" in observer.status[-1][2]["last_rejection"]
    assert position_of(observer.states[-1]) == [0.0, 0.0, 0.0]


def test_not_a_number_stops_the_robot_until_reset(observer, start_driver):
    driver, log = start_driver()
    ready(observer, driver)
    observer.until(lambda: observer.says("is not finite"), each=velocity(observer, "me", np.nan, 0.0, 0.0))
    assert observer.status[-1][0] == 2
    assert calls(log)[-1] == "stop"
    response = observer.call(Trigger, "driver/reset", Trigger.Request())
    assert response.success, response.message
    observer.until(lambda: observer.says("holds its pose"))
    observer.until(lambda: observer.states[-1].position[0] > 0.02, each=velocity(observer, "me", 0.3, 0.0, 0.0))


def test_the_stop_service_latches(observer, start_driver):
    driver, log = start_driver()
    ready(observer, driver)
    move = velocity(observer, "me", 0.3, 0.0, 0.0)
    observer.until(lambda: observer.states[-1].position[0] > 0.02, each=move)
    assert observer.call(Trigger, "driver/stop", Trigger.Request()).success
    assert "stop" in calls(log)
    observer.until(lambda: observer.says("stopped by the service stop"))
    stopped_at = observer.states[-1].position[0]
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 20, each=move)
    assert observer.states[-1].position[0] == pytest.approx(stopped_at, abs=0.01)


def test_commands_that_cease_hold_then_stop_and_the_reason_is_said(observer, start_driver):
    driver, log = start_driver()
    ready(observer, driver)
    observer.until(lambda: observer.states[-1].position[0] > 0.05, each=velocity(observer, "me", 0.5, 0.0, 0.0))
    assert "stop" not in calls(log)
    observer.until(lambda: observer.says("stale reference"))
    assert observer.status[-1][0] == 2
    assert int(observer.status[-1][2]["intervention stale reference"]) > 0
    assert calls(log)[-1] == "stop"
    driver.wait_for("fake was stopped: stale reference")


def test_a_trajectory_without_points_releases_the_robot_at_rest(observer, start_driver):
    driver, log = start_driver(claim_silence_s=60.0)
    ready(observer, driver)
    observer.until(lambda: observer.states[-1].position[0] > 0.05, each=velocity(observer, "me", 0.5, 0.0, 0.0))
    release = JointTrajectory(joint_names=list(SPEC.joint_names))
    release.header.frame_id = "me"
    observer.until(lambda: observer.says("no commands yet"), each=lambda: observer.commands.publish(release))
    assert "stop" not in calls(log)
    before = observer.states[-1].position[1]
    observer.until(
        lambda: observer.states[-1].position[1] > before + 0.02, each=velocity(observer, "you", 0.0, 0.3, 0.0)
    )


def test_stamps_convert_between_the_clocks(context):
    node = context.create_node("clock")
    bridge = ClockBridge(node.get_clock())
    import time

    now_s = time.monotonic()
    assert bridge.monotonic(bridge.stamp(now_s - 1.0)) == pytest.approx(now_s - 1.0, abs=1e-3)
    assert bridge.monotonic(bridge.stamp(now_s + 5.0)) <= time.monotonic()  # a clock ahead of ours
    node.destroy_node()
