"""More demonstrations from a few, in simulation: what was shown at one place is done again where the object is now.

As MimicGen (Mandlekar et al. 2023): a demonstration is cut into segments, each is moved with its object, the tool goes
straight to its beginning, and what results counts only if the task itself calls it a success. Positions are moved, not
orientations. Guided: of several starts the one least like those so far is taken, or one from which a policy fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, DatasetError
from robostack.contract import contract_of, require_match
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, DONE, IMAGES, INFO, REWARD, STATE, SUCCESS, Feature
from robostack.data.retargeting import Retargeting, Segment
from robostack.data.writer import DatasetWriter
from robostack.env import RobotEnv
from robostack.make import make_env
from robostack.policies.policy import Policy, image_size_of
from robostack.tasks.task import Task

SOURCE_EPISODE = INFO + "source_episode"
"""Column: the demonstration that an episode was made from; its own number for one that was shown."""
IS_AUGMENTED = INFO + "is_augmented"
"""Column: whether an episode was made here."""
START_SEED = INFO + "start_seed"
"""Column: seed of `RobotEnv.reset` from which the episode begins; -1 for one that was shown."""
FAILURES_MAX = 200
"""Attempts in a row without a success after which it gives up."""
_REST_STEPS = 8
"""Steps that are waited for the success after the last action."""
_SAME = (STATE, ACTION, REWARD, DONE, SUCCESS)

Frame = dict[str, Any]


@dataclass(frozen=True)
class AugmentConfig:
    """How many demonstrations are made, and how."""

    episodes: int = 100
    """Demonstrations to make, beside those that were shown."""
    seed: int = 0
    """Of starts, dynamics and noise."""
    noise: float = 0.03
    """Standard deviation of noise on the displacements, as a fraction of the largest; it is recorded."""
    candidates: int = 4
    """Starts that are drawn for each attempt; taken is the one least like those so far, or, with a policy, the first
    from which the policy fails."""
    randomize: bool = True
    """Draw the dynamics anew for each episode."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.episodes < 1 or self.candidates < 1 or not 0.0 <= self.noise <= 0.5:
            raise ConfigError("episodes and candidates must be at least 1 and noise lie in [0, 0.5]")


@dataclass
class AugmentReport:
    """What came of it."""

    shown: int
    """Successful demonstrations it started from."""
    made: int = 0
    """Demonstrations made, in this call."""
    attempts: int = 0
    """Attempts for them."""
    policy_starts: int = 0
    """Starts that the policy was tried from."""
    policy_failures: int = 0
    """Those from which it failed."""
    used: dict[int, int] = field(default_factory=dict)
    """Demonstration -> how many were made from it."""

    @property
    def acceptance(self) -> float:
        """Share of the attempts that were a success, and again when replayed."""
        return self.made / max(self.attempts, 1)


@dataclass(frozen=True)
class _Shown:
    """A successful demonstration."""

    index: int
    segments: list[Segment]
    place: FloatArray
    """Where the object was at its beginning, (3,) [m]."""


