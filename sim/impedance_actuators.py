"""Cartesian impedance control as actuators of MuJoCo: the law then runs in every physics step, at no cost in Python.

Six springs and six dampers act between the tool and a mocap body that is the target. A spring's force range is
stiffness times clip, which clips its error exactly; the joints' own servos become the posture springs. It is the law of
`controllers.impedance.CartesianImpedanceController` but for the limit of the torques' rate, which no actuator has.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from controllers.impedance import ImpedanceConfig
from hardware.errors import ConfigError
from hardware.spec import RobotSpec

TOOL_TARGET = "tool_target"
"""The mocap body that the tool is pulled to."""
AXES = ("x", "y", "z", "rotation_x", "rotation_y", "rotation_z")


def with_impedance(model: Path | mujoco.MjSpec, spec: RobotSpec, config: ImpedanceConfig) -> mujoco.MjSpec:
    """A copy of the model with springs and dampers on the tool.

    Args:
        model: MJCF file or specification; its actuators carry the joints' names.
        spec: the robot with its posture gains (`controllers.impedance.impedance_spec`).
        config: gains.

    Raises:
        ConfigError: the robot has no tool, or a joint that follows it has no position servo in the model.
    """
    if spec.tool_frame is None:
        raise ConfigError(f"'{spec.name}' has no tool frame; impedance control needs one")
    made = mujoco.MjSpec.from_file(str(model)) if isinstance(model, Path) else model.copy()
    for joint in spec.joints:
        servo = made.actuator(joint.name)
        if servo is None:
            raise ConfigError(
                f"joint '{joint.name}' of '{spec.name}' has no actuator of its name in the model; add one"
            )
        servo.gainprm[0], servo.biasprm[1], servo.biasprm[2] = joint.stiffness, -joint.stiffness, -joint.damping
    target = made.worldbody.add_body(name=TOOL_TARGET, mocap=True)
    target.add_site(name=TOOL_TARGET, group=4)
    for index, axis in enumerate(AXES):
        for kind in ("spring", "damper"):
            actuator = made.add_actuator(name=f"tool_{kind}_{axis}", trntype=mujoco.mjtTrn.mjTRN_SITE)
            actuator.target, actuator.refsite = spec.tool_frame, TOOL_TARGET
            actuator.gear = np.eye(6)[index]
            actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
            actuator.gainprm[0] = 0.0
            if kind == "spring":
                bound = float(config.force_max[index])
                actuator.biasprm[1] = -config.stiffness[index]
                actuator.forcelimited, actuator.forcerange = True, [-bound, bound]
            else:
                actuator.biasprm[2] = -config.damping[index]
    return made
