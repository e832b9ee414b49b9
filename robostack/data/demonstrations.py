"""A dataset as transitions, for learners that start from demonstrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError, DatasetError, UnknownNameError
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, DONE, IS_INTERVENTION, REWARD, STATE, SUCCESS, TRUNCATED
from robostack.learning.learner import Transition


@dataclass(frozen=True)
class Demonstrations:
    """Transitions of a dataset, episode after episode."""

    observation: NDArray[np.float64]
    """(n, num_observations)."""
    action: NDArray[np.float64]
    """As executed, (n, num_actions)."""
    reward: NDArray[np.float64]
    """(n,)."""
    next_observation: NDArray[np.float64]
    """(n, num_observations)."""
    terminated: NDArray[np.bool_]
    """Ended in a state from which no return follows, (n,)."""
    truncated: NDArray[np.bool_]
    """Cut off, (n,)."""
    episode: NDArray[np.int64]
    """Episode of each transition, (n,)."""
    intervention: NDArray[np.bool_]
    """Whether a person took over from a policy there, (n,)."""
    weight: NDArray[np.float64]
    """Weight of each transition when sampling, mean 1, (n,)."""

    def __len__(self) -> int:
        return len(self.reward)

    def transitions(self) -> Iterator[Transition]:
        """One after the other, with their source and weight."""
        for k in range(len(self)):
            yield Transition(
                observation=self.observation[k],
                action=self.action[k],
                reward=float(self.reward[k]),
                next_observation=self.next_observation[k],
                terminated=bool(self.terminated[k]),
                truncated=bool(self.truncated[k]),
                source="intervention" if self.intervention[k] else "demo",
                weight=float(self.weight[k]),
            )


def read_demonstrations(
    root: Path,
    observation_keys: Sequence[str] = (STATE,),
    action_key: str = ACTION,
    episodes: Sequence[int] | None = None,
    episode_weights: NDArray[np.float64] | None = None,
) -> Demonstrations:
    """Read the transitions of a dataset.

    The reward is `next.reward`, else 1 where `next.success` is set. An episode ends where `next.done` is set, else
    with its last row. That end is `terminated` if the dataset says so: `next.done` without `next.truncated`; where
    there is no `next.truncated` but `next.success`, only a success terminates. Any other end is `truncated`, and its
    last row, whose next observation was not recorded, is left out: the row before carries the flag.

    Args:
        root: the dataset.
        observation_keys: columns that make up the observation, in order.
        action_key: column of the action.
        episodes: which; None for all.
        episode_weights: weight of each of these episodes (`quality.return_weights`); None for equal ones.

    Raises:
        UnknownNameError: there is no such column.
        ConfigError: the weights do not fit the episodes.
        DatasetError: the dataset is damaged, or has no transition.
    """
    dataset = Dataset(root)
    for key in (*observation_keys, action_key):
        if key not in dataset.features or dataset.features[key].is_visual or dataset.features[key].dtype == "string":
            numeric = [name for name, item in dataset.features.items() if not item.is_visual and item.dtype != "string"]
            raise UnknownNameError("column of numbers", key, numeric)
    chosen = list(range(dataset.num_episodes)) if episodes is None else list(episodes)
    if episode_weights is not None and len(episode_weights) != len(chosen):
        raise ConfigError(f"{len(episode_weights)} weights for {len(chosen)} episodes")
    parts = [_episode(dataset, index, observation_keys, action_key) for index in chosen]
    if not sum(map(len, parts)):
        raise DatasetError(f"{root} has no transitions. Record some with: robostack record ROBOT")
    weights = np.ones(len(chosen)) if episode_weights is None else np.asarray(episode_weights, dtype=np.float64)
    weight = np.concatenate([np.full(len(part), w) for part, w in zip(parts, weights, strict=True)])
    return Demonstrations(
        observation=np.concatenate([part.observation for part in parts]),
        action=np.concatenate([part.action for part in parts]),
        reward=np.concatenate([part.reward for part in parts]),
        next_observation=np.concatenate([part.next_observation for part in parts]),
        terminated=np.concatenate([part.terminated for part in parts]),
        truncated=np.concatenate([part.truncated for part in parts]),
        episode=np.concatenate([part.episode for part in parts]),
        intervention=np.concatenate([part.intervention for part in parts]),
        weight=weight / weight.mean() if weight.mean() > 0 else weight,
    )


def _episode(dataset: Dataset, index: int, observation_keys: Sequence[str], action_key: str) -> Demonstrations:
    columns = dataset.episode(index)
    rows = len(columns["index"])
    observation = np.concatenate([_matrix(columns[key]) for key in observation_keys], axis=1)
    reward = reward_of(columns)
    ended = np.flatnonzero(columns[DONE]) if DONE in columns else np.array([], dtype=np.int64)
    last = int(ended[0]) if ended.size else rows - 1
    terminated = False
    if ended.size:
        if TRUNCATED in columns:
            terminated = not columns[TRUNCATED][last]
        else:
            terminated = bool(columns[SUCCESS][last]) if SUCCESS in columns else True
    count = last + 1 if terminated else last
    following = np.concatenate([observation[1:], observation[-1:]])
    final = np.arange(count) == count - 1
    taken_over = columns[IS_INTERVENTION].astype(bool) if IS_INTERVENTION in columns else np.zeros(rows, dtype=bool)
    return Demonstrations(
        observation=observation[:count],
        action=_matrix(columns[action_key])[:count],
        reward=reward[:count],
        next_observation=following[:count],
        terminated=final & terminated,
        truncated=final & (not terminated),
        episode=np.full(count, index),
        intervention=taken_over[:count],
        weight=np.ones(count),
    )


def reward_of(columns: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    """Reward of each row: `next.reward`, else 1 where `next.success` is set, else 0."""
    rows = len(columns["index"])
    name = REWARD if REWARD in columns else SUCCESS
    return columns[name].astype(np.float64) if name in columns else np.zeros(rows)


def _matrix(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return values.astype(np.float64).reshape(len(values), -1)
