"""The encoder of camera images in torch; `robostack.policies.keypoint_encoder` runs the same arrays in numpy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robostack.policies.keypoint_encoder import CONVOLUTIONS, positions


class KeypointNet(nn.Module):
    """Convolutions and a spatial softmax; one set of weights for all cameras.

    Args:
        image_size: width and height of the images [px].
    """

    positions: Tensor

    def __init__(self, image_size: int) -> None:
        super().__init__()
        inputs = (3, *(channels for channels, _, _ in CONVOLUTIONS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(fan_in, channels, kernel, stride)
            for fan_in, (channels, kernel, stride) in zip(inputs, CONVOLUTIONS, strict=False)
        )
        self.register_buffer("positions", torch.from_numpy(positions(image_size)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (batch, cameras * FEATURES) of images (batch, cameras, 3, size, size) from -1 to 1."""
        hidden = images.flatten(0, 1)
        for index, layer in enumerate(self.convolutions):
            hidden = layer(hidden if index == 0 else hidden.relu())
        keypoints = hidden.flatten(2).softmax(dim=-1) @ self.positions
        return keypoints.reshape(len(images), -1)


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Bytes (batch, cameras, size, size, 3) to (batch, cameras, 3, size, size) from -1 to 1."""
    return torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0
