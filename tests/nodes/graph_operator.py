"""The teleoperation node at the fake robot, as a process: its device obeys the lines of standard input.

Lines: `enable`, `disable`, `joint VALUE` (where the leader's first joint is), `event NAME`, `silent`, `speak`.
"""

from __future__ import annotations

import os
import select
import sys
import time

import numpy as np
from graph_robot import ROBOT

from hardware.teleoperator import OperatorCommand, OperatorEvent
from robostack.nodes.run_node import run_node
from robostack.nodes.teleoperation_node import TeleoperationNode, TeleoperationSetup
from robostack.teleoperation.coupling import CouplingConfig, OperatorCoupling
from robostack.teleoperation.episodes import Episodes, EpisodesConfig
from robostack.teleoperation.session import OperatorSession, SessionConfig


class Puppet:
    """A leader arm that is where it is told to be."""

    def __init__(self) -> None:
        self._enabled, self._silent = False, False
        self._joints = np.zeros(3)
        self._sequence = 0
        self._last: OperatorCommand | None = None
        self._rest = ""

    def connect(self) -> None:
        os.set_blocking(0, False)

    def read(self) -> OperatorCommand:
        events = self._obey()
        if self._silent and self._last is not None:
            return self._last
        self._sequence += 1
        position = self._joints.copy()
        self._last = OperatorCommand(
            time.monotonic(), self._sequence, self._enabled, joint_position=position, events=tuple(events)
        )
        return self._last

    def disconnect(self) -> None:
        pass

    def show_frame(self, camera: str, jpeg: bytes, capture_time_s: float) -> None:
        print(f"frame {camera} {len(jpeg)}", flush=True)

    def show_status(self, status) -> None:
        print(f"status {status['phase']} {status['message']}", flush=True)

    def _obey(self) -> list[OperatorEvent]:
        events = []
        while select.select([0], [], [], 0.0)[0]:
            data = os.read(0, 4096).decode()
            if not data:
                break
            *lines, self._rest = (self._rest + data).split("\n")
            for words in map(str.split, lines):
                if words[0] == "event":
                    events.append(OperatorEvent[words[1]])
                elif words[0] == "joint":
                    self._joints[0] = float(words[1])
                elif words[0] in ("enable", "disable"):
                    self._enabled = words[0] == "enable"
                else:
                    self._silent = words[0] == "silent"
        return events


def main() -> int:
    wanted = EpisodesConfig(num_episodes=2, episode_time_s=60.0, reset_time_s=0.2)
    episodes = Episodes(wanted) if "record" in sys.argv else None
    coupling = OperatorCoupling(ROBOT, CouplingConfig(rate_hz=50.0, ramp_s=0.1, align_speed=1.0))
    setup = TeleoperationSetup(
        entry=ROBOT,
        session=OperatorSession(Puppet(), coupling, config=SessionConfig(stop_after_s=0.5)),
        episodes=episodes,
        task="move the first joint",
        cameras=("front",),
        say=lambda line: print(line, flush=True),
    )
    return run_node(lambda: TeleoperationNode(setup), ["test", "--ros-args"])


if __name__ == "__main__":
    sys.exit(main())
