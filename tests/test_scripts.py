"""The set-up scripts, with stand-ins for the system's programs, and the files that pin versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALL_LIBRARIES = "libEGL.so.1 (x)\nlibOpenGL.so.0 (x)\nlibGL.so.1 (x)"


class Machine:
    """A machine of which only the stand-ins and the few basic tools are seen."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.project, self.log = folder / "bin", folder / "project", folder / "calls.log"
        self.bin.mkdir()
        self.log.touch()
        shutil.copytree(ROOT / "scripts", self.project / "scripts")
        (self.project / "pyproject.toml").write_text("[project]\n")
        (self.project / "constraints.txt").write_text("a==1\n")
        for tool in ("sh", "dirname", "rm", "cat", "cksum", "tr", "mkdir", "cp", "pwd", "chmod", "ls", "tail"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))

    def program(self, name: str, body: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{body}\n')
        path.chmod(0o755)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            [str(self.project / "scripts" / script), *arguments],
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, word: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if word in line]


@pytest.fixture
def machine(tmp_path) -> Machine:
    made = Machine(tmp_path)
    # A Python whose venv module makes a "Python" that again is this stand-in.
    made.program("python3", 'if [ "$1" = -m ] && [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi')
    return made


def test_the_environment_is_made_once_and_then_left_alone(machine):
    first = machine.run("environment.sh", "ros,onnx")
    assert first.returncode == 0, first.stderr
    installs = machine.calls("pip install")
    assert installs[-1].endswith("-c constraints.txt -e .[ros,onnx]")
    assert machine.run("environment.sh", "ros,onnx").stdout == ""
    assert machine.calls("pip install") == []
    assert machine.calls("venv") == []


def test_other_extras_and_other_versions_are_installed_into_the_same_environment(machine):
    machine.run("environment.sh", "onnx")
    machine.run("environment.sh", "dev")
    assert machine.calls("-e .[dev]")
    (machine.project / "constraints.txt").write_text("a==2\n")
    machine.run("environment.sh", "onnx")
    assert machine.calls("-e .[onnx]")
    assert machine.calls("venv .venv") == []


@pytest.mark.parametrize("damage", ["python gone", "moved"])
def test_a_broken_environment_is_made_anew(machine, damage):
    machine.run("environment.sh", "onnx")
    (machine.project / ".venv" / "leftover").touch()
    if damage == "python gone":
        (machine.project / ".venv" / "bin" / "python").unlink()
    else:
        machine.project = machine.project.rename(machine.project.with_name("elsewhere"))
    assert machine.run("environment.sh", "onnx").returncode == 0
    assert machine.calls("-m venv .venv")
    assert machine.calls("-e .[onnx]")
    assert not (machine.project / ".venv" / "leftover").exists()


def test_a_failed_installation_is_tried_again(machine):
    machine.program(
        "python3",
        'case "$*" in *pip*-e*) echo no such wheel; exit 7;; *venv*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";; esac',
    )
    result = machine.run("environment.sh", "onnx")
    assert result.returncode == 1
    assert "no such wheel" in result.stderr
    assert "error: pip install -c constraints.txt -e .[onnx] failed" in result.stderr
    assert not list((machine.project / ".venv").glob(".installed-*"))


def test_a_python_that_is_too_old_is_said_clearly(machine):
    machine.program("python3", "exit 1")
    result = machine.run("environment.sh", "onnx")
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "apt-get install python3" in result.stderr


def test_a_python_without_venv_is_said_clearly(machine):
    machine.program("python3", '[ "$1" = -c ]')
    result = machine.run("environment.sh", "onnx")
    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr
    assert not (machine.project / ".venv").exists()


def test_only_missing_system_packages_are_installed(machine):
    machine.program("ldconfig", "echo 'libEGL.so.1 (x)'")
    machine.program("id", "echo 0")
    machine.program("apt-get", "exit 0")
    assert machine.run("system_packages.sh").returncode == 0
    (install,) = machine.calls("apt-get install")
    assert {"libopengl0", "libgl1", "--no-install-recommends", "-y"} <= set(install.split())
    assert "libegl1" not in install.split()


@pytest.mark.parametrize(("wanted", "browser"), [("", False), ("test", True)])
def test_the_browser_is_installed_for_tests_only(machine, wanted, browser):
    machine.program("ldconfig", f"echo '{ALL_LIBRARIES}'")
    machine.program("id", "echo 0")
    machine.program("apt-get", "exit 0")
    machine.run("system_packages.sh", *([wanted] if wanted else []))
    asked = " ".join(machine.calls("apt-get install")).split()
    release = Path("/etc/os-release")
    ubuntu = release.is_file() and "\nID=ubuntu" in "\n" + release.read_text()  # there it is only a snap
    assert ("chromium" in asked) == (browser and not ubuntu)
    assert ("libusb-1.0-0" in asked) == browser


def test_without_root_the_command_is_shown_and_the_work_goes_on(machine):
    machine.program("ldconfig", "true")
    machine.program("id", "echo 1000")
    machine.program("apt-get", "exit 0")
    result = machine.run("system_packages.sh")
    assert result.returncode == 0
    assert "sudo apt-get install -y --no-install-recommends libegl1 libopengl0 libgl1" in result.stderr
    assert machine.calls("apt-get install") == []


def test_a_failing_installation_of_system_packages_does_not_stop_the_work(machine):
    machine.program("ldconfig", "true")
    machine.program("id", "echo 0")
    machine.program("apt-get", "exit 100")
    result = machine.run("system_packages.sh")
    assert result.returncode == 0
    assert "going on without" in result.stderr


def test_a_complete_system_is_left_alone(machine):
    drivers = [p for pattern in ("swrast_dri.so", "libdril_dri.so") for p in Path("/usr/lib").glob(f"*/dri/{pattern}")]
    if not drivers:
        pytest.skip("no software renderer on this machine")
    machine.program("ldconfig", f"echo '{ALL_LIBRARIES}'")
    result = machine.run("system_packages.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_constraints_are_sorted_names_and_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+!]*", line) for line in lines)
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_every_dependency_is_pinned():
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r'"([A-Za-z0-9._-]+)(?:\[[a-z]+\])?>=', text)
    assert len(named) > 20
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in named} - {"setuptools"} <= pinned


@pytest.mark.parametrize(("libraries", "backend"), [("libEGL.so.1 (x)", "egl"), ("", "disable")])
def test_make_asks_for_egl_only_where_it_is(tmp_path, libraries, backend):
    linker = tmp_path / "ldconfig"
    linker.write_text(f"#!/bin/sh\necho '{libraries}'\n")
    linker.chmod(0o755)
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"include {ROOT / 'Makefile'}\nprobe:\n\t@echo $$MUJOCO_GL\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["make", "-s", "-f", str(makefile), "probe"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert shown == f"{backend}\n"
    chosen = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment | {"MUJOCO_GL": "osmesa"}
    )
    assert chosen.stdout == "osmesa\n"


def test_make_names_its_targets_and_ci_runs_the_tests():
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    assert {"demo", "test", "check", "clean"} <= set(shown.split())
    ci = ROOT / ".ci" / "run"
    assert os.access(ci, os.X_OK)
    assert "exec make test" in ci.read_text()
