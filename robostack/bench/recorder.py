"""Recording at full load: cameras of 640x480 at 30 Hz beside 100 Hz of the robot's state, for two minutes.

A virtual UR5e moves under the scripted policy while camera nodes play a moving test picture, each from a file, as a USB
camera would deliver it. The recorder node writes the dataset with video and the raw record. Dropped is every picture
that is missing: between camera and recorder (gaps in the stamps of the raw record), or because the encoder was busy.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import DeviceError, MissingExtraError
from robostack.bench.bench import BenchEntry, Measured
from robostack.launching.description import NodeSpec, ParameterValue, ProcessSpec
from robostack.launching.supervisor import Supervisor, SupervisorConfig
from robostack.tasks.ur5e_reach import Ur5eReach

HOST = "127.0.0.233"
"""Where the virtual arm of this benchmark listens."""
DOMAIN_ID = 86
"""ROS domain of this benchmark."""
WIDTH, HEIGHT, CAMERA_HZ, STATE_HZ = 640, 480, 30.0, 100.0
DURATION_S, QUICK_S = 120.0, 8.0
TEXTURE, SENSOR_NOISE = 17.0, 3.0
"""Standard deviation of the test picture's texture and of its noise, of 255 levels."""
CAMERAS = (2, 4)
"""Numbers of cameras measured; the aim is for the first."""
READY_S = 60.0
PRIORITY = 50
"""SCHED_FIFO priority of driver and virtual arm."""


class RecordedReach(Ur5eReach):
    """Reaching in one episode of the benchmark's length."""

    duration_s = DURATION_S

    def __init__(self) -> None:
        super().__init__()
        self.episode_s, self.ends_on_success = self.duration_s, False


class QuickReach(RecordedReach):
    """The same, short."""

    duration_s = QUICK_S


def write_film(path: Path, frames: int = 60) -> None:
    """A test picture that moves: gradients, a texture as surfaces have, and the noise of a sensor.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("cv2", "vision", "the cameras of this benchmark") from error
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    texture = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH, 3)), (0, 0), 2.0)
    texture *= TEXTURE / texture.std()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), CAMERA_HZ, (WIDTH, HEIGHT))
    for number in range(frames):
        shift = round(WIDTH * number / frames)
        base = np.stack([(columns + shift) % 256, (rows + shift) % 256, (rows + columns) % 256], axis=-1)
        noise = rng.normal(scale=SENSOR_NOISE, size=base.shape)
        picture = np.clip(0.7 * base + np.roll(texture, shift, axis=1) + noise, 0, 255).astype(np.uint8)
        writer.write(picture)
    writer.release()


def record(cameras: int, quick: bool, folder: Path) -> dict[str, float]:
    """Record one episode; its figures.

    Args:
        cameras: number of cameras.
        quick: whether for a few seconds only.
        folder: for film, dataset and reports.

    Raises:
        DeviceError: a process failed, or nothing was recorded; with what was printed.
    """
    film, root = folder / "film.avi", folder / f"dataset-{cameras}"
    if not film.exists():
        write_film(film)
    names = [f"camera_{number}" for number in range(cameras)]
    reach = "QuickReach" if quick else "RecordedReach"
    policy: dict[str, ParameterValue] = {
        "task": f"robostack.bench.recorder:{reach}",
        "policy": "scripted",
        "episodes": 1,
        "pause_s": 2.0,
        "wait_limit_s": READY_S,
    }
    recorder: dict[str, ParameterValue] = {"robot": "ur5e", "root": str(root), "cameras": names}
    items: list[ProcessSpec | NodeSpec] = [
        ProcessSpec("virtual_ur5e", "sim.devices.run", ("ur5e", "--host", HOST), ready_line="ready ur5e"),
        NodeSpec("recorder", "robostack.nodes.recorder_node", recorder),
        *(_camera(name, film) for name in names),
    ]
    driver = [NodeSpec("driver", "robostack.nodes.driver_node", {"robot": "ur5e", "driver.host": HOST})]
    mover = [NodeSpec("policy", "robostack.nodes.policy_node", policy)]
    lines: list[str] = []
    config = SupervisorConfig(domain_id=DOMAIN_ID)

    def keep(name: str, line: str) -> None:
        lines.append(f"[{name}] {line}")

    with Supervisor(items, keep, config) as running:
        running.start()
        serve_first(running.pid("virtual_ur5e"))  # an arm has a computer of its own
        # Five processes that import their libraries at once hold a driver up until it stops the arm.
        _wait(running, lines, "publishes on", READY_S, cameras)
        with Supervisor(driver, keep, config) as moved:
            moved.start()
            serve_first(moved.pid("driver"))
            _wait(running, lines, "ready to record", READY_S)
            with Supervisor(mover, keep, config) as moving:
                moving.start()
                _wait(moving, lines, "the robot is ready", READY_S)
                begun_s, cpu_s = time.monotonic(), _cpu_s(running.pid("recorder"))
                while not moving.ended() and not moved.ended() and not running.ended():
                    time.sleep(0.2)
                wall_s, used_s = time.monotonic() - begun_s, _cpu_s(running.pid("recorder")) - cpu_s
            _wait(running, lines, "saved", READY_S)
            moved.stop()
        running.stop()
    report = _report(lines)
    missing = missing_pictures(root, names, QUICK_S if quick else DURATION_S)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    return {
        "frames": report["frames"],
        "dropped": report["dropped"] + missing,
        "lateness_p50_ms": report["lateness_p50_ms"],
        "lateness_p99_ms": report["lateness_p99_ms"],
        "cpu_percent": 100.0 * used_s / wall_s,
        "mb_per_minute": size / 1e6 / (report["frames"] / CAMERA_HZ / 60.0),
    }


def serve_first(pid: int) -> None:
    """Real-time priority for a process, as a driver has it on a robot; where that is not permitted, nothing."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(PRIORITY))


