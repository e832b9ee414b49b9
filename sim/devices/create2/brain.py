"""The firmware of the virtual Create 2: Open Interface, modes, safety and sleep.

Written from the iRobot Create 2 Open Interface Specification, apart from the driver.
"""

from __future__ import annotations

import math

from sim.devices.create2.world import TICK_S, World

OFF, PASSIVE, SAFE, FULL = 0, 1, 2, 3
MODE_NAMES = ("off", "passive", "safe", "full")
COUNTS_PER_RADIAN = 508.8 / (2.0 * math.pi)
STREAM_TICKS = 3
WIDTHS = {
    **dict.fromkeys((*range(7, 19), 21, 24, 32, 34, 35, 36, 37, 38, 45, 52, 53, 58), 1),
    **dict.fromkeys((19, 20, 22, 23, 25, 26, 27, 28, 29, 30, 31, 33, *range(39, 45), *range(46, 52)), 2),
    **dict.fromkeys(range(54, 58), 2),
}
"""Sensor packet -> number of bytes."""
GROUPS = {
    0: range(7, 27), 1: range(7, 17), 2: range(17, 21), 3: range(21, 27), 4: range(27, 35), 5: range(35, 43),
    6: range(7, 43), 100: range(7, 59), 101: range(43, 59), 106: range(46, 52), 107: range(54, 59),
}  # fmt: skip
"""Group packet -> packets in it."""
_SIGNED = (19, 20, 23, 24, 39, 40, 41, 42, 54, 55, 56, 57)
_ARGUMENTS = {129: 1, 137: 4, 138: 1, 139: 3, 141: 1, 142: 1, 144: 3, 145: 4, 146: 4, 150: 1, 151: 1, 162: 2, 163: 4,
              164: 4, 165: 1, 167: 15, 168: 3}  # fmt: skip
_MOVES = (137, 138, 144, 145, 146)
_AXLE_MM = 235.0


