"""The variables of the Real-Time Data Exchange: their types, where outputs come from, where inputs go.

What the virtual arm does not model is constant, because clients such as ur-rtde subscribe to all of it: temperatures,
voltages, analogue inputs, momentum, execution time, tool accelerometer, and the force and torque at the tool (0).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sim.devices.ur5e.controller import SAFETY_BITS, Controller, RobotMode, RuntimeState
from sim.devices.ur5e.registers import BIT_COUNT, REGISTER_COUNT, Registers

FORMATS = {
    "BOOL": "?", "UINT8": "B", "INT32": "i", "UINT32": "I", "UINT64": "Q", "DOUBLE": "d",
    "VECTOR3D": "3d", "VECTOR6D": "6d", "VECTOR6INT32": "6i", "VECTOR6UINT32": "6I",
}  # fmt: skip
"""Type words of the protocol -> format characters of `struct`."""

Output = tuple[str, Callable[[], Any]]
"""Type word, and the function that gives the value now (a sequence for the vector types)."""
Input = tuple[str, Callable[[Any], None]]
"""Type word, and the function that takes the value (a tuple for the vector types)."""


def outputs(controller: Controller) -> dict[str, Output]:
    """Every output variable that `controller` offers."""
    table: dict[str, Output] = {}
    motion, arm = controller.motion, controller.arm
    zeros3, zeros6 = [0.0] * 3, [0.0] * 6

    def add(kind: str, **sources: Callable[[], Any]) -> None:
        table.update({name: (kind, source) for name, source in sources.items()})

    add(
        "VECTOR6D",
        target_q=lambda: motion.position,
        target_qd=lambda: motion.velocity,
        target_qdd=lambda: motion.acceleration,
        target_current=lambda: arm.current,
        target_moment=lambda: arm.torque,
        actual_q=lambda: arm.position,
        actual_qd=lambda: arm.velocity,
        actual_current=lambda: arm.current,
        actual_current_as_torque=lambda: arm.torque,
        joint_control_output=lambda: arm.current,
        actual_TCP_pose=lambda: arm.tool_pose(arm.position),
        actual_TCP_speed=lambda: arm.tool_velocity(arm.position, arm.velocity),
        actual_TCP_force=lambda: zeros6,
        target_TCP_pose=lambda: arm.tool_pose(motion.position),
        target_TCP_speed=lambda: arm.tool_velocity(motion.position, motion.velocity),
        joint_temperatures=lambda: [28.0] * 6,
        actual_joint_voltage=lambda: [48.0] * 6,
        ft_raw_wrench=lambda: zeros6,
        payload_inertia=lambda: zeros6,
        tcp_offset=lambda: zeros6,
    )
    add("VECTOR3D", actual_tool_accelerometer=lambda: zeros3, payload_cog=lambda: zeros3)  # fmt: skip
    add("VECTOR6INT32", joint_mode=lambda: [253 if _powered(controller) else 239] * 6)
    add(
        "DOUBLE",
        timestamp=lambda: controller.time_s,
        actual_execution_time=lambda: 0.0003,
        speed_scaling=lambda: controller.speed_scaling,
        target_speed_fraction=lambda: controller.speed_scaling,
        actual_momentum=lambda: 0.0,
        actual_main_voltage=lambda: 48.0,
        actual_robot_voltage=lambda: 48.0 if _powered(controller) else 0.0,
        actual_robot_current=lambda: float(np.abs(arm.current).sum()),
        standard_analog_input0=lambda: 0.0,
        standard_analog_input1=lambda: 0.0,
        standard_analog_output0=lambda: controller.inputs.values.get("standard_analog_output_0", 0.0),
        standard_analog_output1=lambda: controller.inputs.values.get("standard_analog_output_1", 0.0),
        io_current=lambda: 0.0,
        payload=lambda: 0.0,
    )
    add("INT32", robot_mode=lambda: int(controller.robot_mode), safety_mode=lambda: int(controller.safety_mode),
        safety_status=lambda: int(controller.safety_mode))  # fmt: skip
    add(
        "UINT32",
        runtime_state=lambda: int(controller.runtime_state),
        robot_status_bits=lambda: _powered(controller) | (controller.runtime_state is RuntimeState.PLAYING) << 1,
        safety_status_bits=lambda: SAFETY_BITS[controller.safety_mode],
        analog_io_types=lambda: 0,
        script_control_line=lambda: 0,
    )
    add("UINT64", actual_digital_input_bits=lambda: 0, actual_digital_output_bits=lambda: _digital_outputs(controller))
    return {**table, **_registers("output", controller.outputs), **_registers("input", controller.inputs)}


def _registers(direction: str, registers: Registers) -> dict[str, Output]:
    """The general purpose registers of one direction, as variables that clients may read."""
    table: dict[str, Output] = {}
    for index in range(REGISTER_COUNT):
        table[f"{direction}_int_register_{index}"] = ("INT32", partial(registers.ints.__getitem__, index))
        table[f"{direction}_double_register_{index}"] = ("DOUBLE", partial(registers.doubles.__getitem__, index))
    for first in (0, 32):
        table[f"{direction}_bit_registers{first}_to_{first + 31}"] = ("UINT32", partial(registers.bit_word, first))
    for index in range(64, BIT_COUNT):
        table[f"{direction}_bit_register_{index}"] = ("BOOL", partial(registers.bits.__getitem__, index))
    return table


def inputs(controller: Controller) -> dict[str, Input]:
    """Every input variable that clients may write."""
    table: dict[str, Input] = {}
    target = controller.inputs

    def scalar(kind: str, *names: str) -> None:
        table.update({name: (kind, partial(target.values.__setitem__, name)) for name in names})

    scalar("UINT32", "speed_slider_mask")
    scalar("DOUBLE", "speed_slider_fraction", "standard_analog_output_0", "standard_analog_output_1")
    scalar("UINT8", "standard_digital_output_mask", "standard_digital_output", "configurable_digital_output_mask",
           "configurable_digital_output", "tool_digital_output_mask", "tool_digital_output",
           "standard_analog_output_mask", "standard_analog_output_type")  # fmt: skip
    wrench = "external_force_torque"
    table[wrench] = ("VECTOR6D", partial(target.vectors.__setitem__, wrench))
    for index in range(REGISTER_COUNT):
        table[f"input_int_register_{index}"] = ("INT32", partial(target.ints.__setitem__, index))
        table[f"input_double_register_{index}"] = ("DOUBLE", partial(target.doubles.__setitem__, index))
    for first in (0, 32):
        table[f"input_bit_registers{first}_to_{first + 31}"] = ("UINT32", partial(target.set_bit_word, first))
    for index in range(64, BIT_COUNT):
        table[f"input_bit_register_{index}"] = ("BOOL", partial(target.bits.__setitem__, index))
    return table


def _powered(controller: Controller) -> int:
    return int(controller.robot_mode in (RobotMode.IDLE, RobotMode.RUNNING))


def _digital_outputs(controller: Controller) -> int:
    """Digital outputs as the clients set them: bits 0-7 standard, 8-15 configurable, 16-17 tool."""
    values, word = controller.inputs.values, 0
    for shift, group in ((0, "standard"), (8, "configurable"), (16, "tool")):
        mask = int(values.get(f"{group}_digital_output_mask", 0))
        word |= (mask & int(values.get(f"{group}_digital_output", 0))) << shift
    return word
