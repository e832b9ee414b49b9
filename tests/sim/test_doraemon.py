"""DORAEMON: the optimum, the trust region, both estimators, start and backup, saved states, bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy import optimize, special, stats

from hardware.errors import CheckpointError, ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization import beta
from sim.randomization.distribution import Distribution, Resumable
from sim.randomization.doraemon import DoraemonConfig, DoraemonDistribution
from sim.randomization.entropy_step import Direction, EntropyStep
from sim.randomization.sequential_quadratic import SmoothFunction, minimize
from sim.randomization.success_estimate import Batch, MixtureEstimate, PlainEstimate

MASS = DynamicsParameter("link:forearm/mass", "kg", 3.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.0, 0.0, 0.5)
CONSTANT = DynamicsParameter("contact/friction", "1", 1.0, 1.0, 1.0)


def unit(count: int) -> list[DynamicsParameter]:
    return [DynamicsParameter(f"link/{index}", "1", 0.5, 0.0, 1.0) for index in range(count)]


def region(z: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A fixed set in which episodes succeed."""
    count = z.shape[-1]
    weights = np.linspace(1.6, 0.3, count) if count > 1 else np.ones(1)
    centre = np.where(np.arange(count) % 2 == 0, 0.62, 0.38)
    return (weights * np.abs(z - centre)).sum(axis=-1) < scale * 0.17 * weights.sum()


def batch(shapes: np.ndarray, count: int = 300, seed: int = 0, scale: float = 1.0) -> Batch:
    z = np.random.default_rng(seed).beta(shapes[:, 0], shapes[:, 1], (count, len(shapes)))
    return Batch(z, region(z, scale), shapes)


def episodes(distribution: Distribution, count: int, seed: int) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    values = distribution.sample(np.random.default_rng(seed), count)
    return values, region(np.stack([values[item.name] for item in distribution.parameters], axis=-1))


def differences(function: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    steps = 1e-5

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.array([(function(x + d) - function(x - d)) / (2 * steps) for d in steps * np.eye(x.size)])

    return gradient


def reference_optimum(given: Batch, alpha: float, epsilon: float, direction: Direction) -> float:
    """The same problem written again, solved by a general solver from several starts."""
    hits = given.z[given.success]

    def divergence(p: np.ndarray, q: np.ndarray) -> float:
        a, b, total = p[:, 0], p[:, 1], p.sum(axis=1)
        terms = special.betaln(*q.T) - special.betaln(*p.T) + (a - q[:, 0]) * special.digamma(a)
        terms += (b - q[:, 1]) * special.digamma(b) + (q.sum(axis=1) - total) * special.digamma(total)
        return float(terms.sum())

    def density(shapes: np.ndarray) -> np.ndarray:
        a, b = shapes[:, 0], shapes[:, 1]
        return np.prod(hits ** (a - 1.0) * (1.0 - hits) ** (b - 1.0) / special.beta(a, b), axis=1)

    old = density(given.shapes)

    def entropy(x: np.ndarray) -> float:
        return -divergence(np.exp(x).reshape(-1, 2), np.ones_like(given.shapes))

    def success(x: np.ndarray) -> float:
        return float((density(np.exp(x).reshape(-1, 2)) / old).sum() / len(given.z))

    def kl(x: np.ndarray) -> float:
        new = np.exp(x).reshape(-1, 2)
        return divergence(given.shapes, new) if direction == "current-first" else divergence(new, given.shapes)

    limits = [lambda x: 10.0 * (epsilon - kl(x)), lambda x: success(x) - alpha]
    constraints = [{"type": "ineq", "fun": limit, "jac": differences(limit)} for limit in limits]
    start, rng, best = np.log(given.shapes).ravel(), np.random.default_rng(0), -np.inf
    bounds = optimize.Bounds(0.0, math.log(110.0))
    for spread in (0.0, 0.003):
        guess = np.clip(start + spread * rng.standard_normal(start.size), 0.0, math.log(110.0))
        found = optimize.minimize(
            lambda x: -entropy(x),
            guess,
            jac=differences(lambda x: -entropy(x)),
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 300},
        )
        if kl(found.x) <= epsilon * (1 + 1e-5) and success(found.x) >= alpha - 1e-6:
            best = max(best, entropy(found.x))
    return best


