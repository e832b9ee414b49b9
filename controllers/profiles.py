"""Closed-form motion profiles of one axis under velocity, acceleration and jerk limits, on arrays of any shape.

Velocity transitions are three phases of constant jerk, time-optimal from any velocity and acceleration (Biagiotti and
Melchiorri, Trajectory Planning for Automatic Machines and Robots, section 3.4). Point-to-point moves are quintics.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hardware.arrays import FloatArray

QUINTIC_VELOCITY = 15.0 / 8.0
"""Peak velocity of a quintic from rest to rest, times duration over distance."""
QUINTIC_ACCELERATION = 10.0 / np.sqrt(3.0)
"""Peak acceleration of a quintic from rest to rest, times duration^2 over distance."""
QUINTIC_JERK = 60.0
"""Peak jerk of a quintic from rest to rest, times duration^3 over distance."""


class Ramp(NamedTuple):
    """A velocity transition: constant jerk +, none, -, for three durations."""

    durations: tuple[FloatArray, FloatArray, FloatArray]
    """Duration of each phase [s]."""
    jerk: FloatArray
    """Signed jerk of the first phase [rad/s^3]; the last phase has its negative."""


def velocity_ramp(
    velocity: FloatArray,
    acceleration: FloatArray,
    target: FloatArray,
    acceleration_max: FloatArray,
    jerk_max: FloatArray,
) -> Ramp:
    """Fastest way from a velocity and acceleration to a target velocity with no acceleration.

    All arguments broadcast; |acceleration| <= acceleration_max. The velocity stays between its start and the target
    except where the start's acceleration already carries it beyond.
    """
    change = target - velocity
    sign = np.where(change - acceleration * np.abs(acceleration) / (2.0 * jerk_max) >= 0.0, 1.0, -1.0)
    start, change = sign * acceleration, sign * change
    peak = np.minimum(np.sqrt(np.maximum(jerk_max * change + 0.5 * start * start, 0.0)), acceleration_max)
    hold = (change - (2.0 * peak * peak - start * start) / (2.0 * jerk_max)) / np.maximum(peak, 1e-300)
    hold = np.where(peak >= acceleration_max, np.maximum(hold, 0.0), 0.0)
    return Ramp((np.maximum(peak - start, 0.0) / jerk_max, hold, peak / jerk_max), sign * jerk_max)


def ramp_displacement(velocity: FloatArray, acceleration: FloatArray, ramp: Ramp) -> FloatArray:
    """Distance travelled during a velocity transition that starts at `velocity` and `acceleration` [rad]."""
    first, hold, last = ramp.durations
    jerk = ramp.jerk
    moved = first * (velocity + first * (0.5 * acceleration + first * jerk / 6.0))
    velocity = velocity + first * (acceleration + 0.5 * first * jerk)
    acceleration = acceleration + first * jerk
    moved = moved + hold * (velocity + 0.5 * hold * acceleration)
    velocity = velocity + hold * acceleration
    return moved + last * (velocity + last * (0.5 * acceleration - last * jerk / 6.0))


def brake_ramp(velocity: FloatArray, acceleration_max: FloatArray, jerk_max: FloatArray) -> Ramp:
    """Fastest way from a steady velocity to rest; its displacement is velocity x total duration / 2, by symmetry."""
    speed = np.abs(velocity)
    peak = np.minimum(np.sqrt(jerk_max * speed), acceleration_max)
    phase = peak / jerk_max
    hold = np.maximum(speed / np.maximum(peak, 1e-300) - phase, 0.0)
    return Ramp((phase, np.where(peak >= acceleration_max, hold, 0.0), phase), -np.sign(velocity) * jerk_max)


def stop_displacement(
    velocity: FloatArray, acceleration: FloatArray, acceleration_max: FloatArray, jerk_max: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest displacement on the fastest way to rest [rad], the present position being 0.

    The highest is the end, except where the acceleration is already so strong that the velocity passes zero: there it
    is the turning point. The lowest likewise.
    """
    ramp = velocity_ramp(velocity, acceleration, np.zeros_like(velocity), acceleration_max, jerk_max)
    end = ramp_displacement(velocity, acceleration, ramp)
    excess = acceleration * acceleration - 2.0 * jerk_max * np.abs(velocity)
    passes_zero = (velocity * acceleration < 0.0) & (excess > 0.0)
    turn = (np.abs(acceleration) - np.sqrt(np.where(passes_zero, excess, 0.0))) / jerk_max
    peak = turn * (velocity + turn * (0.5 * acceleration - turn * np.sign(acceleration) * jerk_max / 6.0))
    peak = np.where(passes_zero, peak, 0.0)
    return np.minimum(np.minimum(end, peak), 0.0), np.maximum(np.maximum(end, peak), 0.0)


