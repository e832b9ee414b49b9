"""A small arm for the tests of this room: model text, description, and a robot that is only numbers."""

from __future__ import annotations

ARM_XML = """
<mujoco>
  <compiler angle="radian"/>
  <option gravity="0 0 0" timestep="0.002"/>
  <worldbody>
    <body name="base" pos="0.3 -0.2 0.4" euler="0.1 -0.2 0.3">
      <geom type="box" size="0.05 0.05 0.05"/>
      <body name="upper" pos="0 0 0.1" euler="0.2 0.3 -0.1">
        <joint name="pan" axis="0 0 1" pos="0.01 0.02 0.03" range="-3 3" limited="true"/>
        <geom type="capsule" size="0.03" fromto="0 0 0 0 0 0.3"/>
        <body name="fore" pos="0.02 0 0.3" quat="0.9 0.1 0.3 -0.2">
          <joint name="lift" axis="0 1 0.2" range="-2.5 2.5" limited="true" ref="0.2"/>
          <geom type="capsule" size="0.03" fromto="0 0 0 0.25 0 0"/>
          <body name="slider" pos="0.25 0 0">
            <joint name="reach" type="slide" axis="1 0 0.3" range="-0.2 0.2" limited="true"/>
            <geom type="capsule" size="0.02" fromto="0 0 0 0.2 0 0"/>
            <body name="wrist" pos="0.2 0 0" euler="0.5 0 0">
              <joint name="roll" axis="1 0 0" range="-3 3" limited="true"/>
              <joint name="bend" axis="0 1 0" pos="0 0 0.02" range="-2 2" limited="true"/>
              <geom type="box" size="0.03 0.02 0.01"/>
              <body name="hand" pos="0.1 0.01 0">
                <joint name="twist" axis="0 0 1" range="-3 3" limited="true"/>
                <geom type="box" size="0.03 0.02 0.01"/>
                <site name="tool" pos="0.08 0 0.01" euler="0.3 0.2 0.1"/>
                <body name="finger" pos="0.05 0 0">
                  <joint name="grip" type="slide" axis="0 1 0" range="0 0.04" limited="true"/>
                  <geom type="box" size="0.01 0.01 0.02"/>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
ARM_JOINTS = ("pan", "lift", "reach", "roll", "bend", "twist")
