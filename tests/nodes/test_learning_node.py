"""The policy node learns while it acts: counts, a power cut, a defect in the learner, a robot on wheels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from base_launch import virtual

from robostack.checkpoint import checkpoints, load_arrays

pytestmark = pytest.mark.graph

SETTINGS = json.dumps({"hidden": [8, 8]})
TASK = {"task": "graph_robot:ShortTask", "pause_s": 0.05, "to_start": False, "state_age_max_s": 1.5}


def learner(folder, name="avg", **more):
    parameters = {"learn__learner": name, "learn__folder": str(folder), "learn__settings": SETTINGS}
    return parameters | {f"learn__{key}": value for key, value in more.items()}


def weights(folder):
    arrays, _ = load_arrays(folder, "learner")
    return np.concatenate([arrays["actor"], arrays["critic"], arrays["critic_second_moment"]])


def test_it_learns_within_its_cycles_and_writes_down_what_it_learned(observer, start, start_driver, tmp_path):
    run, report = tmp_path / "run", tmp_path / "policy.json"
    start_driver()
    policy = start("policy_node", report_path=str(report), **TASK, **learner(run, minutes=0.03))  # 1.8 s: 4 episodes
    observer.until(lambda: any("update_p99_ms" in values for _, _, values in observer.status))
    assert policy.wait(40.0) == 0, policy.output
    written = json.loads(report.read_text())
    learned = written["learning"]
    assert written["episodes"] == learned["run_episodes"] >= 2
    records = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    steps = sum(len(record["steps"]["reward"]) for record in records)
    assert learned["cycles"] == steps == learned["learned"] + learned["skipped"]
    assert learned["learned"] == learned["run_steps"] > 0.5 * steps
    assert 0.0 < learned["update_p50_ms"] <= learned["update_p99_ms"] <= learned["update_max_ms"]
    assert written["lateness_p50_ms"] <= written["lateness_p99_ms"] <= written["lateness_max_ms"]
    assert learned["return_last_tenth"] == pytest.approx(records[-1]["total_reward"])
    found = checkpoints(run)
    assert [int(found[0].name), int(found[-1].name)] == [0, learned["run_steps"]]
    assert not np.array_equal(weights(found[0]), weights(found[-1]))
    assert "episodes have ended" in policy.output and "skipped" in policy.output


def test_after_a_power_cut_it_goes_on_from_the_last_finished_episode(observer, start, start_driver, tmp_path):
    run = tmp_path / "run"
    start_driver()
    policy = start("policy_node", **TASK, **learner(run))
    observer.until(lambda: any(event["event"] == "begin" and event["episode"] >= 3 for event in observer.events))
    policy.kill()  # in the middle of an episode
    kept = checkpoints(run)[-1]
    before = weights(kept)
    episodes = json.loads((kept / "on_robot.json").read_text())["episodes"]
    assert episodes >= 2
    again = start("policy_node", **TASK, **learner(run))
    assert again.wait() == 1 and "already holds a run. Continue it with --resume" in again.output
    observer.events.clear()
    # The killed node's arm was stopped, as it must be; a person resets it.
    observer.until(lambda: observer.says("stale reference"))
    from std_srvs.srv import Trigger

    assert observer.call(Trigger, "driver/reset", Trigger.Request()).success
    limit_s = (json.loads((kept / "on_robot.json").read_text())["acted_s"] + 0.7) / 60.0
    again = start("policy_node", **TASK, **learner(run, resume=True, minutes=limit_s))
    assert again.wait(40.0) == 0, again.output
    observer.until(lambda: any(event["event"] == "end" for event in observer.events))
    assert next(event for event in observer.events if event["event"] == "begin")["episode"] == episodes
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in lines] == list(range(len(lines))) and len(lines) > episodes
    # Nothing of the interrupted episode was kept, so both runs stand on the same weights.
    if kept.exists():
        np.testing.assert_array_equal(weights(kept), before)
    assert int(checkpoints(run)[-1].name) > int(kept.name)


def test_a_defect_in_the_learner_lets_the_robot_hold_and_ends_with_the_reason(observer, start, start_driver, tmp_path):
    _, log = start_driver()
    policy = start("policy_node", **TASK, **learner(tmp_path / "run", "graph_robot:BROKEN"))
    assert policy.wait(30.0) == 1
    assert "stopped: IndexError: the kernel wrote beyond its arrays" in policy.output
    assert "Traceback" in policy.output  # a defect, not a condition
    observer.until(lambda: any(event["event"] == "end" for event in observer.events))
    assert observer.events[-1]["reason"] == "aborted: IndexError: the kernel wrote beyond its arrays"
    observer.until(lambda: observer.says("no commands yet"))
    assert "stop" not in log.read_text()


def test_an_unknown_learner_is_one_clear_line(start, tmp_path):
    policy = start("policy_node", **TASK, **learner(tmp_path / "run", "agv"))
    assert policy.wait() == 1
    assert "agv" in policy.output and "intentional" in policy.output and "Traceback" not in policy.output


@pytest.mark.wire
@pytest.mark.slow
def test_a_robot_on_wheels_learns_over_its_serial_line(observer, start, tmp_path):
    port, run, report = str(tmp_path / "port"), tmp_path / "run", tmp_path / "policy.json"
    device = virtual("create2", port, "--nominal", "--room", "walled")
    try:
        driver = start("driver_node", robot="create2", driver__port=port, state_rate_hz=50.0)
        driver.wait_for("ready: create2", limit_s=20.0)
        task = {"task": "graph_robot:ShortMover", "to_start": False, "pause_s": 0.1, "state_age_max_s": 1.5}
        task |= {"episodes": 2, "resets_max": 5, "report_path": str(report)}
        policy = start("policy_node", **task, **learner(run, "intentional", minutes=0.0))
        assert policy.wait(60.0) == 0, policy.output
        learned = json.loads(report.read_text())["learning"]
        assert learned["run_episodes"] == 2 and learned["learned"] >= 5
        record = json.loads((run / "episodes.jsonl").read_text().splitlines()[0])
        assert record["steps"]["way_m"][-1] * 150.0 == pytest.approx(record["total_reward"], rel=1e-6, abs=1e-9)
    finally:
        device.terminate()
        device.wait(10.0)
        device.stdin.close()
        device.stdout.close()
