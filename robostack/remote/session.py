"""One start of a robot whose policy learns on another machine: the actor, its episodes on disk, its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.learning.on_robot_run import EPISODES, Counters
from robostack.remote.actor_link import LinkConfig
from robostack.remote.remote_actor import RemoteActor
from robostack.runner import EpisodeRecord, EpisodeRunner, append_result
from robostack.tasks.task import Task

SPOOL = "spool"
"""Folder of what the learner has not acknowledged, inside the run's folder."""


@dataclass(frozen=True)
class SessionConfig:
    """How a robot learns elsewhere."""

    address: str
    """Of the learner, "host:port"."""
    keys: Path
    """Folder of keys, or the robot's part of it."""
    folder: Path
    """Run folder on the robot: `episodes.jsonl` and the spool; taken up again if it is there."""
    silence_limit_s: float = 60.0
    """No further episode begins while the learner has been silent for this long [s]; 0: no limit."""


class RemoteSession:
    """What a node adds for a policy that learns elsewhere; as `robostack.nodes.learning.LearningSession`.

    Args:
        config: see there.
        task: of the robot.
        seed: of exploration, starts and goals.

    Raises:
        ConfigError: address or keys cannot be used.
        MissingExtraError: pyzmq or msgpack is not installed.
    """

    def __init__(self, config: SessionConfig, task: Task, seed: int) -> None:
        if not config.address or not str(config.keys).strip("."):
            raise ConfigError(
                "to learn on another machine give the learner's address (host:port) and the folder of keys"
            )
        self.config, self.seed = config, seed
        link = LinkConfig(config.address, config.keys, config.folder / SPOOL)
        self.policy = RemoteActor(contract_of(task), link, seed, config.silence_limit_s)
        self.before = self._counters()
        """How far the run had come at this start."""
        self._returns: list[float] = []
        self._successes = self._episodes = 0
        self.policy.start()

    def _counters(self) -> Counters:
        """Episodes and time of earlier starts."""
        path, found = self.config.folder / EPISODES, Counters()
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                record = json.loads(line)
                acted_s = found.acted_s + float(record["duration_s"])
                found = Counters(episodes=int(record["episode"]) + 1, acted_s=acted_s)
            except (ValueError, KeyError, TypeError):
                continue  # the line that a power cut tore
        return found

    def ready(self) -> bool:
        """Whether the next episode may begin.

        Raises:
            ProtocolError: the learner refuses this robot.
            DeviceNotConnectedError: there is no learner.
        """
        return self.policy.may_begin()

    @property
    def waits_for(self) -> str:
        """What must come before an episode may begin; "" if nothing."""
        return self.policy.waits_for

    def notes(self) -> list[str]:
        """What a person should read, each once."""
        found = self.policy.link.notes
        return [found.popleft() for _ in range(len(found))]

    def ended(self, record: EpisodeRecord, runner: EpisodeRunner) -> None:
        """An episode has ended: write it down.

        Raises:
            OSError: it cannot be written down.
        """
        append_result(self.config.folder / EPISODES, record)
        self._episodes += 1
        if not record.reason.startswith("aborted"):
            self._returns.append(record.total_reward)
            self._successes += record.success
        last = self._returns[-1] if self._returns else 0.0
        self.policy.link.says = {"episodes": self._episodes, "successes": self._successes, "return": last}

    def figures(self) -> dict[str, Any]:
        """Flat figures of this start."""
        tenth = max(1, len(self._returns) // 10)
        found = {"folder": str(self.config.folder), "episodes": self._episodes, "successes": self._successes}
        for name, part in (("first", slice(0, tenth)), ("last", slice(-tenth, None))):
            if self._returns:
                found[f"return_{name}_tenth"] = sum(self._returns[part]) / tenth
        return {**found, **self.policy.figures()}

    def summary(self) -> str:
        """One line for people."""
        figures = self.policy.figures()
        return (
            f"{figures['acknowledged']} of {figures['recorded']} transitions acknowledged, weights "
            f"{figures['weights_version']}, {figures['lost']} lost; learner at {self.config.address}"
        )

    def close(self) -> None:
        """Let the learner acknowledge what is under way; the rest stays in the spool."""
        self.policy.close()
