"""The general purpose registers through which RTDE clients and the robot program talk, and who may write them."""

from __future__ import annotations

REGISTER_COUNT = 48
"""Integer and double registers of each direction."""
BIT_COUNT = 128
"""Bit registers of each direction."""


class Registers:
    """Registers of one direction (inputs: written by clients; outputs: written by the robot program)."""

    def __init__(self) -> None:
        self.ints: list[int] = [0] * REGISTER_COUNT
        self.doubles: list[float] = [0.0] * REGISTER_COUNT
        self.bits: list[bool] = [False] * BIT_COUNT

    def bit_word(self, first: int) -> int:
        """Bits `first` .. `first + 31` as one number, the lowest bit first."""
        return sum(1 << index for index, bit in enumerate(self.bits[first : first + 32]) if bit)

    def set_bit_word(self, first: int, word: int) -> None:
        """Inverse of `bit_word`."""
        self.bits[first : first + 32] = [bool(word >> index & 1) for index in range(32)]


class Inputs(Registers):
    """The input registers, with the client that owns each variable and the time of its last write."""

    def __init__(self) -> None:
        super().__init__()
        self.written_s: dict[str, float] = {}
        self.values: dict[str, float] = {}
        self.vectors: dict[str, tuple[float, ...]] = {}
        self._owners: dict[str, int] = {}

    def claim(self, name: str, client: int) -> bool:
        """Reserve `name` for `client`; False when another client has it. A client may claim a name again."""
        return self._owners.setdefault(name, client) == client

    def release(self, client: int) -> None:
        """Give up all that `client` has claimed. The values stay, as in the real controller."""
        self._owners = {name: owner for name, owner in self._owners.items() if owner != client}
