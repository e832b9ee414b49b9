from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.config import dump_config, field_docs, load_config
from hardware.errors import ConfigError
from hardware.yaml_core import parse_yaml


class Mode(Enum):
    FAST = "as fast as it goes"
    SLOW = "slow"


@dataclass(frozen=True)
class Loop:
    rate_hz: float = 500.0
    """Rate of the loop [Hz]."""
    gains: tuple[float, ...] = (1.0, 2.0)
    """Gains,
    one per joint."""
    corner: tuple[float, int] = (0.5, 3)


@dataclass(frozen=True)
class Config:
    name: str
    seed: int = 0
    """Seed."""
    verbose: bool = False
    loop: Loop = Loop(rate_hz=250.0)
    mode: Mode = Mode.SLOW
    kind: Literal["arm", "base", 3] = "arm"
    folder: Path = Path("runs")
    limit: float | None = None
    extra: dict[str, float] = field(default_factory=dict)
    spare: Loop | None = None
    parts: tuple[Loop, ...] = ()
    value: bool | int | float | str | list[str] = "x"


@dataclass(frozen=True)
class Checked:
    rate_hz: float = 1.0

    def __post_init__(self) -> None:
        if self.rate_hz <= 0.0:
            raise ValueError("rate_hz must be positive")


@dataclass(frozen=True)
class Child(Loop):
    depth: int = 1
    """Depth."""


@dataclass(frozen=True)
class Outer:
    inner: Checked = Checked()


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def yaml_of(config: object) -> dict:
    return parse_yaml(dump_config(config))


def test_defaults_file_and_overrides_win_in_that_order(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: from file\nseed: 1\nloop: {gains: [3]}\n")
    config = load_config(Config, path, {"seed": 2, "loop.corner": [1, 1], "spare.rate_hz": 7})
    assert config == Config(
        name="from file", seed=2, loop=Loop(250.0, (3.0,), (1.0, 1)), spare=Loop(rate_hz=7.0)
    )  # loop.rate_hz keeps the default of Config.loop, not that of Loop
    assert all(type(gain) is float for gain in config.loop.gains)


def test_every_kind_of_field_is_read_from_yaml_and_from_json(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "name: 'on'\nverbose: true\nmode: FAST\nkind: 3\nfolder: a/b\nlimit: 1e-3\nextra: {a: -.inf, b: 2}\n"
        "spare: {rate_hz: 1}\nparts: [{rate_hz: 2}, {}]\nvalue: [a, b]\n"
    )
    (tmp_path / "c.json").write_text(
        '{"name": "on", "verbose": true, "mode": "FAST", "kind": 3, "folder": "a/b", "limit": 1e-3,'
        '"extra": {"a": -Infinity, "b": 2}, "spare": {"rate_hz": 1},'
        '"parts": [{"rate_hz": 2}, {}], "value": ["a", "b"]}'
    )
    expected = Config(
        name="on",
        verbose=True,
        mode=Mode.FAST,
        kind=3,
        folder=Path("a/b"),
        limit=0.001,
        extra={"a": -math.inf, "b": 2.0},
        spare=Loop(rate_hz=1.0),
        parts=(Loop(rate_hz=2.0), Loop()),
        value=["a", "b"],
    )
    assert load_config(Config, tmp_path / "c.yaml") == expected
    assert load_config(Config, tmp_path / "c.json") == expected


def test_yaml_is_read_by_the_core_schema(tmp_path):
    path = tmp_path / "c.yaml"
    for text, value in (("010", 10), ("0x10", 16), ("0o10", 8), ("1e3", 1000.0), ("no", "no"), ("1:30", "1:30")):
        path.write_text(f"name: a\nvalue: {text}\n")
        read = load_config(Config, path).value
        assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a", "sede": 1}, "unknown key 'sede'. Did you mean 'seed'?"),
        ({"name": "a", "loop": {"rate": 1}}, "unknown key 'loop.rate'. Did you mean 'loop.rate_hz'?"),
        ({"seed": 1}, "missing required key 'name'"),
        ({"name": "a", "loop": {"rate_hz": True}}, r"loop.rate_hz: expected a number, found true or false \(True\)"),
        ({"name": "a", "seed": True}, "seed: expected an integer"),
        ({"name": "a", "seed": 1.0}, r"seed: expected an integer, found a number \(1.0\)"),
        ({"name": "a", "verbose": 1}, "verbose: expected true or false, found an integer"),
        ({"name": 3}, "name: expected text, found an integer"),
        ({"name": None}, "name: expected text, found nothing"),
        ({"name": "a", "loop": 3}, r"loop: expected a mapping \(Loop\)"),
        ({"name": "a", "loop": {"gains": 1.0}}, "loop.gains: expected a list, found a number"),
        ({"name": "a", "loop": {"gains": [1, "x"]}}, r"loop.gains\[1\]: expected a number, found text"),
        ({"name": "a", "loop": {"corner": [1]}}, "loop.corner: expected a list of 2, found a list of 1"),
        ({"name": "a", "mode": "FSAT"}, "mode: expected one of FAST, SLOW.*Did you mean 'FAST'"),
        ({"name": "a", "kind": True}, "kind: expected one of 'arm', 'base', 3"),
        ({"name": "a", "kind": "amr"}, "Did you mean 'arm'"),
        ({"name": "a", "limit": "high"}, "limit: expected a number, found text"),
        ({"name": "a", "extra": {"k": "v"}}, "extra.k: expected a number"),
        ({"name": "a", "extra": {3: 1.0}}, "extra: expected a mapping with text keys"),
        ({"name": "a", "parts": [{"rat_hz": 1}]}, r"'parts\[0\].rat_hz'. Did you mean 'parts\[0\].rate_hz'"),
        ({"name": "a", "value": {"a": 1}}, "value: expected true or false or an integer"),
        ({"name": "a", "limit": 10**400}, "limit: expected a number"),
    ],
)
def test_a_wrong_key_or_type_is_one_clear_error(data, message):
    with pytest.raises(ConfigError, match=message):
        load_config(Config, data)


