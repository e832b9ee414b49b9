"""Ten million steps of AVG on hostile data of Humanoid's size: no weight may become non-finite, no memory may grow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.arrays import FloatArray
from robostack.bench.avg import stream_contract
from robostack.bench.bench import BenchEntry, Measured
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import Transition

OBSERVATIONS, ACTIONS = 376, 17
STEPS = 10_000_000
BLOCK = 1000
"""Steps whose data are drawn at once."""
CHECK_EVERY = 10_000
"""Steps between two looks at every array of the learner."""
TIME_LIMIT = 1000
"""Steps after which an episode is cut."""
TERMINATION = 1e-3
"""Probability that a step ends an episode."""
GROWTH_MAX_MB = 1.0
"""Growth of resident memory that counts as none [MB of 2^20 bytes]: block sizes of the allocator."""


@dataclass(slots=True)
class HostileBlock:
    """Random data of `BLOCK` steps, with Cauchy rewards.

    Columns of an observation, by number: 0-19 one value always; 20-39 zero but once in 100,000 steps; 40-59 of size
    1e6; 60-79 of size 1e-6; 80-99 drifting by ten deviations per million steps; 100-119 Cauchy, without mean or
    variance; the others normal.
    """

    observations: FloatArray
    """(BLOCK + 1, OBSERVATIONS); the first row is the last of the block before."""
    rewards: FloatArray
    """(BLOCK,)."""
    terminated: FloatArray
    """(BLOCK,), bool."""


def hostile_blocks(rng: np.random.Generator) -> Iterator[HostileBlock]:
    """Endless data; the arrays are filled anew for each block."""
    block = HostileBlock(np.zeros((BLOCK + 1, OBSERVATIONS)), np.zeros(BLOCK), np.zeros(BLOCK))
    fresh = np.zeros((BLOCK, OBSERVATIONS))
    done = 0
    while True:
        block.observations[0] = block.observations[-1]
        rng.standard_normal(out=fresh)
        fresh[:, :20] = 7.0
        fresh[:, 20:40] = rng.random((BLOCK, 20)) < 1e-5
        fresh[:, 40:60] *= 1e6
        fresh[:, 60:80] *= 1e-6
        fresh[:, 80:100] += 1e-5 * np.arange(done, done + BLOCK)[:, None]
        fresh[:, 100:120] = rng.standard_cauchy((BLOCK, 20))
        block.observations[1:] = fresh
        block.rewards[:] = rng.standard_cauchy(BLOCK)
        block.terminated[:] = rng.random(BLOCK) < TERMINATION
        done += BLOCK
        yield block


def endure(learner: Avg, steps: int) -> dict[str, float]:
    """Learn `steps` steps from hostile data; returns the figures.

    Non-finite is the sum over all looks of the elements of the learner's arrays that are not finite.
    """
    non_finite, start_mb, elapsed, taken = 0, resident_mb(), time.process_time(), 0
    for block in hostile_blocks(np.random.default_rng(0)):
        for index in range(min(BLOCK, steps - taken)):
            now, following = block.observations[index], block.observations[index + 1]
            action = learner.act(now)
            end, cut = bool(block.terminated[index]), taken % TIME_LIMIT == TIME_LIMIT - 1
            learner.observe(Transition(now, action, block.rewards[index], following, end, cut))
            learner.update()
            taken += 1
        if taken % CHECK_EVERY == 0 or taken == steps:
            arrays = (*learner.state_arrays().values(), learner.td_scale.state)
            non_finite += sum(int(np.count_nonzero(~np.isfinite(array))) for array in arrays)
            if taken <= max(CHECK_EVERY, steps // 100):  # the last of these: every page has been touched by then
                start_mb = resident_mb()
        if taken == steps:
            break
    spent_s, end_mb = time.process_time() - elapsed, resident_mb()
    return {
        "steps": float(taken),
        "non_finite": float(non_finite),
        "rejected": float(learner.rejected),
        "largest_weight": max(float(np.abs(net.parameters).max()) for net in (learner.actor, learner.critic)),
        "rss_start_mb": start_mb,
        "rss_end_mb": end_mb,
        "growth_mb": end_mb - start_mb,
        "us_per_step": 1e6 * spent_s / taken,
    }


def resident_mb() -> float:
    """Resident memory of this process [MB of 2^20 bytes]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(quick: bool) -> Measured:
    """Ten million steps, about 15 minutes of one core; the quick form takes 20,000."""
    learner = Avg(stream_contract(OBSERVATIONS, ACTIONS), AvgConfig(), seed=0)
    figures = endure(learner, 20_000 if quick else STEPS)
    met = figures["steps"] >= STEPS and figures["non_finite"] == 0.0 and figures["growth_mb"] <= GROWTH_MAX_MB
    notes = (
        "data: constant, rare, huge, tiny, drifting and Cauchy observations, Cauchy rewards, ends at random",
        "settings: the defaults, two layers of 256; us_per_step: CPU time with the drawing of the data",
        "rejected: steps refused because something was not finite",
    )
    return Measured(figures, met, (0,), notes)


BENCH = BenchEntry(
    summary="AVG: ten million steps of hostile Humanoid-sized data without a non-finite weight or growth in memory",
    run=run,
    aims={"steps": f">= {STEPS:.0f}", "non_finite": "= 0", "growth_mb": f"<= {GROWTH_MAX_MB:g}"},
)
