"""The driver of the SO-101: an arm of servos on one bus."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.clock import Clock
from hardware.servo_bus.arm import ServoArm, ServoArmConfig
from hardware.so101.spec import SO101


@dataclass(frozen=True)
class SO101Config(ServoArmConfig):
    """How to reach and drive one SO-101."""


class SO101Robot(ServoArm):
    """A connection to one SO-101; see `hardware.servo_bus.arm.ServoArm`.

    Args:
        config: address and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: SO101Config, clock: Clock | None = None) -> None:
        super().__init__(SO101, config, clock)
