"""DORAEMON: the widest distribution of dynamics under which a policy still succeeds, one bounded step per update.

Tiboni, Klink, Peters, Tommasi, D'Eramo and Chalvatzaki, Domain Randomization via Entropy Maximization, ICLR 2024,
arXiv 2311.01885. Each parameter is Beta distributed on its bounds. An update maximises entropy subject to a success
rate, estimated from the last episodes by importance sampling, and to a divergence from the current distribution.

With `estimator="plain"` the update problem is that of the published code; here it is solved to the optimum. An optimum
under a plain estimate is optimistic, so the default estimates from several batches with a margin of one standard error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError
from sim.dynamics import DynamicsParameter
from sim.randomization import beta
from sim.randomization.distribution import (
    DistributionEntry,
    Episodes,
    Samples,
    described,
    require_episodes,
    require_parameters,
    require_state,
)
from sim.randomization.entropy_step import Direction, EntropyStep, between
from sim.randomization.success_estimate import Batch, MixtureEstimate, PlainEstimate
from sim.randomization.unit_cube import UnitCube

_EDGE = 1e-12
"""How near the ends of the unit interval a value may lie: the densities' logarithms stay finite."""
_NEAREST_MEAN = 0.1
"""How near its bounds a parameter may start, as a share of the range: a Beta has no room for its variance beyond."""
_PHASES = {"waiting": 0.0, "kept": 1.0, "main": 2.0, "backup": 3.0, "retreat": 4.0}


