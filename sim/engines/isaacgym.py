"""Isaac Gym, thousands of simulations on an NVIDIA GPU."""

from __future__ import annotations

from sim.engine import EngineEntry

ENGINE = EngineEntry(
    engine="sim.isaacgym_engine:IsaacGymEngine",
    summary="Isaac Gym on an NVIDIA GPU, in NVIDIA's own Python (ROBOSTACK_ISAACGYM_PYTHON)",
    lacks={
        "link/length": "in Isaac Gym all simulations share one shape",
        "world/gravity": "in Isaac Gym all simulations share one gravity",
        "medium/viscosity": "PhysX has no air",
    },
)
