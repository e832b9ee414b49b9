"""`robostack bench NAME`: run one benchmark and report its figures beside their aims."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from robostack import machine
from robostack.bench.bench import BENCHES, BenchEntry, Measured
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next, print_table


@dataclass(frozen=True)
class BenchOptions:
    """Run one benchmark; `robostack list benches` names them. Some have options of their own: bench NAME --help."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the benchmark."""
    quick: bool = False
    """Run a reduced form as a smoke test; its figures are no result."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def report(name: str, entry: BenchEntry, measured: Measured, quick: bool, command: list[str]) -> dict[str, Any]:
    """The JSON object of a run; a quick one says so and has no `met`."""
    verdict: dict[str, Any] = {"quick": True} if quick else {"met": bool(measured.met)}
    return {
        "bench": name,
        "figures": {key: float(value) for key, value in measured.figures.items()},
        "aims": dict(entry.aims),
        **verdict,
        "seeds": list(measured.seeds),
        "versions": machine.versions(),
        "machine": machine.machine(),
        "command": shlex.join(command),
    }


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when the benchmark ran, whatever it found."""
    options, entry, own = _parsed(arguments)
    console().print(f"bench {options.name}{' (quick)' if options.quick else ''}: {entry.summary}", markup=False)
    with contextlib.redirect_stdout(sys.stderr):  # whatever a benchmark prints, the result stays the last line
        measured = entry.run(options.quick, *own)
    found = report(options.name, entry, measured, options.quick, ["robostack", "bench", *arguments])
    rows = [(key, f"{value:.6g}", entry.aims.get(key, "")) for key, value in found["figures"].items()]
    print_table(("figure", "value", "aim"), rows, stderr=options.json)
    for note in measured.notes:
        console().print(f"note: {note}", markup=False, soft_wrap=True)
    if not options.quick:
        console().print("every aim is met" if measured.met else "not every aim is met", style="bold")
    print_next("robostack list benches")
    if options.json:
        print_json_line(found)
    return 0


def _parsed(arguments: list[str]) -> tuple[BenchOptions, BenchEntry, tuple[Any, ...]]:
    """The verb's options, the benchmark they name, and the benchmark's own options where it has any."""
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    entry = BENCHES.load(name) if name else None
    if entry is None or entry.options is None:
        options = parse_options(BenchOptions, "bench", arguments)
        return options, entry or BENCHES.load(options.name), ()
    flat = tyro.conf.OmitArgPrefixes
    both = dataclasses.make_dataclass(
        "BothOptions",
        [("verb", flat[BenchOptions]), ("own", flat[entry.options])],
        namespace={"__doc__": entry.summary},
        frozen=True,
    )
    parsed: Any = parse_options(both, "bench", arguments)
    return parsed.verb, entry, (parsed.own,)


COMMAND = Command(summary="Run a benchmark and compare its figures with their aims", main=main)
