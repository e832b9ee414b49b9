"""Many worlds of one model in MuJoCo Warp, with the interface of `mujoco.batch.Batch` that the engine uses.

State and per-world model fields live twice: as NumPy arrays here, which the engine reads and writes, and on the device.
Before a call what changed here is sent, after it what is bound here is fetched. All numbers are 32-bit on the device.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, MissingExtraError, SimulationError
from sim.dynamics_table import field_of
from sim.expanded_fields import ExpandedFields

_STATE = ("qpos", "qvel", "act", "ctrl", "history", "mocap_pos", "mocap_quat", "qacc_warmstart", "time")
_DERIVED = (
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "tendon_invweight0",
    "tendon_length0",
    "actuator_acc0",
)
"""What mj_setConst computes and the device uses."""
_CONTACTS_PER_PAIR, _CONTACTS_MAX, _CONTACTS_AT_ONCE = 4, 256, 32
"""Room for contacts: points that two geoms touch in, most in a world, most that friction is computed for at once."""
_LOST = ("NEFC", "NJMAX_NNZ", "BROADPHASE", "NARROWPHASE", "CCD", "NVMAX")
"""Overflows in which contacts or constraints are left out."""


def warp_modules() -> tuple[Any, Any]:
    """The modules warp and mujoco_warp.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        import warp

        warp.config.log_level = warp.LOG_ERROR  # it reports every kernel on standard output
        import mujoco_warp
    except ImportError as error:
        raise MissingExtraError("mujoco-warp", "warp", "the engine 'mujoco-warp'") from error
    return warp, mujoco_warp


