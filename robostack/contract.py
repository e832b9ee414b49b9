"""The contract: what a policy was trained with, stored with it, and compared field by field before it may run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from controllers.impedance import ImpedanceConfig
from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, UnknownNameError
from robostack.tasks.task import Task, Term

FORMAT = 1
"""Version of the contract's own layout."""


@dataclass(frozen=True)
class Contract:
    """Everything that must be equal between training and the robot for a policy to mean the same."""

    task: str
    """Registry name of the task."""
    robot: str
    """Registry name of the robot."""
    joint_names: tuple[str, ...]
    """Joints, in the order of every joint array."""
    default_position: tuple[float, ...]
    """Default pose [rad]."""
    stiffness: tuple[float, ...]
    """Servo stiffness [Nm/rad]."""
    damping: tuple[float, ...]
    """Servo damping [Nm s/rad]."""
    base_frame: str
    """Frame of the tool's pose."""
    tool_frame: str | None
    """The tool."""
    control_period_s: float
    """Period of the policy [s]."""
    control_rate_hz: float
    """Rate of the tracking loop [Hz]."""
    observation: tuple[Term, ...]
    """Blocks of the observation: names, order, units, frames, bounds, scales."""
    action: tuple[Term, ...]
    """Blocks of the action: names, order, units, frames, clip, scales."""
    history: int
    """Number of past observations."""
    format: int = FORMAT
    """Version of this layout."""
    impedance: ImpedanceConfig | None = None
    """Gains of Cartesian impedance control, where the policy's references are tool poses."""

    @property
    def num_observations(self) -> int:
        """Length of the observation vector."""
        return sum(len(term.elements) for term in self.observation)

    @property
    def num_actions(self) -> int:
        """Length of the action vector."""
        return sum(len(term.elements) for term in self.action)

    def to_json(self) -> str:
        """Full-precision JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)


def contract_of(task: Task) -> Contract:
    """The contract of `task`, from the task and its robot's description."""
    spec = task.spec
    return Contract(
        task=task.name,
        robot=spec.name,
        joint_names=spec.joint_names,
        default_position=tuple(spec.default_position.tolist()),
        stiffness=tuple(spec.stiffness.tolist()),
        damping=tuple(spec.damping.tolist()),
        base_frame=spec.base_frame,
        tool_frame=spec.tool_frame,
        control_period_s=task.control_period_s,
        control_rate_hz=spec.control_rate_hz,
        observation=task.observation,
        action=task.action,
        history=task.history,
        impedance=task.impedance,
    )


def contract_from_json(text: str, source: str) -> Contract:
    """Read a contract back.

    Args:
        text: what `Contract.to_json` wrote.
        source: where it came from, for the message.

    Raises:
        CheckpointError: not a contract of this version.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        if data.get("format") != FORMAT:
            raise CheckpointError(f"{source}: contract format {data.get('format')!r}, this version reads {FORMAT}")
        for key in ("observation", "action"):
            data[key] = tuple(Term(**{**term, "elements": tuple(term["elements"])}) for term in data[key])
        for key in ("joint_names", "default_position", "stiffness", "damping"):
            data[key] = tuple(data[key])
        if data.get("impedance") is not None:
            gains: dict[str, Any] = data["impedance"]
            for key, value in gains.items():
                gains[key] = tuple(value) if isinstance(value, list) else value
            data["impedance"] = ImpedanceConfig(**gains)
        return Contract(**data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{source}: not a readable contract ({error}). Export or train the policy again."
        ) from error


def require_match(trained: Contract, offered: Contract, subject: str) -> None:
    """Refuse unless both contracts are equal.

    Args:
        trained: stored with the policy, dataset or bag.
        offered: of the robot and task at hand.
        subject: what carries `trained`, for the message ("policy runs/reach").

    Raises:
        ContractMismatchError: with each differing field.
    """
    differences = [
        (field.name, getattr(trained, field.name), getattr(offered, field.name))
        for field in dataclasses.fields(Contract)
        if getattr(trained, field.name) != getattr(offered, field.name)
    ]
    if differences:
        raise ContractMismatchError(subject, differences)


def column_of(contract: Contract, name: str) -> int:
    """Place in the action of the term called `name`, which must have one element.

    Raises:
        UnknownNameError: there is no such term.
        ConfigError: it has several elements.
    """
    start = 0
    for term in contract.action:
        if term.name == name:
            if len(term.elements) != 1:
                raise ConfigError(f"the action's term '{name}' has {len(term.elements)} elements, not one")
            return start
        start += len(term.elements)
    raise UnknownNameError("term of the action", name, [term.name for term in contract.action])
