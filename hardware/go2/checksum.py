"""The checksum of the Go2's low-level messages."""

from __future__ import annotations

import zlib

import numpy as np

_REVERSED_BYTES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL = 0xFFFFFFFF


def crc32_words(data: bytes) -> int:
    """CRC-32 of whole little-endian words, most significant bit first.

    Polynomial 0x04C11DB7, start 0xFFFFFFFF, nothing reflected, no final xor, as in Unitree's `crc_amd64.so`. That is
    zlib's CRC of the same bits in mirrored order: every word with its bytes swapped, every byte with its bits reversed,
    and the result reversed again without zlib's final xor.

    Args:
        data: a whole number of 4-byte words.

    Raises:
        ValueError: the length is not a multiple of four.
    """
    if len(data) % 4:
        raise ValueError(f"the checksum is over whole words; {len(data)} bytes are none")
    swapped = np.frombuffer(data, dtype="<u4").byteswap().tobytes()
    mirrored = zlib.crc32(swapped.translate(_REVERSED_BYTES)) ^ _ALL
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED_BYTES), "big")
