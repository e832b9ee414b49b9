"""Servo packets against bytes written out by hand from the makers' manuals, and decoders against noise."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ProtocolError
from hardware.servo_bus import dynamixel, feetech
from hardware.servo_bus.dynamixel import DynamixelProtocol, crc16
from hardware.servo_bus.feetech import FeetechProtocol, check_sum
from hardware.servo_bus.packet import Status

STS, DXL = FeetechProtocol(), DynamixelProtocol()


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def sts_status(servo_id: int, error: int, data: bytes) -> bytes:
    body = bytes((servo_id, len(data) + 2, error)) + data
    return b"\xff\xff" + body + bytes((check_sum(body),))


def dxl_status(servo_id: int, error: int, data: bytes) -> bytes:
    return dynamixel.packet(servo_id, dynamixel.STATUS, bytes((error,)) + data)


# Feetech's protocol manual: ping, its answer, read of the position of servo 1, sync read, sync write, reset.
STS_VECTORS = [
    (STS.ping(1), "FF FF 01 02 01 FB"),
    (STS.read(1, 0x38, 2), "FF FF 01 04 02 38 02 BE"),
    (STS.sync_read([1, 2], 0x38, 8), "FF FF FE 06 82 38 08 01 02 36"),
    (STS.sync_write(0x2A, {1: hexed("00 08"), 2: hexed("01 08")}), "FF FF FE 0A 83 2A 02 01 00 08 02 01 08 34"),
    (STS.reboot(1), "FF FF 01 02 08 F4"),
]
# Robotis e-Manual, protocol 2.0: the examples of ping, read, reboot, sync read and sync write.
DXL_VECTORS = [
    (DXL.ping(1), "FF FF FD 00 01 03 00 01 19 4E"),
    (DXL.read(1, 132, 4), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    (DXL.reboot(1), "FF FF FD 00 01 03 00 08 2F 4E"),
    (DXL.sync_read([1, 2], 132, 4), "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
    (
        DXL.sync_write(116, {1: hexed("96 00 00 00"), 2: hexed("AA 00 00 00")}),
        "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
    ),
]


@pytest.mark.parametrize(("made", "expected"), STS_VECTORS + DXL_VECTORS)
def test_requests_equal_the_manuals(made, expected):
    assert made == hexed(expected)


def test_answers_of_the_manuals_are_understood():
    assert STS.decoder().feed(hexed("FF FF 01 02 00 FC")) == [Status(1, 0, b"")]
    assert STS.decoder().feed(hexed("FF FF 01 04 00 18 05 DD")) == [Status(1, 0, hexed("18 05"))]
    ping = hexed("FF FF FD 00 01 07 00 55 00 06 04 26 65 5D")
    assert DXL.decoder().feed(ping) == [Status(1, 0, hexed("06 04 26"))]
    present = hexed("FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0")
    assert DXL.decoder().feed(present) == [Status(1, 0, hexed("A6 00 00 00"))]


def test_the_published_crc_of_an_empty_and_a_known_text():
    assert crc16(b"") == 0
    assert crc16(b"123456789") == 0xFEE8  # CRC-16/UMTS, the catalogue's check value


def test_lengths_that_do_not_fit_are_refused():
    for protocol in (STS, DXL):
        with pytest.raises(ProtocolError, match="one length"):
            protocol.sync_write(42, {1: b"ab", 2: b"a"})
    with pytest.raises(ProtocolError, match="at most"):
        feetech.packet(1, feetech.WRITE, bytes(252))
    with pytest.raises(ProtocolError, match="at most"):
        dynamixel.packet(1, dynamixel.WRITE, bytes(1023))


def test_stuffing_hides_the_header_and_is_undone():
    packet = dxl_status(3, 0, hexed("FF FF FD 00 01"))
    assert packet.count(hexed("FF FF FD")) == 2 and hexed("FF FF FD FD 00 01") in packet
    assert DXL.decoder().feed(packet) == [Status(3, 0, hexed("FF FF FD 00 01"))]


@pytest.mark.parametrize(("protocol", "status"), [(STS, sts_status), (DXL, dxl_status)], ids=["feetech", "dynamixel"])
@given(
    servo_id=st.integers(0, 252),
    error=st.integers(0, 255),
    data=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_a_stream_in_any_pieces_gives_the_same_packets(protocol, status, servo_id, error, data, cuts):
    stream = status(servo_id, error, data) + status(9, 1, b"z")
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder, found = protocol.decoder(), []
    for begin, end in itertools.pairwise(places):
        found += decoder.feed(stream[begin:end])
    assert found == [Status(servo_id, error, data), Status(9, 1, b"z")]
    assert decoder.damaged == 0


@pytest.mark.parametrize(("protocol", "status"), [(STS, sts_status), (DXL, dxl_status)], ids=["feetech", "dynamixel"])
@given(place=st.integers(0, 400), flip=st.integers(1, 255), noise=st.binary(max_size=12))
def test_a_changed_byte_never_gives_a_wrong_answer(protocol, status, place, flip, noise):
    good = status(2, 0, bytes(range(15)))
    spoiled = bytearray(good)
    spoiled[place % len(good)] ^= flip
    decoder = protocol.decoder()
    found = decoder.feed(noise.replace(b"\xff", b"\x00") + bytes(spoiled))
    # A sum finds every single changed byte; so does a CRC. An answer may only come out of another packet's bytes.
    assert all(answer.data != bytes(range(15)) or answer == Status(2, 0, bytes(range(15))) for answer in found)
    assert Status(2, 0, bytes(range(15))) not in found


def test_after_damage_the_next_packet_is_found():
    for protocol, status in ((STS, sts_status), (DXL, dxl_status)):
        bad = bytearray(status(1, 0, b"abc"))
        bad[-1] ^= 1
        decoder = protocol.decoder()
        assert decoder.feed(bytes(bad) + status(2, 0, b"ok")) == [Status(2, 0, b"ok")]
        assert decoder.damaged == 1
        decoder.feed(status(3, 0, b"half")[:5])
        decoder.reset()
        assert decoder.feed(status(4, 0, b"")) == [Status(4, 0, b"")]
