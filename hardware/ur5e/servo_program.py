"""The program that runs on the controller: `servo.script` with its settings filled in, and its register numbers."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).parent / "servo.script"
"""The program's source, URScript with `$name` where a setting goes."""
CYCLE_S = 0.002
"""Controller cycle of an e-Series arm [s]."""

MODE_INPUT = "input_int_register_24"
"""RTDE variable of the requested mode, a `ServoMode`."""
COUNTER_INPUT = "input_int_register_25"
"""RTDE variable that changes with every package."""
TARGET_INPUTS = tuple(f"input_double_register_{register}" for register in range(24, 30))
"""RTDE variables of the joint targets [rad]."""
ECHO_OUTPUT = "output_int_register_24"
"""RTDE variable of the counter that the program saw last."""
STATE_OUTPUT = "output_int_register_25"
"""RTDE variable of the program's state, a `ServoState`."""
RUN_OUTPUT = "output_int_register_26"
"""RTDE variable of the run that the program belongs to."""


class ServoMode(IntEnum):
    """What the host asks of the program."""

    HOLD = 0
    FOLLOW = 1
    STOP = 2


class ServoState(IntEnum):
    """What the program is doing, or why it ended."""

    HOLDING = 0
    FOLLOWING = 1
    HOST_SILENT = 2
    STOPPED = 3
    FIRST_TARGET_TOO_FAR = 4


def servo_program(
    *,
    run: int,
    watchdog_s: float,
    lookahead_s: float,
    gain: float,
    deceleration: float,
    first_step_max_rad: float,
) -> str:
    """The program as URScript text.

    Args:
        run: number of this run; the program shows it in `RUN_OUTPUT`.
        watchdog_s: silence of the host after which the arm stops [s]; at least two controller cycles. While the speed
            is scaled down, the controller's own watchdog stops it after twice this time.
        lookahead_s: smoothing time of `servoj` [s], 0.03 to 0.2 by the script manual.
        gain: position gain of `servoj`, 100 to 2000 by the script manual.
        deceleration: of every stop [rad/s^2].
        first_step_max_rad: largest distance of the first target from the measured position, per joint [rad].
    """
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines(keepends=True)
    # The script port takes a function definition as a program; whatever precedes it would run on its own.
    code = "".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return Template(code).substitute(
        run=run,
        silent_cycles_max=max(2, round(watchdog_s / CYCLE_S)),
        backup_hz=0.5 / watchdog_s,
        lookahead_s=lookahead_s,
        gain=gain,
        deceleration=deceleration,
        first_step_max_rad=first_step_max_rad,
    )
