"""Draws learning curves: one panel per task, one colour per way of learning, thin by seed and thick the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Curves = tuple[Sequence[float] | np.ndarray[Any, Any], Sequence[Sequence[float]]]
"""Steps, (points,), and what each seed had reached there, (seeds, points); NaN where it is not known."""


def draw_curves(panels: Mapping[str, Mapping[str, Curves]], path: Path, y_label: str) -> None:
    """Write the picture.

    Args:
        panels: title -> label of a way of learning -> its curves; ways without a seed are left out.
        path: of the picture.
        y_label: of the leftmost axis.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    size = (max(5.0, 3.0 * len(panels)), 3.0)
    figure, axes = pyplot.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)
    for panel, (title, ways) in zip(axes[0], panels.items(), strict=True):
        for number, (label, (steps, seeds)) in enumerate(ways.items()):
            thousands = np.asarray(steps, dtype=float) / 1000.0
            for seed in seeds:
                panel.plot(thousands, seed, color=f"C{number}", alpha=0.25, linewidth=0.8)
            if seeds:
                panel.plot(thousands, mean_of_known(seeds), color=f"C{number}", label=f"{label} ({len(seeds)})")
        panel.set(title=title, xlabel="steps [1000]")
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=6)
    axes[0][0].set_ylabel(y_label)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def mean_of_known(seeds: Sequence[Sequence[float]]) -> np.ndarray[Any, Any]:
    """Mean over seeds (seeds, points) of what is not NaN; NaN where nothing is known, (points,)."""
    values = np.asarray(seeds, dtype=float)
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
