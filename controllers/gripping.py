"""Closing a position-controlled jaw on something without overloading its servo.

A stiff servo pushes with all it has once its set-point is a few hundredths of a radian beyond where the jaw is stopped,
and its protection acts after seconds of that. So the set-point stays just ahead of the jaw: far enough to move it, and
less far once it has met something.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware.arrays import Array, namespace

STILL_RAD_S = 0.05
"""A jaw that comes nearer to its goal more slowly than this stands still [rad/s]."""
BLOCKED_S = 0.2
"""A jaw that is asked to move and stands still for this long has met something [s]; to begin to move takes less."""
RELAX_RAD_S = 0.3
"""Speed at which the set-point then comes back [rad/s]: slow, because the robot's own limits delay what is asked."""
REACH_RAD = 0.1
"""While it moves freely a jaw is asked to be this far ahead of where it is [rad]."""
SQUEEZE_RAD = 0.008
"""The same once it has met something: a hundredth of a radian holds, and does not overload a hobby servo [rad]."""


APPROACH_1_S = 10.0
"""Share of the way to where the set-point is wanted that is asked for per second [1/s]."""


@dataclass(frozen=True)
class JawLimits:
    """How a jaw moves."""

    speed: float
    """Largest speed of the set-point [rad/s]."""
    acceleration: float = 3.0
    """Its acceleration [rad/s^2]; well below the robot's limit, so that the robot really does what is asked."""
    reach: float = REACH_RAD
    """How far it is ahead of a jaw that moves freely [rad]."""
    squeeze: float = SQUEEZE_RAD
    """How far it is ahead of a jaw that has met something [rad]."""


@dataclass(frozen=True, slots=True)
class JawPlan:
    """Where the set-point of a jaw is, as far as one knows who sees only the jaw; arrays (...,)."""

    asked: Array
    """Set-point [rad]."""
    speed: Array
    """Its speed [rad/s]."""
    still_s: Array
    """For how long the jaw has stood still although asked to move [s]."""


def next_jaw(plan: JawPlan, goal: Array, jaw: Array, jaw_speed: Array, period_s: float, limits: JawLimits) -> JawPlan:
    """The set-point after one period; its speed is what is to be asked for.

    Args:
        plan: the set-point now.
        goal: where the jaw is to go, (...,) [rad].
        jaw: where it is, (...,) [rad].
        jaw_speed: how fast it moves, (...,) [rad/s].
        period_s: time between two calls [s].
        limits: speeds and distances.
    """
    xp = namespace(jaw)
    one, asked = xp.ones_like(jaw), plan.asked
    # One that is pushed back does not come nearer either: else letting it relax would count as moving freely.
    nearer = xp.where(goal < jaw, -jaw_speed, jaw_speed)
    still = (nearer < STILL_RAD_S) & (xp.abs(jaw - asked) > 0.5 * limits.squeeze)
    still_s = xp.where(still, plan.still_s + period_s, xp.zeros_like(jaw))
    blocked = still_s >= BLOCKED_S - 1e-9
    ahead = xp.where(blocked, limits.squeeze * one, limits.reach * one)
    wanted = xp.minimum(xp.maximum(goal, jaw - ahead), jaw + ahead)
    # Never back while the jaw moves: it lags behind its set-point, and one that followed it would drag it along.
    onward = xp.where(goal < asked, xp.minimum(wanted, asked), xp.maximum(wanted, asked))
    fastest = xp.where(blocked, min(RELAX_RAD_S, limits.speed) * one, limits.speed * one)
    speed = APPROACH_1_S * (xp.where(blocked, wanted, onward) - asked)
    speed = xp.minimum(xp.maximum(speed, -fastest), fastest)
    change = limits.acceleration * period_s
    reached = plan.speed + xp.minimum(xp.maximum(speed - plan.speed, -change * one), change * one)
    moved = asked + 0.5 * (plan.speed + reached) * period_s
    return JawPlan(moved, reached, still_s)