NARROW, WIDE = np.full((8, 2), 100.0), np.tile([[2.2, 1.9], [1.4, 1.6]], (4, 1))


@pytest.mark.parametrize("direction", ["current-first", "new-first"])
@pytest.mark.parametrize(
    ("shapes", "epsilon", "scale"),
    [
        (NARROW, 0.005, 1.0),  # only the trust region binds
        (np.full((8, 2), 6.0), 0.05, 1.0),
        (WIDE, 0.02, 1.25),  # success binds
        (WIDE, 0.05, 1.15),  # success must be restored first
        (np.array([[3.0, 2.0], [2.0, 2.5]]), 0.1, 0.8),
        (np.array([[8.0, 8.0]]), 0.1, 0.7),
    ],
)
def test_the_plain_step_is_optimal_to_a_thousandth(
    shapes: np.ndarray, epsilon: float, scale: float, direction: Direction
) -> None:
    given = batch(shapes, scale=scale)
    step = EntropyStep(0.5, epsilon, direction, 1.0, 110.0)
    found, branch = step.solve(shapes, PlainEstimate(given))
    assert branch in ("main", "backup")
    assert step.divergence(shapes, found) <= epsilon * (1 + 1e-5)
    assert PlainEstimate(given).value(found) >= 0.5 - 1e-6
    assert beta.entropy(found) == pytest.approx(reference_optimum(given, 0.5, epsilon, direction), abs=1e-3)


@pytest.mark.parametrize("direction", ["current-first", "new-first"])
@pytest.mark.parametrize("count", [1, 2, 8, 17])
def test_an_unconstrained_step_is_as_large_as_allowed(count: int, direction: Direction) -> None:
    distribution = DoraemonDistribution(unit(count), DoraemonConfig(step_divergence=0.01, divergence=direction))
    for seed in range(5):
        values = distribution.sample(np.random.default_rng(seed), 100)
        logged = distribution.update(values, np.zeros(100), np.ones(100, dtype=bool))
        assert logged["divergence"] == pytest.approx(0.01, rel=1e-3)
        assert logged["phase"] == 2.0


@pytest.mark.parametrize("kind", ["plain", "mixture"])
def test_derivatives_of_the_estimates_equal_finite_differences(kind: str) -> None:
    shapes = np.array([[2.2, 1.9], [1.4, 1.6]])
    batches = [batch(shapes + 0.3 * k, 60, seed=k) for k in range(3)]
    estimate = PlainEstimate(batches[0]) if kind == "plain" else MixtureEstimate(batches, 1.5)
    at = shapes + 0.1
    value, gradient, hessian = estimate.derivatives(at)
    assert value == pytest.approx(estimate.value(at), rel=1e-12)
    for index, direction in enumerate(np.eye(4).reshape(4, 2, 2)):
        above, below = at + 1e-5 * direction, at - 1e-5 * direction
        slope = (estimate.value(above) - estimate.value(below)) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-5, abs=1e-7)
        curvature = (estimate.derivatives(above)[1] - estimate.derivatives(below)[1]) / 2e-5
        assert hessian[index] == pytest.approx(curvature, rel=1e-4, abs=1e-6)


