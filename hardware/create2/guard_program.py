"""Run as a process of its own: stops the robot when the driver's process falls silent. Standard library only.

A Create 2 keeps its last speed for ever; nothing in it notices that its computer is gone. This process shares the open
serial port with the driver and reads a pipe from it: `m` the robot was told to move, `r` it was told to rest, `q` end
without doing anything. The end of the pipe (the driver has died, however), or silence after `m`, stops the robot.
"""

from __future__ import annotations

import os
import select
import sys

STOP_BYTES = bytes([145, 0, 0, 0, 0, 128])
"""Drive direct with zero speeds, then passive mode, in which the motors are off."""


def main(serial: int, pipe: int, silence_s: float) -> int:
    """Watch until the pipe ends or says `q`.

    Args:
        serial: descriptor of the serial port.
        pipe: descriptor of the reading end of the pipe.
        silence_s: silence after `m` that stops the robot [s].
    """
    moving = False
    while True:
        ready, _, _ = select.select([pipe], [], [], silence_s if moving else None)
        said = os.read(pipe, 4096) if ready else b""
        if b"q" in said:
            return 0
        if not said:
            try:
                os.write(serial, STOP_BYTES)
            except OSError:
                return 1  # the cable is gone too
        if ready and not said:
            return 0
        moving = said.endswith(b"m")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
