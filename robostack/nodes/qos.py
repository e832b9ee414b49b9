"""Quality of service of every topic, as one table that builds both ends, so that they always match.

Streams are offered reliably and taken best effort (REP-2003): a recorder may ask for every message, a controller wants
the newest. Deadline and liveliness events are hints for people; whether a reference is stale is decided by a time
stamp in the control loop, because events arrive through an executor that may itself be blocked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from hardware.errors import UnknownNameError

End = Literal["publisher", "subscription"]


@dataclass(frozen=True)
class Channel:
    """How one kind of topic is transported."""

    publisher_reliable: bool
    """Whether the publisher offers to send again what was lost."""
    subscription_reliable: bool
    """Whether the subscription asks for that."""
    depth: int
    """Messages kept."""
    latched: bool = False
    """Whether a late joiner gets the last message."""
    deadline_s: float = 0.0
    """Longest time between two messages [s]; 0: none."""
    lifespan_s: float = 0.0
    """A message older than this is dropped before it is delivered [s]; 0: none."""
    lease_s: float = 0.0
    """A publisher silent for this long counts as dead [s]; 0: not watched."""


CHANNELS = {
    "state": Channel(publisher_reliable=True, subscription_reliable=False, depth=1, deadline_s=0.2, lease_s=1.0),
    "command": Channel(
        publisher_reliable=False, subscription_reliable=False, depth=1, deadline_s=0.2, lifespan_s=0.2, lease_s=1.0
    ),
    # Every velocity source of ROS must match, and most offer neither a deadline nor a lease.
    "velocity": Channel(publisher_reliable=True, subscription_reliable=False, depth=1),
    "image": Channel(publisher_reliable=False, subscription_reliable=False, depth=5),
    "status": Channel(publisher_reliable=True, subscription_reliable=True, depth=10),
    "description": Channel(publisher_reliable=True, subscription_reliable=True, depth=1, latched=True),
    "events": Channel(publisher_reliable=True, subscription_reliable=True, depth=100, latched=True),
}
"""Kind of topic -> how it is transported. `state`: joint_states, tool_pose, odom. `command`: joint_trajectory.
`velocity`: cmd_vel. `image`: images and camera_info. `status`: diagnostics. `description`: robot_spec.
`events`: episode_events."""


def qos(channel: str, end: End) -> QoSProfile:
    """The profile of one end of a topic of kind `channel`.

    Raises:
        UnknownNameError: no such kind.
    """
    if channel not in CHANNELS:
        raise UnknownNameError("kind of topic", channel, CHANNELS)
    entry = CHANNELS[channel]
    reliable = entry.publisher_reliable if end == "publisher" else entry.subscription_reliable
    profile = QoSProfile(
        depth=entry.depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if entry.latched else DurabilityPolicy.VOLATILE,
        liveliness=LivelinessPolicy.AUTOMATIC,
    )
    if entry.deadline_s > 0.0:
        profile.deadline = Duration(seconds=entry.deadline_s)
    if entry.lifespan_s > 0.0 and end == "publisher":
        profile.lifespan = Duration(seconds=entry.lifespan_s)
    if entry.lease_s > 0.0:
        profile.liveliness_lease_duration = Duration(seconds=entry.lease_s)
    return profile