def test_what_the_class_itself_refuses_carries_the_path():
    with pytest.raises(ConfigError, match="Outer: inner: rate_hz must be positive"):
        load_config(Outer, {"inner": {"rate_hz": -1}})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "name: [1", "not valid YAML"),
        ("c.yaml", "name: a\nname: b\n", "key 'name' is given twice"),
        ("c.yaml", "name: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("c.yaml", "- a\n", "top level: expected a mapping"),
        ("c.json", "{", "not valid JSON"),
        ("c.json", '{"name": "a", "name": "b"}', "given twice"),
        ("c.yaml", "", "missing required key 'name'"),
    ],
)
def test_an_unreadable_file_is_named_in_the_error(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Config, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_an_absent_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="absent.yaml: cannot be read"):
        load_config(Config, tmp_path / "absent.yaml")


LOOPS = st.builds(
    Loop,
    rate_hz=st.floats(),
    gains=st.lists(st.floats(), max_size=3).map(tuple),
    corner=st.tuples(st.floats(), st.integers()),
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        [
            "on",
            "1e5",
            "010",
            "0o7",
            "null",
            "~",
            "",
            "true",
            ".inf",
            "2001-01-01",
            "1:30",
            "<<",
            "=",
            "- a",
            "\x85",
            "\u2028a",
        ]
    ),
)


@given(
    name=TEXT,
    seed=st.integers(),
    loop=LOOPS,
    mode=st.sampled_from(Mode),
    limit=st.none() | st.floats(),
    extra=st.dictionaries(TEXT, st.floats(), max_size=3),
    value=st.booleans() | st.integers() | st.floats() | TEXT | st.lists(TEXT, max_size=2),
    style=st.sampled_from(["yaml", "json"]),
)
def test_a_dump_reloads_exactly(tmp_path_factory, style, **fields):
    config = Config(**fields)
    path = tmp_path_factory.getbasetemp() / f"round_trip.{style}"
    path.write_text(dump_config(config, style), encoding="utf-8")
    again = load_config(Config, path)
    assert repr(again) == repr(config)  # equal, with nan equal to nan
    assert type(again.value) is type(config.value)
    for before, after in zip(config.loop.gains, again.loop.gains, strict=True):
        assert bits(before) == bits(after) or (math.isnan(before) and math.isnan(after))


def test_numpy_numbers_are_dumped_as_plain_ones():
    assert load_config(Loop, yaml_of(Loop(rate_hz=np.float64(0.1)))) == Loop(rate_hz=0.1)


def test_a_value_no_file_can_hold_is_refused_when_dumped():
    with pytest.raises(ConfigError, match="cannot hold a object"):
        dump_config(Config(name=object()))  # type: ignore[arg-type]


def test_field_docs_are_the_literals_under_the_fields_also_of_bases():
    assert dict(field_docs(Loop)) == {"rate_hz": "Rate of the loop [Hz].", "gains": "Gains, one per joint."}
    assert field_docs(Child)["depth"] == "Depth."
    assert field_docs(Child)["rate_hz"] == "Rate of the loop [Hz]."