def augment(
    task: Task,
    source: Path,
    target: Path,
    config: AugmentConfig,
    policy: Policy | None = None,
    on_attempt: Callable[[int, bool], None] | None = None,
) -> AugmentReport:
    """Write a dataset of the demonstrations in `source` and new ones made from them; one that is there is continued.

    Args:
        task: that was demonstrated in simulation.
        source: dataset with observations and actions of the task.
        target: folder of the new dataset.
        config: how many, and how.
        policy: demonstrations are made where it fails; None: where starts lie thinnest.
        on_attempt: called after each attempt with the number of demonstrations made and whether it was a success.

    Raises:
        ContractMismatchError: the demonstrations are of another task or robot.
        ConfigError: the task cannot be moved to other places, no demonstration is a success, or too many attempts fail.
        DatasetError: a dataset cannot be read or written.
    """
    dataset = Dataset(source)
    if dataset.contract is None:
        raise DatasetError(f"{source} does not say which task it is of. Record it with this version")
    require_match(dataset.contract, contract_of(task), f"the dataset {source}")
    retargeting = Retargeting(dataset.contract)
    size = _image_size(dataset, task)
    if policy is not None and image_size_of(policy) not in (None, size):
        raise ConfigError(f"the policy needs images of {image_size_of(policy)} pixels, {source} has {size}")
    parts = [dataset.episode(index) for index in range(dataset.num_episodes)]
    shown = [_shown(retargeting, index, part) for index, part in enumerate(parts) if part[SUCCESS].any()]
    if not shown:
        raise ConfigError(f"{source} has no successful demonstration to start from")
    env = make_env(task, randomize=config.randomize, seed=config.seed, image_size=size)
    features = {name: dataset.features[name] for name in (*_SAME, *dataset.image_keys)} | _LABELS
    writer = DatasetWriter(
        target, fps=dataset.fps, features=features, robot_type=task.spec.name, contract=dataset.contract
    )
    with writer:
        for index in range(writer.num_episodes, dataset.num_episodes):
            _write(writer, _frames_of(dataset, index), task.name, (index, False, -1))
        made = writer.num_episodes - dataset.num_episodes
        starts = [part[STATE][0].astype(np.float64) for part in parts]
        starts += [Dataset(target).episode(dataset.num_episodes + k)[STATE][0].astype(np.float64) for k in range(made)]
        report = AugmentReport(len(shown))
        maker = _Maker(env, retargeting, shown, config, policy, report)
        while made < config.episodes:
            frames, seed, index = maker.make(made, starts)
            success = bool(frames)
            if success:
                _write(writer, iter(frames), task.name, (index, True, seed))
                starts.append(np.asarray(frames[0][STATE], dtype=np.float32).astype(np.float64))  # as it is read back
                made += 1
            if on_attempt is not None:
                on_attempt(made, success)
    return report


def replays(env: RobotEnv, columns: Mapping[str, NDArray[Any]]) -> bool:
    """Whether an episode that was made here succeeds again, action by action.

    Args:
        env: the task, with the configuration it was made with.
        columns: of the episode, with START_SEED.
    """
    env.reset(seed=int(columns[START_SEED][0]))
    success = False
    for action in columns[ACTION]:
        _, _, terminated, truncated, info = env.step(np.asarray(action, dtype=np.float64))
        success = bool(info["success"])
        if terminated or truncated:
            break
    return success


class _Maker:
    """Makes one demonstration after the other."""

    def __init__(
        self,
        env: RobotEnv,
        retargeting: Retargeting,
        shown: list[_Shown],
        config: AugmentConfig,
        policy: Policy | None,
        report: AugmentReport,
    ) -> None:
        self.env, self.retargeting, self.shown, self.config = env, retargeting, shown, config
        self.policy, self.report = policy, report
        self._failures = 0

    def make(self, made: int, starts: list[FloatArray]) -> tuple[list[Frame], int, int]:
        """One attempt: its time steps, or none where it failed; its seed, and the demonstration it was made from.

        Raises:
            ConfigError: too many attempts in a row failed.
        """
        # Seeded one by one, so that a run that was interrupted makes the same as one that was not.
        rng = np.random.default_rng([self.config.seed, made, self._failures])
        seed = self._start(rng, starts)
        observation, _ = self.env.reset(seed=seed)
        place = self.retargeting.place(_vector(observation))
        # The demonstration whose object lay nearest first; after failures the others.
        order = sorted(self.shown, key=lambda one: float(np.linalg.norm(one.place - place)))
        one = order[self._failures % len(order)]
        frames = self._act(observation, one, rng)
        accepted = bool(frames[-1][SUCCESS]) and replays(
            self.env, {ACTION: np.stack([frame[ACTION] for frame in frames]), START_SEED: np.array([seed])}
        )
        self.report.attempts += 1
        self.report.made += accepted
        if accepted:
            self.report.used[one.index] = self.report.used.get(one.index, 0) + 1
        self._failures = 0 if accepted else self._failures + 1
        if self._failures >= FAILURES_MAX:
            raise ConfigError(f"{FAILURES_MAX} attempts in a row failed; show more demonstrations, or lower the noise")
        return (frames if accepted else []), seed, one.index

    def _start(self, rng: np.random.Generator, starts: list[FloatArray]) -> int:
        """Seed of the start that is worth most."""
        seeds = [int(seed) for seed in rng.integers(2**31, size=self.config.candidates)]
        if self.policy is not None:
            for seed in seeds:
                failed = not self._policy_succeeds(self.policy, seed)
                self.report.policy_starts += 1
                self.report.policy_failures += failed
                if failed:
                    return seed
            return seeds[-1]
        known = np.stack(starts)
        spread = np.maximum(known.std(axis=0), 1e-3)
        found = [_vector(self.env.reset(seed=seed)[0]) for seed in seeds]
        nearest = [float(np.min(np.linalg.norm((known - one) / spread, axis=1))) for one in found]
        return seeds[int(np.argmax(nearest))]

    def _policy_succeeds(self, policy: Policy, seed: int) -> bool:
        observation, _ = self.env.reset(seed=seed)
        policy.reset()
        success = ended = False
        sees = image_size_of(policy) is not None
        while not ended:
            action = policy.act(observation if sees else _vector(observation))
            observation, _, terminated, truncated, info = self.env.step(np.asarray(action, dtype=np.float64))
            success, ended = bool(info["success"]), terminated or truncated
        return success

    def _act(self, observation: Any, one: _Shown, rng: np.random.Generator) -> list[Frame]:
        """Do the demonstration again where the object is now."""
        frames: list[Frame] = []
        for segment in one.segments:
            origin = self.retargeting.place(_vector(observation))
            step, count = 0, len(segment.target)
            while step < count:
                action, arrives = self.retargeting.towards(
                    origin + segment.target[step], _vector(observation), segment.rest[step]
                )
                action = self.retargeting.noisy(action, self.config.noise, rng)
                observation, ended = self._step(observation, action, frames)
                if ended:
                    return frames
                step += arrives or step > 0  # only the way to its beginning may take longer than was shown
        still = one.segments[-1].rest[-1]
        for _ in range(_REST_STEPS):
            observation, ended = self._step(observation, still, frames)
            if ended:
                break
        return frames

    def _step(self, observation: Any, action: FloatArray, frames: list[Frame]) -> tuple[Any, bool]:
        """One control period, and what is recorded of it: the action is what the dataset can hold exactly."""
        exact = action.astype(np.float32)
        following, reward, terminated, truncated, info = self.env.step(exact.astype(np.float64))
        ended = terminated or truncated
        seen = observation if isinstance(observation, dict) else {"state": observation}
        images = {IMAGES + name: image for name, image in seen.items() if name != "state"}
        done = {REWARD: reward, DONE: ended, SUCCESS: bool(info["success"])}
        frames.append({STATE: seen["state"], ACTION: exact, **done, **images})
        return following, ended


