from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter

from hardware.errors import ConfigError, UnknownNameError
from robostack.nodes.parameters import configuration_from, refuse_unknown

pytestmark = pytest.mark.graph


@dataclass(frozen=True)
class Inner:
    gain: float = 2.0
    """Gain [1/s]."""


@dataclass(frozen=True)
class Config:
    """All kinds of fields."""

    host: str = "127.0.0.2"
    """Address of the arm."""
    rate_hz: float = 100.0
    """Rate [Hz]."""
    episodes: int = 3
    """Number."""
    enabled: bool = False
    """Switch."""
    mode: Literal["slow", "fast"] = "slow"
    """Choice."""
    path: Path = Path("a")
    """File."""
    limit_s: float | None = None
    """Limit [s]; None: none."""
    pose: tuple[float, float, float] = (1.0, 2.0, 3.0)
    """Three numbers."""
    names: tuple[str, ...] = ()
    """Any number of names."""
    inner: Inner = field(default_factory=Inner)
    """Nested."""

    def __post_init__(self) -> None:
        if self.rate_hz <= 0.0:
            raise ValueError(f"rate_hz = {self.rate_hz} must be positive")


def node_with(context, **values):
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    return Node("parameters", parameter_overrides=overrides)


def test_defaults_come_back_unchanged(context):
    assert configuration_from(node_with(context), Config) == Config()


def test_given_values_replace_defaults_with_the_types_of_the_fields(context):
    node = node_with(
        context,
        driver__host="10.0.0.7",
        driver__rate_hz=500,
        driver__episodes=7,
        driver__enabled=True,
        driver__mode="fast",
        driver__path="/b",
        driver__limit_s=0.5,
        driver__pose=[4.0, 5.0, 6.0],
        driver__names=["x", "y"],
        driver__inner__gain=3.0,
    )
    config = configuration_from(node, Config, "driver.")
    assert config == Config(
        "10.0.0.7", 500.0, 7, True, "fast", Path("/b"), 0.5, (4.0, 5.0, 6.0), ("x", "y"), Inner(3.0)
    )
    assert isinstance(config.rate_hz, float)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"episodes": "three"}, "'episodes' = 'three' is a str, expected int"),
        ({"episodes": True}, "expected int"),
        ({"mode": "medium"}, "allowed: 'slow', 'fast'"),
        ({"pose": [1.0, 2.0]}, "'pose' has 2 entries, expected 3"),
        ({"rate_hz": math.nan}, "'rate_hz' is not a number"),
        ({"rate_hz": -1.0}, "must be positive"),
        ({"inner__gain": "high"}, "'inner.gain'"),
    ],
)
def test_a_wrong_value_is_one_clear_error(context, values, text):
    with pytest.raises(ConfigError, match=text.replace("[", r"\[")):
        configuration_from(node_with(context, **values), Config)


def test_a_misspelled_parameter_is_refused_with_the_nearest_name(context):
    node = node_with(context, driver__hots="10.0.0.7")
    configuration_from(node, Config, "driver.")
    with pytest.raises(UnknownNameError, match=r"driver\.host"):
        refuse_unknown(node)


def test_descriptions_are_the_docstrings_under_the_fields_and_parameters_are_read_only(context):
    node = node_with(context)
    configuration_from(node, Config)
    descriptor = node.describe_parameter("rate_hz")
    assert descriptor.description == "Rate [Hz]."
    assert descriptor.read_only
    assert not node.set_parameters([Parameter("rate_hz", value=1.0)])[0].successful
