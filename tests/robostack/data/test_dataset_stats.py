"""Statistics against numpy, and those of parts against those of the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack.data.features import Feature
from robostack.data.stats import (
    QUANTILES,
    STATISTICS,
    ImageStats,
    aggregate,
    column_stats,
    episode_stats,
    stats_from_json,
    stats_to_json,
    thinning,
)


def test_a_column_has_the_statistics_of_numpy():
    values = np.random.default_rng(0).normal([1.0, -5.0], [2.0, 0.1], (4000, 2)).astype(np.float32)
    found = column_stats(values)
    assert set(found) == set(STATISTICS)
    np.testing.assert_allclose(found["min"], values.min(axis=0))
    np.testing.assert_allclose(found["max"], values.max(axis=0))
    np.testing.assert_allclose(found["mean"], values.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(found["std"], values.std(axis=0, dtype=np.float64))
    assert found["count"].tolist() == [4000]
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(found[name], np.quantile(values, share, axis=0), atol=0.02)


def test_there_is_one_number_for_each_element_of_the_last_axis():
    assert column_stats(np.arange(4.0))["mean"].tolist() == [1.5]
    found = column_stats(np.arange(24.0).reshape(4, 2, 3))  # of several axes the last one stays
    assert found["mean"].tolist() == [10.5, 11.5, 12.5] and found["count"].tolist() == [4]
    assert column_stats(np.array([True, False, True, True]))["mean"].tolist() == [0.75]


@pytest.mark.parametrize("constant", [0.0, 3.5, -1e9, 1e-12])
def test_a_constant_has_no_spread_and_itself_as_every_quantile(constant):
    found = column_stats(np.full(10, constant))
    assert found["std"].tolist() == [0.0]
    for name in QUANTILES:
        np.testing.assert_allclose(found[name], constant, rtol=1e-9, atol=1e-9)


def test_one_row_is_its_own_mean_and_quantile():
    found = column_stats(np.array([[2.0, 3.0]]))
    for name in ("min", "max", "mean", *QUANTILES):
        np.testing.assert_array_equal(found[name], [2.0, 3.0])
    assert found["count"].tolist() == [1] and found["std"].tolist() == [0.0, 0.0]


def test_what_is_not_finite_is_left_out():
    found = column_stats(np.array([[1.0, np.nan], [3.0, np.inf], [np.nan, np.nan]]))
    assert found["mean"].tolist() == [2.0, 0.0] and found["max"].tolist() == [3.0, 0.0]


def test_pictures_have_the_statistics_of_their_pixels():
    images = np.random.default_rng(1).integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)
    counter = ImageStats()
    for image in images:
        counter.add(image)
    found = counter.result()
    pixels = images.reshape(-1, 3) / 255.0
    for name, expected in (
        ("min", pixels.min(axis=0)),
        ("max", pixels.max(axis=0)),
        ("mean", pixels.mean(axis=0)),
        ("std", pixels.std(axis=0)),
        ("q10", np.quantile(pixels, 0.1, axis=0, method="inverted_cdf")),
        ("q99", np.quantile(pixels, 0.99, axis=0, method="inverted_cdf")),
    ):
        assert found[name].shape == (3, 1, 1)
        np.testing.assert_allclose(found[name][:, 0, 0], expected, atol=1e-9)
    assert found["count"].tolist() == [7]


@pytest.mark.parametrize(
    ("height", "width", "step"), [(96, 96, 1), (299, 200, 1), (480, 640, 4), (640, 480, 4), (300, 300, 2)]
)
def test_large_pictures_are_thinned_out_as_lerobot_does(height, width, step):
    assert thinning(height, width) == step


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_statistics_of_parts_are_those_of_the_whole(lengths, seed):
    values = np.random.default_rng(seed).normal(size=(sum(lengths), 2)) * [1.0, 100.0]
    parts = np.split(values, np.cumsum(lengths)[:-1])
    whole = aggregate([{"x": column_stats(part)} for part in parts])["x"]
    np.testing.assert_allclose(whole["mean"], values.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(whole["std"], values.std(axis=0), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(whole["min"], values.min(axis=0))
    assert whole["count"].tolist() == [sum(lengths)]
    found = [column_stats(part) for part in parts]
    np.testing.assert_array_equal(whole["q10"], np.min([part["q10"] for part in found], axis=0))
    np.testing.assert_array_equal(whole["q90"], np.max([part["q90"] for part in found], axis=0))


def test_statistics_one_after_the_other_are_those_of_all_at_once():
    rng = np.random.default_rng(3)
    parts = [{"x": column_stats(rng.normal(size=(n, 3)))} for n in (3, 11, 6)]
    step = aggregate([aggregate(parts[:2]), parts[2]])["x"]
    for name, value in aggregate(parts)["x"].items():
        np.testing.assert_allclose(step[name], value, rtol=1e-12)


def test_a_part_without_finite_numbers_does_not_count():
    empty, full = column_stats(np.full(5, np.nan)), column_stats(np.array([4.0, 6.0]))
    assert aggregate([{"x": empty}, {"x": full}])["x"]["mean"].tolist() == [5.0]
    assert aggregate([{"x": empty}, {"x": full}])["x"]["min"].tolist() == [4.0]


def test_strings_have_none_and_json_keeps_all():
    features = {"s": Feature("string", (1,), None), "x": Feature("float32", (1,), None)}
    found = episode_stats({"x": np.arange(3.0)}, features, {})
    assert set(found) == {"x"}
    again = stats_from_json(json.loads(json.dumps(stats_to_json(found))))
    for name, value in found["x"].items():
        np.testing.assert_array_equal(again["x"][name], value)
