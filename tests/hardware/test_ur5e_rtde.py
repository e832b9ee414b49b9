"""The RTDE codec against bytes written by hand from the protocol's description, and as a round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ProtocolError
from hardware.ur5e import rtde
from hardware.ur5e.rtde import Decoder, PackageType, Recipe


def hexes(text: str) -> bytes:
    return bytes.fromhex(text)


def test_requests_byte_for_byte():
    assert rtde.protocol_version_request() == hexes("0005 56 0002")
    assert rtde.encode(PackageType.CONTROLLER_VERSION) == hexes("0003 76")
    assert rtde.encode(PackageType.START) == hexes("0003 53")
    # size 3 + 8 + 12; 125.0 as a double is 405F4000 00000000; "timestamp,qd"
    expected = hexes("0017 4f 405f400000000000 74696d657374616d702c7164")
    assert rtde.output_setup_request(125.0, ("timestamp", "qd")) == expected
    assert rtde.input_setup_request(("a", "bc")) == hexes("0007 49 61 2c 62 63")


def test_replies_byte_for_byte():
    assert rtde.parse_accepted(hexes("01")) and not rtde.parse_accepted(hexes("00")) and not rtde.parse_accepted(b"")
    assert rtde.parse_controller_version(hexes("00000005 0000000f 00000002 00000007")) == (5, 15, 2, 7)
    # recipe 3, "DOUBLE,INT32"
    recipe = rtde.parse_setup_reply(("timestamp", "mode"), hexes("03 444f55424c45 2c 494e543332"))
    assert recipe == Recipe(3, ("timestamp", "mode"), ("DOUBLE", "INT32"))
    # "moved" from "RTDE", level 2
    message = rtde.parse_text(hexes("05 6d6f766564 04 52544445 02"))
    assert message == rtde.TextMessage("moved", "RTDE", 2)


def test_data_byte_for_byte():
    types = ("BOOL", "UINT8", "INT32", "UINT32", "UINT64", "DOUBLE", "VECTOR3D", "VECTOR6INT32")
    names = ("flag", "byte", "int", "word", "long", "number", "vector", "modes")
    recipe = Recipe(9, names, types)
    payload = hexes(
        "09  01  ff  fffffffe  80000000  0000000100000000  3ff8000000000000"
        "3ff0000000000000 c000000000000000 0000000000000000"
        "00000001 00000002 00000003 00000004 00000005 ffffffff"
    )
    values = {
        "flag": True,
        "byte": 255,
        "int": -2,
        "word": 2**31,
        "long": 2**32,
        "number": 1.5,
        "vector": (1.0, -2.0, 0.0),
        "modes": (1, 2, 3, 4, 5, -1),
    }
    assert recipe.unpack(payload) == values
    assert recipe.pack(values) == hexes("004e 55") + payload


@pytest.mark.parametrize("word", ["NOT_FOUND", "IN_USE"])
def test_refused_variable_is_named(word):
    with pytest.raises(ProtocolError, match=rf"'?second \({word}\)"):
        rtde.parse_setup_reply(("first", "second"), b"\x01DOUBLE," + word.encode())


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x00DOUBLE,DOUBLE", id="recipe 0"),
        pytest.param(b"\x01DOUBLE", id="too few types"),
        pytest.param(b"", id="empty"),
    ],
)
def test_refused_recipe(payload):
    with pytest.raises(ProtocolError):
        rtde.parse_setup_reply(("first", "second"), payload)


def test_bad_data_is_an_error_not_a_wrong_number():
    recipe = Recipe(1, ("a",), ("INT32",))
    with pytest.raises(ProtocolError, match="4 bytes"):
        recipe.unpack(b"\x01\x00\x00\x00")
    with pytest.raises(ProtocolError, match="recipe 2"):
        recipe.unpack(b"\x02\x00\x00\x00\x00")
    with pytest.raises(ProtocolError, match="'a'"):
        recipe.pack({})
    with pytest.raises(ProtocolError):
        recipe.pack({"a": 2**31})
    with pytest.raises(ProtocolError, match="not an RTDE stream"):
        list(Decoder().feed(b"\x00\x02\x55"))
    with pytest.raises(ProtocolError, match="cut short"):
        rtde.parse_text(b"\x05mo")
    with pytest.raises(ProtocolError, match="at most"):
        rtde.encode(PackageType.DATA, bytes(65536))


def test_a_partial_package_waits_for_its_rest():
    decoder = Decoder()
    stream = hexes("0005 55 01020003 53")
    received = [package for byte in stream for package in decoder.feed(bytes([byte]))]
    assert received == [(0x55, b"\x01\x02"), (0x53, b"")]


_INT32 = st.integers(-(2**31), 2**31 - 1)
_FIELDS = {
    "BOOL": st.booleans(),
    "UINT8": st.integers(0, 255),
    "INT32": _INT32,
    "UINT32": st.integers(0, 2**32 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
    "DOUBLE": st.floats(allow_nan=False),
    "VECTOR3D": st.tuples(*[st.floats(allow_nan=False)] * 3),
    "VECTOR6D": st.tuples(*[st.floats(allow_nan=False)] * 6),
    "VECTOR6INT32": st.tuples(*[_INT32] * 6),
}


@given(
    packages=st.lists(
        st.lists(st.sampled_from(sorted(_FIELDS)), min_size=1, max_size=6).flatmap(
            lambda types: st.tuples(st.just(tuple(types)), st.tuples(*[_FIELDS[word] for word in types]))
        ),
        min_size=1,
        max_size=4,
    ),
    cut=st.integers(1, 40),
)
def test_round_trip_however_the_stream_is_cut(packages, cut):
    recipes, stream = [], b""
    for index, (types, values) in enumerate(packages):
        names = tuple(f"v{i}" for i in range(len(types)))
        recipes.append((Recipe(index + 1, names, types), dict(zip(names, values, strict=True))))
        stream += recipes[-1][0].pack(recipes[-1][1])
    decoder = Decoder()
    received = [p for start in range(0, len(stream), cut) for p in decoder.feed(stream[start : start + cut])]
    assert [kind for kind, _ in received] == [PackageType.DATA] * len(packages)
    assert [r.unpack(payload) for (r, _), (_, payload) in zip(recipes, received, strict=True)] == [
        values for _, values in recipes
    ]
