from __future__ import annotations

import json

import pytest

from robostack.bench.control_loop import Blocks
from robostack.bench.ros_latency import FastReach, _summary


@pytest.mark.graph
def test_two_bare_nodes_measure_the_way_there_and_back(start, tmp_path):
    report = tmp_path / "ping.json"
    pong = start("ping_pong", name="pong", role="pong")
    ping = start("ping_pong", name="ping", role="ping", duration_s=1.0, report_path=str(report))
    assert ping.wait() == 0, ping.output
    summary = json.loads(report.read_text())
    assert summary["count"] > 50
    assert 0.0 < summary["p50_ms"] <= summary["p99_ms"] <= summary["max_ms"]
    assert pong.end()[0] == 0


def test_figures_are_medians_over_the_turns_and_the_largest_of_all():
    blocks = Blocks()
    for p50, p99, largest in ((1.0, 5.0, 9.0), (2.0, 4.0, 30.0), (9.0, 6.0, 8.0)):
        blocks.add(p50, p99, largest)
        blocks.round_trip_p50_ms.append(2.0 * p50)
        blocks.round_trip_p99_ms.append(2.0 * p99)
    assert blocks.figures("bare_") == {
        "bare_lateness_p50_ms": 2.0,
        "bare_lateness_p99_ms": 5.0,
        "bare_lateness_max_ms": 30.0,
        "bare_round_trip_p50_ms": 4.0,
        "bare_round_trip_p99_ms": 10.0,
    }


def test_the_fast_task_differs_only_in_its_rate_and_its_end():
    task = FastReach()
    assert task.control_period_s == 0.01
    assert (task.name, task.ends_on_success) == ("ur5e-reach", False)


def test_a_missing_answer_is_an_error_that_says_what_to_do(tmp_path):
    from hardware.errors import DeviceError

    file = tmp_path / "report.json"
    with pytest.raises(DeviceError, match="wrote no report"):
        _summary(file)
    file.write_text('{"answer": {"count": 0.0}}')
    with pytest.raises(DeviceError, match="no command answered"):
        _summary(file, "answer")
