"""The mechanics of the virtual Go2."""

from __future__ import annotations

from hardware.go2 import GO2, SCENE
from hardware.go2.spec import FOLDED_POSE, kind_of
from sim.devices.quadruped_body import JOINTS, Breed

BREED = Breed(
    scene=SCENE,
    trunk=GO2.base_frame,
    folded_pose={name: FOLDED_POSE[kind_of(name)] for name in JOINTS},
    servo=0x01,
)