class Brain:
    """Obeys bytes, drives the wheels, and makes the bytes to send. `tick` moves it on by `TICK_S`.

    Args:
        world: what it drives in.
        docked: whether it stands on its home base.
        dock_sleep_s: time on the home base in passive mode after which it ignores commands [s].
    """

    def __init__(self, world: World, *, docked: bool, dock_sleep_s: float) -> None:
        self.world, self.docked, self.dock_sleep_s = world, docked, dock_sleep_s
        self.mode = OFF
        self.asleep = False
        self.lifted = False
        self.forced_cliff = False
        self.encoder_jump = 0
        self.targets_mm_s = (0, 0)
        self.ticks = 0
        self.counters = {"drive_commands": 0, "unknown_opcodes": 0, "fall_backs": 0}
        self.last_fall_back = ""
        self._input = b""
        self._stream: list[int] = []
        self._streaming = False
        self._passive_ticks = 0
        self._distance_mm = self._angle_deg = 0.0
        self._angles = world.wheel_angles

    def receive(self, data: bytes) -> bytes:
        """Obey what came from the computer; what is answered at once."""
        if self.asleep:
            return b""
        self._input += data
        answer = b""
        while self._input:
            length = self._length()
            if length is None or len(self._input) < length:
                break
            opcode, arguments, self._input = self._input[0], self._input[1:length], self._input[length:]
            answer += self._obey(opcode, arguments)
        return answer

    def tick(self) -> bytes:
        """Move on; the packet of the stream, where one is due."""
        self.ticks += 1
        self._guard()
        self._doze()
        left, right = self.targets_mm_s if self.mode in (SAFE, FULL) else (0, 0)
        if not self.lifted:
            self.world.step(1e-3 * left, 1e-3 * right)
        self._count()
        if not self._streaming or self.ticks % STREAM_TICKS or self.mode == OFF:
            return b""
        body = b"".join(bytes([packet]) + self.sensor(packet) for packet in self._stream)
        packet = bytes([19, len(body)]) + body
        return packet + bytes([-sum(packet) % 256])

    def wake(self) -> None:
        """Someone presses CLEAN."""
        self.asleep, self._passive_ticks = False, 0

    def sensor(self, packet: int) -> bytes:
        """The data of one packet or group."""
        if packet in GROUPS:
            return b"".join(self.sensor(member) for member in GROUPS[packet])
        value = self._value(packet)
        return value.to_bytes(WIDTHS[packet], "big", signed=packet in _SIGNED)

    # --- commands

    def _length(self) -> int | None:
        """Bytes of the command at the front of the input; None while that cannot be known yet."""
        opcode = self._input[0]
        if opcode in (148, 149):
            return 2 + self._input[1] if len(self._input) > 1 else None
        if opcode == 140:
            return 3 + 2 * self._input[2] if len(self._input) > 2 else None
        return 1 + _ARGUMENTS.get(opcode, 0)

    def _obey(self, opcode: int, arguments: bytes) -> bytes:
        if self.mode == OFF and opcode != 128:
            return b""
        if opcode == 128:
            self._enter(PASSIVE)
        elif opcode in (130, 131):
            self._enter(SAFE)
        elif opcode == 132:
            self._enter(FULL)
        elif opcode in (133, 173, 7):
            self._enter(OFF)
            self._streaming = False
        elif opcode == 148:
            self._stream = [packet for packet in arguments[1:] if packet in WIDTHS or packet in GROUPS]
            self._streaming = True
        elif opcode == 150:
            self._streaming = arguments[0] == 1
        elif opcode in (142, 149):
            asked = arguments if opcode == 142 else arguments[1:]
            return b"".join(self.sensor(packet) for packet in asked if packet in WIDTHS or packet in GROUPS)
        elif opcode in _MOVES:
            self._drive(opcode, arguments)
        elif opcode not in _ARGUMENTS and not 134 <= opcode <= 143:
            self.counters["unknown_opcodes"] += 1
        return b""

    def _drive(self, opcode: int, arguments: bytes) -> None:
        if self.mode not in (SAFE, FULL):
            return
        self.counters["drive_commands"] += 1
        if opcode not in (137, 145):
            return
        first, second = (int.from_bytes(arguments[at : at + 2], "big", signed=True) for at in (0, 2))
        if opcode == 145:
            right, left = first, second
        else:
            left, right = _wheels_of_radius(first, second)
        self.targets_mm_s = (max(-500, min(500, left)), max(-500, min(500, right)))

    def _enter(self, mode: int) -> None:
        if mode == PASSIVE or self.mode != mode:
            self.targets_mm_s = (0, 0)
        self.mode, self._passive_ticks = mode, 0

    # --- what it does by itself

    def _guard(self) -> None:
        """Safe mode: motors off and passive at an edge while moving forwards, when lifted, and on a charger."""
        if self.mode != SAFE:
            return
        cause = ""
        if any(self._drops()):
            cause = "wheel drop"
        elif any(self._cliffs()) and sum(self.targets_mm_s) >= 0:
            cause = "cliff"
        elif self.docked:
            cause = "charger"
        if cause:
            self._enter(PASSIVE)
            self.counters["fall_backs"] += 1
            self.last_fall_back = cause

    def _doze(self) -> None:
        """On the home base, in passive mode, it falls asleep: it goes on streaming, but hears nothing."""
        if self.mode == PASSIVE and self.docked:
            self._passive_ticks += 1
            self.asleep = self.asleep or self._passive_ticks * TICK_S >= self.dock_sleep_s
        if not self.docked:
            self.asleep = False

    def _count(self) -> None:
        before, self._angles = self._angles, self.world.wheel_angles
        left, right = (1e3 * 0.036 * (now - then) for now, then in zip(self._angles, before, strict=True))
        self._distance_mm += 0.5 * (left + right)
        self._angle_deg += math.degrees((right - left) / _AXLE_MM)

    def _cliffs(self) -> tuple[bool, ...]:
        return (True,) * 4 if self.forced_cliff or self.lifted else self.world.cliffs()

    def _drops(self) -> tuple[bool, bool]:
        return (True, True) if self.lifted else self.world.wheel_drops()

    # --- sensors

    def _value(self, packet: int) -> int:
        if packet == 7:
            (bump_left, bump_right), (drop_left, drop_right) = self.world.bumps(), self._drops()
            return bump_right | bump_left << 1 | drop_right << 2 | drop_left << 3
        if 9 <= packet <= 12:
            return int(self._cliffs()[packet - 9])
        if packet in (19, 20):
            return self._since_asked(packet)
        if packet in (43, 44):
            counts = math.floor(self._angles[packet - 43] * COUNTS_PER_RADIAN) + self.encoder_jump
            return counts % 65536
        if 46 <= packet <= 51:
            return self.world.light_bumps()[packet - 46]
        left, right = self.targets_mm_s
        fixed = {21: 2 * self.docked, 22: 15800, 23: -300, 24: 25, 25: 2100, 26: 2696, 34: 2 * self.docked,
                 35: self.mode, 38: len(self._stream), 41: right, 42: left}  # fmt: skip
        return fixed.get(packet, 0)

    def _since_asked(self, packet: int) -> int:
        """Way [mm] or turn [deg] since it was last asked for."""
        if packet == 19:
            value = round(self._distance_mm)
            self._distance_mm -= value
        else:
            value = round(self._angle_deg)
            self._angle_deg -= value
        return max(-32768, min(32767, value))


def _wheels_of_radius(velocity: int, radius: int) -> tuple[int, int]:
    """Wheel speeds, left and right [mm/s], of the command 137."""
    if radius in (32767, -32768):
        return velocity, velocity
    if abs(radius) == 1:
        return -velocity * radius, velocity * radius
    if radius == 0:
        return velocity, velocity
    return round(velocity * (1 - 0.5 * _AXLE_MM / radius)), round(velocity * (1 + 0.5 * _AXLE_MM / radius))
