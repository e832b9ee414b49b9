"""Dynamics parameters of a MuJoCo model: their names, which fields of the model they write, what must be recomputed.

Names of one object set a value in SI units: `link:<body>/mass`, `joint:<joint>/damping`. Names of a kind multiply what
all its objects have: `joint/damping` = 1.2 means 20 % more everywhere; `actuator/latency` is a value [s] for all
actuators, and what there is only one of (`world/gravity`, `medium/viscosity`) a value too. Equal objects can share a
value: `link:thigh+thigh_left/length`. To add one, add a row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, LimitViolationError, UnknownNameError
from hardware.spec import RobotSpec
from sim.link_length import FIELDS as LENGTH_FIELDS
from sim.link_length import LinkLengths
from sim.model_binding import bind_model, names_of

Objects = Literal["body", "dof", "actuator", "geom", "pair", "option"]


@dataclass(frozen=True, slots=True)
class Write:
    """One field of MjModel that a parameter writes."""

    field: str
    """Name of the field, (number of objects, ...); of an option ("opt.gravity") its own shape."""
    objects: Objects
    """What its rows are."""
    column: int | None = None
    """Column of a row; None: the whole row."""
    scale: bool = False
    """Multiply the model's value by value / nominal instead of setting the value."""
    power: int = 1
    """Power of value / nominal to multiply with."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of parameter."""

    kind: str
    """"link", "joint", "actuator", "contact", "world" or "medium"."""
    quantity: str
    """What of it."""
    each: bool
    """Named per object (`kind:object/quantity`), or once for all (`kind/quantity`)."""
    unit: str
    """SI unit, or "1" for a factor."""
    writes: tuple[Write, ...]
    """Fields written; for a value per object the first one holds the nominal."""
    set_const: bool
    """Whether quantities that MuJoCo derives at compile time (mj_setConst) depend on it."""
    summary: str
    """What it is, in a few words."""
    low: float = 0.0
    """Smallest physical value."""
    high: float = math.inf
    """Largest physical value."""
    low_allowed: bool = True
    """Whether `low` itself is physical."""


_MASS = (Write("body_mass", "body", scale=True), Write("body_inertia", "body", scale=True))
_ROD = (
    Write("body_ipos", "body", 2, scale=True),
    Write("body_inertia", "body", 0, scale=True, power=2),
    Write("body_inertia", "body", 1, scale=True, power=2),
)
_STIFFNESS = (
    Write("actuator_gainprm", "actuator", 0, scale=True),
    Write("actuator_biasprm", "actuator", 1, scale=True),
)
_FRICTION = (
    Write("geom_friction", "geom", 0, scale=True),
    Write("pair_friction", "pair", 0, scale=True),
    Write("pair_friction", "pair", 1, scale=True),
)


def _joint_rows(quantity: str, unit: str, field: str, set_const: bool, summary: str) -> tuple[Row, Row]:
    """A quantity of one joint in its unit, and the factor on that of all joints."""
    return (
        Row("joint", quantity, True, unit, (Write(field, "dof"),), set_const, summary),
        Row("joint", quantity, False, "1", (Write(field, "dof", scale=True),), set_const, f"factor on every {summary}"),
    )


def _centre_row(axis: int) -> Row:
    """One coordinate of a centre of mass."""
    write, name = Write("body_ipos", "body", axis), "xyz"[axis]
    summary = f"{name} of the centre of mass in the body's frame"
    return Row("link", f"com_{name}", True, "m", (write,), True, summary, low=-math.inf)


_GRAVITY = (Write("opt.gravity", "option", 2, scale=True),)
_SERVO_DAMPING = (Write("actuator_biasprm", "actuator", 2, scale=True),)
ROWS: tuple[Row, ...] = (
    # The inertia scales along with the mass: the same shape of another density.
    Row("link", "mass", True, "kg", _MASS, True, "mass of a body, its inertia along with it", low_allowed=False),
    Row("link", "mass", False, "1", _MASS, True, "factor on every mass and inertia", low_allowed=False),
    *(_centre_row(axis) for axis in range(3)),
    *_joint_rows("damping", "N m s/rad", "dof_damping", False, "viscous friction"),
    *_joint_rows("armature", "kg m^2", "dof_armature", True, "rotor inertia at the joint"),
    *_joint_rows("frictionloss", "N m", "dof_frictionloss", False, "dry friction"),
    # Of a thin uniform rod along z that begins at its body's origin: its middle moves, the inertia about it grows.
    Row("link", "half_length", True, "m", _ROD, True, "half the length of a thin rod", low_allowed=False),
    # Of a link of one capsule: distance between the centres of its ends. What it changes is in sim.link_length.
    Row("link", "length", True, "m", (), True, "length of a link of one capsule", low_allowed=False),
    Row("world", "gravity", False, "m/s^2", _GRAVITY, False, "gravity"),
    Row("medium", "viscosity", False, "Pa s", (Write("opt.viscosity", "option"),), False, "viscosity of the air"),
    Row("actuator", "latency", False, "s", (Write("actuator_delay", "actuator"),), False, "delay of the actuators"),
    # Gain of a motor, proportional gain of a position servo.
    Row("actuator", "stiffness", False, "1", _STIFFNESS, False, "factor on the actuators' gains", low_allowed=False),
    Row("actuator", "damping", False, "1", _SERVO_DAMPING, False, "factor on the servos' damping"),
    # In a contact the larger friction of both counts, unless one geom has priority.
    Row("contact", "friction", True, "1", (Write("geom_friction", "geom", 0),), False, "sliding friction of a geom"),
    Row("contact", "friction", False, "1", _FRICTION, False, "factor on every sliding friction"),
)
"""Every kind of parameter."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parameter of one model."""

    row: Row
    """Its kind."""
    indices: Mapping[Objects, NDArray[np.intp]]
    """Rows of the model's fields that it writes, per kind of object."""
    nominal: float
    """Value of the model as it is."""


