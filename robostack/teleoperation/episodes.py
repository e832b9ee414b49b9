"""When episodes begin and end while an operator demonstrates. Knows no ROS and no real time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from hardware.errors import ConfigError
from hardware.teleoperator import OperatorEvent

_MEANT_BEFORE_S = 0.5
"""After an episode that ended by itself, a "success" sooner than this was meant for that episode, and says nothing
about the pause [s]: nobody reacts faster."""


@dataclass(frozen=True)
class EpisodesConfig:
    """How many episodes, and how long they last.

    Raises:
        ConfigError: a setting out of range.
    """

    num_episodes: int = 50
    """Episodes to record in this session."""
    episode_time_s: float = 60.0
    """Longest duration of an episode [s]."""
    reset_time_s: float = 60.0
    """Longest time between two episodes, to put things back [s]; the right arrow key ends it early."""

    def __post_init__(self) -> None:
        if self.num_episodes < 1:
            raise ConfigError(f"num_episodes = {self.num_episodes}; record at least one")
        if not self.episode_time_s > 0.0:
            raise ConfigError(f"episode_time_s = {self.episode_time_s} must be positive")
        if not self.reset_time_s >= 0.0:
            raise ConfigError(f"reset_time_s = {self.reset_time_s} must not be negative")


class Phase(Enum):
    """What the operator is doing."""

    WAIT = "wait"
    """The robot is not ready."""
    RECORD = "record"
    """An episode is recorded."""
    RESET = "reset"
    """Between two episodes."""
    DONE = "done"
    """Nothing more will be recorded."""


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """An episode began or ended."""

    begins: bool
    """Whether it began; otherwise it ended."""
    episode: int
    """Its number in this session, from 0; one that is recorded again keeps its number."""
    reason: str = ""
    """Why it ended: "success", "failure", "time limit", "finished early", "re-record" or "aborted: ..."."""
    success: bool = False
    """Whether the operator called it a success."""
    keep: bool = False
    """Whether it goes into the dataset."""


class Episodes:
    """See the module; call `step` once per period.

    Args:
        config: how many and how long.
    """

    def __init__(self, config: EpisodesConfig) -> None:
        self.config = config
        self.phase = Phase.WAIT
        self.episode = 0
        """Number of the running or next episode, from 0."""
        self._since_s = 0.0
        self._deaf_until_s = float("-inf")

    def elapsed_s(self, now_s: float) -> float:
        """Time in the present phase [s]."""
        return now_s - self._since_s

    def step(self, now_s: float, events: Iterable[OperatorEvent], obstacle: str) -> list[EpisodeChange]:
        """Go on; what began or ended.

        Args:
            now_s: monotonic time [s].
            events: what the operator said since the last call, in order.
            obstacle: why the robot cannot be moved now; "" if it can.
        """
        changes: list[EpisodeChange] = []
        for event in events:
            changes += self._on_event(event, now_s)
        if self.phase is Phase.RECORD and obstacle:
            changes.append(self._end(now_s, f"aborted: {obstacle}", keep=False))
            self._deaf_until_s = now_s + _MEANT_BEFORE_S
        elif self.phase is Phase.RECORD and self.elapsed_s(now_s) >= self.config.episode_time_s:
            changes.append(self._end(now_s, "time limit", keep=True))
            self._deaf_until_s = now_s + _MEANT_BEFORE_S
        elif not obstacle and (
            self.phase is Phase.WAIT
            or (self.phase is Phase.RESET and self.elapsed_s(now_s) >= self.config.reset_time_s)
        ):
            changes.append(self._begin(now_s))
        return changes

    def close(self, now_s: float) -> list[EpisodeChange]:
        """The session ends now: a running episode is kept as far as it went."""
        return self._on_event(OperatorEvent.FINISH, now_s)

    def _on_event(self, event: OperatorEvent, now_s: float) -> list[EpisodeChange]:
        recording = self.phase is Phase.RECORD
        if event is OperatorEvent.FINISH and self.phase is not Phase.DONE:
            ended = [self._end(now_s, "finished early", keep=True)] if recording else []
            self.phase = Phase.DONE
            return ended
        if event is OperatorEvent.SUCCESS and recording:
            return [self._end(now_s, "success", keep=True, success=True)]
        if event is OperatorEvent.FAILURE and recording:
            return [self._end(now_s, "failure", keep=True)]
        if event is OperatorEvent.RERECORD and recording:
            return [self._end(now_s, "re-record", keep=False)]
        if event is OperatorEvent.SUCCESS and self.phase is Phase.RESET and now_s >= self._deaf_until_s:
            self._since_s = now_s - self.config.reset_time_s  # on, as soon as the robot is ready
        return []

    def _begin(self, now_s: float) -> EpisodeChange:
        self.phase, self._since_s = Phase.RECORD, now_s
        return EpisodeChange(True, self.episode)

    def _end(self, now_s: float, reason: str, *, keep: bool, success: bool = False) -> EpisodeChange:
        change = EpisodeChange(False, self.episode, reason, success, keep)
        self.episode += keep
        self.phase = Phase.DONE if self.episode >= self.config.num_episodes else Phase.RESET
        self._since_s = now_s
        return change