def quintic(
    distance: FloatArray,
    velocity: FloatArray,
    acceleration: FloatArray,
    end_velocity: FloatArray,
    duration: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Coefficients of t^3, t^4, t^5 of the quintic that ends after `duration` > 0 with `end_velocity`, unaccelerated.

    The lower coefficients are the start: position, velocity, acceleration / 2.
    """
    inverse = 1.0 / duration
    reach = distance * inverse
    bend = acceleration * duration
    cube = (10.0 * reach - 4.0 * end_velocity - 6.0 * velocity - 1.5 * bend) * inverse**2
    fourth = (-15.0 * reach + 7.0 * end_velocity + 8.0 * velocity + 1.5 * bend) * inverse**3
    fifth = (6.0 * reach - 3.0 * (end_velocity + velocity) - 0.5 * bend) * inverse**4
    return cube, fourth, fifth


def quintic_acceleration_peak(
    acceleration: FloatArray, cube: FloatArray, fourth: FloatArray, fifth: FloatArray, duration: FloatArray
) -> FloatArray:
    """Largest |acceleration| of a quintic that starts with `acceleration` and ends with none, exactly.

    It lies at the start or where the jerk 6 (cube + 4 fourth t + 10 fifth t^2) is zero.
    """
    root = np.sqrt(np.maximum(16.0 * fourth * fourth - 40.0 * fifth * cube, 0.0))
    half = -0.5 * (4.0 * fourth + np.copysign(root, fourth))
    first = half / np.where(fifth == 0.0, np.inf, 10.0 * fifth)
    second = cube / np.where(half == 0.0, np.inf, half)
    peak = np.abs(acceleration)
    for time in (first, second):
        t = np.minimum(np.maximum(time, 0.0), duration)
        peak = np.maximum(peak, np.abs(acceleration + t * (6.0 * cube + t * (12.0 * fourth + t * 20.0 * fifth))))
    return peak


def rest_to_rest_duration(
    distance: FloatArray, velocity_max: FloatArray, acceleration_max: FloatArray, jerk_max: FloatArray
) -> FloatArray:
    """Shortest duration of a quintic from rest to rest over `distance` within the limits [s]."""
    distance = np.abs(distance)
    return np.maximum(
        np.maximum(
            QUINTIC_VELOCITY * distance / velocity_max, np.sqrt(QUINTIC_ACCELERATION * distance / acceleration_max)
        ),
        np.cbrt(QUINTIC_JERK * distance / jerk_max),
    )


def braking_speed(distance: FloatArray, deceleration: FloatArray | float, period_s: float) -> FloatArray:
    """Fastest speed of the coming cycle from which a set-point moved once per cycle still ends exactly at `distance`.

    With n + 1 cycles to go and one quantum a T less speed in each, the distance is (n + 1) v T - n (n + 1) a T^2 / 2.

    Args:
        distance: (...,) >= 0 [rad].
        deceleration: available deceleration a [rad/s^2].
        period_s: cycle T [s].

    Returns:
        (...,) [rad/s].
    """
    quantum = deceleration * period_s
    quanta = distance / (quantum * period_s)
    cycles = np.floor(np.sqrt(0.25 + 2.0 * quanta) - 0.5)
    return quantum * (quanta / (cycles + 1.0) + 0.5 * cycles)
