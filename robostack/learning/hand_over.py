"""From a batch learner's checkpoint (SAC, RLPD) to AVG, without losing the policy.

The actor is copied: with the architecture "avg" both learners have the same one, and the observation statistics are
given so much weight that AVG's own go on from there without moving it. AVG's critic has another form than the batch
learner's ensemble; it is fitted to the ensemble's mean on the newest transitions of the replay, where the checkpoint
holds one. Then, for `AvgConfig.critic_first` steps, only the critic learns, while the scale of errors and the mean
squares of gradients, the actor's too, settle; and from there the actor learns with small steps. numpy only.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError
from robostack.checkpoint import latest_checkpoint, load_arrays, load_policy
from robostack.contract import require_match
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.distillation import distill
from robostack.learning.replay import Field, Replay

SETTINGS: Mapping[str, Any] = {
    "actor_learning_rate": 3e-7,
    "critic_learning_rate": 1e-3,
    "critic_first": 20_000,
}
"""Settings of AVG after a hand-over that do not follow from the checkpoint. The critic must be far quicker than the
actor: on HalfCheetah-v4, with the actor at 1e-5 and the critic at 1e-4, half of the return was lost in 20,000 steps."""
STATISTICS_WEIGHT = 1e9
"""Observations that the batch learner's statistics count for: a million new ones move the mean by a thousandth of the
difference, so that the policy does not drift by its normaliser."""
TRANSITIONS = 50_000
"""Newest transitions of the replay that the critic is fitted on."""
FITTING_STEPS = 4_000
"""Mini-batches of the fit."""


LAYER_NORM_EPSILON = 1e-6
"""As in robostack.learning.batched_critic, which needs torch; a test compares."""


@dataclass(frozen=True)
class HandOver:
    """What was handed over."""

    transitions: int
    """Transitions that the critic was fitted on; 0: the checkpoint has no replay, or no fit was wanted."""
    critic_error: float
    """Root mean square error of the fit as a fraction of the values' deviation; NaN without a fit."""


def hand_over_config(folder: Path) -> AvgConfig:
    """The configuration of AVG that continues a batch learner: its form and discount, its temperature, small steps.

    Args:
        folder: checkpoint or run of a batch learner.

    Raises:
        CheckpointError: it cannot be read, or is not of a batch learner.
        ConfigError: its actor is of a form that AVG does not have.
    """
    folder = latest_checkpoint(folder)
    config = _batch_config(folder)
    temperature = math.exp(float(_arrays(folder)["log_temperature"][0]))
    return dataclasses.replace(
        AvgConfig(),
        hidden=tuple(config["hidden"]),
        feature_epsilon=float(config["network"]["epsilon"]),
        variance=config["variance"],
        discount=float(config["discount"]),
        entropy_coefficient=temperature,
        **SETTINGS,
    )


def hand_over(learner: Avg, folder: Path, fit: bool = True) -> HandOver:
    """Give `learner`, which has not learned yet, the policy and the values of a batch learner.

    Args:
        learner: with a configuration like that of `hand_over_config`.
        folder: checkpoint or run of a batch learner.
        fit: fit the critic; False leaves it as it is.

    Raises:
        CheckpointError: it cannot be read, or is not of a batch learner.
        ConfigError: its actor is of another form than the learner's.
        ContractMismatchError: it is of another task or robot.
    """
    folder = latest_checkpoint(folder)
    config, arrays = _batch_config(folder), _arrays(folder)
    require_match(load_policy(folder).contract, learner.contract, f"checkpoint {folder}")
    _copy_actor(learner, config, arrays, folder)
    mean, scale = _normalizer(folder)
    learner.normalizer.mean[:], learner.normalizer.count = mean, STATISTICS_WEIGHT
    learner.normalizer.variance[:] = np.maximum(scale**2 - learner.normalizer.epsilon, 0.0)
    replay = _replay(folder) if fit else None
    if replay is None or config["privileged"] > 0:
        return HandOver(0, math.nan)
    rows = replay.newest(TRANSITIONS)
    squashed = np.clip((rows["action"] - learner.center) / learner.half, -1.0, 1.0)
    inputs = np.concatenate([(rows["observation"] - mean) / scale, squashed], axis=1)
    wanted = batch_values(config, arrays["critic"], inputs)
    error = distill(learner.critic, inputs, wanted, FITTING_STEPS, np.random.default_rng(learner.seed))
    return HandOver(len(inputs), error)


