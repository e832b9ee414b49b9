"""The compiled form of AVG (`avg_kernel.c`), called through ctypes on the learner's own arrays.

Installing builds it where there is a C compiler; without one the learner computes the same in numpy. It is a plain
shared library that knows nothing of Python, so that one build serves every version and needs no Python headers.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_double, c_int, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, NonFiniteError
from robostack.learning.adam import Adam
from robostack.learning.networks import LEAK, Mlp, Pass
from robostack.learning.squashed_gaussian import LOG_MAX, LOG_MIN, SquashedGaussian
from robostack.learning.td_scale import VARIANCE_MIN, VARIANCE_TRUSTED

if TYPE_CHECKING:
    from robostack.learning.avg import Avg

KernelChoice = Literal["auto", "compiled", "numpy"]
_MODULE = "robostack.learning._avg_kernel"


class _Network(Structure):
    _fields_ = [
        ("layers", c_int64),
        ("sizes", c_void_p),
        *((name, c_double) for name in ("epsilon", "beta1", "beta2", "adam_epsilon", "average")),
        *((name, c_void_p) for name in ("steps", "parameters", "first", "second", "averaged")),
    ]


class _Pass(Structure):
    _fields_ = [
        *((name, POINTER(c_void_p)) for name in ("inputs", "hidden", "deltas")),
        ("output", c_void_p),
        ("norm", c_double),
    ]


class _Draw(Structure):
    _fields_ = [
        ("size", c_int64),
        ("factor", c_double),
        *((name, c_void_p) for name in ("noise", "deviation", "action")),
        ("log_probability", c_double),
    ]


class _Normalizer(Structure):
    _fields_ = [
        ("size", c_int64),
        ("epsilon", c_double),
        *((name, c_void_p) for name in ("count", "mean", "variance", "raw", "normalized")),
    ]


class _Bounds(Structure):
    _fields_ = [("mapped", c_int64), *((name, c_void_p) for name in ("low", "high", "center", "half", "bounded"))]


class _Avg(Structure):
    """`Avg` of avg_kernel.c, field by field."""

    _fields_ = [
        *((name, _Network) for name in ("actor", "critic")),
        *((name, _Pass) for name in ("now", "next", "value", "next_value")),
        *((name, _Draw) for name in ("drawn", "fresh")),
        ("normalizer", _Normalizer),
        ("td_scale", c_void_p),
        ("bounds", _Bounds),
        ("observation", c_void_p),
        *((name, c_double) for name in ("leak", "log_min", "log_max", "discount", "variance_min", "variance_trusted")),
        ("reset_on_truncation", c_int64),
        *((name, c_double) for name in ("td_error", "sigma", "q", "log_probability")),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled library; None where it was not built, cannot be loaded, or belongs to other sources."""
    spec = importlib.util.find_spec(_MODULE)
    return load_library(spec.origin) if spec is not None and spec.origin is not None else None


def load_library(path: str) -> ctypes.CDLL | None:
    """The compiled library at `path`; None as above."""
    try:
        found = ctypes.CDLL(path)
        found.avg_bytes.restype = c_int64
        if found.avg_bytes() != ctypes.sizeof(_Avg):
            return None
        for bits in (32, 64):
            getattr(found, f"avg_act{bits}").argtypes = [c_void_p]
            getattr(found, f"avg_update{bits}").argtypes = [c_void_p, c_double, c_int, c_int, *[c_double] * 3]
    except (OSError, AttributeError):
        return None
    return found


def open_kernel(choice: KernelChoice, learner: Avg) -> Kernel | None:
    """The compiled kernel on `learner`'s arrays; None: the learner is to compute in numpy.

    Raises:
        ConfigError: `choice` is "compiled" and there is no compiled kernel.
    """
    loaded = library() if choice != "numpy" else None
    if loaded is None and choice == "compiled":
        raise ConfigError(
            "AvgConfig.kernel is 'compiled', but the kernel is not built for these sources. Install a C compiler "
            "(apt-get install gcc libc6-dev) and run pip install again, or choose 'auto' or 'numpy'."
        )
    return None if loaded is None else Kernel(loaded, learner)


