"""PyBullet, a second opinion on the same models."""

from __future__ import annotations

from sim.engine import EngineEntry

ENGINE = EngineEntry(
    engine="sim.pybullet_engine:PybulletEngine",
    summary="PyBullet on the CPU, the same models with other contacts (extra pybullet)",
    lacks={"medium/viscosity": "PyBullet has no air"},
)
