"""Dynamics parameters by name: what randomisation draws, identification finds, and an engine applies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DynamicsParameter:
    """One scalar of the dynamics.

    Names are `kind:object/quantity` or `kind/quantity` for all objects of a kind: `link:forearm/mass`,
    `joint:elbow/damping`, `joint/damping` (a common factor), `actuator/latency`, `contact/friction`.
    """

    name: str
    """Name, equal in randomisation, identification and results."""
    unit: str
    """SI unit, or "1" for a factor on the nominal value."""
    nominal: float
    """Value of the model as shipped."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""
