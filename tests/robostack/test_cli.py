from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import types

import pytest

from hardware.errors import ConfigError
from robostack import __version__
from robostack.cli import main as cli
from robostack.cli.command import COMMANDS, Command

HEAVY = ("mujoco", "torch", "rclpy", "scipy", "matplotlib", "gymnasium", "mink", "onnxruntime", "av")


def robostack(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "robostack", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def verb(monkeypatch):
    """Registers a verb "toy" for the length of a test."""

    def register(run) -> None:
        module = types.ModuleType("toy_verb")
        module.COMMAND = Command(summary="Plays.", main=run)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "toy_verb", module)
        point = importlib.metadata.EntryPoint("toy", "toy_verb:COMMAND", "robostack.commands")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] * (group == "robostack.commands"))

    return register


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_verb_with_its_summary(arguments, capsys):
    assert cli.run(arguments) == 0
    shown = capsys.readouterr().out
    assert __version__ in shown
    words = " ".join(shown.split())
    for name in COMMANDS.names():
        assert name in shown
        assert " ".join(COMMANDS.summary(name).split()).rstrip(".") in words


def test_verbs_come_in_the_order_of_use_and_new_ones_after():
    assert cli.ordered(["zeta", "bench", "alpha", "info", "train"]) == ["info", "train", "bench", "alpha", "zeta"]


def test_the_overview_imports_nothing_heavy():
    code = (
        f"import sys; sys.argv[1:] = ['--help']\nfrom robostack.cli.main import run\nrun([])\n"
        f"sys.stderr.write(repr([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "[]"


def test_the_overview_works_without_a_terminal():
    result = robostack("--help", TERM="dumb", COLUMNS="60")
    assert result.returncode == 0
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 60


def test_the_version_is_that_of_the_package():
    assert robostack("--version").stdout == f"robostack {__version__}\n"
    assert importlib.metadata.version("robostack-learning") == __version__


def test_an_unknown_verb_names_the_nearest_and_fails():
    result = robostack("inof")
    assert result.returncode == 2
    assert "unknown command 'inof'. Did you mean 'info'?" in result.stderr
    assert result.stdout == ""


def test_a_verb_gets_the_arguments_after_it_and_its_status_is_the_exit_status(verb):
    seen = []
    verb(lambda arguments: seen.append(arguments) or 7)
    assert cli.run(["toy", "a", "--b"]) == 7
    assert seen == [["a", "--b"]]


@pytest.mark.parametrize(
    ("display", "given", "egl", "expected"),
    [("", None, True, "egl"), (":0", None, True, None), ("", "osmesa", True, "osmesa"), ("", None, False, None)],
)
def test_without_a_display_mujoco_is_told_to_render_with_egl(verb, monkeypatch, display, given, egl, expected):
    for name, value in (("DISPLAY", display), ("WAYLAND_DISPLAY", ""), ("MUJOCO_GL", given)):
        monkeypatch.setenv(name, value or "")
    if given is None:
        monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(cli, "library_loads", lambda _: egl)
    seen = []
    verb(lambda _: seen.append(os.environ.get("MUJOCO_GL")) or 0)
    cli.run(["toy"])
    assert seen == [expected]


def raise_error(_: list[str]) -> int:
    raise ConfigError("rate_hz: expected a number")


def test_an_error_of_the_stack_is_one_line_and_status_1(verb, capsys, monkeypatch):
    monkeypatch.delenv("ROBOSTACK_DEBUG", raising=False)
    verb(raise_error)
    assert cli.run(["toy"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "robostack: rate_hz: expected a number\n"
    assert captured.out == ""


def test_two_verbs_with_one_name_are_an_error_not_a_traceback(verb, capsys, monkeypatch):
    monkeypatch.delenv("ROBOSTACK_DEBUG", raising=False)
    points = [importlib.metadata.EntryPoint("toy", f"{where}:COMMAND", "robostack.commands") for where in ("a", "b")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    for arguments in ([], ["toy"], ["info"]):
        assert cli.run(arguments) == 1
        assert capsys.readouterr().err.startswith("robostack: command 'toy' is registered twice")


def test_debugging_lets_the_error_through(verb, monkeypatch):
    monkeypatch.setenv("ROBOSTACK_DEBUG", "1")
    verb(raise_error)
    with pytest.raises(ConfigError):
        cli.run(["toy"])


def test_an_error_that_is_none_of_the_stacks_is_not_hidden(verb):
    def broken(_: list[str]) -> int:
        raise ZeroDivisionError

    verb(broken)
    with pytest.raises(ZeroDivisionError):
        cli.run(["toy"])


def test_interrupting_is_quiet_with_status_130(verb, capsys, monkeypatch):
    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    verb(interrupted)
    monkeypatch.setattr(sys, "argv", ["robostack", "toy"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_traceback():
    result = subprocess.run(
        f"{sys.executable} -m robostack info --json | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize("name", COMMANDS.names())
def test_every_verb_explains_itself(name, capfd):
    assert COMMANDS.load(name).summary
    try:
        status = cli.run([name, "--help"])
    except SystemExit as ended:  # how tyro and argparse end after their help
        status = ended.code
    captured = capfd.readouterr()
    assert status == 0
    assert "usage: " in captured.out + captured.err


def test_info_reports_versions_and_abilities_as_json():
    result = robostack("info", "--json")
    assert result.returncode == 0
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found) == {"versions", "machine", "extras", "ros", "real_time", "rendering"}
    assert found["versions"]["robostack"] == __version__
    assert found["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert found["extras"]["dev"] is True
    assert set(found["rendering"]) == {"egl", "osmesa", "glfw"}
    shown = robostack("info").stdout
    for word in ("numpy", "extra train", "SCHED_FIFO", "MUJOCO_GL=egl"):
        assert word in shown
