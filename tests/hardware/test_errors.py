from __future__ import annotations

import inspect

import pytest

from hardware import errors
from hardware.errors import (
    AddressInUseError,
    ContractMismatchError,
    DeviceError,
    DeviceFaultError,
    DeviceNotConnectedError,
    DuplicateNameError,
    LimitViolationError,
    MissingExtraError,
    RobostackError,
    StaleDataError,
    UnknownNameError,
)


def test_every_error_belongs_to_the_one_tree():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    assert len(classes) > 10
    assert all(issubclass(c, RobostackError) for c in classes)
    assert not issubclass(RobostackError, ValueError | OSError)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            UnknownNameError("robot", "ur5", ["ur5e", "go2"]),
            "unknown robot 'ur5'. Did you mean 'ur5e'? Available: go2, ur5e",
        ),
        (UnknownNameError("robot", "x", []), "unknown robot 'x'. Available: (none)"),
        (
            DuplicateNameError("task", "reach", "a:T", "b:T"),
            "task 'reach' is registered twice: by a:T and by b:T. Rename or uninstall one.",
        ),
        (
            MissingExtraError("torch", "train", "Training"),
            "Training needs 'torch', which is not installed. Install it with: pip install 'robostack-learning[train]'",
        ),
        (
            DeviceNotConnectedError("ur5e", "127.0.0.1:30004", "is it on?"),
            "ur5e is not connected at 127.0.0.1:30004. Check: is it on?",
        ),
        (DeviceFaultError("ur5e", "protective stop", "unlock"), "ur5e reports protective stop. To recover: unlock"),
        (StaleDataError("state", 0.0512, 0.05), "state is stale: 51.2 ms old, limit 50.0 ms"),
        (
            LimitViolationError("joint 'a' position [rad]", 3.5, -1.0, 2.0),
            "joint 'a' position [rad] = 3.5 is outside [-1, 2]",
        ),
    ],
)
def test_messages_say_what_happened_what_is_valid_and_what_to_do(error, message):
    assert str(error) == message


def test_errors_carry_their_parts_for_programs():
    unknown = UnknownNameError("joint", "a", {"c": 0, "b": 1})
    assert (unknown.kind, unknown.name, unknown.available) == ("joint", "a", ("b", "c"))
    stale = StaleDataError("camera", 0.2, 0.1)
    assert (stale.source, stale.age_s, stale.limit_s) == ("camera", 0.2, 0.1)
    limit = LimitViolationError("speed", 3.0, -1.0, 1.0)
    assert (limit.what, limit.value, limit.low, limit.high) == ("speed", 3.0, -1.0, 1.0)
    missing = MissingExtraError("torch", "train", "Training")
    assert (missing.package, missing.extra) == ("torch", "train")


def test_what_a_device_does_wrong_can_be_caught_as_one():
    for error in (StaleDataError("s", 1.0, 0.1), DeviceFaultError("d", "f", "r"), AddressInUseError("s", "a")):
        assert isinstance(error, DeviceError)
    assert "127.0.0.2" in str(AddressInUseError("virtual ur5e", "127.0.0.1:30004"))


def test_a_contract_mismatch_shows_every_difference_on_its_own_line():
    error = ContractMismatchError("policy x", [("robot", "ur5e", "go2"), ("history", 1, 4)])
    assert str(error).splitlines() == [
        "policy x does not fit; 2 field(s) differ:",
        "  robot: trained with 'ur5e', offered 'go2'",
        "  history: trained with 1, offered 4",
    ]
    assert error.differences == (("robot", "ur5e", "go2"), ("history", 1, 4))


def test_of_long_sequences_a_contract_mismatch_shows_the_first_entries_that_differ():
    terms = tuple(f"term {index} " + 50 * "x" for index in range(20))
    other = (*terms[:3], "another", *terms[4:])
    error = ContractMismatchError("policy x", [("observation", terms, other), ("action", terms, terms[:5])])
    assert str(error).splitlines()[1:] == [
        f"  observation: trained with 20 entries, offered 20; at number 4 trained with {terms[3]!r}, offered 'another'",
        f"  action: trained with 20 entries, offered 5; at number 6 trained with {terms[5]!r}, offered nothing",
    ]
