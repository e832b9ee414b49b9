"""A test in real time is run again when the machine was late, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stall_watch import STALL_S, StallWatch

CONFTEST = """
import stall_watch

class Watch:
    def worst_since(self, begun_s):
        return {stall_s}

    def close(self):
        pass

def pytest_configure(config):
    config.addinivalue_line("markers", "wire: real time")
    config.addinivalue_line("markers", "graph: nodes")
    config.pluginmanager.register(stall_watch.RunAgain(Watch))
"""
TESTS = """
import pathlib, pytest

def count(name):
    path = pathlib.Path(name)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())

@pytest.fixture(scope="module")
def device():
    return count("device")

@pytest.mark.wire
def test_passes_at_the_second_attempt(device):
    assert count("second") == 2
    assert device == 2, "the fixture of the module was made again"

@pytest.mark.wire
def test_never_passes():
    assert count("never") < 0

@pytest.mark.graph
def test_of_a_driver():
    status = {"cycles": "7", "lateness_max_ms": "315.002"}
    assert count("driver") == 2, status

def test_of_no_real_time():
    assert count("plain") < 0
"""


def run(folder: Path, stall_s: float) -> tuple[str, dict[str, int]]:
    """What pytest says of the tests above, and how often each ran."""
    (folder / "conftest.py").write_text(CONFTEST.format(stall_s=stall_s))
    (folder / "test_it.py").write_text(TESTS)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), "-rA", "-q", "."]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    counts = {name: (folder / name).stat().st_size for name in ("second", "never", "driver", "plain")}
    return done.stdout, counts


def test_a_late_machine_gives_four_attempts(tmp_path):
    output, counts = run(tmp_path, stall_s=0.3)
    assert counts == {"second": 2, "never": 4, "driver": 2, "plain": 1}
    assert "2 failed, 2 passed" in output
    assert "test_it.py::test_never_passes: failed while something was held up for 300 ms" in output


def test_a_machine_in_time_gives_one_unless_the_driver_was_late(tmp_path):
    output, counts = run(tmp_path, stall_s=0.0)
    assert counts == {"second": 1, "never": 1, "driver": 2, "plain": 1}
    assert "3 failed, 1 passed" in output
    assert "test_it.py::test_of_a_driver: failed while something was held up for 315 ms" in output


@pytest.mark.wire
def test_a_stall_is_seen_and_a_past_one_is_not_counted():
    watch = StallWatch()
    try:
        while not watch._log.is_file():  # it is up
            time.sleep(0.01)
        begun_s = time.monotonic()
        os.kill(watch._process.pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(watch._process.pid, signal.SIGCONT)
        assert watch.worst_since(begun_s) > STALL_S
        assert watch.worst_since(time.monotonic() + 3600.0) == 0.0
    finally:
        watch.close()
