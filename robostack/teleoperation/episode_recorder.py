"""Turns streams of measurements, commands and images into the time steps of episodes. Knows no ROS and no real time.

A time step stands for the moment begin + k / fps. It is made a little later, when what was captured up to that moment
has arrived, from the newest value of each source that is not newer than the moment: a recorder that is late or busy
changes nothing in the data. A moment without a new measurement is counted, and shows in the column of lateness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.data.features import (
    ACTION,
    CAPTURE_TIME,
    DONE,
    IMAGES,
    IS_INTERVENTION,
    LATENESS,
    REQUESTED_ACTION,
    SUCCESS,
)
from robostack.teleoperation.frame_layout import FrameLayout
from robostack.teleoperation.history import History

_HISTORY = 2000
_IMAGES = 300
_IN_CONTROL_S = 0.2
"""A command of the operator counts for this long [s]."""

Picture = Callable[[], NDArray[np.uint8]]
"""Gives an image, (height, width, 3), RGB; called only for those that are recorded."""


class Writer(Protocol):
    """What is asked of `robostack.data.writer.DatasetWriter`."""

    @property
    def dropped_frames(self) -> dict[str, int]:
        """Video column -> frames that the encoder could not take."""
        ...

    def add(self, frame: Mapping[str, Any], task: str) -> None:
        """Record one time step."""
        ...

    def finish_episode(self) -> int:
        """Make the episode durable; returns its index."""
        ...

    def discard_episode(self) -> None:
        """Forget the running episode."""
        ...


@dataclass(frozen=True, slots=True)
class EpisodeReport:
    """How the recording of one episode went."""

    number: int
    """Number that the sender of the events gave it."""
    index: int | None
    """Index in the dataset; None where it was not kept."""
    reason: str
    """Why it ended."""
    frames: int
    """Time steps."""
    repeated: int
    """Time steps without a new measurement since the one before."""
    dropped: int
    """Images that the video encoder could not take in time."""
    lateness_p50_ms: float
    """Median age of the measurement at its time step [ms]."""
    lateness_p99_ms: float
    """99th percentile of that age [ms]."""
    delay_min_ms: float
    """Shortest time from capture to arrival [ms]; negative: the clocks of the computers differ."""
    delay_p99_ms: float
    """99th percentile of that time [ms]."""

    @property
    def clock_skew_ms(self) -> float:
        """By how much stamps lie in the future at least [ms]."""
        return max(0.0, -self.delay_min_ms)

    def text(self) -> str:
        """One line for people."""
        if self.index is None:
            return f"episode discarded ({self.reason}), {self.frames} frames"
        return (
            f"episode {self.index} saved ({self.reason}): {self.frames} frames, {self.repeated} without a new "
            f"measurement, {self.dropped} images dropped, lateness p50 {self.lateness_p50_ms:.1f} ms "
            f"p99 {self.lateness_p99_ms:.1f} ms, clock skew {self.clock_skew_ms:.1f} ms"
        )


class EpisodeRecorder:
    """See the module. All times are monotonic [s].

    Args:
        writer: where time steps go.
        layout: columns of the robot.
        fps: time steps per second.
        settle_s: how long after its moment a time step is made [s].

    Raises:
        ConfigError: a rate that is not positive.
    """

    def __init__(self, writer: Writer, layout: FrameLayout, fps: float, settle_s: float = 0.1) -> None:
        if not fps > 0.0:
            raise ConfigError(f"fps = {fps} must be positive")
        self.writer, self.layout, self.fps, self.settle_s = writer, layout, fps, settle_s
        self.images: dict[str, History[Picture]] = {name: History(_IMAGES) for name in layout.cameras}
        self._states: History[RobotState] = History(_HISTORY)
        self._commands: dict[str, History[FloatArray]] = {"requested": History(_HISTORY), "executed": History(_HISTORY)}
        self._operator: History[bool] = History(_HISTORY)
        self._episode: _Episode | None = None

    @property
    def recording(self) -> bool:
        """Whether an episode runs, or has ended and is not complete yet."""
        return self._episode is not None

    @property
    def ready(self) -> bool:
        """Whether there is a first value of everything that a time step needs."""
        sources: list[History[Any]] = [self._states, *self._commands.values(), *self.images.values()]
        return all(len(source) for source in sources)

    def on_state(self, state: RobotState, received_s: float) -> None:
        """A measurement; its delay is counted while an episode runs."""
        captured_s = float(state.capture_time_s)
        self._states.add(captured_s, state)
        if self._episode is not None:
            self._episode.delays_s.append(received_s - captured_s)

    def on_command(self, name: str, time_s: float, action: FloatArray) -> None:
        """The "requested" or the "executed" action of the control cycle that read the measurement of `time_s`."""
        self._commands[name].add(time_s, action)

    def on_operator(self, time_s: float, in_control: bool) -> None:
        """Someone has commanded the robot: a person, or a policy."""
        self._operator.add(time_s, in_control)

    def on_image(self, camera: str, captured_s: float, picture: Picture) -> None:
        """An image."""
        self.images[camera].add(captured_s, picture)

    def begin(self, number: int, task: str, begin_s: float) -> None:
        """An episode begins; one that still runs is discarded.

        Args:
            number: for the report.
            task: what is demonstrated, in words.
            begin_s: its first moment.
        """
        if self._episode is not None:
            self.writer.discard_episode()
        self._episode = _Episode(number, task, begin_s)

    def end(self, end_s: float, reason: str, *, success: bool, keep: bool) -> None:
        """The running episode ends at `end_s`; `step` completes it."""
        if self._episode is not None:
            self._episode.end_s, self._episode.reason = end_s, reason
            self._episode.success, self._episode.keep = success, keep

    def step(self, now_s: float) -> EpisodeReport | None:
        """Make the time steps that are due; the report of an episode that is complete now.

        Raises:
            DatasetError: the disk is full or cannot be written; the running episode is lost.
        """
        episode = self._episode
        if episode is None:
            return None
        while True:
            moment_s = episode.begin_s + episode.steps / self.fps
            over = episode.end_s is not None and moment_s >= episode.end_s
            if over or (episode.end_s is not None and not episode.keep):
                return self._complete(episode)
            if now_s < moment_s + self.settle_s:
                return None
            self._make(episode, moment_s)

    def abandon(self) -> None:
        """Forget the running episode."""
        if self._episode is not None:
            self.writer.discard_episode()
            self._episode = None

    def _make(self, episode: _Episode, moment_s: float) -> None:
        """One time step; the one before goes to the writer, because only now it is known not to be the last."""
        state = self._states.at(moment_s)
        commands = {name: history.at(moment_s) for name, history in self._commands.items()}
        pictures = {name: history.at(moment_s) for name, history in self.images.items()}
        episode.steps += 1
        if state is None or any(value is None for value in (*commands.values(), *pictures.values())):
            if not episode.frames:  # the episode begins with the first complete time step
                episode.begin_s, episode.steps = moment_s + 1.0 / self.fps, 0
            return
        captured_s, measured = state
        episode.repeated += captured_s == episode.captured_s
        episode.captured_s = captured_s
        episode.lateness_s.append(moment_s - captured_s)
        operator = self._operator.at(moment_s)
        in_control = operator is not None and operator[1] and moment_s - operator[0] <= _IN_CONTROL_S
        frame: dict[str, Any] = {
            **self.layout.state(measured),
            CAPTURE_TIME: captured_s - episode.begin_s,
            LATENESS: np.float32(moment_s - captured_s),
            IS_INTERVENTION: in_control,
            DONE: False,
            SUCCESS: False,
        }
        for column, name in ((ACTION, "executed"), (REQUESTED_ACTION, "requested")):
            command = commands[name]
            frame[column] = command[1] if command is not None else None
        for name, picture in pictures.items():
            if picture is not None:
                frame[IMAGES + name] = picture[1]()
                frame[f"{CAPTURE_TIME}.{name}"] = picture[0] - episode.begin_s
        if episode.pending is not None:
            self.writer.add(episode.pending, episode.task)
        episode.pending = frame
        episode.frames += 1

    def _complete(self, episode: _Episode) -> EpisodeReport:
        self._episode = None
        index, dropped = None, 0
        if episode.keep and episode.pending is not None:
            self.writer.add({**episode.pending, DONE: True, SUCCESS: episode.success}, episode.task)
            dropped = sum(self.writer.dropped_frames.values())
            index = self.writer.finish_episode()
        else:
            self.writer.discard_episode()
        reason = episode.reason if not episode.keep or episode.frames else f"{episode.reason}, but nothing was measured"
        return EpisodeReport(
            number=episode.number,
            index=index,
            reason=reason,
            frames=episode.frames,
            repeated=episode.repeated,
            dropped=dropped,
            lateness_p50_ms=_percentile_ms(episode.lateness_s, 50.0),
            lateness_p99_ms=_percentile_ms(episode.lateness_s, 99.0),
            delay_min_ms=_percentile_ms(episode.delays_s, 0.0),
            delay_p99_ms=_percentile_ms(episode.delays_s, 99.0),
        )


class _Episode:
    """The running episode."""

    def __init__(self, number: int, task: str, begin_s: float) -> None:
        self.number, self.task, self.begin_s = number, task, begin_s
        self.end_s: float | None = None
        self.reason, self.success, self.keep = "", False, False
        self.steps = self.frames = self.repeated = 0
        self.captured_s = float("-inf")
        self.lateness_s: list[float] = []
        self.delays_s: list[float] = []
        self.pending: dict[str, Any] | None = None


def _percentile_ms(values_s: list[float], share: float) -> float:
    return float(np.percentile(values_s, share)) * 1e3 if values_s else 0.0
