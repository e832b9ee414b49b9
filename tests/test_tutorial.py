"""Runs docs/tutorials/add-a-robot.md as a reader would: writes its files beside the source, runs its commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorials" / "add-a-robot.md"
ROOMS = ("hardware", "controllers", "sim", "calibration", "robostack", "launch")
FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the rooms with the files of the page added."""
    folder = tmp_path_factory.mktemp("tree")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in FILE.findall(PAGE.read_text()):
        path = folder / name
        assert not path.exists(), f"the page overwrites {name}: a robot is new files only"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run(tree: Path, command: str) -> subprocess.CompletedProcess[str]:
    verb, *arguments = shlex.split(command)
    assert verb == "robostack"
    environment = {**os.environ, "PYTHONPATH": str(tree), "ROS_DOMAIN_ID": "93"}
    return subprocess.run(
        [sys.executable, "-m", "robostack", *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_page_works(tree):
    pytest.importorskip("rclpy")
    commands = [
        line.removeprefix("$ ") for block in CONSOLE.findall(PAGE.read_text()) for line in block.splitlines() if line
    ]
    assert len(commands) >= 5
    for command in commands:
        done = run(tree, command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command.startswith("robostack list"):
            assert "planar-arm" in done.stdout
        if command.startswith("robostack launch"):
            assert "holds its pose" in done.stderr
            assert "1 episodes have ended" in done.stderr


def test_the_new_files_obey_the_import_order_and_the_style(tree):
    files = [tree / name for name, _ in FILE.findall(PAGE.read_text()) if name.endswith(".py")]
    assert len(files) == 5
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *map(str, files)],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
