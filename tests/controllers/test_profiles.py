"""Closed forms against brute-force integration and against what they promise."""

from __future__ import annotations

import numpy as np

from controllers import profiles

A, J = np.array(3.0), np.array(40.0)


def integrate(velocity, acceleration, ramp, steps=4000):
    """Positions, velocities and accelerations along a ramp, by summing small exact steps."""
    position, states = 0.0, [(0.0, velocity, acceleration)]
    for duration, jerk in zip(ramp.durations, (ramp.jerk, 0.0, -ramp.jerk), strict=True):
        h = duration / steps
        for _ in range(steps):
            position += h * (velocity + h * (acceleration / 2 + h * jerk / 6))
            velocity += h * (acceleration + h * jerk / 2)
            acceleration += h * jerk
            states.append((position, velocity, acceleration))
    return np.array(states, dtype=float)


def test_ramps_end_at_their_target_and_displacements_are_the_integral():
    rng = np.random.default_rng(0)
    for velocity, acceleration, target in zip(
        rng.uniform(-2, 2, 20), rng.uniform(-3, 3, 20), rng.uniform(-2, 2, 20), strict=True
    ):
        ramp = profiles.velocity_ramp(np.array(velocity), np.array(acceleration), np.array(target), A, J)
        states = integrate(velocity, acceleration, ramp, 200)
        np.testing.assert_allclose(states[-1, 1:], [target, 0.0], atol=1e-9)
        assert np.abs(states[:, 2]).max() <= 3.0 + 1e-9
        moved = profiles.ramp_displacement(np.array(velocity), np.array(acceleration), ramp)
        np.testing.assert_allclose(moved, states[-1, 0], atol=1e-9)


def test_stop_displacement_covers_the_turning_point():
    rng = np.random.default_rng(1)
    turned = 0
    for velocity, acceleration in zip(rng.uniform(-0.3, 0.3, 60), rng.uniform(-3, 3, 60), strict=True):
        ramp = profiles.velocity_ramp(np.array(velocity), np.array(acceleration), np.array(0.0), A, J)
        positions = integrate(velocity, acceleration, ramp, 300)[:, 0]
        low, high = profiles.stop_displacement(np.array(velocity), np.array(acceleration), A, J)
        np.testing.assert_allclose([low, high], [positions.min(), positions.max()], atol=2e-6)
        turned += bool(low < -1e-5 and high > 1e-5)
    assert turned > 3


def test_quintic_meets_both_ends_and_its_peak_acceleration_is_exact():
    rng = np.random.default_rng(2)
    distance, velocity, acceleration, end, duration = *rng.normal(size=(4, 50)), rng.uniform(0.2, 2.0, 50)
    c3, c4, c5 = profiles.quintic(distance, velocity, acceleration, end, duration)
    t = np.linspace(0.0, 1.0, 20001)[:, None] * duration
    p = t * (velocity + t * (acceleration / 2 + t * (c3 + t * (c4 + t * c5))))
    v = velocity + t * (acceleration + t * (3 * c3 + t * (4 * c4 + t * 5 * c5)))
    a = acceleration + t * (6 * c3 + t * (12 * c4 + t * 20 * c5))
    np.testing.assert_allclose([p[-1], v[-1], a[-1]], [distance, end, np.zeros(50)], atol=1e-9)
    peak = profiles.quintic_acceleration_peak(acceleration, c3, c4, c5, duration)
    np.testing.assert_allclose(peak, np.abs(a).max(axis=0), rtol=1e-6)


def test_rest_to_rest_duration_meets_one_limit_exactly():
    for distance, limits in ((1.0, (0.5, 9.0, 90.0)), (1.0, (9.0, 2.0, 90.0)), (-0.1, (9.0, 9.0, 20.0))):
        limits = [np.array(limit) for limit in limits]
        duration = profiles.rest_to_rest_duration(np.array(distance), *limits)
        zero = np.array(0.0)
        c3, c4, c5 = profiles.quintic(np.array(distance), zero, zero, zero, duration)
        t = np.linspace(0.0, 1.0, 10001) * duration
        v = t * t * (3 * c3 + t * (4 * c4 + t * 5 * c5))
        a = t * (6 * c3 + t * (12 * c4 + t * 20 * c5))
        j = 6 * c3 + t * (24 * c4 + t * 60 * c5)
        shares = [np.abs(x).max() / limit for x, limit in zip((v, a, j), limits, strict=True)]
        np.testing.assert_allclose(max(shares), 1.0, rtol=1e-6)


def test_sampled_braking_is_exact_and_within_its_deceleration():
    for distance in (0.0, 1e-9, 3e-5, 4.7e-5, 0.01, 0.3):
        speeds, left = [], distance
        for _ in range(1000):
            speeds.append(float(profiles.braking_speed(np.array(left), 8.0, 0.002)))
            left = max(left - speeds[-1] * 0.002, 0.0)
        assert left < 1e-15 and np.all(np.diff(speeds) <= 1e-12)
        assert np.abs(np.diff(speeds)).max() <= 8.0 * 0.002 * (1.0 + 1e-9)
