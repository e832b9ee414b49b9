from __future__ import annotations

import pytest

from robostack.nodes.latency import AnswerLatency


def test_answers_are_matched_by_stamp_and_summarised():
    latency = AnswerLatency()
    for index in range(100):
        latency.sent(index, index * 1.0)
        latency.answered(index, index * 1.0 + (index + 1) * 1e-3)
    summary = latency.summary()
    assert summary["count"] == 100
    assert summary["p50_ms"] == pytest.approx(50.5)
    assert summary["max_ms"] == pytest.approx(100.0)


def test_unknown_and_repeated_stamps_do_not_count():
    latency = AnswerLatency()
    latency.sent(5, 1.0)
    latency.answered(6, 2.0)
    assert latency.summary() == {"count": 0.0}
    latency.answered(5, 1.5)
    latency.answered(5, 9.0)
    assert latency.summary()["max_ms"] == pytest.approx(500.0)


def test_measurements_without_an_answer_are_forgotten():
    latency = AnswerLatency()
    for index in range(1000):
        latency.sent(index, 0.0)
    latency.answered(0, 1.0)
    assert latency.summary() == {"count": 0.0}