def batch_values(config: Mapping[str, Any], parameters: NDArray[Any], inputs: FloatArray) -> FloatArray:
    """Mean over the ensemble of Q, for rows of normalised observation and action in (-1, 1).

    Args:
        config: of the batch learner, from its checkpoint.
        parameters: the critics', flat, as robostack.learning.batched_critic lays them out.
        inputs: (n, num_observations + num_actions).

    Returns:
        (n,).
    """
    members, sizes = int(config["critics"]), (inputs.shape[1], *config["hidden"], 1)
    start, total = 0, np.zeros(len(inputs))

    def take(rows: int, columns: int) -> NDArray[Any]:
        nonlocal start
        start += members * rows * columns
        return parameters[start - members * rows * columns : start].reshape(members, rows, columns)

    layers = []
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        weight = take(fan_out, fan_in).transpose(0, 2, 1) if last else take(fan_in, fan_out)
        bias, norms = take(1, fan_out), 0 if last or not config["layer_norm"] else 2
        layers.append((weight, bias, [take(1, fan_out) for _ in range(norms)]))
    for member in range(members):
        hidden = inputs.astype(np.float32)
        for index, (weight, bias, norm) in enumerate(layers):
            hidden = hidden @ weight[member] + bias[member]
            if norm:
                hidden = hidden - hidden.mean(axis=1, keepdims=True)
                hidden = hidden / np.sqrt(np.mean(hidden**2, axis=1, keepdims=True) + LAYER_NORM_EPSILON)
                hidden = hidden * norm[0][member] + norm[1][member]
            if index < len(layers) - 1:
                hidden = np.maximum(hidden, 0.0) if config["critic_activation"] == "relu" else np.tanh(hidden)
        total += hidden[:, 0]
    return total / members


def _copy_actor(learner: Avg, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], folder: Path) -> None:
    mine = learner.config
    form = (tuple(config["hidden"]), config["network"]["epsilon"], config["variance"], True)
    if (tuple(mine.hidden), mine.feature_epsilon, mine.variance, mine.map_actions) != form:
        raise ConfigError(
            f"the actor in {folder} has hidden {form[0]}, feature_epsilon {form[1]}, variance '{form[2]}' and maps its "
            "actions; leave these settings of AVG as the checkpoint gives them"
        )
    for index, matrix in enumerate(learner.actor.matrices(learner.actor.parameters)):
        matrix[:, :-1] = arrays[f"actor.linear.{index}.weight"]
        matrix[:, -1] = arrays[f"actor.linear.{index}.bias"]
    learner.averaged[:] = learner.actor.parameters


def _batch_config(folder: Path) -> Mapping[str, Any]:
    config: Mapping[str, Any] = load_policy(folder).config
    if config.get("learner") != "rlpd":
        raise CheckpointError(
            f"{folder} is of the learner {config.get('learner')!r}; AVG continues from sac and rlpd. "
            "A run of AVG itself is continued with --resume."
        )
    if config["architecture"] != "avg":
        raise ConfigError(
            f"the actor in {folder} is of the form '{config['architecture']}', which AVG does not have. "
            "Train the batch learner with --set architecture=avg."
        )
    return config


def _arrays(folder: Path) -> Mapping[str, NDArray[Any]]:
    return load_arrays(folder, "learner")[0]


def _normalizer(folder: Path) -> tuple[FloatArray, FloatArray]:
    arrays = load_policy(folder).arrays
    return arrays["observation_mean"].astype(np.float64), arrays["observation_scale"].astype(np.float64)


def _replay(folder: Path) -> Replay | None:
    """The replay in the checkpoint; None where it is on disk elsewhere, or empty."""
    state, document = load_arrays(folder, "replay")
    if "rows" not in state or len(state["rows"]) == 0:
        return None
    fields = {name: Field(tuple(shape), dtype) for name, (shape, dtype) in document["layout"].items()}
    total = int(state["total"][0])
    replay = Replay(fields, len(state["rows"]))
    replay.restore({**state, "total": np.array([total])}, folder)
    return replay
