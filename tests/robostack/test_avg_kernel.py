"""The compiled kernel against numpy: same noise, same options, same weights to rounding; what happens without it."""

from __future__ import annotations

import ctypes
import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from toy_contract import toy_contract

from hardware.errors import ConfigError, NonFiniteError
from robostack.contract import Contract
from robostack.learning import kernel
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import Transition

HOPPER = AvgConfig(
    actor_learning_rate=1.1e-5,
    critic_learning_rate=7.7e-5,
    entropy_coefficient=0.3,
    map_actions=False,
    reset_return_on_truncation=False,
)
"""Settings published for Hopper and Walker2d."""

compiled = pytest.mark.skipif(kernel.library() is None, reason="the compiled kernel is not built")


def contract(observations: int = 11, actions: int = 3, bound: float = 1.0) -> Contract:
    return toy_contract(observations, actions, -bound, 0.6 * bound)


def feed(learner: Avg, steps: int, seed: int = 0) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Actions and metrics over a fixed stream with falls, time limits and a reward that depends on the action."""
    size = learner.normalizer.mean.size
    observations = 3.0 * np.random.default_rng(seed).standard_normal((steps + 1, size)) + 1.0
    actions, metrics = [], []
    for step in range(steps):
        actions.append(learner.act(observations[step]))
        reward = float(np.cos(step) - 0.3 * np.sum(actions[-1] ** 2))
        end, cut = step % 100 == 99, step % 70 == 69
        learner.observe(Transition(observations[step], actions[-1], reward, observations[step + 1], end, cut))
        metrics.append(learner.update())
    return np.array(actions), metrics


def pair(config: AvgConfig, **of_contract: float) -> tuple[Avg, Avg]:
    names = ("numpy", "compiled")
    first, second = (Avg(contract(**of_contract), dataclasses.replace(config, kernel=name), seed=3) for name in names)
    return first, second


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Distance relative to length."""
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(a.astype(np.float64)))


@compiled
def test_a_thousand_steps_in_single_precision_agree_to_rounding():
    numpy_, compiled_ = pair(HOPPER)
    feed(numpy_, 1000)
    feed(compiled_, 1000)
    assert apart(numpy_.actor.parameters, compiled_.actor.parameters) <= 1e-5
    assert apart(numpy_.critic.parameters, compiled_.critic.parameters) <= 1e-5
    assert numpy_.actor_optimizer.steps == compiled_.actor_optimizer.steps == 1000


@compiled
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"variance": "std"},
        {"map_actions": True, "reset_return_on_truncation": True},
        {"beta1": 0.9},
        {"average": 0.99},
        {"anneal_steps": 50, "entropy_final": 0.01},
        {"hidden": (5,), "feature_epsilon": 6.0},
        {"hidden": (9, 6, 7), "beta1": 0.5, "average": 0.9},
        {"discount": 1.0, "beta2": 0.9},
    ],
)
def test_every_option_agrees_in_double_precision(change):
    config = dataclasses.replace(HOPPER, hidden=(33, 18), precision="float64", actor_learning_rate=1e-3)
    numpy_, compiled_ = pair(dataclasses.replace(config, **change), observations=5, actions=2, bound=0.5)
    actions, metrics = feed(numpy_, 150)
    same_actions, same_metrics = feed(compiled_, 150)
    np.testing.assert_allclose(same_actions, actions, rtol=1e-8, atol=1e-9)
    for expected, got in zip(metrics, same_metrics, strict=True):
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-8)
    state = numpy_.state_arrays()
    for name, array in compiled_.state_arrays().items():
        np.testing.assert_allclose(array, state[name], rtol=1e-5, atol=1e-9, err_msg=name)
    assert compiled_.td_scale.to_dict() == {
        name: pytest.approx(values, rel=1e-8) for name, values in numpy_.td_scale.to_dict().items()
    }
    np.testing.assert_allclose(
        compiled_.act(np.ones(5), explore=False), numpy_.act(np.ones(5), explore=False), rtol=1e-8
    )


