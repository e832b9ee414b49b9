from __future__ import annotations

import time

import pytest

from hardware.clock import SystemClock, VirtualClock


def test_a_virtual_clock_moves_only_when_told_to():
    clock = VirtualClock(start_s=2.0)
    assert clock.now() == 2.0
    clock.advance(0.5)
    assert clock.now() == 2.5
    clock.sleep_until(4.0)
    assert clock.now() == 4.0


def test_sleeping_until_the_past_does_not_turn_a_virtual_clock_back():
    clock = VirtualClock(start_s=2.0)
    clock.sleep_until(1.0)
    assert clock.now() == 2.0
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1e-9)


def test_the_system_clock_is_the_monotonic_one_and_sleeps_at_least_as_long_as_asked():
    clock = SystemClock()
    before = time.monotonic()
    now = clock.now()
    assert before <= now <= time.monotonic()
    deadline = now + 0.002
    clock.sleep_until(deadline)
    assert clock.now() >= deadline


def test_the_system_clock_returns_at_once_when_the_deadline_has_passed(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("slept"))
    SystemClock().sleep_until(time.monotonic() - 1.0)
    assert SystemClock().now() > 0.0
