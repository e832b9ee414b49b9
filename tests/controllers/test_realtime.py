"""Real-time priority: granted and given back, or refused with a reason; never an error."""

from __future__ import annotations

import gc
import os

import pytest

from controllers.realtime import RealtimeThread


@pytest.fixture
def scheduler(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_getparam", lambda pid: os.sched_param(0))
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda pid, policy, param: calls.append((policy, param.sched_priority))
    )
    return calls


def test_priority_is_raised_and_given_back(scheduler):
    with RealtimeThread(40) as thread:
        assert thread.granted and thread.refusal == ""
        assert gc.get_freeze_count() > 0
    assert scheduler == [(os.SCHED_FIFO, 40), (os.SCHED_OTHER, 0)]
    assert thread.granted and gc.get_freeze_count() == 0


@pytest.mark.parametrize(("error", "words"), [(PermissionError(1, "no"), "ulimit -r 40"), (OSError(22, "bad"), "bad")])
def test_refusal_is_told_and_nothing_is_given_back(monkeypatch, scheduler, error, words):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with RealtimeThread(40, freeze_gc=False) as thread:
        assert not thread.granted and words in thread.refusal
    assert scheduler == []


def test_nothing_asked_nothing_done(scheduler):
    with RealtimeThread(None, freeze_gc=False) as thread:
        assert not thread.granted and thread.refusal == ""
    assert scheduler == []