def targets(spec: RobotSpec, model: mujoco.MjModel) -> dict[str, Target]:
    """Every parameter that a model of the robot has, by name."""
    binding = bind_model(spec, model)
    everything: dict[Objects, NDArray[np.intp]] = {
        "body": np.flatnonzero(model.body_mass > 0.0),
        "dof": binding.dofs,
        "actuator": np.arange(model.nu) if len(binding.actuators) == 0 else binding.actuators,
        "geom": np.arange(model.ngeom),
        "pair": np.arange(model.npair),
        "option": np.zeros(0, dtype=np.intp),
    }
    bodies = names_of(model, mujoco.mjtObj.mjOBJ_BODY, model.nbody)
    found: dict[str, Target] = {}
    for row in ROWS:
        if not row.writes:
            for body, link in LinkLengths(model).links.items():
                at: dict[Objects, NDArray[np.intp]] = {"body": np.array([body], dtype=np.intp)}
                found[f"{row.kind}:{model.body(body).name}/{row.quantity}"] = Target(row, at, link.length)
            continue
        field = field_of(model, row.writes[0].field)
        if not row.each:
            if row.writes[0].objects == "option":
                nominal = abs(float(field if row.writes[0].column is None else field[row.writes[0].column]))
            else:
                nominal = 1.0 if row.unit == "1" else float(field[everything[row.writes[0].objects]].max(initial=0.0))
            found[f"{row.kind}/{row.quantity}"] = Target(row, everything, nominal)
            continue
        for name, index in _objects(row, spec, binding.dofs, bodies, model):
            single: dict[Objects, NDArray[np.intp]] = {row.writes[0].objects: np.array([index], dtype=np.intp)}
            value = field[index] if row.writes[0].column is None else field[index, row.writes[0].column]
            found[f"{row.kind}:{name}/{row.quantity}"] = Target(row, single, float(value))
    return found


def find_target(known: Mapping[str, Target], name: str) -> Target:
    """The parameter called `name`; objects that share a value are joined by "+" ("link:thigh+thigh_left/mass").

    Args:
        known: what `targets` found.
        name: of the parameter.

    Raises:
        UnknownNameError: the model has no such parameter.
        ConfigError: the objects that share it differ in its nominal value.
    """
    shared = re.fullmatch(r"(\w+):(.+\+.+)/(\w+)", name)
    if name in known or shared is None:
        if name not in known:
            raise UnknownNameError("dynamics parameter", name, known)
        return known[name]
    parts = [find_target(known, f"{shared[1]}:{each}/{shared[3]}") for each in shared[2].split("+")]
    nominal = parts[0].nominal
    if any(not math.isclose(part.nominal, nominal, rel_tol=1e-9) for part in parts):
        raise ConfigError(f"dynamics parameter '{name}': its objects have different nominal values; name each alone")
    kinds = parts[0].indices
    indices = {kind: np.concatenate([part.indices[kind] for part in parts]) for kind in kinds}
    return Target(parts[0].row, indices, nominal)


