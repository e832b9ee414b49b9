"""The launch file of the UR5e as a whole: virtual arm over its wire protocol, driver node, policy node."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from std_srvs.srv import Trigger

from controllers.kinematics import SerialChain
from hardware.ur5e import MODEL, UR5E
from robostack.launching.finder import load_launch, resolve_arguments
from robostack.launching.supervisor import Supervisor, SupervisorConfig

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow]


def test_the_scripted_policy_reaches_its_target_on_the_virtual_arm(tmp_path, domain_id):
    results, report = tmp_path / "results.jsonl", tmp_path / "report.json"
    host = f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"
    description = load_launch("ur5e")
    given = {"virtual": "true", "host": host, "policy": "scripted", "episodes": "1"}
    given |= {"results_path": str(results), "report_path": str(report)}
    lines: list[str] = []
    config = SupervisorConfig(domain_id=domain_id, log_dir=str(tmp_path / "log"))
    items = description.describe(resolve_arguments(description, given))
    supervisor = Supervisor(items, lambda name, line: lines.append(f"[{name}] {line}"), config)
    statuses = supervisor.run()
    assert statuses == {"virtual_ur5e": 0, "driver": 0, "policy": 0}, "\n".join(lines)
    assert supervisor.ended_by == "policy"
    record = json.loads(results.read_text())
    assert record["reason"] == "success", record["reason"]
    chain = SerialChain.from_mjcf(MODEL, UR5E.joint_names, str(UR5E.tool_frame), UR5E.base_frame)
    tool = chain.forward(np.array(record["steps"]["joint_position"][-1]))[0]
    np.testing.assert_allclose(tool, record["steps"]["target"][-1], atol=0.01)
    written = json.loads(report.read_text())
    assert written["loop"]["faults"] == []
    assert written["commands"]["rejected"] == 0


def test_stop_and_reset_go_down_to_the_arm_and_back(observer, start):
    host = f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"
    command = [sys.executable, "-m", "sim.devices.run", "ur5e", "--host", host]
    arm = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert arm.stdout.readline().startswith("ready ur5e")
        driver = start("driver_node", driver__host=host, diagnostics_rate_hz=10.0)
        driver.wait_for("ready: ur5e", limit_s=20.0)
        observer.until(lambda: observer.says("holds its pose"))
        assert observer.call(Trigger, "driver/stop", Trigger.Request()).success
        observer.until(lambda: observer.says("stopped by the service stop"))
        observer.until(lambda: _status(arm)["program"] is None)
        response = observer.call(Trigger, "driver/reset", Trigger.Request())
        assert response.success, response.message
        observer.until(lambda: observer.says("holds its pose"))
        assert _status(arm)["program"] is not None
        assert driver.end()[0] == 0, driver.output
        observer.until(lambda: _status(arm)["program"] is None)
    finally:
        arm.terminate()
        arm.wait(10.0)


def _status(arm) -> dict[str, object]:
    arm.stdin.write("status\n")
    arm.stdin.flush()
    return json.loads(arm.stdout.readline())


def test_the_command_line_ends_with_status_1_and_one_line_where_nothing_answers(domain_id):
    code = "from robostack.cli.main import main; main()"
    command = [sys.executable, "-c", code, "launch", "ur5e", "--host", "127.0.0.254", "--ros.domain-id", str(domain_id)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "cannot configure: " in run.stderr
    assert "127.0.0.254" in run.stderr
    assert "Traceback" not in run.stderr
