"""The recorder killed at random moments: what of the demonstrations is lost.

A child process records short episodes with pictures as fast as it can, which makes the kills fall into every part of
finishing an episode; it announces on a pipe when an episode begins and when `finish_episode` has returned. The parent
kills it with SIGKILL at a random moment, reads the dataset as it lies there, checks every number of the episodes that
were announced, runs `repair` and `check`, and lets the next child continue the same dataset.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardware.errors import RobostackError
from robostack.bench.bench import BenchEntry, Measured
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, IMAGES, STATE, Feature, image_feature, vector_feature
from robostack.data.repair import repair
from robostack.data.writer import DatasetWriter

KILLS, KILLS_QUICK = 50, 5
KILLS_PER_DATASET = 10
SEED = 20260101
LONGEST_S = 2.5
"""A child is killed at a moment drawn evenly from here up to this time after its first time step [s]."""
CAMERA = IMAGES + "front"
FPS = 30.0
STEP_S = 0.01
"""Time per time step: several times faster than a robot; kills then meet episodes being recorded and being finished."""
TASK = "count"
NAMES = ("a", "b", "c", "d", "e", "f", "g")
FEATURES = {
    STATE: vector_feature(*NAMES),
    ACTION: vector_feature(*NAMES),
    CAMERA: image_feature(64, 64),
    "next.done": Feature("bool", (1,), None),
}


@dataclass
class Tally:
    """Counts over all kills."""

    kills: int = 0
    finished: int = 0
    """Episodes whose `finish_episode` had returned."""
    readable: int = 0
    """Those of them that could be read in full after the kill, before and after the repair."""
    worst_lost: int = 0
    """Most episodes begun but not readable after one kill."""
    check_failures: int = 0
    """Repairs after which `check` found an error."""
    repair_failures: int = 0
    """Times that a dataset could not be opened, repaired or continued."""
    inside: int = 0
    """Kills that came while an episode was being made durable."""


def record(root: Path) -> None:
    """Record until killed; what the child runs."""
    with DatasetWriter(root, fps=FPS, features=FEATURES, robot_type="bench") as writer:
        rng = random.Random(os.getpid())
        while True:
            index, length = writer.num_episodes, rng.randint(3, 40)
            _say(f"begin {index} {length}")
            for step in range(length):
                values = expected(index, step)
                done = step == length - 1
                frame = {STATE: values, ACTION: -values, CAMERA: picture(index, step), "next.done": done}
                writer.add(frame, TASK)
                time.sleep(STEP_S)
            _say(f"finish {index}")
            writer.finish_episode()
            _say(f"done {index}")


def expected(index: int, step: int) -> NDArray[np.float32]:
    """The state of a time step, known to both sides."""
    return (np.arange(len(NAMES)) + 1000.0 * index + step).astype(np.float32)


def picture(index: int, step: int) -> NDArray[np.uint8]:
    """The picture of a time step: one shade per step, (64, 64, 3)."""
    return np.full((64, 64, 3), (37 * index + 11 * step) % 256, dtype=np.uint8)


def crash(kills: int, folder: Path, seed: int = SEED) -> Tally:
    """Kill the recorder `kills` times; datasets are made in `folder`."""
    rng, tally = random.Random(seed), Tally()
    for number in range(kills):
        root = folder / f"dataset-{number // KILLS_PER_DATASET:02d}"
        lengths, finished, begun, inside = _one_kill(root, rng.uniform(0.0, LONGEST_S))
        tally.kills += 1
        tally.inside += inside
        tally.finished += len(finished)
        try:
            before = {index for index in finished if _is_readable(root, index, lengths[index])}
            repair(root)
            tally.check_failures += not check(root, deep=True).ok
            after = {index for index in begun if _is_readable(root, index, lengths[index])}
        except RobostackError:
            tally.repair_failures += 1
            before, after = set(), set()
        tally.readable += len(before & after)
        tally.worst_lost = max(tally.worst_lost, len(set(begun) - after))
    return tally


def _one_kill(root: Path, after_s: float) -> tuple[dict[int, int], list[int], list[int], bool]:
    """Start a child and kill it.

    Returns:
        Length of each episode, episodes finished, episodes begun, and whether one was being made durable.
    """
    command = [sys.executable, "-m", "robostack.bench.crash", str(root)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pipe = child.stdout
    if pipe is None:
        raise RuntimeError("the child has no pipe")
    try:
        first = pipe.readline()  # it has started, and put right what the kill before left
        time.sleep(after_s)
    finally:
        child.send_signal(signal.SIGKILL)
    lines = [first, *pipe.readlines()]
    child.wait()
    pipe.close()
    words = [line.split() for line in lines if line.endswith("\n")]
    lengths = {int(word[1]): int(word[2]) for word in words if word[0] == "begin"}
    finished = [int(word[1]) for word in words if word[0] == "done"]
    return lengths, finished, list(lengths), bool(words) and words[-1][0] == "finish"


def _is_readable(root: Path, index: int, length: int) -> bool:
    """Whether every number and every picture of an episode is what the child recorded."""
    with contextlib.suppress(RobostackError):
        dataset = Dataset(root)
        if index >= dataset.num_episodes:
            return False
        columns = dataset.episode(index)
        wanted = np.stack([expected(index, step) for step in range(length)])
        if not (np.array_equal(columns[STATE], wanted) and np.array_equal(columns[ACTION], -wanted)):
            return False
        frames = list(dataset.images(index, CAMERA))
        shades = [abs(int(frame.mean()) - int(picture(index, step)[0, 0, 0])) for step, frame in enumerate(frames)]
        return len(frames) == length and max(shades) <= 4
    return False


def _say(text: str) -> None:
    """One line to the parent, in one system call."""
    os.write(1, f"{text}\n".encode())


def run(quick: bool) -> Measured:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="robostack-crash-") as folder:
        tally = crash(KILLS_QUICK if quick else KILLS, Path(folder))
    figures = {
        "kills": tally.kills,
        "finished_episodes": tally.finished,
        "readable_episodes": tally.readable,
        "worst_lost_episodes": tally.worst_lost,
        "kills_while_finishing": tally.inside,
        "check_failures": tally.check_failures,
        "repair_failures": tally.repair_failures,
    }
    met = (
        tally.readable == tally.finished
        and tally.worst_lost <= 1
        and tally.check_failures == tally.repair_failures == 0
    )
    notes = ("SIGKILL leaves what the kernel has taken; a power cut is answered by fsync, which this does not test.",)
    return Measured(figures=figures, met=met, seeds=(SEED,), notes=notes)


BENCH = BenchEntry(
    summary="Kill the recorder at random moments; count the demonstrations lost",
    run=run,
    aims={
        "readable_episodes": "= finished_episodes",
        "worst_lost_episodes": "<= 1",
        "check_failures": "0",
        "repair_failures": "0",
    },
)

if __name__ == "__main__":
    record(Path(sys.argv[1]))
