from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess

import numpy as np

from robostack import machine


def test_versions_are_those_installed_and_nothing_that_is_not(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))
    found = machine.versions()
    assert found == {
        "robostack": importlib.metadata.version("robostack-learning"),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def test_the_machine_is_described_by_plain_values():
    found = machine.machine()
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert 0.1 < found["memory_gib"] < 1e5
    assert found["cpu"]
    assert found["kernel"] == platform.release()


def test_a_machine_without_a_graphics_processor_says_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert machine.machine()["gpu"] is None


def test_graphics_processors_are_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, stdout="Model A\nModel B\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert machine.machine()["gpu"] == "Model A, Model B"
    answer.returncode = 9  # the driver is not running
    assert machine.machine()["gpu"] is None


def test_extras_list_what_each_lacks(monkeypatch):
    requirements = [
        "numpy>=2.0",
        'numpy>=2.0; extra == "there"',
        'no-such-package>=1; extra == "partly"',
        "numpy; extra == 'partly'",
        'robostack-learning[there]; extra == "all"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)
    assert machine.extras() == {"there": [], "partly": ["no-such-package"]}


def test_a_library_that_does_not_exist_does_not_load():
    assert machine.library_loads("libc.so.6")
    assert not machine.library_loads("libno_such_library.so.9")
