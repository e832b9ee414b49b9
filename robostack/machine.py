"""What a result was measured on: versions of the software and a description of the machine, for records and reports."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

DISTRIBUTION = "robostack-learning"
"""Name of this project among the installed packages."""

PACKAGES = (
    "numpy",
    "scipy",
    "mujoco",
    "gymnasium",
    "mink",
    "daqp",
    "torch",
    "onnx",
    "onnxruntime",
    "av",
    "tyro",
    "ros-jazzy-rclpy",
    "ur-rtde",
)
"""Packages whose version can change a figure."""

_QUERY_TIMEOUT_S = 10.0


def versions() -> dict[str, str]:
    """Versions of this project, of Python, and of those of `PACKAGES` that are installed."""
    found = {"robostack": _version(DISTRIBUTION) or "not installed", "python": platform.python_version()}
    return found | {name: version for name in PACKAGES if (version := _version(name)) is not None}


def machine() -> dict[str, object]:
    """Processor, cores this process may use, memory [GiB], system and graphics processor (None without one)."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "os": _system(),
        "kernel": platform.release(),
        "gpu": _gpu(),
    }


def extras() -> dict[str, list[str]]:
    """Optional extra -> the packages it needs that are not installed; an empty list: the extra is there."""
    missing: dict[str, list[str]] = {}
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return missing
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra == ['\"]([A-Za-z0-9._-]+)['\"]", requirement)
        if name is None or extra is None or name.group() == DISTRIBUTION:
            continue
        lacking = missing.setdefault(extra.group(1), [])
        if _version(name.group()) is None:
            lacking.append(name.group())
    return missing


def ros() -> str | None:
    """Distribution and version of ROS 2 that this Python would import, None without one. Imports nothing."""
    if (wheel := _version("ros-jazzy-rclpy")) is not None:
        return f"jazzy {wheel} (wheels)"
    if importlib.util.find_spec("rclpy") is not None:
        return f"{os.environ.get('ROS_DISTRO', 'unknown distribution')} (system)"
    return None


def real_time_allowed() -> bool:
    """Whether this user may run threads under SCHED_FIFO; tried in a process of its own."""
    probe = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    result = subprocess.run([sys.executable, "-I", "-c", probe], capture_output=True, check=False)
    return result.returncode == 0


def rendering_libraries() -> dict[str, bool]:
    """Backend of `MUJOCO_GL` -> whether its library loads; egl and osmesa need no display."""
    libraries = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8", "glfw": "libGL.so.1"}
    return {backend: library_loads(library) for backend, library in libraries.items()}


def library_loads(library: str) -> bool:
    """Whether the dynamic linker finds `library` ("libEGL.so.1")."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if models:
            return str(models[0])
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _gpu() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        query = [tool, "--query-gpu=name", "--format=csv,noheader"]
        result = subprocess.run(query, capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ", ".join(result.stdout.split("\n")).strip(", ") or None if result.returncode == 0 else None
