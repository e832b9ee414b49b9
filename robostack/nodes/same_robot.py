"""Whether the robot at the other end is the one that this end was made for."""

from __future__ import annotations

import json
from dataclasses import asdict

from hardware.errors import ContractMismatchError, ProtocolError
from hardware.spec import RobotSpec


def require_same_spec(spec_json: str, spec: RobotSpec, subject: str) -> None:
    """Refuse a robot that differs from `spec`.

    Args:
        spec_json: what the driver publishes on `robot_spec`.
        spec: the robot that is expected.
        subject: who expects it, for the message.

    Raises:
        ContractMismatchError: with each differing field.
        ProtocolError: `spec_json` is no description of a robot.
    """
    expected = json.loads(json.dumps(asdict(spec)))
    try:
        offered = json.loads(spec_json)
    except ValueError as error:
        raise ProtocolError(f"robot_spec carries no JSON: {error}") from error
    if not isinstance(offered, dict):
        raise ProtocolError("robot_spec carries no description of a robot")
    differences = [
        (field, expected.get(field), offered.get(field))
        for field in sorted(set(expected) | set(offered))
        if field != "sources" and expected.get(field) != offered.get(field)
    ]
    if differences:
        raise ContractMismatchError(subject, differences)
