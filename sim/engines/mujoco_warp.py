"""MuJoCo Warp, MuJoCo's physics on an NVIDIA GPU."""

from __future__ import annotations

from sim.engine import EngineEntry

ENGINE = EngineEntry(
    engine="sim.mujoco_warp_engine:MujocoWarpEngine",
    summary="MuJoCo Warp on an NVIDIA GPU, or slowly on the CPU (extra warp)",
)