_LABELS = {
    SOURCE_EPISODE: Feature("int64", (1,), None),
    IS_AUGMENTED: Feature("bool", (1,), None),
    START_SEED: Feature("int64", (1,), None),
}


def _shown(retargeting: Retargeting, index: int, columns: Mapping[str, NDArray[Any]]) -> _Shown:
    states, actions = columns[STATE].astype(np.float64), columns[ACTION].astype(np.float64)
    return _Shown(index, retargeting.segments(states, actions), retargeting.place(states[0]))


def _write(writer: DatasetWriter, frames: Iterator[Frame], task: str, labels: tuple[int, bool, int]) -> None:
    """One episode with its labels: source, whether it was made here, and seed."""
    source, made, seed = labels
    for frame in frames:
        writer.add({**frame, SOURCE_EPISODE: source, IS_AUGMENTED: made, START_SEED: seed}, task)
    writer.finish_episode()


def _frames_of(dataset: Dataset, index: int) -> Iterator[Frame]:
    """The time steps of a recorded episode, as they are written."""
    columns = dataset.episode(index)
    streams = {key: dataset.images(index, key) for key in dataset.image_keys}
    for step in range(len(columns["index"])):
        frame = {name: columns[name][step] for name in _SAME}
        yield {**frame, **{key: next(stream) for key, stream in streams.items()}}


def _image_size(dataset: Dataset, task: Task) -> int | None:
    """Width and height of the images in a dataset; None where there are none.

    Raises:
        ConfigError: they are not those of the task's cameras.
    """
    shapes = {dataset.features[key].shape for key in dataset.image_keys}
    if not shapes:
        return None
    wanted = {IMAGES + name for name in task.cameras}
    if set(dataset.image_keys) != wanted or len(shapes) != 1 or len({*next(iter(shapes))[:2]}) != 1:
        raise ConfigError(
            f"{dataset.root} has images {', '.join(dataset.image_keys)}; new ones are square, of {wanted}"
        )
    return next(iter(shapes))[0]


def _vector(observation: Any) -> FloatArray:
    return np.asarray(observation["state"] if isinstance(observation, dict) else observation, dtype=np.float64)
