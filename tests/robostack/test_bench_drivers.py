"""The benchmark of the drivers: what its loop counts, what it makes of failures, and a real driver and device."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import DeviceError, DeviceFaultError, MissingExtraError, StaleDataError
from hardware.records import BaseCommand, JointCommand, RobotState
from hardware.spec import BaseSpec, JointSpec, RobotSpec
from robostack.bench import drivers
from robostack.bench.codecs import codec
from robostack.bench.device_process import DeviceProcess, address_flags, device_somewhere
from robostack.bench.drivers import BENCH, Findings, Turn
from sim.devices.device import DEVICES, DeviceEntry

JOINT = JointSpec("joint", -1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
ARM = RobotSpec(name="toy", joints=(JOINT,), control_rate_hz=100.0, command_modes=("position",), base_frame="base")


class FakeArm:
    """A driver without a device: every fourth state is stale, every second cycle has a new round trip."""

    spec = ARM

    def __init__(self) -> None:
        self.reads, self.commands, self.bad_packets, self.bad_frames = 0, [], 7, 1
        self.last_round_trip_s: float | None = None

    def read(self) -> RobotState:
        self.reads += 1
        if self.reads % 4 == 0:
            raise StaleDataError("toy state", 1.0, 0.05)
        return RobotState(capture_time_s=0.0, joint_position=np.array([0.25]), joint_velocity=np.zeros(1))

    def send(self, command) -> None:
        self.commands.append(command)
        if len(self.commands) % 2:
            self.last_round_trip_s = 1e-3 * len(self.commands)
        self.bad_packets += len(self.commands) in (3, 5)


class FakeBase(FakeArm):
    spec = dataclasses.replace(ARM, joints=(), base=BaseSpec("differential", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))


def test_a_turn_holds_the_measured_position_at_the_robots_rate_and_counts():
    robot, clock = FakeArm(), VirtualClock()
    found = drivers.turn(robot, 2.0, clock)
    assert found.cycles == pytest.approx(200, abs=1) and len(robot.commands) == found.cycles
    assert found.elapsed_s == pytest.approx(2.0, abs=0.011)
    assert all(isinstance(command, JointCommand) for command in robot.commands)
    assert {float(command.position[0]) for command in robot.commands} == {0.25}
    assert found.stale == (found.cycles + 1) // 4  # the first read was before the loop
    assert found.lost == 2
    odd = range(1, found.cycles + 1, 2)
    assert found.trips_s == pytest.approx([1e-3 * n for n in odd])


def test_a_base_is_told_to_rest():
    robot = FakeBase()
    drivers.turn(robot, 0.1, VirtualClock())
    assert robot.commands and all(isinstance(command, BaseCommand) for command in robot.commands)
    assert not any(command.linear_velocity.any() or command.yaw_rate for command in robot.commands)


def test_processor_time_is_that_of_read_and_send_and_of_other_threads(monkeypatch):
    robot, now = FakeArm(), {"thread": 0.0, "process": 0.0}

    def spends(action, own_s, others_s):
        def spending(*arguments):
            now["thread"] += own_s
            now["process"] += own_s + others_s
            return action(*arguments)

        return spending

    robot.read, robot.send = spends(robot.read, 2e-6, 1e-6), spends(robot.send, 3e-6, 0.0)
    clock = VirtualClock()
    clock.sleep_until = spends(clock.sleep_until, 1.0, 0.0)  # what pacing costs is not the driver's
    monkeypatch.setattr(drivers.time, "thread_time", lambda: now["thread"])
    monkeypatch.setattr(drivers.time, "process_time", lambda: now["process"])
    found = drivers.turn(robot, 1.0, clock)
    assert found.cpu_s / found.cycles == pytest.approx(6e-6)


def test_without_counters_nothing_is_claimed_about_losses():
    assert drivers.lost_of(FakeArm()) == 8
    robot = FakeArm()
    del robot.bad_packets, robot.bad_frames
    assert drivers.lost_of(robot) is None
    findings = Findings()
    drivers._note("toy-arm", Turn(cycles=10, elapsed_s=0.1, cpu_s=1e-4), findings)
    expected = {"toy_arm_rate_hz": 100.0, "toy_arm_cpu_us": 10.0, "toy_arm_codec_us": 10.0}
    assert findings.figures == {key: pytest.approx(value) for key, value in expected.items()}
    assert len(findings.notes) == 3 and "codec is cpu" in findings.notes[2]
    assert "round trips" in findings.notes[0] and "no counter" in findings.notes[1]


def test_the_figures_of_a_robot(monkeypatch):
    findings = Findings()
    monkeypatch.setattr(drivers.CODECS, "names", lambda: ("toy",))
    monkeypatch.setattr(drivers.CODECS, "load", lambda name: name)
    monkeypatch.setattr(drivers, "cycle_us", {"toy": 40.0}.__getitem__)
    trips_s = [1e-3 * n for n in range(101)]
    drivers._note("toy", Turn(50, 0.5, 5e-3, trips_s, stale=2, lost=3), findings)
    expected = {"rate_hz": 100.0, "round_trip_p50_ms": 50.0, "round_trip_p99_ms": 99.0, "lost": 3.0}
    expected |= {"cpu_us": 100.0, "codec_us": 40.0}
    assert findings.figures == {f"toy_{key}": pytest.approx(value) for key, value in expected.items()}
    assert findings.notes == ["toy: 2 of 50 cycles had a state that was too old"]
    with pytest.raises(DeviceError, match="not one cycle"):
        drivers._note("toy", Turn(), findings)


@pytest.mark.parametrize("robot", drivers.CODECS.names())
def test_a_cycle_of_a_codec_reads_what_a_robot_at_rest_would_send(robot):
    state = drivers.CODECS.load(robot).prepare()()
    assert state.position.tolist() == [0.0] * len(drivers.ROBOTS.load(robot).spec.joints)


def test_the_median_turn_of_a_codec_counts(monkeypatch):
    now, costs = [0.0], iter([1e-6] * 11 + [1.0] * 10)

    def prepare():
        left, cost = [codec.CALLS], [next(costs)]

        def cycle():
            now[0] += cost[0]
            left[0] -= 1
            if left[0] == 0:
                left[0], cost[0] = codec.CALLS, next(costs, 0.0)

        return cycle

    monkeypatch.setattr(codec.time, "thread_time", lambda: now[0])
    assert codec.cycle_us(codec.CodecEntry(prepare)) == pytest.approx(1.0, rel=1e-3)


def outcomes(monkeypatch, *results: object) -> Findings:
    """What `measure` makes of attempts that end like this."""
    left = list(results)

    def connected(*_: object) -> Turn:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(drivers, "_connected_turn", connected)
    findings = Findings()
    drivers.measure("toy", "toy", 1.0, findings)
    assert not left
    return findings


def test_an_attempt_that_fails_is_noted_and_repeated(monkeypatch):
    fault = DeviceFaultError("toy", "a pause", "recover()")
    found = outcomes(monkeypatch, fault, Turn(10, 0.1, lost=0))
    assert found.figures["toy_rate_hz"] == pytest.approx(100.0) and not found.failed
    assert "attempt 1 of 3: toy reports a pause" in found.notes[0]
    found = outcomes(monkeypatch, fault, fault, fault)
    assert found.failed == ["toy"] and not found.figures and len(found.notes) == 3


def test_a_missing_package_is_noted_once_and_is_no_failure(monkeypatch):
    missing = MissingExtraError("sdk", "toy", "the toy")
    for error in (missing, DeviceError(f"the virtual toy did not start: {missing}")):
        found = outcomes(monkeypatch, error)
        assert not found.failed and not found.figures
        assert found.notes[0].startswith("toy is left out: ") and "needs 'sdk'" in found.notes[0]


def test_the_aims_hold_only_with_a_figure_for_each(monkeypatch):
    def measured(**figures: float) -> bool:
        def fill(name, device, duration_s, findings):
            findings.figures |= figures

        monkeypatch.setattr(drivers, "pairs", lambda: [("toy", "toy")])
        monkeypatch.setattr(drivers, "measure", fill)
        return BENCH.run(True).met

    assert measured(go1_round_trip_p50_ms=0.3, go2_codec_us=50.0)
    assert not measured(go1_round_trip_p50_ms=0.31, go2_codec_us=50.0)
    assert not measured(go1_round_trip_p50_ms=0.3)
    assert set(BENCH.aims) == {"go1_round_trip_p50_ms", "go2_codec_us"}


def test_every_robot_with_a_virtual_device_is_found(monkeypatch):
    assert ("ur5e", "ur5e") in drivers.pairs()
    monkeypatch.setattr(drivers.DEVICES, "names", lambda: ("ur5e", "go1"))
    monkeypatch.setattr(drivers.ROBOTS, "names", lambda: ("go1", "without-device"))
    assert drivers.pairs() == [("go1", "go1")]


@dataclasses.dataclass(frozen=True)
class OnNetwork:
    host: str = "127.0.0.2"
    port: int = 1


@dataclasses.dataclass(frozen=True)
class OnSerialLine:
    port: str = "/dev/ttyUSB0"


@dataclasses.dataclass(frozen=True)
class OnDds:
    interface: str = "lo"
    domain: int = 1


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    port: int = 1


@pytest.mark.parametrize(
    ("config", "flags"),
    [
        (OnNetwork, ["--host", "127.9.9.9"]),
        (OnSerialLine, ["--port", "folder/port"]),
        (OnDds, ["--domain", "7"]),
        (Elsewhere, []),
    ],
)
def test_a_device_is_given_an_address_of_its_own(config, flags):
    entry = DeviceEntry("toy", "none:None", f"{__name__}:{config.__name__}", lambda _: {}, "A toy.")
    assert address_flags(entry, "127.9.9.9", 7, Path("folder")) == flags


@pytest.mark.wire
def test_a_device_process_tells_how_to_reach_it_and_why_it_did_not_start(loopback_host):
    with device_somewhere("ur5e", loopback_host, 0) as process:
        expected = DEVICES.load("ur5e").config_type()(host=loopback_host)
        assert process.driver_config == DEVICES.load("ur5e").driver_config(expected)
        again = DeviceProcess("ur5e", "--host", loopback_host)
        with pytest.raises(DeviceError, match="did not start: .*in use"), again:
            pass
    with device_somewhere("ur5e", loopback_host, 0):  # the port is free again
        pass


@pytest.mark.wire
def test_a_device_process_does_what_it_is_told_until_it_ends(loopback_host):
    with DeviceProcess("ur5e", "--host", loopback_host, "--preset", "nominal") as process:
        assert process.status()["safety_mode"] == "NORMAL"
        process.inject("protective_stop")
        assert process.status()["safety_mode"] == "PROTECTIVE_STOP"
        process.inject("protective_stop", 0.0)
        assert process.status()["safety_mode"] == "NORMAL"
        with pytest.raises(DeviceError, match="does not do 'inject nothing 1.0': unknown fault"):
            process.inject("nothing")
        process.kill()
        with pytest.raises(DeviceError, match="its process has ended"):
            process.status()


@pytest.mark.wire
def test_a_real_driver_and_device(monkeypatch, loopback_host):
    monkeypatch.setattr(drivers, "HOST", loopback_host)
    monkeypatch.setattr(drivers, "QUICK_S", 0.5)
    monkeypatch.setattr(drivers, "pairs", lambda: [("ur5e", "ur5e")])
    figures = BENCH.run(True).figures
    keys = ("ur5e_rate_hz", "ur5e_round_trip_p50_ms", "ur5e_round_trip_p99_ms", "ur5e_cpu_us", "ur5e_codec_us")
    assert set(figures) == set(keys)
    assert 0.0 < figures["ur5e_rate_hz"] < 510.0
    assert 0.0 < figures["ur5e_round_trip_p50_ms"] <= figures["ur5e_round_trip_p99_ms"]
    assert figures["ur5e_codec_us"] > 1.0
