"""Windows, their padding, their weights; and the scaling of what is in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ConfigError
from robostack.learning.imitation.scaling import fitted
from robostack.learning.imitation.windows import Demonstration, Windows, episode_weights


def counted(first, length, **more):
    """An episode whose frame k observes first + k and does -(first + k)."""
    values = first + np.arange(length, dtype=np.float64)[:, None]
    return Demonstration(values, -values, **more)


def test_windows_are_padded_within_their_episode():
    windows = Windows([counted(0, 3), counted(10, 4)], past=3, horizon=3)
    past, future, real = windows.batch(np.array([0, 2, 3, 6]))
    assert past[:, :, 0].tolist() == [[0, 0, 0], [0, 1, 2], [10, 10, 10], [11, 12, 13]]
    assert future[:, :, 0].tolist() == [[0, -1, -2], [-2, -2, -2], [-10, -11, -12], [-13, -13, -13]]
    assert real.tolist() == [[True] * 3, [True, False, False], [True] * 3, [True, False, False]]
    assert len(windows) == 7


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 6))
def test_no_window_leaves_its_episode(lengths, past, horizon):
    episodes = [counted(100 * index, length) for index, length in enumerate(lengths)]
    windows = Windows(episodes, past, horizon)
    before, after, real = windows.batch(np.arange(len(windows)))
    newest = before[:, -1, 0]
    assert np.all(before[:, :, 0] // 100 == (newest // 100)[:, None])
    assert np.all(-after[:, :, 0] // 100 == (newest // 100)[:, None])
    np.testing.assert_array_equal(-after[:, 0, 0], newest)
    expected = newest[:, None] + np.arange(horizon)
    np.testing.assert_array_equal(real, -after[:, :, 0] == expected)


def test_episodes_are_drawn_by_their_returns():
    # std of (0, 2) is 1, so that with temperature 1 the weights are e^-2 and 1
    np.testing.assert_allclose(episode_weights([0.0, 2.0], 1.0), [np.exp(-2.0), 1.0])
    assert episode_weights([0.0, 2.0], 0.0).tolist() == episode_weights([3.0, 3.0], 1.0).tolist() == [1.0, 1.0]
    episodes = [counted(0, 10, total_reward=0.0), counted(100, 10, total_reward=2.0)]
    drawn = Windows(episodes, 1, 1, temperature=1.0).sample(np.random.default_rng(0), 20_000)
    assert np.mean(drawn >= 10) == pytest.approx(1.0 / (1.0 + np.exp(-2.0)), abs=0.01)
    assert drawn.min() == 0 and drawn.max() == 19


def test_broken_demonstrations_are_refused():
    for wrong in ([], [counted(0, 0)], [Demonstration(np.zeros((3, 1)), np.zeros((2, 1)))]):
        with pytest.raises(ConfigError, match="as many actions"):
            Windows(wrong, 1, 1)


def test_scaling_maps_extremes_to_one_and_leaves_constants():
    values = np.array([[0.0, 5.0, -1.0], [4.0, 5.0, 0.0], [1.0, 5.00001, 3.0]])
    scaling = fitted(values, "min_max")
    np.testing.assert_allclose(scaling.scaled(values)[:, 0], [-1.0, 1.0, -0.5])
    np.testing.assert_allclose(scaling.scaled(values)[:, 2], [-1.0, -0.5, 1.0])
    assert scaling.half[1] == 1.0 and np.all(np.abs(scaling.scaled(values)[:, 1]) < 1e-4)


def test_quantiles_ignore_outliers():
    values = np.linspace(-1.0, 1.0, 1001)[:, None]
    values[0] = -1000.0
    scaling = fitted(values, "quantile")
    assert scaling.half[0] == pytest.approx(0.98, abs=0.01) and abs(scaling.center[0]) < 0.01


def test_what_is_not_finite_cannot_be_scaled():
    with pytest.raises(ConfigError, match="not finite"):
        fitted(np.array([[1.0], [np.nan]]), "min_max")
