from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np

from robostack.cli import output


def test_json_is_one_line_of_plain_values(capsys):
    output.print_json_line(
        {"a": np.float64(0.1), "b": np.arange(3), "c": (True, None, float("nan")), "d": {1: Path("x")}, "e": "ä\n"}
    )
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text) == {"a": 0.1, "b": [0, 1, 2], "c": [True, None, None], "d": {"1": "x"}, "e": "ä\n"}


def test_a_table_without_a_terminal_is_aligned_and_never_cut(capsys):
    output.print_table(("name", "n"), [("a" * 200, 1), ("b", 22)])
    assert capsys.readouterr().out == f"{'name':200}  n\n{'a' * 200}  1\n{'b':200}  22\n"


def test_an_empty_table_is_its_headings(capsys):
    output.print_table(("name", "n"), [])
    assert capsys.readouterr().out == "name  n\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_cells_are_shown_literally(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    output.print_table(("name", "unit"), [("speed", "[rad/s]")])
    assert "[rad/s]" in terminal.getvalue()


def test_hints_and_errors_go_to_standard_error(capsys):
    output.console.cache_clear()
    output.print_next("robostack launch ur5e [--virtual]")
    output.print_error("no robot")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "next: robostack launch ur5e [--virtual]\nrobostack: no robot\n"