@compiled
def test_wide_observations_agree():
    numpy_, compiled_ = pair(HOPPER, observations=376, actions=17)
    feed(numpy_, 50)
    feed(compiled_, 50)
    assert apart(numpy_.critic.parameters, compiled_.critic.parameters) <= 1e-6
    np.testing.assert_allclose(compiled_.normalizer.variance, numpy_.normalizer.variance, rtol=1e-12)


@compiled
def test_heads_beyond_their_bounds_have_no_gradient():
    """l = 5 and l = -25 are clamped to 2 and -20."""
    config = dataclasses.replace(HOPPER, hidden=(8,), precision="float64", actor_learning_rate=1e-2)
    for learner in pair(config, observations=3, actions=2):
        learner.actor.layers[-1][2:, -1] = [30.0, -40.0]
        before = learner.actor.layers[-1][2:].copy()
        feed(learner, 20)
        np.testing.assert_array_equal(learner.actor.layers[-1][2:], before)


@compiled
def test_a_checkpoint_of_one_goes_on_in_the_other(tmp_path):
    config = dataclasses.replace(HOPPER, hidden=(8, 8), precision="float64")
    numpy_, compiled_ = pair(config)
    feed(numpy_, 30)
    numpy_.save(tmp_path / "checkpoint")
    compiled_.load(tmp_path / "checkpoint")
    np.testing.assert_allclose(feed(compiled_, 30, seed=1)[0], feed(numpy_, 30, seed=1)[0], rtol=1e-9)


@compiled
def test_the_build_for_any_processor_agrees_with_the_one_for_this(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = Path(kernel.__file__).with_name("avg_kernel.c")
    built = tmp_path / "plain.so"
    options = ["-O2", "-fno-math-errno", "-fopenmp-simd", "-DAVG_ONE_TARGET"]
    subprocess.run([compiler, *options, "-shared", "-fPIC", "-o", built, source, "-lm"], check=True)
    plain = kernel.load_library(str(built))
    assert plain is not None
    numpy_, learner = pair(HOPPER)
    learner._kernel = kernel.Kernel(plain, learner)
    feed(numpy_, 200)
    feed(learner, 200)
    assert apart(numpy_.critic.parameters, learner.critic.parameters) <= 1e-6


@compiled
def test_an_observation_that_is_not_finite_raises_and_changes_nothing():
    learner = Avg(contract(2, 1), dataclasses.replace(HOPPER, kernel="compiled"), seed=0)
    feed(learner, 5)
    before = learner.normalizer.mean.copy()
    for bad in (np.nan, np.inf):
        with pytest.raises(NonFiniteError, match="not finite"):
            learner.act(np.array([0.0, bad]))
    np.testing.assert_array_equal(learner.normalizer.mean, before)


def test_without_the_kernel_auto_is_numpy_and_compiled_an_error(monkeypatch):
    monkeypatch.setattr(kernel, "library", lambda: None)
    assert Avg(contract(), AvgConfig(hidden=(4,)), seed=0)._kernel is None
    with pytest.raises(ConfigError, match="C compiler"):
        Avg(contract(), AvgConfig(hidden=(4,), kernel="compiled"), seed=0)


@compiled
def test_a_library_of_other_sources_is_not_used(monkeypatch, tmp_path):
    class Grown(ctypes.Structure):
        _fields_ = [*kernel._Avg._fields_, ("more", ctypes.c_double)]

    path = str(kernel.library()._name)
    assert kernel.load_library(path) is not None
    monkeypatch.setattr(kernel, "_Avg", Grown)
    assert kernel.load_library(path) is None
    (tmp_path / "torn.so").write_bytes(b"\x7fELF")
    assert kernel.load_library(str(tmp_path / "torn.so")) is None
