"""A jaw's set-point: just ahead of it, less once it is blocked, never dragging it along."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.gripping import BLOCKED_S, JawLimits, JawPlan, next_jaw

PERIOD_S = 0.05
LIMITS = JawLimits(speed=1.0, acceleration=1e3, reach=0.06, squeeze=0.006)


def plan(asked, speed=0.0, still_s=0.0) -> JawPlan:
    return JawPlan(*(np.float64(value) for value in (asked, speed, still_s)))


def after(asked, goal, jaw, jaw_speed, speed=0.0, still_s=0.0):
    values = (np.float64(value) for value in (goal, jaw, jaw_speed))
    return next_jaw(plan(asked, speed, still_s), *values, PERIOD_S, LIMITS)


@pytest.mark.parametrize(
    ("asked", "goal", "jaw", "jaw_speed", "still_s", "expected"),
    [
        (0.50, -0.2, 0.50, 0.0, 0.0, -0.6),  # ten times the reach
        (0.45, -0.2, 0.50, -0.5, 0.0, -0.1),  # nearly as far ahead as it may be
        (0.44, -0.2, 0.53, 0.5, 0.0, 0.0),  # the jaw lags: the set-point does not follow it back
        (0.44, -0.2, 0.50, 0.0, 0.0, 0.0),  # it may just be about to move
        (0.44, -0.2, 0.50, 0.0, BLOCKED_S, 0.3),  # blocked: back to the squeeze, slowly
        (0.493, -0.2, 0.50, 0.0, BLOCKED_S, 0.01),
        (0.44, -0.2, 0.50, 0.2, BLOCKED_S, 0.3),  # and while it gives way
        (-0.19, -0.2, -0.17, -0.5, 0.0, -0.1),  # the goal ends it
        (0.10, 0.7, 0.10, 0.0, 0.0, 0.6),  # opening is the same the other way
        (0.16, 0.7, 0.08, -0.5, 0.0, 0.0),
        (0.50, 0.5, 0.50, 0.0, 0.0, 0.0),
    ],
)
def test_the_speed_that_is_asked_for(asked, goal, jaw, jaw_speed, still_s, expected):
    assert after(asked, goal, jaw, jaw_speed, still_s=still_s).speed == pytest.approx(expected)


def test_the_set_point_speeds_up_as_the_robot_lets_it():
    slow = JawLimits(1.0, acceleration=3.0)
    moved = next_jaw(plan(0.5), *(np.float64(value) for value in (-0.2, 0.5, 0.0)), PERIOD_S, slow)
    assert moved.speed == pytest.approx(-3.0 * PERIOD_S)
    assert moved.asked == pytest.approx(0.5 - 0.5 * 3.0 * PERIOD_S**2)


def test_time_counts_only_while_it_stands_still_although_asked_to_move():
    assert after(0.44, -0.2, 0.5, -0.01, still_s=0.1).still_s == pytest.approx(0.15)
    assert after(0.44, -0.2, 0.5, 0.1, still_s=0.1).still_s == pytest.approx(0.15)
    assert after(0.44, -0.2, 0.5, -0.1, still_s=0.1).still_s == 0.0
    assert after(0.499, -0.2, 0.5, -0.01, still_s=0.1).still_s == 0.0


def test_a_batch_is_as_one_after_the_other():
    rng = np.random.default_rng(0)
    asked, goal, jaw = rng.uniform(-0.2, 1.0, (3, 50))
    jaw_speed, still_s = rng.uniform(-0.2, 0.2, 50), rng.uniform(0.0, 0.4, 50)
    together = next_jaw(JawPlan(asked, 0.0 * asked, still_s), goal, jaw, jaw_speed, PERIOD_S, LIMITS)
    for k in range(50):
        alone = after(asked[k], goal[k], jaw[k], jaw_speed[k], still_s=still_s[k])
        assert (alone.asked, alone.still_s, alone.speed) == (together.asked[k], together.still_s[k], together.speed[k])


@pytest.mark.parametrize("stop", [None, 0.3], ids=["free", "blocked"])
def test_a_lagging_jaw_arrives_or_is_squeezed_and_does_not_swing(stop):
    """Its servo follows the set-point of the period before, half of the way per period; something may be in the way."""
    now, jaw, heard, ahead = plan(0.7), 0.7, [], []
    goal, before_asked = np.float64(0.0), 0.7
    for _ in range(400):
        before = jaw
        jaw = jaw + 0.5 * (before_asked - jaw)
        jaw = jaw if stop is None else max(jaw, stop)
        before_asked = float(now.asked)
        now = next_jaw(now, goal, np.float64(jaw), np.float64((jaw - before) / PERIOD_S), PERIOD_S, LIMITS)
        heard.append(jaw)
        ahead.append(jaw - float(now.asked))
    assert np.max(np.diff(heard)) < 1e-3
    assert np.max(ahead) < 0.1
    if stop is None:
        assert heard[-1] == pytest.approx(0.0, abs=1e-2)
    else:
        assert heard[-1] == pytest.approx(stop, abs=1e-6)
        assert ahead[-1] == pytest.approx(LIMITS.squeeze, abs=2e-3)
