"""The virtual UR5e on the wire, spoken to with bytes written by hand."""

from __future__ import annotations

import itertools
import socket
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.errors import AddressInUseError, UnknownNameError
from sim.devices.ur5e import DEVICE
from sim.devices.ur5e.config import VirtualUR5eConfig
from sim.devices.ur5e.device import VirtualUR5e

pytestmark = pytest.mark.wire
_hosts = (f"127.0.21.{number}" for number in itertools.count(2))

VERSION_2 = b"\x00\x05V\x00\x02"
START = b"\x00\x03S"
FOREVER = "def hold():\n while True:\n  sync()\n end\nend\n"


class Client:
    """A raw socket and the device's loop, one cycle at a time, so that nothing depends on real time."""

    def __init__(self, device: VirtualUR5e, port: int) -> None:
        self.device, self.buffer = device, b""
        self.socket = socket.create_connection((device.config.host, port), timeout=2.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        device.poll()

    def pump(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            self.device.poll()
            try:
                while data := self.socket.recv(65536):
                    self.buffer += data
                else:
                    raise ConnectionResetError
            except BlockingIOError:
                pass

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.pump()

    def package(self, cycles: int = 50) -> tuple[str, bytes]:
        """The next package."""
        for _ in range(cycles):
            if len(self.buffer) >= 3:
                size, kind = struct.unpack_from(">HB", self.buffer)
                if len(self.buffer) >= size:
                    payload, self.buffer = self.buffer[3:size], self.buffer[size:]
                    return chr(kind), payload
            self.pump()
        raise TimeoutError

    def ask(self, data: bytes) -> tuple[str, bytes]:
        self.send(data)
        return self.package()

    def outputs(self, names: str, hz: float = 500.0) -> tuple[str, bytes]:
        body = struct.pack(">d", hz) + names.encode()
        return self.ask(struct.pack(">HB", 3 + len(body), ord("O")) + body)

    def inputs(self, names: str) -> tuple[str, bytes]:
        return self.ask(struct.pack(">HB", 3 + len(names), ord("I")) + names.encode())

    def line(self, text: str) -> str:
        """One dashboard exchange."""
        self.send(text.encode() + b"\n")
        while b"\n" not in self.buffer:
            self.pump()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()


@pytest.fixture
def device():
    made = VirtualUR5e(VirtualUR5eConfig(host=next(_hosts), preset="nominal", unlock_delay_s=0.1))
    made.listen()
    yield made
    made.stop()


@pytest.fixture
def rtde(device):
    client = Client(device, 30004)
    assert client.ask(VERSION_2) == ("V", b"\x01")
    yield client
    client.socket.close()


@pytest.fixture
def dashboard(device):
    client = Client(device, 29999)
    client.pump()
    assert client.buffer == b"Connected: Universal Robots Dashboard Server\n"
    client.buffer = b""
    yield client
    client.socket.close()


def run_script(device, text):
    with socket.create_connection((device.config.host, 30002), timeout=2.0) as script:
        script.sendall(text.encode())
        device.poll()
        device.poll()


def test_handshake_bytes(rtde):
    assert rtde.ask(b"\x00\x05V\x00\x01") == ("V", b"\x00")
    assert rtde.ask(b"\x00\x03v") == ("v", bytes.fromhex("00000005 0000000f 00000002 00000000"))


def test_output_recipe_and_data(rtde, device):
    assert rtde.outputs("timestamp,robot_mode,actual_q,runtime_state") == ("O", b"\x01DOUBLE,INT32,VECTOR6D,UINT32")
    assert rtde.ask(START) == ("S", b"\x01")
    kind, payload = rtde.package()
    assert kind == "U" and len(payload) == 1 + 8 + 4 + 48 + 4 and payload[0] == 1
    time_s, mode, *q, runtime = struct.unpack(">di6dI", payload[1:])
    assert (mode, runtime) == (7, 1)
    assert time_s == pytest.approx(device.controller.time_s)
    assert q == pytest.approx(device.status()["position"], abs=1e-9)
    rtde.buffer = b""
    rtde.pump(3)
    assert len(rtde.buffer) == 3 * 68


def test_frequency_divider_and_pause(rtde):
    rtde.outputs("timestamp,", hz=125.0)  # the trailing comma is ur-rtde's
    rtde.ask(START)
    rtde.buffer = b""
    rtde.pump(40)
    assert len(rtde.buffer) == 10 * 12
    rtde.buffer = b""
    assert rtde.ask(b"\x00\x03P") == ("P", b"\x01")
    rtde.pump(20)
    assert rtde.buffer == b""


def test_unknown_output_is_named_and_start_refused(rtde):
    assert rtde.outputs("timestamp,no_such_thing") == ("O", b"\x00DOUBLE,NOT_FOUND")
    assert rtde.ask(START) == ("S", b"\x00")


def test_several_input_recipes_keep_their_values(rtde, device):
    assert rtde.inputs("input_int_register_24,input_double_register_24") == ("I", b"\x01INT32,DOUBLE")
    assert rtde.inputs("input_int_register_24") == ("I", b"\x02INT32")
    assert rtde.inputs("input_bit_registers0_to_31,external_force_torque") == ("I", b"\x03UINT32,VECTOR6D")
    rtde.send(b"\x00\x10U\x01\xff\xff\xff\xfe\x3f\xf8\x00\x00\x00\x00\x00\x00")
    assert (device.controller.inputs.ints[24], device.controller.inputs.doubles[24]) == (-2, 1.5)
    rtde.send(b"\x00\x08U\x02\x00\x00\x00\x09")
    assert (device.controller.inputs.ints[24], device.controller.inputs.doubles[24]) == (9, 1.5)
    rtde.send(b"\x00\x38U\x03\x00\x00\x00\x05" + struct.pack(">6d", 1, 2, 3, 4, 5, 6))
    assert device.controller.inputs.bits[:4] == [True, False, True, False]
    assert device.controller.inputs.vectors["external_force_torque"] == (1, 2, 3, 4, 5, 6)


def test_inputs_not_found_and_in_use(rtde, device):
    assert rtde.inputs("input_int_register_24,nothing") == ("I", b"\x00INT32,NOT_FOUND")
    assert rtde.inputs("input_int_register_24")[1][0] == 1
    other = Client(device, 30004)
    assert other.inputs("input_int_register_24") == ("I", b"\x00IN_USE")
    rtde.socket.close()
    device.poll()
    device.poll()
    assert other.inputs("input_int_register_24") == ("I", b"\x01INT32")
    other.socket.close()


def test_short_input_package_is_answered_with_a_text(rtde, device):
    rtde.inputs("input_int_register_24")
    kind, payload = rtde.ask(b"\x00\x06U\x01\x00\x00")
    assert kind == "M" and b"does not match" in payload and payload[-1] == 1
    assert device.status()["bad_packages"] == 1


def test_garbage_closes_the_connection(rtde):
    with pytest.raises(ConnectionResetError):
        rtde.send(b"\x00\x00zzzz")
        rtde.pump(3)


@given(st.binary(max_size=80), st.sampled_from([29999, 30001, 30004]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_leave_the_device_running(device, data, port):
    with socket.create_connection((device.config.host, port), timeout=2.0) as client:
        device.poll()
        client.sendall(data)
        device.poll()
    before = device.controller.cycles
    device.poll()
    assert device.controller.cycles == before + 1


def test_a_script_talks_through_the_registers(rtde, device):
    rtde.inputs("input_int_register_24")
    rtde.outputs("output_int_register_24,runtime_state,robot_status_bits")
    run_script(device, "def echo():\n while True:\n  write_output_integer_register(24, "
                       "read_input_integer_register(24) + 1)\n  sync()\n end\nend\n")  # fmt: skip
    rtde.send(b"\x00\x08U\x01\x00\x00\x00\x28")
    rtde.ask(START)
    _, payload = rtde.package()
    assert struct.unpack(">iII", payload[1:]) == (41, 2, 3)


def test_script_error_becomes_a_text_message(rtde, device):
    run_script(device, "def bad():\n  x = = 1\nend\n")
    kind, payload = rtde.package()
    assert kind == "M" and b"line 2" in payload
    assert device.status()["runtime_state"] == "STOPPED"


@pytest.mark.parametrize("port", [30001, 30002, 30003])
def test_every_script_port_takes_a_single_line(device, port):
    with socket.create_connection((device.config.host, port), timeout=2.0) as script:
        script.sendall(b"\n# a comment\nwrite_output_integer_register(1, 5)\n")
        device.poll()
        device.poll()
    assert device.controller.outputs.ints[1] == 5
    assert device.status()["runtime_state"] == "STOPPED"


def test_dashboard_words(dashboard, device):
    answers = {
        "robotmode": "Robotmode: RUNNING",
        "safetystatus": "Safetystatus: NORMAL",
        "programState": "STOPPED <unnamed>.urp",
        "running": "Program running: false",
        "is in remote control": "true",
        "get serial number": "20235500001",
        "get robot model": "UR5",
        "PolyscopeVersion": "URSoftware 5.15.2.0 (Mar 12 2024)",
        "close popup": "closing popup",
        "close safety popup": "closing safety popup",
        "play": "Failed to execute: play",
        "nonsense": "could not understand: nonsense",
    }
    assert {text: dashboard.line(text) for text in answers} == answers
    run_script(device, FOREVER)
    assert dashboard.line("running") == "Program running: true"
    assert dashboard.line("pause") == "Pausing program"
    assert dashboard.line("programState") == "PAUSED <unnamed>.urp"
    assert dashboard.line("play") == "Starting program"
    assert dashboard.line("stop") == "Stopped"
    assert dashboard.line("running") == "Program running: false"
    with pytest.raises(ConnectionResetError):
        dashboard.line("quit")
    assert dashboard.buffer == b"Disconnected\n"


def test_power_and_brakes(dashboard, device):
    assert dashboard.line("power off") == "Powering off"
    run_script(device, FOREVER)
    assert device.status()["runtime_state"] == "STOPPED"
    assert dashboard.line("power on") == "Powering on"
    dashboard.pump(260)
    assert dashboard.line("robotmode") == "Robotmode: IDLE"
    assert dashboard.line("brake release") == "Brake releasing"
    dashboard.pump(260)
    assert dashboard.line("robotmode") == "Robotmode: RUNNING"


def test_local_control_refuses(device):
    device.stop()
    local = VirtualUR5e(VirtualUR5eConfig(host=device.config.host, remote_control=False))
    local.listen()
    client = Client(local, 29999)
    client.pump()
    client.buffer = b""
    assert client.line("is in remote control") == "false"
    assert "not allowed" in client.line("stop")
    run_script(local, FOREVER)
    assert local.status()["program"] is None
    client.socket.close()
    local.stop()


# --- faults, one by one


def test_fault_protective_stop_and_unlock(device, dashboard, rtde):
    rtde.outputs("safety_status_bits,runtime_state,safety_mode")
    run_script(device, FOREVER)
    device.inject("protective_stop")
    rtde.ask(START)
    assert struct.unpack(">IIi", rtde.package()[1][1:]) == (1 << 2 | 1 << 10, 4, 3)
    dashboard.device.inject("speed_scaling", 1.0)
    assert dashboard.line("unlock protective stop").startswith("Cannot unlock protective stop until 5s")
    dashboard.pump(60)
    assert dashboard.line("unlock protective stop") == "Protective stop releasing"
    assert dashboard.line("safetystatus") == "Safetystatus: NORMAL"


def test_fault_emergency_stop(device, dashboard):
    run_script(device, FOREVER)
    device.inject("emergency_stop")
    assert dashboard.line("safetystatus") == "Safetystatus: ROBOT_EMERGENCY_STOP"
    assert dashboard.line("robotmode") == "Robotmode: POWER_OFF"
    dashboard.line("brake release")
    assert dashboard.line("robotmode") == "Robotmode: POWER_OFF"
    device.inject("emergency_stop", 0)
    dashboard.line("brake release")
    dashboard.pump(260)
    assert dashboard.line("robotmode") == "Robotmode: RUNNING"


def test_fault_lost_connection(device, rtde):
    device.inject("lost_connection", 0.1)
    with pytest.raises(ConnectionResetError):
        rtde.pump(2)
    with pytest.raises(ConnectionRefusedError):
        Client(device, 30004)
    for _ in range(60):
        device.poll()
    assert Client(device, 30004).ask(VERSION_2) == ("V", b"\x01")


def test_fault_refused_recipe(device, rtde):
    device.inject("refused_recipe")
    assert rtde.inputs("input_int_register_24") == ("I", b"\x00IN_USE")
    device.inject("refused_recipe", 0)
    assert rtde.inputs("input_int_register_24") == ("I", b"\x01INT32")


def test_fault_dead_script(device):
    run_script(device, FOREVER)
    assert device.status()["runtime_state"] == "PLAYING"
    device.inject("dead_script")
    assert device.status()["runtime_state"] == "STOPPED"


def test_fault_speed_scaling(device, rtde):
    rtde.outputs("speed_scaling,target_speed_fraction")
    device.inject("speed_scaling", 0.25)
    rtde.ask(START)
    assert struct.unpack(">dd", rtde.package()[1][1:]) == (0.25, 0.25)


def test_fault_frozen(device, rtde):
    rtde.outputs("timestamp")
    rtde.ask(START)
    device.inject("frozen")
    rtde.buffer = b""
    rtde.pump(20)
    assert rtde.buffer == b""
    device.inject("frozen", 0)
    rtde.pump(5)
    assert len(rtde.buffer) == 5 * 12


def test_fault_late(device, rtde):
    rtde.outputs("timestamp")
    rtde.ask(START)
    device.inject("late", 0.02)
    rtde.buffer = b""
    rtde.pump(30)
    ages = [device.controller.time_s - struct.unpack(">d", rtde.buffer[-8:])[0]]
    assert ages == pytest.approx([0.02], abs=2.1e-3)
    device.inject("late", 0)
    rtde.pump(12)
    assert device.controller.time_s == pytest.approx(struct.unpack(">d", rtde.buffer[-8:])[0])


def test_fault_corrupted(device, rtde):
    rtde.outputs("timestamp")
    rtde.ask(START)
    rtde.buffer = b""
    device.inject("corrupted", 1)
    rtde.pump(2)
    assert rtde.package() == ("U", b"\xff" * 9)
    assert rtde.package()[1][0] == 1


def test_unknown_fault_lists_the_known(device):
    with pytest.raises(UnknownNameError, match="protective_stop"):
        device.inject("explosion")


def test_taken_port_is_said_and_leaves_nothing_open(device):
    host = next(_hosts)
    with socket.create_server((host, 30003)):
        second = VirtualUR5e(VirtualUR5eConfig(host=host))
        with pytest.raises(AddressInUseError, match=f"{host}:30003"):
            second.start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, 30004), timeout=1.0)


def test_client_that_never_reads_is_dropped_and_its_registers_are_free(device):
    client = Client(device, 30004)
    client.inputs("input_int_register_24")
    (served,) = device.rtde.clients.values()
    for _ in range(16):
        served.send(bytes(1 << 20))
    device.poll()
    assert served.closed and not device.rtde.clients
    assert device.controller.inputs.claim("input_int_register_24", -1)
    client.socket.close()


def test_starts_again_after_a_stop(device):
    device.inject("lost_connection", 60)
    device.stop()
    device.start()
    with socket.create_connection((device.config.host, 29999), timeout=5.0) as client:
        assert client.recv(100).startswith(b"Connected")


def test_a_stall_of_the_machine_leaves_the_clock_true_and_is_no_silence(device):
    run_script(device, "def count():\n n = 0\n while True:\n  n = n + 1\n  write_output_integer_register(0, n)\n"
                       "  sync()\n end\nend\n")  # fmt: skip
    device.start()
    clock, begin = device.controller, time.monotonic()
    offset = begin - clock.time_s
    with device._lock:
        time.sleep(0.3)
    while device.status()["skipped_cycles"] == 0:
        time.sleep(0.005)
    status = device.status()
    assert status["skipped_cycles"] >= 100
    assert clock.outputs.ints[0] <= clock.cycles - status["skipped_cycles"]
    # A clock that had lost the stall would stay 0.3 s behind for good.
    offsets = [time.monotonic() - device.status()["time_s"] for _ in range(200) if time.sleep(0.005) is None]
    assert min(offsets) < offset + 0.1


def test_entry_leads_the_driver_to_the_device():
    config = DEVICE.config_type()(host="127.0.21.200", secondary_port=40002)
    assert DEVICE.driver_config(config) == {
        "host": "127.0.21.200",
        "rtde_port": 30004,
        "script_port": 40002,
        "dashboard_port": 29999,
    }
    assert isinstance(DEVICE.open(config), VirtualUR5e)
