"""MuJoCo Warp: MuJoCo's physics for many worlds at once on an NVIDIA GPU; without one on the CPU, slowly."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import mujoco
from mujoco.batch import Batch

from hardware.spec import RobotSpec
from sim.mujoco_engine import MujocoEngine
from sim.warp_batch import WarpBatch


class MujocoWarpEngine(MujocoEngine):
    """`count` simulations of one model on one device; see `sim.engine.Engine` and `sim.mujoco_engine`.

    All that can be asked of the MuJoCo engine can be asked of this one: objects, mocap bodies, floating bases, delays.
    The device computes in 32 bits. The first step of a model compiles its kernels, which are kept in a cache.

    Args:
        spec: the robot; its joints, tool and base frame are found in the model by name.
        model: MJCF file, specification or compiled model.
        count: number of simulations.
        threads: of no effect; the device has its own.
        timestep_s: physics step [s]; None keeps the model's.
        latency_max_s: largest delay of the actuators that `set_dynamics` may ask for [s].
        device: name of the device as Warp has it ("cpu", "cuda:0"); None: the first GPU, or the CPU without one.

    Raises:
        ConfigError: the model has what MuJoCo Warp cannot do.
        MissingExtraError: MuJoCo Warp is not installed.
        UnknownNameError: the model lacks a joint or frame of the robot.
    """

    def __init__(
        self,
        spec: RobotSpec,
        model: Path | mujoco.MjSpec | mujoco.MjModel,
        count: int,
        threads: int = 1,
        timestep_s: float | None = None,
        latency_max_s: float = 0.0,
        device: str | None = None,
    ) -> None:
        self._device = device
        super().__init__(spec, model, count, threads, timestep_s, latency_max_s)

    def _make_batch(self) -> Batch:
        # What MujocoEngine needs of a batch is what WarpBatch has.
        return cast(Batch, WarpBatch(self.model, self.count, self._device))
