"""What every verb prints with: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console() -> Console:
    """The console for progress, hints and tables that are not the result; writes to standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_error(message: str) -> None:
    """Say on standard error what went wrong, without a traceback."""
    sys.stderr.write(f"robostack: {message}\n")


def print_next(command: str) -> None:
    """Name the next useful command, on standard error."""
    console().print(f"next: [bold]{_escaped(command)}[/bold]", soft_wrap=True)


def print_json_line(data: Mapping[str, Any]) -> None:
    """Write `data` as one line of JSON to standard output; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_jsonable(data), allow_nan=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], stderr: bool = False) -> None:
    """Write a table: drawn on a terminal, else aligned text of which no column is ever cut.

    Args:
        columns: headings.
        rows: cells, one per column.
        stderr: write to standard error, because standard output carries something else.
    """
    stream = sys.stderr if stderr else sys.stdout
    cells = [[str(cell) for cell in row] for row in rows]
    if stream.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for row in cells:
            table.add_row(*map(_escaped, row))
        Console(stderr=stderr, highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        stream.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _jsonable(value: Any) -> Any:
    """`value` in the types of JSON; numpy numbers and arrays become plain ones."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