class Kernel:
    """Act and update of one learner.

    Args:
        loaded: the library.
        learner: whose arrays it reads and writes; none of them may be replaced by another afterwards.
    """

    def __init__(self, loaded: ctypes.CDLL, learner: Avg) -> None:
        bits = learner.actor.parameters.itemsize * 8
        self._act, self._update = getattr(loaded, f"avg_act{bits}"), getattr(loaded, f"avg_update{bits}")
        self._kept: list[Any] = []
        config, statistics = learner.config, learner.normalizer
        self._observation: FloatArray = np.zeros(statistics.mean.size)
        self._bounded: FloatArray = np.zeros(learner.low.size)
        self._state = _Avg(
            self._network(learner.actor, learner.actor_optimizer, learner.averaged, config.average),
            self._network(learner.critic, learner.critic_optimizer, None, 0.0),
            *(self._pass(run) for run in (learner.now, learner.next, learner.value, learner.next_value)),
            *(self._draw(draw) for draw in (learner.drawn, learner.fresh)),
            _Normalizer(
                statistics.mean.size,
                statistics.epsilon,
                *map(self._address, (statistics.weight, statistics.mean, statistics.variance)),
                *map(self._address, (learner.perceived, learner.normalized)),
            ),
            self._address(learner.td_scale.state),
            _Bounds(
                config.map_actions,
                *map(self._address, (learner.low, learner.high, learner.center, learner.half, self._bounded)),
            ),
            self._address(self._observation),
            *(LEAK, LOG_MIN, LOG_MAX, config.discount, VARIANCE_MIN, VARIANCE_TRUSTED),
            config.reset_return_on_truncation,
        )
        self._pointer = ctypes.addressof(self._state)

    def act(self, observation: Array) -> FloatArray:
        """Avg.act with exploration, for the noise in `learner.drawn`.

        Raises:
            NonFiniteError: the observation is not finite.
        """
        self._observation[:] = observation
        if self._act(self._pointer):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        return self._bounded.copy()

    def update(
        self,
        next_observation: Array,
        reward: float,
        terminated: bool,
        truncated: bool,
        rates: tuple[float, float, float],
    ) -> tuple[bool, dict[str, float]]:
        """Avg.update for the noise in `learner.fresh`.

        Args:
            next_observation: s', (num_observations,).
            reward: r.
            terminated: no return follows.
            truncated: cut by the time limit.
            rates: alpha, and the step sizes of actor and critic.

        Returns:
            Whether it was learned from, and the metrics; none if the transition was not finite.
        """
        self._observation[:] = next_observation
        status = self._update(self._pointer, reward, terminated, truncated, *rates)
        if status == 1:
            return False, {}
        state = self._state
        return status == 0, {
            "td_error": state.td_error,
            "sigma": state.sigma,
            "value": state.q,
            "log_probability": state.log_probability,
        }

    def _address(self, array: Any) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)

    def _table(self, arrays: Sequence[Any]) -> Any:
        table = (c_void_p * len(arrays))(*map(self._address, arrays))
        self._kept.append(table)
        return table

    def _network(self, network: Mlp, optimizer: Adam, averaged: Any, average: float) -> _Network:
        return _Network(
            len(network.sizes) - 1,
            self._address(np.array(network.sizes, dtype=np.int64)),
            *(network.epsilon, optimizer.beta1, optimizer.beta2, optimizer.epsilon, average),
            *map(self._address, (optimizer.step_count, network.parameters, optimizer.first, optimizer.second)),
            self._address(averaged) if averaged is not None else None,
        )

    def _pass(self, run: Pass) -> _Pass:
        return _Pass(*map(self._table, (run.inputs, run.hidden, run.deltas)), self._address(run.output))

    def _draw(self, draw: SquashedGaussian) -> _Draw:
        return _Draw(draw.noise.size, draw.factor, *map(self._address, (draw.noise, draw.deviation, draw.action)))
