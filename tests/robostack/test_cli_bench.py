from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import UnknownNameError
from robostack.bench.bench import BENCHES, BenchEntry, Measured
from robostack.cli import bench


def measure(quick: bool) -> Measured:
    print("progress that a benchmark writes by accident")
    return Measured(
        figures={"lateness_p50_ms": np.float64(0.25), "overruns": 0, "lost": float("inf")},
        met=not quick,
        seeds=(0, 1),
        notes=("the machine was busy",),
    )


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    entry = BenchEntry(summary="Measures.", run=measure, aims={"lateness_p50_ms": "<= 1"})
    monkeypatch.setattr(type(BENCHES), "load", lambda self, name: entry)


def test_the_json_object_is_the_last_line_and_has_the_agreed_keys(capsys):
    assert bench.main(["toy", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert list(found) == ["bench", "figures", "aims", "met", "seeds", "versions", "machine", "command"]
    assert found["bench"] == "toy"
    assert found["figures"] == {"lateness_p50_ms": 0.25, "overruns": 0.0, "lost": None}
    assert found["aims"] == {"lateness_p50_ms": "<= 1"}
    assert found["met"] is True
    assert found["seeds"] == [0, 1]
    assert found["command"] == "robostack bench toy --json"
    assert found["versions"]["python"]
    assert found["machine"]["cores"] >= 1
    assert "progress that" not in captured.out
    assert "progress that" in captured.err
    assert "the machine was busy" in captured.err


def test_a_quick_run_says_so_and_claims_nothing(capsys):
    assert bench.main(["toy", "--quick", "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert found["quick"] is True
    assert "met" not in found
    assert "aim is met" not in captured.err


def test_without_json_a_table_shows_figures_beside_aims(capsys):
    assert bench.main(["toy"]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["figure", "value", "aim"]
    assert rows[1] == ["lateness_p50_ms", "0.25", "<= 1"]
    assert rows[2] == ["overruns", "0"]


def test_an_unknown_benchmark_is_an_error(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(UnknownNameError, match="unknown bench 'no-such'"):
        bench.main(["no-such"])