def test_estimates_against_weights_written_out() -> None:
    old, new = np.array([[2.0, 2.0]]), np.array([[2.5, 2.0]])
    z, success = np.array([[0.2], [0.5], [0.7]]), np.array([False, True, True])
    weights = stats.beta(2.5, 2.0).pdf(z[:, 0]) / stats.beta(2.0, 2.0).pdf(z[:, 0])
    plain = PlainEstimate(Batch(z, success, old))
    assert plain.value(new) == pytest.approx(weights[1:].sum() / 3.0)
    assert plain.effective_samples(new) == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    # One batch: the mixture is that batch's own distribution. The mean is self-normalised, less one standard error.
    mean = weights[1:].sum() / weights.sum()
    error = math.sqrt((weights**2 * (success - mean) ** 2).sum()) / weights.sum()
    one = MixtureEstimate([Batch(z, success, old)], 1.0)
    assert one.value(new) == pytest.approx(mean - error)
    assert one.standard_error(new) == pytest.approx(error)
    # Two batches of unequal size: density of the mixture, weighted by size.
    both = MixtureEstimate([Batch(z, success, old), Batch(z[:1], success[:1], new)], 0.0)
    points, hits = np.append(z[:, 0], z[0, 0]), np.append(success, success[0])
    mixed = 0.75 * stats.beta(2.0, 2.0).pdf(points) + 0.25 * stats.beta(2.5, 2.0).pdf(points)
    ratio = stats.beta(2.5, 2.0).pdf(points) / mixed
    assert both.value(new) == pytest.approx(ratio[hits].sum() / ratio.sum())


def test_updates_wait_for_the_first_success() -> None:
    distribution = DoraemonDistribution(unit(2))
    start = distribution.shapes
    for successes in (0, 40):
        values = distribution.sample(np.random.default_rng(0), 100)
        logged = distribution.update(values, np.zeros(100), np.arange(100) < successes)
        assert logged["phase"] == 0.0 and np.array_equal(distribution.shapes, start)
    # What happened while waiting is forgotten: with it, success would lie below the rate that is required.
    logged = distribution.update(distribution.sample(np.random.default_rng(1), 100), np.zeros(100), np.arange(100) < 90)
    assert logged["phase"] == 2.0 and logged["estimate"] > 0.8
    assert distribution.entropy() > DoraemonDistribution(unit(2)).entropy()


def test_all_failures_after_success_change_nothing() -> None:
    distribution = DoraemonDistribution(unit(2), DoraemonConfig(batches=1))
    values = distribution.sample(np.random.default_rng(0), 100)
    distribution.update(values, np.zeros(100), np.ones(100, dtype=bool))
    before = distribution.shapes
    logged = distribution.update(values, np.zeros(100), np.zeros(100, dtype=bool))
    assert logged["phase"] == 1.0 and logged["divergence"] == 0.0
    assert np.array_equal(distribution.shapes, before)


def test_success_is_sought_where_it_became_rare() -> None:
    shapes = np.full((2, 2), 1.2)
    given = batch(shapes, scale=0.3)
    step = EntropyStep(0.5, 0.02, "current-first", 1.0, 110.0)
    found, branch = step.solve(shapes, PlainEstimate(given))
    assert branch == "retreat"
    assert PlainEstimate(given).value(found) > PlainEstimate(given).value(shapes)
    assert step.divergence(shapes, found) == pytest.approx(0.02, rel=1e-3)
    means = found[:, 0] / found.sum(axis=1)
    assert means[0] > 0.5 > means[1]  # towards (0.62, 0.38)


def test_a_step_is_shortened_until_enough_samples_speak_for_it() -> None:
    config = DoraemonConfig(step_divergence=1.0, effective_share=0.9)
    distribution = DoraemonDistribution(unit(4), config)
    values = distribution.sample(np.random.default_rng(0), 200)
    logged = distribution.update(values, np.zeros(200), np.ones(200, dtype=bool))
    assert 0.0 < logged["step_share"] < 1.0
    assert logged["effective_samples"] >= 180.0
    free = DoraemonDistribution(unit(4), DoraemonConfig(step_divergence=1.0, effective_share=0.0))
    logged = free.update(values, np.zeros(200), np.ones(200, dtype=bool))
    assert logged["step_share"] == 1.0 and logged["effective_samples"] < 180.0


