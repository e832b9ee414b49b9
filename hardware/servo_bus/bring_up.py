"""From an open bus to an arm that holds where it is: every servo found, right, well, and its goal where it stands."""

from __future__ import annotations

from hardware.clock import Clock
from hardware.errors import DeviceFaultError, DeviceNotConnectedError, ProtocolError
from hardware.servo_bus.bus import ServoBus
from hardware.servo_bus.calibration import JointMap
from hardware.servo_bus.servo_model import Register, ServoModel, ServoReading

_ATTEMPTS = 5
_REBOOT_S = 0.5
"""Time that a servo takes to restart [s]."""
_CLEAR_S = 0.05
"""Time until a servo's status shows that its protection has ended [s]."""


class BringUp:
    """The steps of one connection.

    Args:
        device: name of the robot, for messages.
        bus: the open bus.
        model: the model of its servos.
        joints: the arm.
        clock: for waits.
    """

    def __init__(self, device: str, bus: ServoBus, model: ServoModel, joints: JointMap, clock: Clock) -> None:
        self._device, self._bus, self._model, self._joints, self._clock = device, bus, model, joints, clock

    def identify(self) -> None:
        """Find every servo, of the right model and in position mode.

        Raises:
            DeviceNotConnectedError: a servo does not answer.
            ProtocolError: it is another model.
            DeviceFaultError: it is not in position mode.
        """
        bus, model = self._bus, self._model
        absent = [
            f"'{name}' (id {servo_id})"
            for name, servo_id in zip(self._joints.spec.joint_names, self._joints.ids, strict=True)
            if not any(bus.ping(servo_id) for _ in range(2))
        ]
        if absent:
            check = (
                f"no answer from {', '.join(absent)}: the cables from servo to servo, the power supply, the ids, "
                f"and that they are {model.protocol.name} servos at {bus.port.baud_rate} baud"
            )
            raise DeviceNotConnectedError(self._device, bus.port.path, check)
        for name, servo_id in zip(self._joints.spec.joint_names, self._joints.ids, strict=True):
            number = self._value(servo_id, model.model_register)
            if number != model.model_number:
                raise ProtocolError(
                    f"servo {servo_id} ('{name}') has model number {number}; an {model.name} has {model.model_number}. "
                    "Check the ids, and the setting 'servos'"
                )
            mode = self._value(servo_id, model.mode_register)
            if mode != model.position_mode:
                action = f"write {model.position_mode} to its register {model.mode_register.address}, torque off"
                raise DeviceFaultError(self._device, f"operating mode {mode} at '{name}'", action)

    def readings(self) -> list[ServoReading]:
        """All servos, in the robot's order.

        Raises:
            DeviceNotConnectedError: one does not answer.
        """
        block = self._model.feedback
        for _ in range(_ATTEMPTS):
            replies = self._bus.sync_read(self._joints.ids, block.address, block.size)
            if len(replies) == len(self._joints.ids):
                return [self._model.decode(replies[servo_id]) for servo_id in self._joints.ids]
        raise DeviceNotConnectedError(
            self._device, self._bus.port.path, "the cables from servo to servo: single servos answer, all together not"
        )

    def complaints(self) -> dict[int, str]:
        """Id of every servo that reports a fault -> the fault, with the joint's name.

        Raises:
            DeviceNotConnectedError: a servo does not answer.
        """
        found, register = {}, self._model.fault_register
        names = self._joints.spec.joint_names
        for name, servo_id, reading in zip(names, self._joints.ids, self.readings(), strict=True):
            words = reading.faults
            if reading.alert and register is not None:
                words += self._model.fault_words(self._value(servo_id, register)) or ("hardware error",)
            if words:
                found[servo_id] = f"'{name}': {', '.join(words)}"
        return found

    def clear(self, servo_ids: list[int]) -> None:
        """Clear the faults of these servos; their torque is off afterwards."""
        model = self._model
        if model.reboots:
            for servo_id in servo_ids:
                self._bus.reboot(servo_id)
            self._clock.sleep_until(self._clock.now() + _REBOOT_S)
            return
        self._bus.sync_write(model.torque_register.address, dict.fromkeys(servo_ids, model.torque_register.bytes_of(0)))
        self._clock.sleep_until(self._clock.now() + _CLEAR_S)

    def release(self) -> None:
        """Switch the torque of every servo off: an arm that nothing carries falls.

        Raises:
            ProtocolError: a servo does not obey.
        """
        self._write(self._model.torque_register, [0] * len(self._joints.ids))

    def power_up(self, speed_max: list[float], watchdog_s: float) -> None:
        """Make the present position the goal, then switch the torque on: nothing moves.

        Args:
            speed_max: largest speed of each joint that the servos themselves allow [rad/s].
            watchdog_s: the servos stop after this time without a packet, where they can [s].

        Raises:
            DeviceNotConnectedError: a servo does not answer.
            ProtocolError: it does not keep what was written.
        """
        model, ids = self._model, self._joints.ids
        if model.watchdog_register is not None:  # a watchdog that has bitten refuses goals until 0 is written
            self._write(model.watchdog_register, [0] * len(ids))
        self._write(model.limit_register, [model.limit(1.0)] * len(ids))
        self._write(model.speed_register, [model.speed(speed) for speed in speed_max])
        self._write(model.goal_register, [max(0, reading.tick) for reading in self.readings()])
        self._write(model.torque_register, [1] * len(ids))
        if model.watchdog_register is not None:
            self._write(model.watchdog_register, [model.watchdog(watchdog_s)] * len(ids))

    def _write(self, register: Register, values: list[int]) -> None:
        """Write one register of every servo, and read it back."""
        ids = self._joints.ids
        wanted = {servo_id: register.bytes_of(value) for servo_id, value in zip(ids, values, strict=True)}
        for _ in range(_ATTEMPTS):
            self._bus.sync_write(register.address, wanted)
            replies = self._bus.sync_read(ids, register.address, register.size)
            if {servo_id: status.data for servo_id, status in replies.items()} == wanted:
                return
        wrong = [servo_id for servo_id in ids if servo_id not in replies or replies[servo_id].data != wanted[servo_id]]
        raise ProtocolError(
            f"{self._device}: servo {', '.join(map(str, wrong))} does not keep register {register.address}; "
            "check its supply, and that no other program writes to it"
        )

    def _value(self, servo_id: int, register: Register) -> int:
        return int.from_bytes(self._bus.require(servo_id, register.address, register.size), "little")
