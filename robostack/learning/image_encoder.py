"""The encoder of `robostack.policies.spatial_encoder` in torch: learned by the critics, by cloning, or kept."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hardware.errors import CheckpointError
from robostack.learning.image_settings import ImageSettings
from robostack.learning.torch_backend import Tensor, to_arrays, torch
from robostack.policies.keypoint_encoder import map_width
from robostack.policies.spatial_encoder import CONVOLUTIONS, EPSILON, PREFIX


class Normed(torch.nn.Module):
    """tanh(LayerNorm(x W + b)), for several inputs with weights of their own.

    Args:
        count: inputs; 1 leaves the axis of inputs away.
        fan_in: width of an input.
        fan_out: width of an output.
        rng: draws the weights (Glorot, uniform; biases zero).
    """

    def __init__(self, count: int, fan_in: int, fan_out: int, rng: np.random.Generator) -> None:
        super().__init__()
        lead = (count,) if count > 1 else ()
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        self.weight = parameter(rng.uniform(-limit, limit, (*lead, fan_in, fan_out)))
        middle = (count, 1, fan_out) if count > 1 else (fan_out,)
        self.bias, self.gain, self.shift = (parameter(np.full(middle, fill)) for fill in (0.0, 1.0, 0.0))
        self.fan_out = fan_out

    def forward(self, inputs: Tensor) -> Tensor:
        """(count, batch, fan_in) to (count, batch, fan_out)."""
        hidden = torch.nn.functional.layer_norm(inputs @ self.weight + self.bias, (self.fan_out,), eps=EPSILON)
        return torch.tanh(hidden * self.gain + self.shift)


class ImageEncoder(torch.nn.Module):
    """Images of all cameras and the rest of the observation, as one vector of features.

    Args:
        settings: cameras, sizes and widths.
        states: length of the rest of the observation; 0: images only.
        rng: draws the weights.
    """

    def __init__(self, settings: ImageSettings, states: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.cameras, places = len(settings.cameras), map_width(settings.image_size, CONVOLUTIONS) ** 2
        self.map_shape = (self.cameras, CONVOLUTIONS[-1][0], places)
        """What the convolutions make of the images of one moment: cameras, channels, places."""
        self.width = self.cameras * settings.image_features + (settings.state_features if states else 0)
        """Length of the features."""
        inputs = (3, *(channels for channels, _, _ in CONVOLUTIONS))
        layers = []
        for fan_in, (channels, kernel, stride) in zip(inputs, CONVOLUTIONS, strict=False):
            layer = torch.nn.Conv2d(fan_in, channels, kernel, stride)
            limit = math.sqrt(6.0 / (fan_in * kernel * kernel))  # He, uniform
            layer.weight = parameter(rng.uniform(-limit, limit, tuple(layer.weight.shape)))
            layer.bias = parameter(np.zeros(channels))
            layers.append(layer)
        self.convolutions = torch.nn.ModuleList(layers)
        channels, maps = CONVOLUTIONS[-1][0], settings.spatial_embeddings
        spread = 1.0 / math.sqrt(places)
        self.embeddings = parameter(spread * rng.standard_normal((self.cameras, channels, places, maps)))
        self.image = Normed(self.cameras, channels * maps, settings.image_features, rng)
        self.state = Normed(1, states, settings.state_features, rng) if states else None

    def maps(self, images: Tensor) -> Tensor:
        """Output of the convolutions (batch, *map_shape) for bytes (batch, cameras, size, size, 3)."""
        hidden = images.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        for layer in self.convolutions:
            hidden = torch.relu(layer(hidden))
        return hidden.reshape(len(images), *self.map_shape)

    def features(self, maps: Tensor, state: Tensor | None) -> Tensor:
        """Features (batch, width) of what `maps` gave, and of the rest of the observation (batch, states)."""
        summed = torch.einsum("bkcx,kcxe->kbce", maps, self.embeddings).flatten(2)
        seen = self.image(summed if self.cameras > 1 else summed[0])
        seen = seen.transpose(0, 1).flatten(1) if self.cameras > 1 else seen
        return seen if self.state is None else torch.cat([seen, self.state(state)], dim=-1)

    def forward(self, images: Tensor, state: Tensor | None = None) -> Tensor:
        """Features (batch, width) of images and the rest of the observation."""
        return self.features(self.maps(images), state)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights, as `robostack.policies.spatial_encoder` reads them."""
        flat = {name.replace("image.", "image_").replace("state.", "state_"): value for name, value in self._named()}
        return {PREFIX + name: array for name, array in to_arrays(flat).items()}

    def load_arrays(self, path: Path) -> None:
        """Take over the weights in a file that holds `arrays`, such as `policy.safetensors` of a policy with images.

        Args:
            path: the file.

        Raises:
            CheckpointError: it cannot be read, or holds an encoder of other shapes.
        """
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: no weights of an encoder can be read ({error})") from error
        for name, value in self._named():
            key = PREFIX + name.replace("image.", "image_").replace("state.", "state_")
            found = stored.get(key)
            if found is None or found.shape != tuple(value.shape):
                shape = "is missing" if found is None else f"has the shape {found.shape}"
                raise CheckpointError(
                    f"{path}: {key} {shape}, needed is {tuple(value.shape)}. Use weights that were trained with the "
                    "same cameras, image size and widths."
                )
            with torch.no_grad():
                value.copy_(torch.from_numpy(found))

    def _named(self) -> list[tuple[str, Tensor]]:
        return [(name, value.detach()) for name, value in self.named_parameters()]


def parameter(values: NDArray[np.float64]) -> torch.nn.Parameter:
    """A float32 parameter."""
    return torch.nn.Parameter(torch.from_numpy(np.asarray(values, dtype=np.float32)))