def test_closed_loop_holds_success_and_widens() -> None:
    distribution = DoraemonDistribution(unit(4))
    rates = []
    for update in range(50):
        values, success = episodes(distribution, 200, update)
        distribution.update(values, np.zeros(200), success)
        rates.append(episodes(distribution, 5000, 1000 + update)[1].mean())
    assert np.mean(rates[35:]) == pytest.approx(0.51, abs=0.03)
    assert min(rates[35:]) > 0.44
    assert beta.entropy(distribution.shapes) > -0.8


def test_saved_in_json_it_continues_bit_for_bit() -> None:
    first, second = DoraemonDistribution(unit(3)), DoraemonDistribution(unit(3))
    assert isinstance(first, Resumable)
    for update in range(4):
        values, success = episodes(first, 100, update)
        first.update(values, np.zeros(100), success)
    second.restore(json.loads(json.dumps(first.state())))
    for update in range(4, 12):
        values, success = episodes(first, 100, update)
        assert first.update(values, np.zeros(100), success) == second.update(values, np.zeros(100), success)
    assert np.array_equal(first.shapes, second.shapes)
    assert first.state() == second.state()


def test_a_state_of_another_distribution_is_refused() -> None:
    state = DoraemonDistribution(unit(2)).state()
    with pytest.raises(CheckpointError, match="link/2"):
        DoraemonDistribution(unit(3)).restore(state)
    with pytest.raises(CheckpointError, match="damaged"):
        DoraemonDistribution(unit(2)).restore({**state, "shapes": [[1.0, 2.0]]})
    with pytest.raises(CheckpointError, match="damaged"):
        DoraemonDistribution(unit(2)).restore({key: value for key, value in state.items() if key != "batches"})


def test_start_constants_density_and_entropy() -> None:
    distribution: Distribution = DoraemonDistribution([MASS, DELAY, CONSTANT])
    mass, delay = stats.beta(100, 100, 1.0, 4.0), stats.beta(*beta.shapes_of(0.1, 1 / 804), 0.0, 0.5)
    values = {MASS.name: np.array([3.1, 6.0, 3.1]), DELAY.name: np.array([0.06, 0.06, 0.06])}
    values[CONSTANT.name] = np.array([1.0, 1.0, 1.1])
    log_prob = distribution.log_prob(values)
    assert log_prob[0] == pytest.approx(mass.logpdf(3.1) + delay.logpdf(0.06))
    assert (log_prob[1:] == -np.inf).all()
    assert distribution.entropy() == pytest.approx(mass.entropy() + delay.entropy())
    drawn = distribution.sample(np.random.default_rng(0), 4000)
    assert (drawn[CONSTANT.name] == 1.0).all()
    assert stats.kstest(drawn[MASS.name], mass.cdf).pvalue > 1e-3
    assert stats.kstest(drawn[DELAY.name], delay.cdf).pvalue > 1e-3
    centred = DoraemonDistribution([DELAY], DoraemonConfig(start="centre"))
    assert centred.shapes.tolist() == [[100.0, 100.0]]


def test_success_from_returns_or_from_the_task() -> None:
    values = DoraemonDistribution(unit(1)).sample(np.random.default_rng(0), 10)
    by_return = DoraemonDistribution(unit(1), DoraemonConfig(success_return=7.0))
    assert by_return.update(values, np.arange(10.0))["success_rate"] == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="success_return"):
        DoraemonDistribution(unit(1)).update(values, np.arange(10.0))


