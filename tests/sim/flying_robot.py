"""A small robot in free flight, whose trunk turns when its arms are driven: for engines with a floating base."""

from __future__ import annotations

import mujoco

from hardware.spec import JointSpec, RobotSpec

FLYER_XML = """
<mujoco>
  <option timestep="0.001" integrator="implicitfast"/>
  <worldbody>
    <body name="trunk" pos="0.1 0.2 5" quat="0.8 0.1 0.5 0.3">
      <freejoint/>
      <inertial pos="0.1 -0.03 0.02" quat="0.9 0.2 0.1 0.3" mass="2" diaginertia="0.02 0.03 0.04"/>
      <geom type="box" size="0.1 0.1 0.1" mass="0" contype="0" conaffinity="1"/>
      <body name="arm" pos="0.1 0 0.1">
        <joint name="swing" axis="0 1 0" armature="0.002"/>
        <inertial pos="0 0.02 0.2" mass="0.5" diaginertia="0.01 0.01 0.002"/>
      </body>
      <body name="wing" pos="-0.1 0.1 0">
        <joint name="flap" axis="1 0 0" damping="0.05" armature="0.001"/>
        <inertial pos="0 0.1 0" mass="0.3" diaginertia="0.004 0.001 0.004"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="swing" joint="swing"/><motor name="flap" joint="flap" gear="2"/></actuator>
</mujoco>"""
FLYER = RobotSpec(
    name="flyer",
    joints=tuple(JointSpec(name, -50.0, 50.0, 99.0, 99.0, 99.0, 10.0) for name in ("flap", "swing")),
    control_rate_hz=1000.0,
    command_modes=("effort",),
    base_frame="trunk",
)


def flyer() -> mujoco.MjSpec:
    """The model."""
    return mujoco.MjSpec.from_string(FLYER_XML)
