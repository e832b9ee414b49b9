"""One cycle of the Go2's codec: a LowCmd message out, a LowState message in, each as CDR with its checksum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hardware.go2 import GO2
from hardware.go2.checksum import crc32_words
from hardware.go2.fields import CDR_HEADER, LOW_STATE, layout_of
from hardware.go2.packets import CommandPacket, unpack_state
from robostack.bench.codecs.codec import CodecEntry


def _prepare() -> Callable[[], object]:
    layout = layout_of(LOW_STATE)
    image = np.zeros(layout.dtype.itemsize + 1, dtype=np.uint8)  # the last one is what padding is taken from
    record: Any = image[:-1].view(layout.dtype)[0]
    record["head"] = (0xFE, 0xEF)
    record["crc"] = crc32_words(image[:-5].tobytes())
    data, packet, rest = CDR_HEADER + image[layout.to_cdr].tobytes(), CommandPacket(), np.zeros(len(GO2.joints))

    def cycle() -> object:
        packet.fill(GO2.default_position, rest, rest, GO2.stiffness, GO2.damping)
        return unpack_state(data)

    return cycle


CODEC = CodecEntry(prepare=_prepare)