def _camera(name: str, film: Path) -> NodeSpec:
    settings: dict[str, ParameterValue] = {
        "kind": "opencv",
        "camera_name": name,
        "camera.source": str(film),
        "camera.rate_hz": CAMERA_HZ,
        "camera.loop": True,
    }
    return NodeSpec(name, "robostack.nodes.camera_node", settings)


def _wait(running: Supervisor, lines: list[str], text: str, limit_s: float, times: int = 1) -> None:
    """Wait until the processes have printed `text` in `times` lines.

    Raises:
        DeviceError: one ended, or the time is over; with what was printed.
    """
    deadline_s = time.monotonic() + limit_s
    while sum(text in line for line in list(lines)) < times:
        if running.ended() or time.monotonic() > deadline_s:
            raise DeviceError(f"'{text}' was not printed {times} time(s):\n" + "\n".join(lines[-20:]))
        time.sleep(0.05)


def _report(lines: Iterable[str]) -> dict[str, float]:
    """The recorder's line about its episode, in numbers."""
    text = next(line for line in lines if " saved (" in line)
    words = text.replace(",", " ").split()

    def before(word: str) -> float:
        return float(words[words.index(word) - 1])

    def after(word: str) -> float:
        return float(words[words.index(word) + 1])

    return {
        "frames": before("frames"),
        "dropped": before("images"),
        "lateness_p50_ms": after("p50"),
        "lateness_p99_ms": after("p99"),
    }


def missing_pictures(root: Path, cameras: Iterable[str], duration_s: float) -> float:
    """Pictures that never came in the last `duration_s` [s]: gaps between stamps in the raw record, over all cameras.

    A camera of which there is no picture at all misses every one.

    Raises:
        DatasetError: the raw record cannot be read.
    """
    from robostack.data.raw_record import read_record

    stamps: dict[str, list[float]] = {}
    for path in sorted((root / "raw").glob("*.mcap")):
        for message in read_record(path):
            if message.topic.endswith("/image_raw/compressed"):
                # The stamp is the first field of the message, after the four bytes of the CDR header.
                seconds, nanoseconds = np.frombuffer(message.data[4:12], dtype="<u4").tolist()
                stamps.setdefault(message.topic.split("/")[-3], []).append(seconds + 1e-9 * nanoseconds)
    missing = 0.0
    for name in cameras:
        times = np.array(stamps.get(name, ()))
        times = times[times > times[-1] - duration_s] if len(times) else times
        gaps = np.rint(np.diff(times) * CAMERA_HZ) - 1.0
        missing += float(np.maximum(gaps, 0.0).sum()) if len(times) else duration_s * CAMERA_HZ
    return missing


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(quick: bool) -> Measured:
    """Measure with two cameras, then with four."""
    figures: dict[str, float] = {}
    notes = [f"{QUICK_S if quick else DURATION_S:g} s each; keys without an ending: {CAMERAS[0]} cameras"]
    with tempfile.TemporaryDirectory(prefix="robostack-recorder-") as folder:
        for cameras in CAMERAS[: 1 if quick else None]:
            suffix = "" if cameras == CAMERAS[0] else f"_{cameras}_cameras"
            try:
                found: Any = record(cameras, quick, Path(folder))
            except DeviceError as error:
                if cameras == CAMERAS[0]:
                    raise
                notes.append(f"{cameras} cameras: no result, {str(error).splitlines()[-1]}")
                continue
            figures |= {f"{name}{suffix}": value for name, value in found.items()}
    notes += [
        "cpu_percent is of the recorder's process alone, 100 is one core; the cameras are files that nodes play",
        "mb_per_minute is dataset, video and raw record together, per minute of the episode",
        "driver and virtual arm have real-time priority where that is permitted",
    ]
    return Measured(figures, figures["dropped"] == 0.0, notes=tuple(notes))


BENCH = BenchEntry(
    summary="recording: dropped pictures, lateness and cost with two and four cameras",
    run=run,
    aims={"dropped": "0"},
)
