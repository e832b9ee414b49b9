"""The benchmark of simulation speed counts what it says."""

from __future__ import annotations

import pytest

from robostack.bench import sim
from robostack.bench.sim import BENCH


def test_the_quick_form_gives_every_figure() -> None:
    measured = BENCH.run(True)
    figures = measured.figures
    assert {"vector_env_per_cpu_s", "raw_per_cpu_s", "gymnasium_sync_per_cpu_s"} <= set(figures)
    assert min(figures.values()) > 0.0
    assert figures["ratio_to_raw"] == pytest.approx(figures["vector_env_per_cpu_s"] / figures["raw_per_cpu_s"])
    assert figures["randomized_vs_shared"] == pytest.approx(
        figures["randomized_stepping_per_cpu_s"] / figures["shared_stepping_per_cpu_s"]
    )
    assert figures["randomized_vs_shared_env"] > 0.0
    reached = figures["ratio_to_raw"] >= 0.95, figures["ratio_to_gymnasium_sync"] >= 1.5
    assert measured.met == (all(reached) and figures["randomized_vs_shared"] >= 0.95)


def test_the_best_turn_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    costs = iter([4.0, 1.0, 2.0])

    def advance() -> int:
        now[0] += next(costs)
        return 10

    monkeypatch.setattr(sim.time, "process_time", lambda: now[0])
    assert sim._best_rates({"one": advance}, repeats=3, steps=10) == {"one": 10.0}
