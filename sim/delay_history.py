"""Delays of actuators and sensors: room for them in the model, and histories that hold the start state at a reset."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError

Rows = slice | NDArray[np.intp]


def samples_for(latency_max_s: float, timestep_s: float) -> int:
    """Samples that an actuator's history needs for a delay of `latency_max_s` [s] at steps of `timestep_s` [s]."""
    return math.ceil(latency_max_s / timestep_s - 1e-9) + 1


def with_latency(
    model: Path | mujoco.MjSpec | mujoco.MjModel, timestep_s: float | None, latency_max_s: float
) -> mujoco.MjModel:
    """The compiled model with another physics step and with histories long enough for the largest delay.

    Args:
        model: MJCF file, specification or compiled model; left unchanged.
        timestep_s: physics step [s]; None keeps the model's.
        latency_max_s: largest delay of the actuators [s].

    Raises:
        ConfigError: the file cannot be compiled, or a compiled model's histories are too short.
    """
    if isinstance(model, mujoco.MjModel):
        compiled = copy.copy(model)
        if timestep_s is not None:
            compiled.opt.timestep = timestep_s
        needed = samples_for(latency_max_s, float(compiled.opt.timestep))
        if latency_max_s > 0.0 and (compiled.actuator_history[:, 0] < needed).any():
            raise ConfigError(
                f"the compiled model's actuator histories are too short for {latency_max_s} s; set nsample = {needed} "
                "in the MJCF, or give the file or the MjSpec instead"
            )
        return compiled
    try:
        spec = mujoco.MjSpec.from_file(str(model)) if isinstance(model, Path) else model.copy()
        if timestep_s is not None:
            spec.option.timestep = timestep_s
        if latency_max_s > 0.0:
            for actuator in spec.actuators:
                actuator.nsample = max(actuator.nsample, samples_for(latency_max_s, spec.option.timestep))
        return spec.compile()
    except (ValueError, OSError) as error:
        source = f"'{model.name}'" if isinstance(model, Path) else "the model"
        raise ConfigError(f"MuJoCo cannot compile {source}: {error}") from error


class DelayHistory:
    """Fills histories with the start state, so that a delayed actuator does not first act on zeros.

    After a reset MuJoCo's histories hold zeros: a delayed position servo would pull towards zero for the whole delay.

    Args:
        model: the compiled model.
        batch: its simulations.
    """

    def __init__(self, model: mujoco.MjModel, batch: Batch) -> None:
        self._model, self._batch = model, batch
        self._history = batch.bind("history") if model.nhistory else np.zeros((batch.nsim, 0))
        self._control_columns, self._control_source = self._learn_controls()
        self._sensor_columns, self._sensor_source = self._learn_sensors()

    def fill_controls(self, rows: Rows, ctrl: FloatArray) -> None:
        """Write the inputs of now, `ctrl` (count, nu), into the histories of the actuators of `rows`."""
        if len(self._control_columns):
            values = ctrl[rows][:, self._control_source]
            if isinstance(rows, slice):
                self._history[:, self._control_columns] = values
            else:
                self._history[rows[:, None], self._control_columns] = values

    def fill_sensors(self, rows: Rows) -> None:
        """Write what the sensors of `rows` would read without delay into their histories."""
        if not len(self._sensor_columns):
            return
        for row in np.arange(self._batch.nsim)[rows]:
            model, data = self._batch.get_model(int(row)), self._batch.get_data(int(row))
            model.sensor_delay[:] = 0.0
            mujoco.mj_forward(model, data)
            self._history[row, self._sensor_columns] = data.sensordata[self._sensor_source]

    def _learn_controls(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Columns of `history` that hold inputs, and the input each holds; asked of MuJoCo, not assumed."""
        data = mujoco.MjData(self._model)
        columns, source = [], []
        for actuator in np.flatnonzero(self._model.actuator_history[:, 0]):
            first, width = int(self._model.actuator_ctrladr[actuator]), int(self._model.actuator_ctrlnum[actuator])
            marks = np.broadcast_to(1e6 + first + np.arange(width), (self._model.actuator_history[actuator, 0], width))
            mujoco.mj_initCtrlHistory(self._model, data, int(actuator), None, np.ascontiguousarray(marks, np.float64))
            found = np.flatnonzero(data.history >= 1e6)
            columns.append(found)
            source.append(data.history[found] - 1e6)
            data.history[found] = 0.0
        return _joined(columns), _joined(source)

    def _learn_sensors(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Columns of `history` that hold sensor readings, and the element of sensordata each holds."""
        data = mujoco.MjData(self._model)
        columns, source = [], []
        for sensor in np.flatnonzero(self._model.sensor_history[:, 0]):
            first, width = int(self._model.sensor_adr[sensor]), int(self._model.sensor_dim[sensor])
            marks = np.broadcast_to(1e6 + first + np.arange(width), (self._model.sensor_history[sensor, 0], width))
            mujoco.mj_initSensorHistory(
                self._model, data, int(sensor), None, np.ascontiguousarray(marks, np.float64), 0.0
            )
            found = np.flatnonzero(data.history >= 1e6)
            columns.append(found)
            source.append(data.history[found] - 1e6)
            data.history[found] = 0.0
        return _joined(columns), _joined(source)


def _joined(parts: list[NDArray]) -> NDArray[np.intp]:
    return np.concatenate(parts).astype(np.intp) if parts else np.zeros(0, dtype=np.intp)
