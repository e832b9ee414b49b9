"""The batches that RLPD learns from: each with its share of demonstrations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robostack.learning.frame_replay import FrameReplay
from robostack.learning.gripper_critic import GripperStep
from robostack.learning.replay import Replay
from robostack.learning.torch_backend import Tensor


class Batches(NamedTuple):
    """The batches of one group, all on the device; (group, batch, ...)."""

    state: Tensor
    """What the actor sees, normalised; with cameras, besides their images."""
    next_state: Tensor
    critic_input: Tensor
    """State, privileged observation, action; with cameras without the state, whose place features take."""
    next_context: Tensor
    """Next state and privileged observation; with cameras without the state."""
    reward: Tensor
    bootstrap: Tensor
    """Discount, or 0 where the episode ended by itself."""
    weight: Tensor
    gripper: Tensor
    """Number of the gripper's level; empty without a gripper."""
    shown: int
    """How many of each batch, at its beginning, are demonstrations and corrections."""
    frames: Any = None
    """With cameras: what the replay kept of the images, and of those after the step, (group, batch, ...)."""
    next_frames: Any = None


def mixed(
    online: Replay | FrameReplay,
    demos: Replay | FrameReplay,
    rng: np.random.Generator,
    size: tuple[int, int],
    demo_fraction: float,
) -> tuple[dict[str, NDArray[Any]], int]:
    """Transitions for a group of batches, name -> (group, batch, ...), and how many of each, the first, are `demos`.

    Args:
        online: what the policy experienced.
        demos: demonstrations and corrections.
        rng: draws.
        size: number of batches, and transitions in each.
        demo_fraction: share of each batch that comes from `demos`; where one of both is empty, all is from the other.
    """
    group, batch = size
    shown = round(demo_fraction * batch) if len(demos) else 0
    shown = batch if not len(online) else shown
    drawn = [
        {
            name: array.reshape(group, count, *array.shape[1:])
            for name, array in source.sample(rng, group * count).items()
        }
        for source, count in ((demos, shown), (online, batch - shown))
        if count
    ]
    return {name: np.concatenate([part[name] for part in drawn], axis=1) for name in drawn[0]}, shown


def gripper_step(batches: Batches, index: int, state: Tensor, following: Tensor) -> GripperStep:
    """What the gripper did in one batch of the group."""
    return GripperStep(
        state=state,
        next_state=following,
        chosen=batches.gripper[index],
        reward=batches.reward[index],
        bootstrap=batches.bootstrap[index],
        weight=batches.weight[index],
    )