class WarpBatch:
    """`count` worlds.

    Args:
        model: the model.
        count: number of worlds.
        device: name of the device as Warp has it ("cpu", "cuda:0"); None: the first GPU, or the CPU without one.

    Raises:
        ConfigError: the model has what MuJoCo Warp cannot do.
        MissingExtraError: MuJoCo Warp is not installed.
    """

    def __init__(self, model: mujoco.MjModel, count: int, device: str | None = None) -> None:
        self._warp, self._mjw = warp_modules()
        self.nsim, self._model = count, model
        self._device = self._warp.get_device(device)
        self.warning = np.zeros((count, int(mujoco.mjtWarning.mjNWARNING), 2), dtype=np.int64)
        """As MuJoCo counts them; here only inputs that are not finite, which the device would take for a limit."""
        with self._warp.ScopedDevice(self._device):
            try:
                self._worlds = self._mjw.put_model(model)
            except NotImplementedError as error:
                raise ConfigError(f"the engine 'mujoco-warp' cannot have this model: {error}") from error
            self._worlds.opt.warn_overflow = 0  # it prints; here it is an error
            contacts, rows = _room(model)
            self._data = self._mjw.make_data(model, nworld=count, nconmax=contacts, njmax=rows)
        self._fields, self._expanded = ExpandedFields(model, count), dict[str, NDArray[Any]]()
        self._lost = sum(int(getattr(self._mjw.OverflowType, name)) for name in _LOST)
        defaults = mujoco.MjData(model)
        self._defaults = {name: np.asarray(getattr(defaults, name)) for name in (*_STATE, "qfrc_actuator")}
        self._bound: dict[str, FloatArray] = {}
        self._known: dict[str, FloatArray] = {}
        for name in _STATE:
            if self._defaults[name].size:
                self._bound[name] = np.repeat(self._defaults[name][None], count, axis=0).astype(np.float64)

    def bind(self, name: str) -> FloatArray:
        """A live array of a field of the state or of what is computed from it, (count, ...)."""
        if name not in self._bound:
            known = self._defaults.get(name)
            self._bound[name] = self._fetched(name) if known is None or known.size else np.zeros((self.nsim, 0))
        return self._bound[name]

    def expand(self, field: str) -> NDArray[Any]:
        """One value per world of a field of the model, (count, ...), sent with the next `forward`."""
        return self._fields.expand(field)

    def set_const(self, ids: NDArray[np.intp] | None = None) -> None:
        """Compute what MuJoCo derives from the fields of the worlds `ids`, None for all."""
        for index in range(self.nsim) if ids is None else ids:
            model = self.get_model(int(index))
            mujoco.mj_setConst(model, mujoco.MjData(model))
            for name in _DERIVED:
                if field_of(model, name).size:
                    self.expand(name)[index] = field_of(model, name)

    def reset(self, ids: NDArray[np.intp] | None = None, stage: int = 0) -> None:
        """Put worlds at the defaults of the model, without computing anything."""
        rows = slice(None) if ids is None else ids
        for name in _STATE:
            if name in self._bound:
                self._bound[name][rows] = self._defaults[name]
        self.warning[rows] = 0

    def forward(self, ids: NDArray[np.intp] | None = None, stage: int = 0) -> None:
        """Compute everything at the present state of the worlds `ids`, None for all; the others stay as they are."""
        self._send_fields()
        self._send()
        self._data.overflow.zero_()
        with self._warp.ScopedDevice(self._device):
            self._mjw.forward(self._worlds, self._data)
        self._fetch(slice(None) if ids is None else ids)

    def step(self, nstep: int = 1, stage: int = 0) -> None:
        """Advance all worlds with their present inputs; with a `stage`, places are computed at the new state.

        Raises:
            SimulationError: contacts were lost because there are too many for the device's buffers.
        """
        self._send()
        self._check_inputs(self._bound["ctrl"] if "ctrl" in self._bound else np.zeros((self.nsim, 0)))
        with self._warp.ScopedDevice(self._device):
            for _ in range(nstep):
                self._mjw.step(self._worlds, self._data)
            if stage:
                self._mjw.kinematics(self._worlds, self._data)
        self._fetch(slice(None))

    def rollout(self, nstep: int, control: Array, control_spec: int | None = None, record: Sequence[str] = ()) -> None:
        """Advance all worlds with inputs that change, (count, nstep, width): ctrl, then poses of mocap bodies."""
        names = ("ctrl",) if control_spec is None else ("ctrl", "mocap_pos", "mocap_quat")
        shapes = [self._bound[name].shape for name in names if name in self._bound]
        ends = np.cumsum([int(np.prod(shape[1:])) for shape in shapes])[:-1]
        self._send()
        self._check_inputs(np.asarray(control))
        with self._warp.ScopedDevice(self._device):
            for number in range(nstep):
                parts = np.split(np.asarray(control)[:, number], ends, axis=1)
                for name, part, shape in zip(names, parts, shapes, strict=False):
                    getattr(self._data, name).assign(np.ascontiguousarray(part.reshape(shape), dtype=np.float32))
                self._mjw.step(self._worlds, self._data)
        self._fetch(slice(None))

    def get_model(self, index: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model of one world, with its own values."""
        made = copy.copy(self._model) if model is None else model
        for name, value in self._fields.of(index).items():
            owner, _, last = name.rpartition(".")
            target = getattr(made, owner) if owner else made
            if value.ndim:
                getattr(target, last)[:] = value
            else:
                setattr(target, last, float(value))
        return made

    def get_data(self, index: int, data: mujoco.MjData | None = None) -> mujoco.MjData:
        """The state of one world; what is derived from it is for mj_forward to compute."""
        made = mujoco.MjData(self._model) if data is None else data
        for name in _STATE:
            if name == "time":
                made.time = float(self._bound[name][index])
            elif name in self._bound:
                getattr(made, name)[:] = self._bound[name][index]
        return made

    def _check_inputs(self, control: Array) -> None:
        """Count inputs that are not finite, as MuJoCo does, (count, ...)."""
        bad = ~np.isfinite(control).reshape(self.nsim, -1).all(axis=1)
        self.warning[bad, int(mujoco.mjtWarning.mjWARN_BADCTRL), 1] += 1

    def _send(self) -> None:
        """Send what changed here since it was fetched."""
        for name in _STATE:
            if name in self._bound and not _same(self._bound[name], self._known.get(name)):
                getattr(self._data, name).assign(self._bound[name].astype(np.float32))

    def _send_fields(self) -> None:
        """Send per-world fields of the model that changed."""
        for name, array in self._fields.items():
            if _same(array, self._expanded.get(name)):
                continue
            owner, _, last = name.rpartition(".")
            target = self._worlds.opt if owner else self._worlds
            shared = getattr(target, last, None)
            if shared is None:
                continue  # bounds of MuJoCo's own collision detection
            values = array.astype(np.float32).reshape(self.nsim, *shared.numpy().shape[1:])
            made = self._warp.array(values, dtype=shared.dtype, device=self._device)
            made._is_batched = True  # as put_model marks them
            setattr(target, last, made)
            self._expanded[name] = array.copy()

    def _fetch(self, rows: slice | NDArray[np.intp]) -> None:
        """Fetch the bound fields of some worlds.

        Raises:
            SimulationError: contacts or constraints were lost.
        """
        for name, array in self._bound.items():
            if array.size:
                fresh = self._fetched(name)
                if name in _STATE:
                    self._known[name] = fresh
                array[rows] = fresh[rows]
        lost = np.flatnonzero(self._data.overflow.numpy() & self._lost)
        if len(lost):
            raise SimulationError(
                f"simulation {lost[0]} has more contacts than MuJoCo Warp has room for; simplify the model's geometry"
            )

    def _fetched(self, name: str) -> FloatArray:
        """A field of the device, (count, ...)."""
        if name != "site_xquat":
            return np.asarray(getattr(self._data, name).numpy(), dtype=np.float64)
        matrices = self._data.site_xmat.numpy().astype(np.float64).reshape(-1, 9)
        quaternions = np.zeros((len(matrices), 4))
        for matrix, quaternion in zip(matrices, quaternions, strict=True):
            mujoco.mju_mat2Quat(quaternion, matrix)
        return quaternions.reshape(self.nsim, -1, 4)


def _same(first: NDArray[Any], second: NDArray[Any] | None) -> bool:
    return second is not None and np.array_equal(first, second)


def _room(model: mujoco.MjModel) -> tuple[int, int]:
    """Contacts and rows of constraints that each world has room for; Warp's own guess is too small for a quadruped."""
    touching = np.flatnonzero(model.geom_contype | model.geom_conaffinity)
    first, second = np.meshgrid(touching, touching, indexing="ij")
    pairs = (model.geom_contype[first] & model.geom_conaffinity[second]) != 0
    pairs = np.triu(pairs | pairs.T) & (model.geom_bodyid[first] != model.geom_bodyid[second])
    contacts = int(np.clip(_CONTACTS_PER_PAIR * (pairs.sum() + model.npair), 16, _CONTACTS_MAX))
    # Pyramidal friction cones have two rows for each direction of friction.
    each = max(1, 2 * (int(model.geom_condim[touching].max(initial=1)) - 1))
    always = 6 * model.neq + np.count_nonzero(model.dof_frictionloss) + np.count_nonzero(model.jnt_limited)
    return contacts, int(always) + model.ntendon + each * min(contacts, _CONTACTS_AT_ONCE)