@dataclass(frozen=True)
class DoraemonConfig:
    """How a DORAEMON distribution learns. The defaults are those of the published code except where noted."""

    success_rate: float = 0.5
    """Share of episodes that must succeed (alpha), in (0, 1)."""
    step_divergence: float = 0.05
    """Largest Kullback-Leibler divergence of one update (epsilon) [nat]; published runs used 0.001 to 0.1."""
    success_return: float | None = None
    """An episode with at least this return succeeded; default: the task says which episodes succeeded."""
    estimator: Literal["mixture", "plain"] = "mixture"
    """Success over the last batches with a margin (steadier), or over the newest alone as in the published code."""
    batches: int = 5
    """Batches that the mixture estimate remembers, the newest included; no effect on the plain one."""
    margin: float = 1.0
    """Standard errors that the mixture estimate is lowered by, against the optimism of an optimum."""
    effective_share: float = 0.5
    """Steps are shortened until the effective sample size is this share of the newest batch; mixture only, 0: never."""
    divergence: Direction = "current-first"
    """KL(current || new) as in the published code, or KL(new || current) as in the paper: "new-first"."""
    start: Literal["nominal", "centre"] = "nominal"
    """Mean of the first distribution: the nominal values (at least a tenth of the range inside), or mid-range."""
    start_shape: float = 100.0
    """Shape a = b of a centred start; an off-centre one has the same variance. 100: deviation 3.5 % of the range."""
    lowest_shape: float = 1.0
    """Lower bound of the shapes; 1 allows everything up to the uniform, and no distribution with two modes."""
    shape_room: float = 10.0
    """How far a shape may exceed the largest one at the start."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks = {
            "success_rate must lie in (0, 1)": 0.0 < self.success_rate < 1.0,
            "step_divergence must be positive": 0.0 < self.step_divergence < np.inf,
            "estimator must be 'mixture' or 'plain'": self.estimator in ("mixture", "plain"),
            "divergence must be 'current-first' or 'new-first'": self.divergence in ("current-first", "new-first"),
            "start must be 'nominal' or 'centre'": self.start in ("nominal", "centre"),
            "batches must be at least 1": self.batches >= 1,
            "margin must not be negative": 0.0 <= self.margin < np.inf,
            "effective_share must lie in [0, 1]": 0.0 <= self.effective_share <= 1.0,
            "lowest_shape must be positive and below start_shape": 0.0 < self.lowest_shape < self.start_shape < np.inf,
            "shape_room must be positive": 0.0 < self.shape_room < np.inf,
        }
        for message, holds in checks.items():
            if not holds:
                raise ConfigError(f"DORAEMON: {message}")


class DoraemonDistribution:
    """Independent Beta distributions between the bounds of the parameters; see `sim.randomization.distribution`.

    Until the success rate has been reached for the first time, updates change nothing. A parameter whose bounds are
    equal is a constant and counts neither in the density nor in the entropy.

    Args:
        parameters: what is drawn.
        config: how it learns.

    Raises:
        ConfigError: a parameter is not sound, or none has room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], config: DoraemonConfig | None = None) -> None:
        self.parameters = require_parameters(parameters)
        self.config = config or DoraemonConfig()
        self._cube = UnitCube(self.parameters, "DORAEMON")
        self._shapes = self._first_shapes()
        self._highest_shape = float(self._shapes.max()) + self.config.shape_room
        self._started = False
        self._batches: list[Batch] = []

    @property
    def shapes(self) -> FloatArray:
        """Shapes (a, b) of every parameter that is not a constant, in order, (d, 2)."""
        return self._shapes.copy()

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        return self._cube.samples(rng.beta(self._shapes[:, 0], self._shapes[:, 1], (count, len(self._shapes))))

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,); minus infinity outside the bounds."""
        return self._cube.log_prob(values, lambda points: beta.log_prob(points, self._shapes))

    def entropy(self) -> float:
        """Entropy [nat]; at most the sum of the logarithms of the widths, that of the uniform."""
        return beta.entropy(self._shapes) + self._cube.log_volume

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """One step from the episodes since the last update; all are taken to be drawn from the current distribution.

        If all fail, or success is too rare for the first time, nothing changes. If success has become too rare, the
        step goes to where it is most frequent within the trust region. If all succeed, only the trust region binds.

        Returns:
            success_rate: share of the batch that succeeded; estimate, standard_error: success under the new
            distribution; effective_samples: of that estimate; divergence: of the step [nat]; step_share: 1, or less
            where the step was shortened for lack of effective samples; entropy [nat]; entropy_unit: the same for unit
            ranges, 0 if uniform; phase: 0 waiting for success, 1 kept, 2 widened, 3 success restored and widened, 4
            success sought.

        Raises:
            ConfigError: no episode, lengths that differ, or neither `success` nor `success_return` is given.
            UnknownNameError: a parameter is missing or unknown.
            NonFiniteError: a value or return is not finite.
            LimitViolationError: a value lies outside its bounds.
        """
        episodes = require_episodes(self.parameters, values, returns, success)
        succeeded = self._succeeded(episodes)
        z = np.clip(self._cube.points(episodes.matrix), _EDGE, 1.0 - _EDGE)
        current = self._shapes
        batch = Batch(z, succeeded, current)
        # What a policy did before it first succeeded says nothing about what it can do now.
        self._batches = [*(self._batches if self._started else []), batch][-self._remembered() :]
        estimate = self._estimate(batch)
        self._started = self._started or bool(succeeded.mean() >= self.config.success_rate)
        phase, share = "waiting", 1.0
        if self._started:
            new, phase = self._step().solve(current, estimate)
            share = self._share(current, new, estimate, len(z))
            self._shapes = new if share == 1.0 else between(current, new, share)
        return {
            "success_rate": float(succeeded.mean()),
            "estimate": estimate.value(self._shapes) + self._margin() * estimate.standard_error(self._shapes),
            "standard_error": estimate.standard_error(self._shapes),
            "effective_samples": estimate.effective_samples(self._shapes),
            "divergence": self._step().divergence(current, self._shapes),
            "step_share": share,
            "entropy": self.entropy(),
            "entropy_unit": beta.entropy(self._shapes),
            "phase": _PHASES[phase],
        }

    def state(self) -> dict[str, Any]:
        """What was learned, ready for JSON; a restored distribution continues bit for bit."""
        return {
            **described("doraemon", self.parameters),
            "shapes": self._shapes.tolist(),
            "highest_shape": self._highest_shape,
            "started": self._started,
            "batches": [
                {"z": batch.z.tolist(), "success": batch.success.tolist(), "shapes": batch.shapes.tolist()}
                for batch in self._batches
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            CheckpointError: it was saved from another distribution or other parameters, or is damaged.
        """
        require_state(state, "doraemon", self.parameters)
        try:
            shapes = np.array(state["shapes"], dtype=np.float64)
            batches = [
                Batch(np.array(item["z"], dtype=float), np.array(item["success"], dtype=bool), np.array(item["shapes"]))
                for item in state["batches"]
            ]
            highest, started = float(state["highest_shape"]), bool(state["started"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved DORAEMON distribution is damaged: {error!r}") from error
        if shapes.shape != self._shapes.shape or not (shapes > 0.0).all():
            raise CheckpointError("the saved DORAEMON distribution is damaged: its shapes are not positive pairs")
        self._shapes, self._batches, self._highest_shape, self._started = shapes, batches, highest, started

    def _first_shapes(self) -> FloatArray:
        shape = self.config.start_shape
        variance = 1.0 / (4.0 * (2.0 * shape + 1.0))
        means = np.clip(self._cube.nominal, _NEAREST_MEAN, 1.0 - _NEAREST_MEAN)
        if self.config.start == "centre":
            means = np.full_like(means, 0.5)
        pairs = np.array([(shape, shape) if mean == 0.5 else beta.shapes_of(mean, variance) for mean in means])
        if pairs.min() <= self.config.lowest_shape:
            raise ConfigError(
                "DORAEMON: start_shape is too small for the nominal values; raise it or start at the centre"
            )
        return pairs

    def _succeeded(self, episodes: Episodes) -> NDArray[np.bool_]:
        if self.config.success_return is not None:
            return episodes.returns >= self.config.success_return
        if episodes.success is None:
            raise ConfigError(
                "DORAEMON needs to know which episodes succeeded: give `success`, or set `success_return`"
            )
        return episodes.success

    def _remembered(self) -> int:
        return self.config.batches if self.config.estimator == "mixture" else 1

    def _margin(self) -> float:
        return self.config.margin if self.config.estimator == "mixture" else 0.0

    def _estimate(self, batch: Batch) -> PlainEstimate | MixtureEstimate:
        if self.config.estimator == "plain":
            return PlainEstimate(batch)
        return MixtureEstimate(self._batches, self.config.margin)

    def _step(self) -> EntropyStep:
        config = self.config
        return EntropyStep(
            config.success_rate, config.step_divergence, config.divergence, config.lowest_shape, self._highest_shape
        )

    def _share(
        self, current: FloatArray, new: FloatArray, estimate: PlainEstimate | MixtureEstimate, count: int
    ) -> float:
        """The largest share of the step, in 32nds, that enough effective samples speak for."""
        needed = self.config.effective_share * count if self.config.estimator == "mixture" else 0.0
        for parts in range(32, 0, -1):
            if estimate.effective_samples(between(current, new, parts / 32.0)) >= needed:
                return parts / 32.0
        return 0.0


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.doraemon:DoraemonDistribution",
    config="sim.randomization.doraemon:DoraemonConfig",
    summary="DORAEMON: as wide as the policy still succeeds",
)
