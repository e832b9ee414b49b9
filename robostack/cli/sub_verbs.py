"""Verbs of verbs, such as `robostack data check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hardware.errors import UnknownNameError
from robostack.cli.output import print_error

SubVerbs = Mapping[str, tuple[Callable[[list[str]], int], str]]
"""Name -> what runs it, called with the arguments after it, and one line about it."""


def run_sub_verb(verb: str, verbs: SubVerbs, arguments: list[str]) -> int:
    """Run what the first argument names; returns its exit status, 2 for an unknown name."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: robostack {verb} VERB PATH ...\n")
        for name, (_, summary) in verbs.items():
            print(f"  {name:8} {summary}")
        print(f"\nrobostack {verb} VERB --help shows what a verb takes.")
        return 0
    if arguments[0] not in verbs:
        print_error(f"{UnknownNameError('verb', arguments[0], verbs)}\nSee: robostack {verb} --help")
        return 2
    return verbs[arguments[0]][0](arguments[1:])