def test_bad_episodes_are_refused_and_change_nothing() -> None:
    distribution = DoraemonDistribution([MASS, DELAY])
    good = distribution.sample(np.random.default_rng(0), 3)
    flags, state = np.ones(3, dtype=bool), distribution.state()
    cases: list[tuple[Mapping[str, np.ndarray], np.ndarray, type[Exception], str]] = [
        ({name: column[:0] for name, column in good.items()}, np.zeros(0), ConfigError, "no episode"),
        (good, np.zeros(2), ConfigError, "one of each per episode"),
        ({**good, DELAY.name: np.zeros(2)}, np.zeros(3), ConfigError, "differ in shape"),
        ({MASS.name: good[MASS.name]}, np.zeros(3), UnknownNameError, "actuator/latency.*Available: link:forearm/mass"),
        ({**good, "link:foream/mass": np.zeros(3)}, np.zeros(3), UnknownNameError, "Did you mean 'link:forearm/mass'"),
        (good, np.array([0.0, np.nan, 0.0]), NonFiniteError, "return"),
        ({**good, DELAY.name: np.full(3, np.inf)}, np.zeros(3), NonFiniteError, "actuator/latency"),
        ({**good, DELAY.name: np.full(3, 0.6)}, np.zeros(3), LimitViolationError, r"latency.*0\.6.*\[0, 0\.5\]"),
    ]
    for values, returns, error, message in cases:
        with pytest.raises(error, match=message):
            distribution.update(values, returns, flags[: len(returns)])
    assert distribution.state() == state


def test_bad_settings_are_refused() -> None:
    for settings, message in (
        ({"success_rate": 1.0}, "success_rate"),
        ({"step_divergence": 0.0}, "step_divergence"),
        ({"estimator": "exact"}, "'mixture' or 'plain'"),
        ({"divergence": "both"}, "'current-first' or 'new-first'"),
        ({"batches": 0}, "batches"),
        ({"lowest_shape": 200.0}, "lowest_shape"),
    ):
        with pytest.raises(ConfigError, match=message):
            DoraemonConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="room between its bounds"):
        DoraemonDistribution([CONSTANT])
    with pytest.raises(ConfigError, match="start_shape is too small"):
        DoraemonDistribution([DELAY], DoraemonConfig(start_shape=2.0))


def test_the_solver_finds_a_known_constrained_minimum() -> None:
    """Minimise x0 + x1 on the unit disc, at (-1, -1) / sqrt 2."""
    linear = SmoothFunction(lambda x: x.sum(), lambda x: (x.sum(), np.ones(2), np.zeros((2, 2))))
    disc = SmoothFunction(lambda x: 1.0 - x @ x, lambda x: (1.0 - x @ x, -2.0 * x, -2.0 * np.eye(2)))
    wide = np.full(2, 10.0)
    for start in ([0.1, 0.0], [3.0, -4.0], [0.0, 0.0]):
        found = minimize(linear, [disc], np.array(start), -wide, wide, np.ones(1))
        assert found.converged
        assert found.x == pytest.approx(np.full(2, -math.sqrt(0.5)), abs=1e-6)
        assert found.multipliers == pytest.approx([math.sqrt(0.5)], abs=1e-6)
    bounded = minimize(linear, [disc], np.zeros(2), np.array([-0.6, -10.0]), wide, np.ones(1))
    assert bounded.x == pytest.approx([-0.6, -0.8], abs=1e-6)


def test_the_solver_keeps_the_better_point_where_a_step_fails() -> None:
    """A valley that turns: the minimum of the Rosenbrock function on a disc, against scipy."""

    def valley(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return optimize.rosen(x), optimize.rosen_der(x), optimize.rosen_hess(x)

    def disc(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return 1.0 - x @ x, -2.0 * x, -2.0 * np.eye(2)

    wide = np.full(2, 10.0)
    found = minimize(
        SmoothFunction(optimize.rosen, valley), [SmoothFunction(lambda x: disc(x)[0], disc)],
        np.array([-3.0, 3.0]), -wide, wide, np.zeros(1),
    )  # fmt: skip
    inside = {"type": "ineq", "fun": lambda x: 1.0 - x @ x}
    expected = optimize.minimize(optimize.rosen, [0.5, 0.5], constraints=[inside], method="SLSQP", tol=1e-14)
    assert found.converged and found.violation <= 1e-6
    assert found.value == pytest.approx(expected.fun, rel=1e-5)