class DynamicsTable:
    """Writes dynamics parameters into the simulations of a batch.

    Values stay until they are written again. Where several parameters write one field, values of single objects are
    set first and factors multiply them, whatever the order of the calls.

    Args:
        spec: the robot.
        model: the model with its nominal values.
        batch: the simulations.
        latency_max_s: largest delay that the model's histories have room for [s].
        lacks: what the engine cannot vary: "kind/quantity" -> why.
    """

    def __init__(
        self,
        spec: RobotSpec,
        model: mujoco.MjModel,
        batch: Batch,
        latency_max_s: float,
        lacks: Mapping[str, str] | None = None,
    ) -> None:
        self._model, self._batch, self._latency_max_s = model, batch, latency_max_s
        self._lacks = dict(lacks or {})
        self._targets, self._lengths = targets(spec, model), LinkLengths(model)
        self._values: dict[str, FloatArray] = {}

    def nominal(self, name: str) -> float:
        """The model's own value of a parameter.

        Raises:
            UnknownNameError: the model has no such parameter.
        """
        return self._target(name).nominal

    def write(self, values: Mapping[str, Array], ids: NDArray[np.intp] | None) -> None:
        """Set parameters, each (k,), of the simulations `ids` (k,) in ascending order; None means all.

        Nothing is written unless everything is valid.

        Raises:
            UnknownNameError: the model has no such parameter, or the engine cannot vary it.
            LimitViolationError: a value is not physical.
        """
        for name, value in values.items():
            self._require_physical(name, self._target(name).row, np.asarray(value))
        rows = slice(None) if ids is None else ids
        for name, value in values.items():
            if name not in self._values:
                self._values[name] = np.full(self._batch.nsim, self._targets[name].nominal)
            self._values[name][rows] = value
        fields = {write.field for name in values for write in self._targets[name].row.writes}
        lengths = [name for name in self._values if self._targets[name].row.quantity == "length"]
        stretched = any(name in lengths for name in values) or bool(lengths and fields.intersection(LENGTH_FIELDS))
        fields |= set(LENGTH_FIELDS) if stretched else set()
        fresh = {field: self._composed(field, rows) for field in fields if field_of(self._model, field).size}
        if stretched:
            bodies = [(int(body), name) for name in lengths for body in self._targets[name].indices["body"]]
            self._lengths.stretch(fresh, [(body, self._values[name][rows]) for body, name in bodies])
        for field, array in fresh.items():
            self._batch.expand(field)[rows] = array
        if any(self._targets[name].row.set_const for name in values):
            self._batch.set_const(ids)

    def _composed(self, field: str, rows: slice | NDArray[np.intp]) -> NDArray[Any]:
        """One field from its nominal values and every parameter but lengths that has a say in it, (k, ...)."""
        nominal = field_of(self._model, field)
        fresh = np.broadcast_to(nominal, self._batch.expand(field)[rows].shape).astype(nominal.dtype)
        for name in sorted(self._values, key=lambda known: not self._targets[known].row.each):
            target, value = self._targets[name], self._values[name][rows]
            for write in target.row.writes:
                indices = target.indices.get(write.objects)
                if write.field == field and indices is not None:
                    _apply(fresh, write, indices, (value / target.nominal) ** write.power if write.scale else value)
        return fresh

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            self._targets[name] = find_target(self._targets, name)
        row = self._targets[name].row
        why = self._lacks.get(_key(row))
        if why is not None:
            known = [each for each, target in self._targets.items() if _key(target.row) not in self._lacks]
            raise UnknownNameError(f"dynamics parameter of this engine ({why})", name, known)
        return self._targets[name]

    def _require_physical(self, name: str, row: Row, value: Array) -> None:
        high = self._latency_max_s if name == "actuator/latency" else row.high
        # A delay drawn at its upper bound may exceed it by rounding.
        inside = (value >= row.low if row.low_allowed else value > row.low) & (value <= high * (1.0 + 1e-12))
        inside &= np.isfinite(value)
        if not inside.all():
            worst = float(np.atleast_1d(value)[~np.atleast_1d(inside)][0])
            raise LimitViolationError(f"dynamics parameter '{name}' [{row.unit}]", worst, row.low, high)


def _key(row: Row) -> str:
    """What an engine names a kind of parameter by that it lacks."""
    return f"{row.kind}/{row.quantity}"


def _objects(
    row: Row, spec: RobotSpec, dofs: NDArray[np.intp], bodies: tuple[str, ...], model: mujoco.MjModel
) -> Iterator[tuple[str, int]]:
    """Name and index of each object that a row applies to."""
    if row.writes[0].objects == "dof":
        yield from zip(spec.joint_names, dofs.tolist(), strict=True)
        return
    if row.writes[0].objects == "geom":
        for geom in names_of(model, mujoco.mjtObj.mjOBJ_GEOM, model.ngeom):
            yield geom, int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, geom))
        return
    for body in bodies:
        index = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, body))
        if model.body_mass[index] > 0.0 and (row.quantity != "half_length" or _is_rod(model, index)):
            yield body, index


def field_of(model: mujoco.MjModel, name: str) -> NDArray[Any]:
    """A field of a model, or of its options ("opt.gravity")."""
    return np.asarray(attrgetter(name)(model))


def _is_rod(model: mujoco.MjModel, body: int) -> bool:
    """Whether a body without others on it is a thin uniform rod along z: inertia m l^2 / 3 for half length l."""
    x, y, z = model.body_ipos[body]
    across = model.body_mass[body] * z * z / 3.0
    uniform = bool(np.allclose(model.body_inertia[body, :2], across, rtol=0.05))
    return x == y == 0.0 and z != 0.0 and uniform and not (model.body_parentid[1:] == body).any()


def _apply(fresh: Array, write: Write, indices: NDArray[np.intp], value: FloatArray) -> None:
    """Set or scale the elements of (k, objects, ...) that a write names, with one value per simulation (k,)."""
    where: Any = (slice(None),) if write.objects == "option" else (slice(None), indices)
    if write.column is not None:
        where = (*where, write.column)
    block = fresh[where]
    per_simulation = value.reshape(-1, *([1] * (block.ndim - 1)))
    fresh[where] = block * per_simulation if write.scale else np.broadcast_to(per_simulation, block.shape)
