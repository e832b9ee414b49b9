"""A picture of success over each dynamics parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robostack.sensitivity import Sensitivity

_COLUMNS = 4


def write_sensitivity_plot(path: Path, found: Sequence[Sensitivity], units: Mapping[str, str], title: str) -> None:
    """Write one small diagram per parameter, with 95 % intervals, the largest drop first.

    Args:
        path: PNG file.
        found: success over each parameter.
        units: unit by parameter; "1" for a plain number.
        title: above all.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis, one in zip(axes, found, strict=False):
        unit = units.get(one.parameter, "1")
        axis.fill_between(one.centres, one.low, one.high, alpha=0.25, color="tab:blue", linewidth=0)
        axis.plot(one.centres, one.success, color="tab:blue", marker="o", markersize=3)
        axis.set_title(one.parameter, fontsize=9)
        axis.set_xlabel("" if unit == "1" else f"[{unit}]", fontsize=8)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(alpha=0.3)
    for axis in axes[::columns]:
        axis.set_ylabel("success", fontsize=8)
    for axis in axes[len(found) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=130)
