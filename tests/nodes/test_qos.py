from __future__ import annotations

import pytest
from rclpy.qos import DurabilityPolicy, QoSCompatibility, ReliabilityPolicy, qos_check_compatible

from hardware.errors import UnknownNameError
from robostack.nodes.qos import CHANNELS, qos


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_both_ends_of_every_channel_match(channel):
    publisher, subscription = qos(channel, "publisher"), qos(channel, "subscription")
    compatibility, reason = qos_check_compatible(publisher, subscription)
    assert compatibility == QoSCompatibility.OK, reason
    # A subscription that asks for a shorter deadline than is offered would never match.
    assert publisher.deadline == subscription.deadline
    assert publisher.liveliness_lease_duration == subscription.liveliness_lease_duration


def test_commands_are_the_newest_only_and_expire():
    publisher = qos("command", "publisher")
    assert publisher.reliability == ReliabilityPolicy.BEST_EFFORT
    assert publisher.depth == 1
    assert publisher.lifespan.nanoseconds == 200_000_000
    assert publisher.deadline.nanoseconds == 200_000_000


def test_descriptions_reach_a_late_joiner():
    assert qos("description", "subscription").durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_an_unknown_channel_is_refused():
    with pytest.raises(UnknownNameError, match="state"):
        qos("stat", "publisher")
