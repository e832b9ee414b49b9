"""What every test runs under: one thread per process, no display, and deterministic property tests."""

from __future__ import annotations

import ctypes.util
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before anything imports numpy, mujoco or rclpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "disable")
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")  # a message field of a wrong type is an error
os.environ.setdefault("ROS_LOG_DIR", str(Path(tempfile.gettempdir()) / "robostack-test-ros-logs"))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import pytest
from hypothesis import HealthCheck, settings
from stall_watch import RunAgain

settings.register_profile(
    "deterministic", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("deterministic")


def pytest_configure(config: pytest.Config) -> None:
    """Tests in real time are run again when the machine, not the code, was late."""
    if not hasattr(config, "workerinput"):  # such tests run in one process; see the Makefile
        config.pluginmanager.register(RunAgain())


_hosts = itertools.count()


@pytest.fixture
def loopback_host() -> Iterator[str]:
    """An address of 127/8 that no other test of this run uses, so that servers on fixed ports do not meet.

    The process id tells xdist workers and runs at the same time apart.
    """
    serial = next(_hosts)
    process = os.getpid()
    yield f"127.{1 + process % 254}.{(process // 254 + serial // 254) % 256}.{1 + serial % 254}"
