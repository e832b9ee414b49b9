"""The mechanics of the virtual Go1."""

from __future__ import annotations

from hardware.go1 import GO1, SCENE
from hardware.go1.spec import FOLDED_POSE, kind_of
from sim.devices.quadruped_body import JOINTS, Breed

BREED = Breed(
    scene=SCENE,
    trunk=GO1.base_frame,
    folded_pose={name: FOLDED_POSE[kind_of(name)] for name in JOINTS},
    servo=0x0A,
    overheat=0x08,
)
