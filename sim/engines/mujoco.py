"""MuJoCo, the engine that policies are trained in."""

from __future__ import annotations

from sim.engine import EngineEntry

ENGINE = EngineEntry(
    engine="sim.mujoco_engine:MujocoEngine",
    summary="MuJoCo on the CPU, many simulations on a thread pool",
)
