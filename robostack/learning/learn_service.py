"""A learner as a process of its own: transitions come from actors over the network, weights go back to them.

One thread: answer the actors, do one group of the updates that are owed, again. So the replay is never read while it is
written, and the ratio of updates to received steps is exact: updates that are owed and not done yet are counted, and
survive a restart. The run folder holds `config.yaml`, `progress.jsonl`, the replay, `received.json`, and
`checkpoints/<steps>`; the run may be killed at any time and resumed.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from hardware.config import dump_config, load_config, plain
from hardware.errors import CheckpointError, ConfigError, ContractMismatchError
from robostack.checkpoint import atomic_folder, checkpoints, write_durable
from robostack.contract import Contract, contract_of, require_match
from robostack.data.dataset import Dataset
from robostack.data.demonstrations import read_demonstrations
from robostack.files import append_line, write_text
from robostack.learning.learner import LEARNERS, Transition
from robostack.learning.presets import recommended
from robostack.learning.replay import Replay
from robostack.learning.training import Setting
from robostack.remote.learner_end import Identity, LearnerEnd
from robostack.remote.learner_port import LearnerPort
from robostack.remote.ledger import KeepsTransitions, Ledger
from robostack.remote.weights import packed
from robostack.tasks.with_history import open_task

CONFIG, PROGRESS, COUNTERS = "config.yaml", "progress.jsonl", "service.json"
IDLE_S = 0.05
"""Longest wait for a message when no update is due [s]."""
TELL_S, REPORT_S = 1.0, 5.0
"""Time between two statuses for the actors, and between two lines of progress [s]."""
RETRY_S = 5.0
"""Rest after a disk that could not be written [s]."""


@runtime_checkable
class LearnsFromAfar(KeepsTransitions, Protocol):
    """A learner that can be fed over the network: its policy explores elsewhere, its updates are owed."""

    steps: int
    """Environment steps received."""
    updates: int
    """Steps of the critics done."""
    config: Any
    """With learning_starts, updates_per_step, critic_steps_per_actor_step."""

    @property
    def pending(self) -> int:
        """Updates owed."""
        ...

    def update(self, limit: int | None = None) -> Mapping[str, float]:
        """Do what is owed, at most `limit` groups."""
        ...

    def exploring_policy(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and configuration, as `robostack.policies.exploring` reads them."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        ...

    def load(self, folder: Path, keep_later: bool = False) -> None:
        """Continue from one."""
        ...


@dataclass(frozen=True)
class LearnServiceConfig:
    """A run; stored in its folder."""

    task: str
    """Name of the task, or "module:Class"."""
    learner: str = "rlpd"
    """Name of a learner that learns from a replay."""
    seed: int = 0
    """Of weights and batches."""
    settings: dict[str, Setting] = field(default_factory=dict)
    """Settings of the learner; those not named are the recommended ones for the task."""
    demos: str = ""
    """Dataset of demonstrations to begin with; empty: none."""
    publish_every: int = 50
    """Updates between two versions of the weights."""
    checkpoint_every_s: float = 60.0
    """Time between two checkpoints [s]."""
    keep: int = 3
    """Checkpoints kept."""
    owed_limit: int = 0
    """Owed updates at which actors are asked to begin no further episode; 0: no limit."""
    run: str = ""
    """Name of the run that no other has; drawn at its start."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if min(self.publish_every, self.keep) < 1 or self.owed_limit < 0 or not self.checkpoint_every_s > 0.0:
            raise ConfigError("publish_every and keep must be at least 1, checkpoint_every_s positive, owed_limit >= 0")


