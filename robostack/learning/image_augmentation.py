"""Random shifts of images: what keeps a value function from memorising single pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFT_MAX = 4
"""Largest shift of an image in training [px], as in DrQ (Kostrikov et al. 2020, arXiv 2004.13649)."""

Images = NDArray[np.uint8]


def shifted(images: Images, rng: np.random.Generator, largest: int = SHIFT_MAX) -> Images:
    """Each image moved by up to `largest` pixels, as if padded with its border and cropped back.

    Args:
        images: (batch, cameras, size, size, 3) RGB; every image of every camera is moved by itself.
        rng: draws the shifts.
        largest: in each direction [px]; 0 gives the images back.

    Returns:
        Of the same shape.
    """
    if largest == 0:
        return images
    flat = images.reshape(-1, *images.shape[2:])
    size, count = flat.shape[1], len(flat)
    move = rng.integers(-largest, largest + 1, (2, count, 1))
    rows, columns = np.clip(np.arange(size) + move, 0, size - 1)
    moved: Images = flat[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.reshape(images.shape)
