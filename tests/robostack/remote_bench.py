"""What tests of the remote learner share: a small contract and policy, a learner in the test's hands, a proxy."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import select
import socket
import threading
import time

import numpy as np
from toy_contract import toy_contract

from robostack.contract import Contract
from robostack.learning.learner import Transition
from robostack.learning.replay import Replay, transition_fields
from robostack.remote.learner_end import Identity, LearnerEnd
from robostack.remote.learner_port import LearnerPort
from robostack.remote.ledger import Ledger
from robostack.remote.weights import packed

LIMIT_S = 60.0
"""Longest wait for what must happen; generous, because the machine may stand still."""


def contract(**changes) -> Contract:
    return dataclasses.replace(toy_contract(3), **changes)


def transition(number: float, source: str = "real", ended: bool = False) -> Transition:
    """One whose reward is its number."""
    return Transition(np.full(3, 0.5), np.array([0.25, 1.0]), number, np.full(3, 0.75), ended, False, source=source)


def policy_arrays(seed: int = 0):
    """Arrays and configuration of a policy 3 -> 4 -> 2 with its spread."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    arrays = {"layer0.weight": draw(4, 3), "layer0.bias": draw(4), "layer1.weight": draw(2, 4), "layer1.bias": draw(2)}
    arrays |= {"spread.kernel": draw(2, 4), "spread.bias": draw(2)}
    arrays |= {"observation_mean": np.zeros(3), "observation_scale": np.ones(3)}
    arrays |= {"action_center": np.full(2, 1.0), "action_half": np.full(2, 2.0)}
    arrays |= {"action_low": np.full(2, -1.0), "action_high": np.full(2, 3.0)}
    network = {"leak": 0.0, "normalize": False, "epsilon": 1e-8, "spread_factor": 1.0}
    return arrays, {"kind": "mlp", "network": network}


class Keeper:
    """A learner's replay on disk, without the learning."""

    def __init__(self, folder, capacity=10_000):
        fields = transition_fields(3, 2)
        self.online = Replay(fields, capacity, folder / "online")
        self.demos = Replay(fields, capacity, folder / "demo")

    def observe(self, transition):
        count = len(transition.reward)
        rows = {name: getattr(transition, name) for name in self.online.fields if name not in ("source", "weight")}
        codes = {"sim": 0, "real": 1, "demo": 2, "intervention": 3}
        rows["source"] = np.full(count, codes[transition.source])
        rows["weight"] = np.full(count, transition.weight)
        if transition.source in ("demo", "intervention"):
            self.demos.add(rows)
        if transition.source != "demo":
            self.online.add(rows)

    def flush(self):
        self.online.flush()
        self.demos.flush()

    def rewards(self):
        return self.online.newest(len(self.online))["reward"].tolist()


class LearnerInHand:
    """A learner's end served by a thread of the test: started and killed at will, on one folder and one port."""

    def __init__(self, folder, keys, host, port, made=None, run="run-1"):
        self.folder, self.keys, self.host, self.port = folder, keys, host, port
        self.contract, self.run, self.said = made or contract(), run, []
        self.status = {"version": 1, "uniform": False, "steps": 0, "hold": ""}
        self._thread, self._one = None, threading.Lock()

    def start(self):
        self.keeper = Keeper(self.folder)
        self.ledger = Ledger(self.folder, self.said.append)
        self.ledger.recover(self.keeper)
        self._stop = threading.Event()
        opened = LearnerPort(self.host, self.port, self.keys)
        self.port = int(opened.address.rpartition(":")[2])
        identity = Identity(self.run, "toy", self.contract, self.keeper.online.layout())
        take = lambda *batch: self.ledger.take(self.keeper, *batch)  # noqa: E731
        self.end = LearnerEnd(opened, identity, take, lambda: dict(self.status), self.said.append)
        self.end.publish(packed(self.status["version"], *policy_arrays(), self.contract))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self):
        while not self._stop.is_set():
            with self._one:
                self.end.serve(0.02)
            time.sleep(0.0005)  # lets a test have the socket, which is not for two threads at once
        self.end.port.close()

    def publish(self, weights):
        with self._one:
            self.end.publish(weights)

    def stop(self):
        if self._thread is not None:
            self._stop.set()
            self._thread.join(LIMIT_S)
            self._thread = None


class Proxy:
    """A TCP proxy whose cable can be cut."""

    def __init__(self, host, target):
        self.target, self.connected = target, True
        self._server = socket.create_server((host, 0))
        self.address = f"{host}:{self._server.getsockname()[1]}"
        self._pairs, self._done = [], threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self):
        while not self._done.is_set():
            if not select.select([self._server], [], [], 0.05)[0]:
                continue
            near = self._server.accept()[0]
            try:
                if not self.connected:
                    raise OSError("cut")
                far = socket.create_connection(self.target, timeout=5.0)
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            for one, other in itertools.permutations((near, far)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            end.close()

    def cut(self):
        self.connected = False
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def restore(self):
        self.connected = True

    def close(self):
        self.cut()
        self._done.set()
        self._accepting.join()
        self._server.close()


def until(condition, limit_s=LIMIT_S, what="it"):
    """Wait for a condition."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {limit_s} s for {what}"
        time.sleep(0.01)