class LearnService:
    """See the module. Use it in a `with` block.

    Args:
        folder: of the run.
        config: the run; when resuming, what is in the folder wins.
        port: opens the socket; called before anything is written.
        resume: go on with the run in the folder.
        say: gets what people should know.

    Raises:
        ConfigError: the folder holds a run and `resume` is off; the learner cannot learn from afar; a setting is wrong.
        CheckpointError: there is nothing to resume, or it cannot be read.
        DatasetError: there are no demonstrations in the dataset.
        ContractMismatchError: the demonstrations or a checkpoint are of another task or robot.
    """

    def __init__(
        self,
        folder: Path,
        config: LearnServiceConfig,
        port: Callable[[], LearnerPort],
        *,
        resume: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self._say = folder, say
        self.config = config = _resumed(folder, config) if resume else _fresh(folder, config)
        contract = contract_of(open_task(config.task))
        entry, settings = LEARNERS.load(config.learner), _settings(config)
        wanted = config.demos and not checkpoints(folder)
        shown = _demonstrations(Path(config.demos), contract) if wanted else None
        opened = port()
        try:
            learner: Any = entry.open(contract, replace(settings, replay_dir=str(folder / "replay")), config.seed)
            self.learner: LearnsFromAfar = _require_plain_replay(learner)
            self._start(opened, contract, shown)
        except BaseException:
            opened.close()
            raise

    def _start(self, port: LearnerPort, contract: Contract, shown: Transition | None) -> None:
        """Begin the run or take it up again, and offer its weights."""
        folder, config = self.folder, self.config
        begins = not checkpoints(folder)
        write_text(folder / CONFIG, dump_config(config))
        self.ledger = Ledger(folder, self._say)
        self.published = 0
        """Updates at the newest version of the weights."""
        self.problem = ""
        """Why something could not be written; "" if all is well."""
        now_s = time.monotonic()
        self._told_s = self._reported_s = self._retry_s = self._saved_s = now_s
        self._begun = (now_s, 0)
        self._begin(shown) if begins else self._restore()
        self._begun = (now_s, self.learner.steps)
        identity = Identity(config.run, config.learner, contract, self.learner.online.layout())
        self.end = LearnerEnd(port, identity, self._take, self.status, self._say)
        self._publish()

    def __enter__(self) -> LearnService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end.port.close()

    def turn(self) -> None:
        """Answer the actors, then do one group of the updates that are owed."""
        learner, before = self.learner, self.learner.updates
        self.end.serve(0.0 if self._due else IDLE_S)
        if self._due:
            learner.update(limit=1)
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return
        if learner.updates > before and learner.updates - self.published >= self.config.publish_every:
            self._guarded(self._publish)
        if now_s - self._saved_s > self.config.checkpoint_every_s and learner.steps + learner.updates > 0:
            self._guarded(self.checkpoint)
        if now_s - self._told_s > TELL_S:
            self._told_s = now_s
            self.end.tell()
        if now_s - self._reported_s > REPORT_S:
            self._reported_s = now_s
            self._guarded(lambda: append_line(self.folder / PROGRESS, json.dumps(self.figures())))

    @property
    def _due(self) -> bool:
        stored = len(self.learner.online) + len(self.learner.demos)
        return stored > 0 and self.learner.pending >= self.learner.config.critic_steps_per_actor_step

    @property
    def idle(self) -> bool:
        """Whether every update that is owed is done."""
        return not self._due

    def status(self) -> dict[str, Any]:
        """What the actors are told."""
        learner, config = self.learner, self.config
        behind = 0 < config.owed_limit < learner.pending
        return {
            "version": self.ledger.received.version,
            "steps": learner.steps,
            "updates": learner.updates,
            "owed": learner.pending,
            "behind_steps": int(learner.pending / learner.config.updates_per_step),
            "online": len(learner.online),
            "demos": len(learner.demos),
            "uniform": learner.steps < learner.config.learning_starts,
            "waits_for": self.waits_for[:500],
            "hold": f"the learner, which is {learner.pending} updates behind" if behind else "",
        }

    @property
    def waits_for(self) -> str:
        """What the learner waits for; "" while it learns."""
        starts = self.learner.config.learning_starts
        if self.problem or self.end.problem:
            return f"a disk that can be written: {self.problem or self.end.problem}"
        if self._due:
            return ""
        if not self.end.actors:
            return "an actor"
        if self.learner.steps < starts:
            return f"the actor's first transitions: {self.learner.steps} of {starts}"
        return "the actor's next transitions"

    def figures(self) -> dict[str, Any]:
        """Flat figures: the status, what was received, the ratio of updates to steps, the actors."""
        learner, ledger = self.learner, self.ledger
        counted = max(0, learner.steps - learner.config.learning_starts)
        actors = {f"actor_{name}": value for actor in self.end.actors.values() for name, value in actor.status.items()}
        return {
            "wall_s": time.monotonic() - self._begun[0],
            **self.status(),
            "steps_here": learner.steps - self._begun[1],
            "update_to_data": learner.updates / counted if counted else 0.0,
            "duplicates": ledger.duplicates,
            "missing": ledger.missing,
            "malformed": self.end.port.malformed,
            "actors": len(self.end.actors),
            **actors,
        }

    def checkpoint(self) -> Path:
        """Write one.

        Raises:
            OSError, CheckpointError: it cannot be written.
        """
        learner, self._saved_s = self.learner, time.monotonic()
        folder = self.folder / "checkpoints" / f"{learner.steps:09d}"
        with atomic_folder(folder) as fresh:
            learner.save(fresh)
            write_durable(fresh / COUNTERS, json.dumps({"steps": learner.steps, "updates": learner.updates}).encode())
        for old in checkpoints(self.folder)[: -self.config.keep]:
            shutil.rmtree(old)
        return folder

    def _take(self, actor: str, first: int, rows: Any) -> int:
        return self.ledger.take(self.learner, actor, first, rows)

    def _publish(self) -> None:
        """Give every actor the newest weights."""
        version = self.ledger.received.version + 1
        self.ledger.published(version)
        self.end.publish(packed(version, *self.learner.exploring_policy(), self.end.identity.contract))
        self.published = self.learner.updates

    def _guarded(self, write: Callable[[], object]) -> None:
        """Write something; a full disk does not end the learning."""
        try:
            write()
            self.problem = ""
        except (OSError, CheckpointError) as error:
            self._retry_s = time.monotonic() + RETRY_S
            if str(error) != self.problem:
                self._say(f"cannot write: {error}")
            self.problem = str(error)

    def _begin(self, shown: Transition | None) -> None:
        """Begin a run, with demonstrations; also one that was killed before its first checkpoint."""
        self.learner.online.rewind(0)
        self.learner.demos.rewind(0)
        if shown is not None:
            self.learner.observe(shown)
            self._say(f"{len(self.learner.demos)} demonstrated transitions")
        self.checkpoint()

    def _restore(self) -> None:
        """Take over the newest checkpoint that can be read."""
        found, learner = checkpoints(self.folder), self.learner
        self.ledger.recover(learner)
        for folder in reversed(found):
            try:
                learner.load(folder, keep_later=True)
                counters = json.loads((folder / COUNTERS).read_text())
                break
            except ContractMismatchError:
                raise
            except (CheckpointError, OSError, ValueError):
                if folder == found[0]:
                    raise
        missing = int(counters["steps"]) - learner.online.total
        if missing > 0:
            self._say(f"{missing} transitions of the replay were damaged; the run goes on without them")


def _settings(config: LearnServiceConfig) -> Any:
    """The learner's configuration.

    Raises:
        ConfigError: this learner cannot learn from afar, or a setting is wrong.
    """
    base = recommended(config.learner, config.task)
    if not hasattr(base, "replay_dir"):
        raise ConfigError(
            f"the learner '{config.learner}' keeps no replay, so it cannot learn from afar; rlpd and sac can"
        )
    cls: Any = type(base)
    settings: Any = load_config(cls, {**plain(base), **plain(config.settings)})
    if settings.privileged:
        raise ConfigError("a robot does not know what only the critics may see: privileged must be 0")
    return settings


def _require_plain_replay(learner: Any) -> LearnsFromAfar:
    if not isinstance(learner.online, Replay):
        raise ConfigError("images do not go over the network in this version; leave the learner's cameras out")
    found: LearnsFromAfar = learner
    return found


def _demonstrations(root: Path, contract: Contract) -> Transition:
    """The transitions of a dataset, as a batch.

    Raises:
        DatasetError: there are none.
        ContractMismatchError, ConfigError: they are of another task, or of another rate.
    """
    dataset = Dataset(root)
    if dataset.contract is not None:
        require_match(dataset.contract, contract, f"dataset {root}")
    if abs(dataset.fps * contract.control_period_s - 1.0) > 0.01:
        rate_hz = 1.0 / contract.control_period_s
        raise ConfigError(f"{root} was recorded at {dataset.fps:g} Hz, the task acts at {rate_hz:g}; record it again")
    found = read_demonstrations(root)
    widths = (found.observation.shape[1], found.action.shape[1])
    if widths != (contract.num_observations * contract.history, contract.num_actions):
        raise ConfigError(f"{root} has observations and actions of {widths} numbers, which are not those of the task")
    ends = found.terminated, found.truncated
    return Transition(found.observation, found.action, found.reward, found.next_observation, *ends, source="demo")


def _fresh(folder: Path, config: LearnServiceConfig) -> LearnServiceConfig:
    if (folder / CONFIG).exists():
        raise ConfigError(f"{folder} already holds a run. Continue it with --resume, or choose another --dir.")
    return replace(config, settings=plain(_settings(config)), run=uuid.uuid4().hex)


def _resumed(folder: Path, config: LearnServiceConfig) -> LearnServiceConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"no run to resume in {folder}: {CONFIG} is missing. Start one without --resume.")
    stored = load_config(LearnServiceConfig, path)
    if (stored.task, stored.learner) != (config.task, config.learner):
        raise ConfigError(
            f"{folder} is a run of {stored.learner} on {stored.task}, not of {config.learner} on {config.task}"
        )
    return stored
