"""The folder of a run on a robot: what it learns survives a power cut, up to the last finished episode.

It holds `config.yaml`, `episodes.jsonl` (one line per episode) and `checkpoints/<steps>`, written atomically between
episodes by a thread of its own, so that the node goes on telling the robot to hold.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardware.config import dump_config, load_config, plain
from hardware.errors import CheckpointError, ConfigError, ContractMismatchError
from hardware.registry import load_object
from robostack.checkpoint import atomic_folder, checkpoints, latest_checkpoint, write_durable
from robostack.contract import Contract
from robostack.files import write_text
from robostack.learning.learner import LEARNERS, Learner, LearnerEntry
from robostack.learning.presets import recommended
from robostack.runner import EpisodeRecord, append_result

CONFIG, EPISODES, COUNTERS = "config.yaml", "episodes.jsonl", "on_robot.json"
KEEP = 3
"""Newest checkpoints kept, besides the first one, from before any learning."""


@dataclass(frozen=True)
class OnRobotConfig:
    """What a run on a robot is; stored in its folder."""

    task: str
    """Name of the task."""
    learner: str
    """Name of the learner, or "module:NAME" of a LearnerEntry."""
    seed: int = 0
    """Of weights, exploration, starts and goals."""
    settings: dict[str, bool | int | float | str | list[int] | list[float] | None] = field(default_factory=dict)
    """Settings of the learner; those not named are the recommended ones for the task."""


@dataclass(frozen=True)
class Counters:
    """How far a run has come."""

    steps: int = 0
    """Transitions learned from."""
    episodes: int = 0
    """Episodes that have ended."""
    acted_s: float = 0.0
    """Time for which the policy has acted [s]."""
    skipped: int = 0
    """Transitions not learned from for lack of time."""


class OnRobotRun:
    """One run: made anew or taken up again where it stopped.

    Args:
        folder: the run's folder.
        config: the run; when resuming, what is in the folder wins, and must be of the same task and learner.
        contract: of task and robot.
        resume: go on with the run in the folder.
        source: checkpoint or run folder of the same learner to begin from, such as one trained in simulation; "" for
            fresh weights.

    Raises:
        ConfigError: the folder holds a run and `resume` is off, or a setting is wrong.
        CheckpointError: there is nothing to resume, or no checkpoint can be read.
        ContractMismatchError: a checkpoint is of another task or robot.
    """

    def __init__(
        self, folder: Path, config: OnRobotConfig, contract: Contract, *, resume: bool = False, source: str = ""
    ) -> None:
        self.folder = folder
        self.config = _resumed(folder, config) if resume else _fresh(folder, config)
        self.learner: Learner = _entry(config.learner).open(contract, _settings(self.config), self.config.seed)
        self.counters = Counters()
        self.returns: list[float] = []
        self.successes: list[bool] = []
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        if resume:
            self._restore()
        else:
            if source:
                self.learner.load(latest_checkpoint(Path(source)))
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / CONFIG, dump_config(self.config))
            self._save(self.counters)

    def note(self, record: EpisodeRecord) -> None:
        """Write an episode down, and keep its result."""
        append_result(self.folder / EPISODES, record)
        self._count(record.reason, record.total_reward, record.success)

    def save(self, counters: Counters) -> None:
        """Begin to write a checkpoint. The learner must not act or learn until `saved` says so."""
        self.wait()
        self.counters = counters
        self._thread = threading.Thread(target=self._guarded_save, args=(counters,), name="checkpoint")
        self._thread.start()

    def saved(self) -> bool:
        """Whether the last checkpoint is on the disk.

        Raises:
            CheckpointError: it cannot be written.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        if self._failure is not None:
            raise CheckpointError(f"no checkpoint can be written into {self.folder}: {self._failure}")
        return True

    def wait(self) -> None:
        """Wait for the last checkpoint; not within an episode."""
        if self._thread is not None:
            self._thread.join()

    def figures(self) -> dict[str, Any]:
        """Flat figures over all starts of the run."""
        tenth = max(1, len(self.returns) // 10)
        found: dict[str, Any] = {
            "run_steps": self.counters.steps,
            "run_skipped": self.counters.skipped,
            "run_episodes": self.counters.episodes,
            "run_acted_s": self.counters.acted_s,
        }
        for name, part in (("first", slice(0, tenth)), ("last", slice(-tenth, None))):
            if self.returns:
                found[f"return_{name}_tenth"] = sum(self.returns[part]) / tenth
                found[f"success_{name}_tenth"] = sum(self.successes[part]) / tenth
        return found

    def _count(self, reason: str, total_reward: float, success: bool) -> None:
        if not reason.startswith("aborted"):
            self.returns.append(total_reward)
            self.successes.append(success)

    def _guarded_save(self, counters: Counters) -> None:
        try:
            self._save(counters)
        except OSError as error:
            self._failure = error

    def _save(self, counters: Counters) -> None:
        folder = self.folder / "checkpoints" / f"{counters.steps:09d}"
        with atomic_folder(folder) as fresh:
            self.learner.save(fresh)
            write_durable(fresh / COUNTERS, json.dumps(counters.__dict__).encode())
        for old in checkpoints(self.folder)[1:-KEEP]:
            shutil.rmtree(old)

    def _restore(self) -> None:
        """Take over the newest checkpoint that can be read, and drop episodes from after it."""
        found = checkpoints(self.folder)
        if not found:
            raise CheckpointError(f"{self.folder} holds no checkpoint. Start a new run in another folder.")
        for folder in reversed(found):
            try:
                values = json.loads((folder / COUNTERS).read_text())
                self.counters = Counters(**values)
                self.learner.load(folder)
                break
            except ContractMismatchError:
                raise
            except (CheckpointError, OSError, ValueError, TypeError):
                if folder == found[0]:
                    raise
        path, kept = self.folder / EPISODES, []
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                record = json.loads(line)
                known = int(record["episode"]) < self.counters.episodes
            except (ValueError, KeyError, TypeError):
                continue  # the line that the power cut tore
            if known:
                kept.append(line)
                self._count(str(record["reason"]), float(record["total_reward"] or 0.0), bool(record["success"]))
        if path.is_file():
            write_text(path, "".join(f"{line}\n" for line in kept))


def _settings(config: OnRobotConfig) -> Any:
    """The configuration of the run's learner."""
    cls: Any = load_object(_entry(config.learner).config)
    base = cls() if ":" in config.learner else recommended(config.learner, config.task)
    return load_config(cls, {**plain(base), **plain(config.settings)})


def _entry(name: str) -> LearnerEntry:
    """The learner called `name`, or the object named by "module:NAME"."""
    return load_object(name) if ":" in name else LEARNERS.load(name)  # type: ignore[return-value]


def _fresh(folder: Path, config: OnRobotConfig) -> OnRobotConfig:
    if (folder / CONFIG).exists():
        raise ConfigError(f"{folder} already holds a run. Continue it with --resume, or choose another --learn-dir.")
    return replace(config, settings=plain(_settings(config)))


def _resumed(folder: Path, config: OnRobotConfig) -> OnRobotConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"no run to resume in {folder}: {CONFIG} is missing. Start one without --resume.")
    stored = load_config(OnRobotConfig, path)
    if (stored.task, stored.learner) != (config.task, config.learner):
        raise ConfigError(
            f"{folder} is a run of {stored.learner} on {stored.task}, not of {config.learner} on {config.task}"
        )
    return stored
