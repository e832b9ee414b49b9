from __future__ import annotations

import json
import signal

import pytest

from hardware.errors import ContractMismatchError, ProtocolError

pytestmark = pytest.mark.graph

TASK = {"task": "graph_robot:FakeTask", "pause_s": 0.1}
SLOW = {"task": "graph_robot:SlowTask", "pause_s": 0.1, "to_start": False, "state_age_max_s": 1.5}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_runs_its_episodes_writes_them_down_and_ends_with_the_robot_holding(observer, start, start_driver, tmp_path):
    results = tmp_path / "results.jsonl"
    _, log = start_driver()
    report = tmp_path / "policy.json"
    policy = start("policy_node", episodes=2, results_path=str(results), report_path=str(report), **TASK)
    observer.until(lambda: len(observer.events) == 4, limit_s=30.0)
    assert policy.wait() == 0, policy.output
    assert [(event["event"], event["episode"]) for event in observer.events] == [
        *(("begin", 0), ("end", 0), ("begin", 1), ("end", 1))
    ]
    records = lines(results)
    assert [record["reason"] for record in records] == ["success", "success"]
    steps = records[0]["steps"]
    assert steps["joint_position"][-1][0] == pytest.approx(steps["target"][0], abs=0.02)
    observer.until(lambda: observer.says("no commands yet"))
    assert "stop" not in log.read_text()
    written = json.loads(report.read_text())
    assert written["steps"] >= sum(len(record["steps"]["action"]) for record in records)
    assert 0.0 < written["p50_ms"] <= written["p99_ms"] <= written["max_ms"]


def test_a_killed_policy_leaves_an_arm_that_holds_then_stops_and_says_why(observer, start, start_driver):
    _, log = start_driver()
    policy = start("policy_node", **SLOW)
    observer.until(lambda: any(event["event"] == "begin" for event in observer.events))
    observer.until(lambda: observer.states[-1].position[0] > 0.05)
    policy.kill()
    observer.until(lambda: observer.says("stale reference"))
    assert "stop" in log.read_text()
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 10)
    held = observer.states[-1].position[0]
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 10)
    assert observer.states[-1].position[0] == pytest.approx(held, abs=1e-3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_aborts_the_episode_in_order_and_the_robot_holds(observer, start, start_driver, tmp_path, number):
    results = tmp_path / "results.jsonl"
    start_driver()
    policy = start("policy_node", results_path=str(results), **SLOW)
    observer.until(lambda: any(event["event"] == "begin" for event in observer.events))
    status, duration_s = policy.end(number)
    assert (status, duration_s < 2.0) == (0, True), policy.output
    assert lines(results)[0]["reason"] == "aborted: the policy node was stopped"
    observer.until(lambda: observer.says("no commands yet"))


def test_a_fault_of_the_driver_aborts_the_episode_and_the_next_one_follows_the_reset(observer, start, start_driver):
    from std_srvs.srv import Trigger

    start_driver()
    start("policy_node", **SLOW)
    observer.until(lambda: any(event["event"] == "begin" for event in observer.events))
    observer.call(Trigger, "driver/stop", Trigger.Request())
    observer.until(lambda: any(event["event"] == "end" for event in observer.events))
    assert observer.events[-1]["reason"] == "aborted: the driver reports: stopped by the service stop"
    assert observer.call(Trigger, "driver/reset", Trigger.Request()).success
    observer.until(lambda: observer.events[-1]["event"] == "begin")
    assert observer.events[-1]["episode"] == 1


def test_a_frozen_driver_aborts_the_episode_for_stale_measurements(observer, start, start_driver):
    driver, _ = start_driver()
    policy = start("policy_node", recovery_limit_s=0.5, **SLOW)
    observer.until(lambda: any(event["event"] == "begin" for event in observer.events))
    driver.process.send_signal(signal.SIGSTOP)
    observer.until(lambda: any(event["event"] == "end" for event in observer.events))
    assert "joint_states are" in observer.events[-1]["reason"]
    assert policy.wait() == 1
    assert "gave up after 0.5 s waiting for fresh measurements" in policy.output
    driver.process.send_signal(signal.SIGCONT)


def test_without_a_driver_it_gives_up_and_names_what_is_missing(start):
    policy = start("policy_node", wait_limit_s=0.5, **TASK)
    assert policy.wait() == 1
    assert "gave up after 0.5 s waiting for the description of the robot (topic robot_spec" in policy.output


def test_a_task_for_another_robot_is_refused_with_the_difference(start, start_driver):
    start_driver()
    policy = start("policy_node", task="ur5e-reach", policy="scripted")
    assert policy.wait() == 1
    assert "task ur5e-reach does not fit" in policy.output
    assert "control_rate_hz: trained with 500.0, offered 100.0" in policy.output


def test_a_policy_that_cannot_be_read_is_one_clear_line(start, tmp_path):
    policy = start("policy_node", task="ur5e-reach", policy=str(tmp_path / "none.onnx"))
    assert policy.wait() == 1
    assert "cannot configure: " in policy.output
    assert "none.onnx" in policy.output
    assert "Traceback" not in policy.output


def test_a_persons_device_that_is_not_there_is_one_clear_line(start):
    policy = start("policy_node", **TASK, person="joystick")
    assert policy.wait() == 1
    assert "unknown teleoperator 'joystick'" in policy.output and "Traceback" not in policy.output


def test_robots_are_compared_field_by_field():
    import dataclasses

    from graph_robot import SPEC

    from robostack.nodes.same_robot import require_same_spec

    require_same_spec(json.dumps(dataclasses.asdict(SPEC)), SPEC, "task x")
    other = dataclasses.replace(SPEC, base_frame="world")
    with pytest.raises(ContractMismatchError, match="base_frame: trained with 'base_link', offered 'world'"):
        require_same_spec(json.dumps(dataclasses.asdict(other)), SPEC, "task x")
    for text in ("{", "3"):
        with pytest.raises(ProtocolError, match="robot_spec carries no"):
            require_same_spec(text, SPEC, "task x")


def test_a_persons_stop_is_the_robots_own_and_holds_until_the_person_says_reset(observer, start, start_driver):
    from std_srvs.srv import Trigger

    _, log = start_driver()
    policy = start(
        "graph_person",
        task="graph_robot:PersonTask",
        person="puppet",
        pause_s=0.1,
        to_start=False,
        recovery_limit_s=0.5,
    )
    observer.until(lambda: any(event["event"] == "begin" for event in observer.events))
    policy.say("event STOP")
    observer.until(lambda: any(event["event"] == "end" for event in observer.events))
    assert observer.events[-1]["reason"].startswith("aborted: the operator stopped the robot")
    observer.until(lambda: observer.says("stopped by the service stop"))
    assert "stop" in log.read_text()
    assert observer.call(Trigger, "driver/reset", Trigger.Request()).success  # somebody else finds it safe
    observer.until(lambda: observer.says("no commands yet"))
    count = len(observer.states)
    observer.until(lambda: len(observer.states) > count + 100)  # a second: twice the limit of waiting for a fault
    assert [event["event"] for event in observer.events] == ["begin", "end"]
    policy.say("event RESET")
    observer.until(lambda: observer.events[-1]["event"] == "begin")
    assert observer.events[-1]["episode"] == 1
