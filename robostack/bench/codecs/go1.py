"""One cycle of the Go1's codec: a LowCmd packet out, a LowState packet in, each with its checksum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardware.go1 import GO1
from hardware.go1.checksum import crc32_words
from hardware.go1.packets import HEAD, LOW_LEVEL, LOW_STATE, SERVO, CommandPacket, unpack_state
from robostack.bench.codecs.codec import CodecEntry

_CHECKED_BYTES = 800


def _prepare() -> Callable[[], object]:
    state = np.zeros((), dtype=LOW_STATE)
    state["head"], state["level_flag"] = tuple(HEAD), LOW_LEVEL
    state["crc"] = crc32_words(state.tobytes()[:_CHECKED_BYTES])
    data, packet, rest = state.tobytes(), CommandPacket(), np.zeros(len(GO1.joints))

    def cycle() -> object:
        packet.fill(SERVO, GO1.default_position, rest, rest, GO1.stiffness, GO1.damping)
        return unpack_state(data)

    return cycle


CODEC = CodecEntry(prepare=_prepare)
