"""The makers' own clients against the virtual servos: what they read and write is what the arm does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sim.devices.device import DEVICES
from sim.devices.so101.device import VirtualSO101

pytestmark = pytest.mark.wire

IDS = range(1, 7)


def started(tmp_path, servos: str) -> VirtualSO101:
    entry = DEVICES.load("so101")
    device = entry.open(entry.config_type()(port=str(tmp_path / "bus"), servos=servos, preset="nominal"))
    device.start()
    return device


@pytest.fixture
def sts(tmp_path) -> Iterator[tuple[object, object, VirtualSO101]]:
    sdk = pytest.importorskip("scservo_sdk", reason="needs the extra 'feetech'")
    device = started(tmp_path, "feetech")
    port = sdk.PortHandler(device.config.port)
    assert port.openPort() and port.setBaudRate(1_000_000)
    yield port, sdk.PacketHandler(0), device
    port.closePort()
    device.stop()


@pytest.fixture
def dxl(tmp_path) -> Iterator[tuple[object, object, VirtualSO101]]:
    sdk = pytest.importorskip("dynamixel_sdk", reason="needs the extra 'dynamixel'")
    device = started(tmp_path, "dynamixel")
    port = sdk.PortHandler(device.config.port)
    assert port.openPort() and port.setBaudRate(1_000_000)
    yield port, sdk.PacketHandler(2.0), device
    port.closePort()
    device.stop()


def wait_until(ready, limit_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline_s, "not reached in time"
        time.sleep(0.01)


def test_feetech_client_pings_and_reads(sts):
    port, client, _ = sts
    for servo_id in IDS:
        assert client.ping(port, servo_id) == (777, 0, 0)
    assert client.read2ByteTxRx(port, 1, 56) == (2048, 0, 0)
    assert client.read1ByteTxRx(port, 3, 63)[0] == 30
    assert client.ping(port, 9)[1] != 0  # nobody there


def test_feetech_client_moves_the_arm_with_sync_write_and_sees_it_with_sync_read(sts):
    import scservo_sdk as sdk

    port, client, device = sts
    for servo_id in IDS:
        position, result, error = client.read2ByteTxRx(port, servo_id, 56)
        assert (result, error) == (0, 0)
        assert client.write2ByteTxRx(port, servo_id, 42, position) == (0, 0)
        assert client.write1ByteTxRx(port, servo_id, 40, 1) == (0, 0)
    write = sdk.GroupSyncWrite(port, client, 42, 2)
    assert write.addParam(1, [sdk.SCS_LOBYTE(2248), sdk.SCS_HIBYTE(2248)])
    assert write.addParam(5, [sdk.SCS_LOBYTE(1848), sdk.SCS_HIBYTE(1848)])
    assert write.txPacket() == 0
    read = sdk.GroupSyncRead(port, client, 56, 2)
    for servo_id in IDS:
        assert read.addParam(servo_id)
    goals = {1: 2248, 3: 2048 + round(0.6 * 4096 / 6.283185), 5: 1848}
    wait_until(lambda: read.txRxPacket() == 0 and all(abs(read.getData(i, 56, 2) - goals[i]) <= 4 for i in goals))
    assert device.status()["collisions"] == device.status()["damaged"] == 0


def test_dynamixel_client_pings_reads_and_reboots(dxl):
    port, client, device = dxl
    for servo_id in IDS:
        assert client.ping(port, servo_id) == (1020, 0, 0)
    found, result = client.broadcastPing(port)
    assert result == 0 and found == {servo_id: [1020, 45] for servo_id in IDS}
    assert client.read4ByteTxRx(port, 1, 132) == (2048, 0, 0)
    assert client.ping(port, 9)[1] == -3001
    device.inject("overload", 2)
    assert client.read1ByteTxRx(port, 2, 70) == (1 << 5, 0, 0x80)
    assert client.reboot(port, 2) == (0, 0)
    assert client.read1ByteTxRx(port, 2, 70) == (0, 0, 0)


def test_dynamixel_client_moves_the_arm_with_sync_write_and_sees_it_with_sync_read(dxl):
    import dynamixel_sdk as sdk

    port, client, device = dxl
    for servo_id in IDS:
        position, result, error = client.read4ByteTxRx(port, servo_id, 132)
        assert (result, error) == (0, 0)
        assert client.write4ByteTxRx(port, servo_id, 116, position) == (0, 0)
        assert client.write1ByteTxRx(port, servo_id, 64, 1) == (0, 0)
    write = sdk.GroupSyncWrite(port, client, 116, 4)
    assert write.addParam(1, (2248).to_bytes(4, "little"))
    assert write.addParam(5, (1848).to_bytes(4, "little"))
    assert write.txPacket() == 0
    read = sdk.GroupSyncRead(port, client, 126, 21)
    for servo_id in IDS:
        assert read.addParam(servo_id)
    goals = {1: 2248, 3: 2048 + round(0.6 * 4096 / 6.283185), 5: 1848}
    wait_until(lambda: read.txRxPacket() == 0 and all(abs(read.getData(i, 132, 4) - goals[i]) <= 4 for i in goals))
    assert read.getData(3, 146, 1) == 30
    assert device.status()["collisions"] == device.status()["damaged"] == 0


def test_dynamixel_client_sees_the_makers_refusals(dxl):
    port, client, _ = dxl
    assert client.write1ByteTxRx(port, 1, 70, 0) == (0, 7)  # read-only
    assert client.write4ByteTxRx(port, 1, 116, 5000) == (0, 6)  # beyond the position limit
    assert client.write1ByteTxRx(port, 1, 64, 1) == (0, 0)
    assert client.write1ByteTxRx(port, 1, 11, 1) == (0, 7)  # no new mode while the torque is on


def test_stuffed_data_passes_both_ways(dxl):
    port, client, _ = dxl
    value = 0x00FDFFFF  # FF FF FD on the wire
    assert client.write4ByteTxRx(port, 1, 112, value) == (0, 0)
    assert client.read4ByteTxRx(port, 1, 112) == (value, 0, 0)


def test_a_client_at_another_speed_is_not_understood(sts):
    port, client, device = sts
    assert port.setBaudRate(115_200)
    assert client.ping(port, 1)[1] != 0
    assert device.status()["wrong_speed"] > 0
