"""What a policy sees through the robot's cameras: by name, cut to its size, and never an image from the future.

A policy that was trained with images acts on the newest image that is not newer than the measurement it acts on, as in
a recording (`robostack.teleoperation.episode_recorder`). A camera that is missing or behind lets the robot hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from hardware.arrays import Array
from hardware.errors import ConfigError, NonFiniteError, ProtocolError
from robostack.nodes.camera_messages import color_from_message
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.qos import qos
from robostack.policies.chunked import ChunkedPolicy
from robostack.policies.policy import Policy, image_size_of
from robostack.teleoperation.history import History

_KEPT = 30
"""Images kept per camera."""


class PolicyImages:
    """See the module. Subscribes `<camera>/image_raw/compressed` of each camera.

    Args:
        node: opens the topics.
        cameras: their names, as the policy was trained with.
        size: width and height of the images that the policy needs [px].
        bridge: from ROS time to monotonic time.
        age_max_s: an image may be this much older than the measurement [s].
    """

    def __init__(self, node: Node, cameras: Sequence[str], size: int, bridge: ClockBridge, age_max_s: float) -> None:
        self.size, self.age_max_s = size, age_max_s
        self._bridge, self._moment_s = bridge, 0.0
        self._histories: dict[str, History[CompressedImage]] = {name: History(_KEPT) for name in cameras}
        self._read: dict[str, tuple[float, NDArray[np.uint8]]] = {}
        self.entities: list[tuple[Callable[[Any], Any], Any]] = []
        """How to close each topic."""
        for name in cameras:
            take = partial(self._on_image, name)
            topic = node.create_subscription(CompressedImage, _topic(name), take, qos("image", "subscription"))
            self.entities.append((node.destroy_subscription, topic))

    def missing(self, moment_s: float) -> str:
        """What a policy that acts on the measurement of `moment_s` [s] would have to wait for; "" for nothing.

        It is also the moment that `images` answers for, from now on.
        """
        self._moment_s = moment_s
        for name, history in self._histories.items():
            found = history.at(moment_s)
            if found is None:
                return f"an image of the camera '{name}' (topic {_topic(name)}; is its camera node running?)"
            age_ms, limit_ms = 1e3 * (moment_s - found[0]), 1e3 * self.age_max_s
            if age_ms > limit_ms:
                return f"a fresh image of the camera '{name}' (the newest is {age_ms:.0f} ms old, limit {limit_ms:.0f})"
        return ""

    def images(self) -> dict[str, NDArray[np.uint8]]:
        """The newest image of each camera not newer than the moment, RGB, (size, size, 3).

        Raises:
            NonFiniteError: there is none, or it cannot be read; the episode is to be aborted.
        """
        for name, history in self._histories.items():
            found = history.at(self._moment_s)
            if found is None:
                raise NonFiniteError(f"there is no image of the camera '{name}' (topic {_topic(name)})")
            if name not in self._read or self._read[name][0] != found[0]:
                try:
                    self._read[name] = found[0], squared(color_from_message(found[1]), self.size)
                except ProtocolError as error:
                    raise NonFiniteError(f"the camera '{name}': {error}") from error
        return {name: self._read[name][1] for name in self._histories}

    def _on_image(self, name: str, message: CompressedImage) -> None:
        self._histories[name].add(self._bridge.monotonic(message.header.stamp), message)


class SeeingPolicy:
    """A policy that takes images, as one that takes the state alone.

    Args:
        policy: takes "state" and each camera's image by its name.
        images: where they come from.
    """

    def __init__(self, policy: Policy, images: PolicyImages) -> None:
        self.policy, self.images = policy, images

    def reset(self) -> None:
        """Forget the episode."""
        self.policy.reset()

    def act(self, observation: Array) -> Array:
        """The action for a state, (num_actions,).

        Raises:
            NonFiniteError: the observation or the result is not finite, or an image is missing.
        """
        seen: Any = {"state": observation, **self.images.images()}
        return self.policy.act(seen)


def images_for(node: Node, policy: Policy, bridge: ClockBridge, age_max_s: float) -> PolicyImages | None:
    """The cameras that `policy` was trained with; None for one that needs none.

    Raises:
        ConfigError: it needs images, but does not say of which cameras.
    """
    size = image_size_of(policy)
    if size is None:
        return None
    if not isinstance(policy, ChunkedPolicy):
        raise ConfigError("the policy needs images, but does not say of which cameras. Export it again")
    return PolicyImages(node, policy.model.cameras, size, bridge, age_max_s)


def squared(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle square of an image (height, width, 3), scaled to (size, size, 3); each pixel averages its area.

    A camera in simulation that is drawn as a square sees what the middle square of a wider image shows, because a field
    of view is given by its height there.
    """
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    middle = image[top : top + edge, left : left + edge]
    if edge == size:
        return middle
    return np.asarray(PillowImage.fromarray(middle).resize((size, size), PillowImage.Resampling.BOX))


def _topic(camera: str) -> str:
    return f"{camera}/image_raw/compressed"
