"""What the policy node adds for a policy that learns: its run folder, its limits, its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.learning.on_robot import OnRobotLearner
from robostack.learning.on_robot_run import Counters, OnRobotConfig, OnRobotRun
from robostack.runner import EpisodeRecord, EpisodeRunner
from robostack.tasks.task import Task


@dataclass(frozen=True)
class LearnConfig:
    """Parameters of the policy node for learning."""

    learner: str = ""
    """Name of a learner that learns while it acts ("avg", "intentional"), "remote" for one on another machine
    (`robostack learn TASK`); empty: none."""
    minutes: float = 10.0
    """Time of acting, over all starts of the run, after which no further episode begins [min]; 0: `episodes` counts."""
    folder: str = ""
    """Run folder; empty: runs/<task>-<learner>."""
    resume: bool = False
    """Go on with the run in the folder, from its last finished episode."""
    checkpoint: str = ""
    """Checkpoint or run folder of the same learner to begin from, such as one trained in simulation; empty: none."""
    settings: str = ""
    """Settings of the learner as JSON; those not named are the recommended ones for the task."""
    update_budget: float = 0.25
    """Share of the time left before the next cycle that an update may take; longer ones are skipped and counted."""
    address: str = ""
    """With "remote": address of the learner, host:port."""
    keys: str = ""
    """With "remote": folder of keys, or the robot's part of it."""
    silence_limit_s: float = 60.0
    """With "remote": no further episode begins while the learner has been silent for this long [s]; 0: no limit."""


class Session(Protocol):
    """What the policy node needs of a policy that learns."""

    policy: Any
    """Acts, and takes transitions."""

    @property
    def waits_for(self) -> str:
        """What must come before an episode may begin; "" if nothing."""
        ...

    @property
    def seed(self) -> int:
        """Of exploration, starts and goals."""
        ...

    @property
    def before(self) -> Counters:
        """How far the run had come at this start."""
        ...

    def ready(self) -> bool:
        """Whether the next episode may begin."""
        ...

    def notes(self) -> list[str]:
        """What a person should read, each once."""
        ...

    def ended(self, record: EpisodeRecord, runner: EpisodeRunner) -> None:
        """An episode has ended."""
        ...

    def figures(self) -> dict[str, Any]:
        """Flat figures."""
        ...

    def summary(self) -> str:
        """One line for people."""
        ...

    def close(self) -> None:
        """Finish what is under way."""
        ...


def open_session(config: LearnConfig, task: Task, seed: int) -> Session:
    """One start of a learner in this process or of one on another machine; errors as of these."""
    if config.learner != "remote":
        return LearningSession(config, task, seed)
    from robostack.remote.session import RemoteSession, SessionConfig

    folder = Path(config.folder or f"runs/{task.name}-remote")
    return RemoteSession(SessionConfig(config.address, Path(config.keys), folder, config.silence_limit_s), task, seed)


class LearningSession:
    """One start of a run that learns on a robot.

    Args:
        config: see there.
        task: of the robot.
        seed: of weights, exploration, starts and goals, where the run is new.

    Raises:
        ConfigError: a setting is wrong, or the folder holds another run.
        CheckpointError: a checkpoint cannot be read.
        ContractMismatchError: a checkpoint is of another task or robot.
        UnknownNameError: there is no such learner.
    """

    def __init__(self, config: LearnConfig, task: Task, seed: int) -> None:
        folder = Path(config.folder or f"runs/{task.name}-{config.learner}")
        run = OnRobotConfig(task.name, config.learner, seed, _settings(config.settings))
        self.run = OnRobotRun(folder, run, contract_of(task), resume=config.resume, source=config.checkpoint)
        self.policy = OnRobotLearner(self.run.learner, config.update_budget)
        self._before = self.run.counters

    @property
    def waits_for(self) -> str:
        """Nothing."""
        return ""

    def ready(self) -> bool:
        """Whether the last checkpoint is on the disk.

        Raises:
            CheckpointError: it cannot be written.
        """
        return self.run.saved()

    def notes(self) -> list[str]:
        """There are none."""
        return []

    def close(self) -> None:
        """Wait for the last checkpoint."""
        self.run.wait()

    @property
    def seed(self) -> int:
        """Of the run, also where it was resumed."""
        return self.run.config.seed

    @property
    def before(self) -> Counters:
        """How far the run had come at this start."""
        return self._before

    def ended(self, record: EpisodeRecord, runner: EpisodeRunner) -> None:
        """An episode has ended: write it down, and begin to write a checkpoint.

        Raises:
            OSError: it cannot be written down.
        """
        before, policy = self._before, self.policy
        self.run.note(record)
        steps, skipped = before.steps + policy.learned, before.skipped + policy.skipped
        self.run.save(Counters(steps, record.episode + 1, runner.acted_s, skipped))

    def figures(self) -> dict[str, Any]:
        """Flat figures of this start and of the whole run."""
        return {"folder": str(self.run.folder), **self.policy.figures(), **self.run.figures()}

    def summary(self) -> str:
        """One line for people."""
        policy, run = self.policy.figures(), self.run.figures()
        text = (
            f"learned from {policy['learned']} of {policy['cycles']} cycles, {policy['skipped']} skipped; "
            f"update p50 {policy['update_p50_ms']:.2f} ms, p99 {policy['update_p99_ms']:.2f} ms"
        )
        if "return_first_tenth" in run:
            first, last = run["return_first_tenth"], run["return_last_tenth"]
            text += f"; return {first:.4g} in the first tenth, {last:.4g} in the last"
        return f"{text}; run in {self.run.folder}"


def _settings(text: str) -> dict[str, Any]:
    """Settings given as JSON.

    Raises:
        ConfigError: it is no JSON object.
    """
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise ConfigError(f"learn.settings is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f'learn.settings must be a JSON object such as {{"discount": 0.95}}, not {text}')
    return found
