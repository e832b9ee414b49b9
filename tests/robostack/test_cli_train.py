"""What `robostack train` tells at its end."""

from __future__ import annotations

import numpy as np

from robostack.cli.train import waiting_note
from sim.dynamics import DynamicsParameter
from sim.randomization.doraemon import DoraemonDistribution


def note_after(successes: int) -> str:
    """The note after one update from ten episodes."""
    parameter = DynamicsParameter("link:arm/mass", "kg", 1.0, 0.5, 1.5)
    distribution = DoraemonDistribution((parameter,))
    success = np.arange(10) < successes
    metrics = distribution.update(distribution.sample(np.random.default_rng(0), 10), success * 1.0, success)
    return waiting_note({f"dynamics_{name}": value for name, value in metrics.items()})


def test_a_distribution_that_never_widened_is_told_of():
    assert "40 % of the last training episodes" in note_after(4)
    assert note_after(5) == "" and waiting_note({"critic_loss": 1.0}) == ""
