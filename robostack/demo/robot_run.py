"""Runs a policy on a virtual robot through the launch description that also serves the physical one."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import DeviceError
from robostack.launching.description import LaunchDescription
from robostack.launching.finder import resolve_arguments
from robostack.launching.supervisor import Supervisor, SupervisorConfig
from robostack.visualization.episodes import ReachTrace


@dataclass(frozen=True)
class RobotRun:
    """What a run left behind."""

    episodes: tuple[dict[str, Any], ...]
    """One record per episode, as `robostack.runner.EpisodeRecord` writes it."""
    report: dict[str, Any]
    """The driver's report: loop statistics and interventions of the safety filter."""

    def traces(self, kinematics: Callable[[np.ndarray], np.ndarray]) -> list[ReachTrace]:
        """The episodes that got as far as a first step, as traces.

        Args:
            kinematics: joint positions (k, num_joints) [rad] -> tool positions in the base frame (k, 3) [m].
        """
        return [_trace(episode, kinematics) for episode in self.episodes if episode["steps"].get("time_s")]


def run_on_robot(
    description: LaunchDescription,
    arguments: Mapping[str, str],
    folder: Path,
    on_episode: Callable[[dict[str, Any]], None],
) -> RobotRun:
    """Launch, wait until the policy node has run its episodes, and read what was recorded.

    Args:
        description: of the robot, its driver node and the policy node.
        arguments: values of its arguments; the paths of results and report are added.
        folder: for results, report and the output of the processes.
        on_episode: called with each finished episode, in order, soon after it ended.

    Raises:
        DeviceError: a process failed; names the log that says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, report, log = folder / "episodes.jsonl", folder / "driver.json", folder / "output.log"
    for old in (results, report, log):
        old.unlink(missing_ok=True)
    values = resolve_arguments(
        description, {**arguments, "results_path": str(results.absolute()), "report_path": str(report.absolute())}
    )
    follower = _Follower(results, on_episode)
    # A domain of its own keeps other robots on this machine out of the demonstration; above 100 the ports of a domain
    # fall into the range that the system hands out to anyone.
    config = SupervisorConfig(domain_id=random.SystemRandom().randrange(1, 101), log_dir=str(folder / "ros"))
    with log.open("w", encoding="utf-8") as output:

        def write(name: str, line: str) -> None:
            output.write(f"[{name}] {line}\n")
            output.flush()

        with follower, Supervisor(description.describe(values), write, config) as supervisor:
            status = supervisor.run()
    expected = int(values["episodes"])
    if status.get("policy") != 0 or len(follower.episodes) < expected or not report.is_file():
        raise DeviceError(
            f"the policy ran {len(follower.episodes)} of {expected} episodes (exit status {status}); {log} says why"
        )
    return RobotRun(tuple(follower.episodes), json.loads(report.read_text(encoding="utf-8")))


class _Follower:
    """Reads the lines of a growing file as they are completed, in a thread, until the block is left."""

    def __init__(self, path: Path, on_episode: Callable[[dict[str, Any]], None]) -> None:
        self._path, self._on_episode, self._offset = path, on_episode, 0
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="follow-episodes")
        self.episodes: list[dict[str, Any]] = []

    def __enter__(self) -> _Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        self._poll()

    def _run(self) -> None:
        while not self._left.wait(0.2):
            self._poll()

    def _poll(self) -> None:
        """Hand on every line that was completed since the last call."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                episode = json.loads(line)
                self.episodes.append(episode)
                self._on_episode(episode)


def _trace(episode: Mapping[str, Any], kinematics: Callable[[np.ndarray], np.ndarray]) -> ReachTrace:
    steps = episode["steps"]
    joint_position = np.array(steps["joint_position"], dtype=np.float64)
    return ReachTrace(
        time_s=np.array(steps["time_s"], dtype=np.float64),
        joint_position=joint_position,
        tool_position=kinematics(joint_position),
        target=np.array(steps["target"][-1], dtype=np.float64),
        success=bool(episode["success"]),
    )
