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

from hardware.errors import DeviceError
from robostack.bench.bench import BenchEntry, Measured
from robostack.launching.description import NodeSpec, ParameterValue, ProcessSpec
from robostack.launching.supervisor import Supervisor, SupervisorConfig
from robostack.tasks.ur5e_reach import Ur5eReach

HOST = "127.0.0.232"
"""Where the virtual arm of this benchmark listens."""
DOMAIN_ID = 87
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


def run_turn(folder: Path, measured: list[NodeSpec], duration_s: float) -> None:
    """Run the virtual arm, the driver node and what is measured for `duration_s` [s]: the same company for both kinds.

    Raises:
        DeviceError: a process failed; with what it printed.
    """
    driver: Mapping[str, ParameterValue] = {
        "robot": "ur5e",
        "driver.host": HOST,
        "state_rate_hz": RATE_HZ,
        "report_path": str(folder / "driver.json"),
    }
    items: list[ProcessSpec | NodeSpec] = [
        ProcessSpec("virtual_ur5e", "sim.devices.run", ("ur5e", "--host", HOST), ready_line="ready ur5e"),
        NodeSpec("driver", "robostack.nodes.driver_node", driver),
        *measured,
    ]
    lines: list[str] = []
    config = SupervisorConfig(domain_id=DOMAIN_ID)
    with Supervisor(items, lambda name, line: lines.append(f"[{name}] {line}"), config) as supervisor:
        supervisor.start()
        deadline_s = time.monotonic() + duration_s
        while time.monotonic() < deadline_s and not supervisor.ended():
            time.sleep(0.1)
        supervisor.stop()
        failed = {name: status for name, status in supervisor.statuses().items() if status != 0}
    if failed:
        raise DeviceError(f"processes failed {failed}:\n" + "\n".join(lines[-20:]))


def bare_turn(folder: Path, duration_s: float) -> dict[str, float]:
    """p50_ms and p99_ms of the two bare nodes."""
    module, report = "robostack.nodes.ping_pong", folder / "ping.json"
    ping: Mapping[str, ParameterValue] = {
        "role": "ping",
        "rate_hz": RATE_HZ,
        "duration_s": duration_s,
        "report_path": str(report),
    }
    run_turn(folder, [NodeSpec("pong", module, {"role": "pong"}), NodeSpec("ping", module, ping)], duration_s + 15.0)
    return _summary(report)


def stack_turn(folder: Path, duration_s: float) -> tuple[dict[str, float], dict[str, float]]:
    """p50_ms and p99_ms of the whole way, and of the step of task and policy in it."""
    policy: Mapping[str, ParameterValue] = {
        "task": "robostack.bench.ros_latency:FastReach",
        "policy": "scripted",
        "to_start": False,
        "pause_s": 0.0,
        "state_age_max_s": 1.0,
        "report_path": str(folder / "policy.json"),
    }
    nodes = [NodeSpec("policy", "robostack.nodes.policy_node", policy)]
    run_turn(folder, nodes, duration_s + 3.0)  # the nodes find each other first
    return _summary(folder / "driver.json", "answer"), _summary(folder / "policy.json")


def _summary(report: Path, key: str = "") -> dict[str, float]:
    """The figures of a report, or of one part of it.

    Raises:
        DeviceError: there is none, or nothing was measured.
    """
    try:
        data = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviceError(f"the nodes wrote no report: {error}") from error
    data = data[key] if key else data
    if "p50_ms" not in data:
        raise DeviceError("no command answered a measurement; run `robostack launch ur5e --virtual --policy scripted`")
    return {name: float(value) for name, value in data.items()}


def run(quick: bool) -> Measured:
    """Run the benchmark.

    Raises:
        DeviceError: a node or the virtual arm failed.
    """
    duration_s, turns = (3.0, 1) if quick else (TURN_S, TURNS)
    bare: list[dict[str, float]] = []
    stack: list[dict[str, float]] = []
    steps: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(turns):
            bare.append(bare_turn(Path(name), duration_s))
            way, step = stack_turn(Path(name), duration_s)
            stack.append(way)
            steps.append(step)
    figures = {
        f"{key}_{share}_ms": statistics.median(turn[f"{share}_ms"] for turn in found)
        for key, found in (("joint_state_to_command", stack), ("raw_ping_pong", bare), ("inference", steps))
        for share in ("p50", "p99")
    }
    figures["answers"] = sum(turn["count"] for turn in stack)
    bound_ms = RATIO * figures["raw_ping_pong_p50_ms"] + figures["inference_p50_ms"]
    notes = (
        f"median over {turns} turns of {duration_s:g} s each, which alternate",
        "the virtual arm and the driver with its 500 Hz loop run beside both kinds of turn",
        "inference is the step of task and policy (judge, observe, act, reference), measured in the policy node",
    )
    return Measured(figures, figures["joint_state_to_command_p50_ms"] <= bound_ms, notes=notes)


BENCH = BenchEntry(
    summary="measurement in, command out: through driver and policy nodes, against two bare nodes",
    run=run,
    aims={"joint_state_to_command_p50_ms": f"<= {RATIO} x raw_ping_pong_p50_ms + inference_p50_ms"},
)
