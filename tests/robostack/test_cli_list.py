from __future__ import annotations

import json

import pytest

from hardware.errors import UnknownNameError
from hardware.robot import ROBOTS
from robostack.cli import list as list_verb
from robostack.cli.command import COMMANDS


@pytest.mark.parametrize("kind", sorted(list_verb.NEXT))
def test_every_kind_can_be_listed(kind, capsys):
    assert list_verb.main([kind]) == 0
    assert capsys.readouterr().out.split()[:2] == [kind, "summary"]


def test_a_list_shows_names_with_summaries_and_the_next_command(capsys):
    assert list_verb.main(["robots"]) == 0
    captured = capsys.readouterr()
    for name in ROBOTS.names():
        row = next(line for line in captured.out.splitlines() if line.split()[0] == name)
        assert row.endswith(ROBOTS.load(name).summary.rstrip("."))
    assert captured.err == f"next: robostack virtual {ROBOTS.names()[0]}\n"


def test_json_is_one_object_on_the_last_line(capsys):
    assert list_verb.main(["commands", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {name: COMMANDS.load(name).summary for name in COMMANDS.names()}


def test_an_unknown_kind_lists_the_kinds():
    with pytest.raises(
        UnknownNameError, match=r"unknown kind 'robos'. Did you mean 'robots'\? Available: benches, cameras, comm"
    ):
        list_verb.main(["robos"])
