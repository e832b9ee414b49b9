"""From a measurement of the arm to the command that answers it, through the real driver and policy nodes.

The yardstick is two bare nodes with the same executor that send the same messages to and fro and compute nothing. Both
pairs take turns. The driver measures the way itself: a command carries the stamp of the measurement it answers.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hardware.errors import DeviceError
from hardware.records import RobotState
from robostack.bench.bench import BenchEntry, Measured
from robostack.launching.description import NodeSpec, ParameterValue, ProcessSpec
from robostack.launching.supervisor import Supervisor, SupervisorConfig
from robostack.tasks.ur5e_reach import Ur5eReach

HOST = "127.0.0.232"
"""Where the virtual arm of this benchmark listens."""
DOMAIN_ID = 187
"""ROS domain of this benchmark."""
RATE_HZ = 100.0
"""Rate of measurements and commands [Hz]."""
TURN_S = 15.0
"""Length of one turn [s]."""
TURNS = 3
"""Turns of each kind."""
RATIO = 1.5
"""What the whole way may take of the bare one, besides the policy's own time."""


class FastReach(Ur5eReach):
    """Reaching with a policy at 100 Hz instead of 25 Hz, one episode without end."""

    def __init__(self) -> None:
        super().__init__()
        self.control_period_s = 1.0 / RATE_HZ
        self.episode_s = 3600.0
        self.ends_on_success = False


def run_nodes(items: list[ProcessSpec | NodeSpec], duration_s: float | None) -> None:
    """Run `items` until one that is required ends, or for `duration_s` [s].

    Raises:
        DeviceError: a process failed; with what it printed.
    """
    lines: list[str] = []
    config = SupervisorConfig(domain_id=DOMAIN_ID)
    with Supervisor(items, lambda name, line: lines.append(f"[{name}] {line}"), config) as supervisor:
        supervisor.start()
        if duration_s is None:
            supervisor.wait()
        else:
            _wait_at_most(supervisor, duration_s)
        supervisor.stop()
        failed = {name: status for name, status in supervisor.statuses().items() if status != 0}
    if failed:
        raise DeviceError(f"processes failed {failed}:\n" + "\n".join(lines[-20:]))


def _wait_at_most(supervisor: Supervisor, duration_s: float) -> None:
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s and not supervisor.ended():
        time.sleep(0.1)


def bare_turn(folder: Path, duration_s: float) -> dict[str, float]:
    """p50_ms and p99_ms of the two bare nodes."""
    report = folder / "ping.json"
    module = "robostack.nodes.ping_pong"
    ping: Mapping[str, ParameterValue] = {
        "role": "ping",
        "rate_hz": RATE_HZ,
        "duration_s": duration_s,
        "report_path": str(report),
    }
    run_nodes([NodeSpec("pong", module, {"role": "pong"}), NodeSpec("ping", module, ping)], None)
    return _summary(report, ())


def stack_turn(folder: Path, duration_s: float) -> dict[str, float]:
    """p50_ms and p99_ms of driver and policy node."""
    report = folder / "driver.json"
    driver: Mapping[str, ParameterValue] = {
        "robot": "ur5e",
        "driver.host": HOST,
        "state_rate_hz": RATE_HZ,
        "report_path": str(report),
    }
    policy: Mapping[str, ParameterValue] = {
        "task": "robostack.bench.ros_latency:FastReach",
        "policy": "scripted",
        "to_start": False,
        "pause_s": 0.0,
        "state_age_max_s": 1.0,
    }
    items: list[ProcessSpec | NodeSpec] = [
        ProcessSpec("virtual_ur5e", "sim.devices.run", ("ur5e", "--host", HOST), ready_line="ready ur5e"),
        NodeSpec("driver", "robostack.nodes.driver_node", driver),
        NodeSpec("policy", "robostack.nodes.policy_node", policy),
    ]
    run_nodes(items, duration_s + 3.0)  # the nodes find each other first
    return _summary(report, ("answer",))


def _summary(report: Path, path: tuple[str, ...]) -> dict[str, float]:
    try:
        data = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviceError(f"the nodes wrote no report: {error}") from error
    for key in path:
        data = data[key]
    if "p50_ms" not in data:
        raise DeviceError("no command answered a measurement; run `robostack launch ur5e --virtual --policy scripted`")
    return {name: float(value) for name, value in data.items()}


def inference_p50_ms(count: int = 2000) -> float:
    """Median time of one step of task and policy (judge, observe, act, make the reference), in this process."""
    task = FastReach()
    policy = task.scripted()
    position = np.array(task.spec.default_position)
    rng = np.random.default_rng(0)
    episode = task.begin(rng, RobotState(0.0, position, np.zeros_like(position)))
    action = np.zeros(len(task.action[0].elements))
    times = []
    for _ in range(count):
        state = RobotState(0.0, position + rng.normal(0.0, 1e-3, position.shape), np.zeros_like(position))
        began_s = time.perf_counter()
        _, episode = task.judge(action, state, episode)
        action = policy.act(task.observe(state, episode))
        task.reference(action, state, episode)
        times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times)


def run(quick: bool) -> Measured:
    """Run the benchmark.

    Raises:
        DeviceError: a node or the virtual arm failed.
    """
    duration_s, turns = (3.0, 1) if quick else (TURN_S, TURNS)
    bare: list[dict[str, float]] = []
    stack: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(turns):
            bare.append(bare_turn(Path(name), duration_s))
            stack.append(stack_turn(Path(name), duration_s))
    figures = {
        f"{key}_{share}_ms": statistics.median(turn[f"{share}_ms"] for turn in found)
        for key, found in (("joint_state_to_command", stack), ("raw_ping_pong", bare))
        for share in ("p50", "p99")
    }
    figures["inference_p50_ms"] = inference_p50_ms()
    figures["answers"] = sum(turn["count"] for turn in stack)
    bound_ms = RATIO * figures["raw_ping_pong_p50_ms"] + figures["inference_p50_ms"]
    notes = (
        f"median over {turns} turns of {duration_s:g} s each, which alternate",
        "the driver's process also runs the 500 Hz control loop against the virtual arm",
    )
    return Measured(figures, figures["joint_state_to_command_p50_ms"] <= bound_ms, notes=notes)


BENCH = BenchEntry(
    summary="measurement in, command out: through driver and policy nodes, against two bare nodes",
    run=run,
    aims={"joint_state_to_command_p50_ms": f"<= {RATIO} x raw_ping_pong_p50_ms + inference_p50_ms"},
)
