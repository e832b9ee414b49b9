"""The encoder: torch and numpy alike, gradients by finite differences through the critics, shifts, weights on disk."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from image_steps import SIZE, contract  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, UnknownNameError  # noqa: E402
from robostack.learning.batched_critic import BatchedCritic  # noqa: E402
from robostack.learning.image_augmentation import shifted  # noqa: E402
from robostack.learning.image_encoder import ImageEncoder  # noqa: E402
from robostack.learning.image_settings import ImageSettings, seen_elements  # noqa: E402
from robostack.policies.keypoint_encoder import map_width  # noqa: E402
from robostack.policies.spatial_encoder import CONVOLUTIONS, SpatialEncoder, stacked  # noqa: E402

SETTINGS = ImageSettings(("left", "right"), SIZE, image_features=6, state_features=4, spatial_embeddings=2)


def encoder(seed: int = 0, **changes) -> ImageEncoder:
    return ImageEncoder(dataclasses.replace(SETTINGS, **changes), 3, np.random.default_rng(seed))


def pictures(seed: int, count: int = 5, cameras: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, cameras, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("cameras", [("left", "right"), ("only",)])
def test_numpy_computes_what_torch_does(cameras):
    made = encoder(cameras=cameras)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    images, state = pictures(0, 5, len(cameras)), np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    expected = made(torch.from_numpy(images), torch.from_numpy(state)).detach().numpy()
    found = SpatialEncoder(made.arrays(), len(cameras), SIZE)
    assert found.width == made.width == expected.shape[1] == 6 * len(cameras) + 4
    np.testing.assert_allclose(found(images, state), expected, atol=2e-6)
    assert np.ptp(expected, axis=0).min() > 1e-3 and np.abs(expected).max() <= 1.0


def test_a_camera_does_not_change_the_features_of_another():
    made, images, state = encoder(), pictures(0, 1), torch.zeros(1, 3)
    other = images.copy()
    other[:, 1] = pictures(3, 1)[:, 1]
    one, two = (made(torch.from_numpy(given), state).detach().numpy()[0] for given in (images, other))
    np.testing.assert_array_equal(one[:6], two[:6])
    assert np.abs(one[6:12] - two[6:12]).min() > 0.0
    np.testing.assert_array_equal(one[12:], two[12:])


def test_gradient_through_the_critics_by_finite_differences():
    """A weighted sum of all values, by the encoder's weights: what the critics hand back is its gradient."""
    made = encoder().double()
    rng = np.random.default_rng(0)
    critic = BatchedCritic(made.width + 2, (8, 8), 3, rng, activation="tanh")
    for name in ("parameters", "gradient"):
        setattr(critic, name, getattr(critic, name).double())
    critic.layers, critic._gradients = critic.view(critic.parameters), critic.view(critic.gradient)
    torch.set_default_dtype(torch.float64)
    try:
        images, state = torch.from_numpy(pictures(0)), torch.from_numpy(rng.standard_normal((5, 3)))
        action, share = torch.from_numpy(rng.standard_normal((5, 2))), torch.from_numpy(rng.standard_normal((3, 5, 1)))

        def maps() -> torch.Tensor:  # in double, as everything here
            hidden = images.flatten(0, 1).permute(0, 3, 1, 2).double() / 127.5 - 1.0
            for layer in made.convolutions:
                hidden = torch.relu(layer(hidden))
            return hidden.reshape(5, *made.map_shape)

        def total() -> float:
            with torch.no_grad():
                inputs = torch.cat([made.features(maps(), state), action], dim=1)
                return float((critic.forward(inputs)[0] * share).sum())

        features = made.features(maps(), state)
        with torch.no_grad():
            _, run = critic.forward(torch.cat([features, action], dim=1))
            critic.backward(run, share.clone())
            slope = critic.input_gradient(run)[:, : made.width]
        features.backward(slope)
        for name, value in made.named_parameters():
            flat, gradient = value.data.view(-1), value.grad.view(-1)
            for at in np.random.default_rng(1).choice(flat.numel(), min(4, flat.numel()), replace=False):
                before, step = float(flat[at]), 1e-6
                flat[at] = before + step
                above = total()
                flat[at] = before - step
                below = total()
                flat[at] = before
                assert float(gradient[at]) == pytest.approx((above - below) / (2 * step), abs=2e-7, rel=1e-5), name
        assert all(float(value.grad.abs().max()) > 0.0 for value in made.parameters())
    finally:
        torch.set_default_dtype(torch.float32)


def test_shifts_are_crops_of_the_padded_image_each_by_itself():
    images = pictures(0, 30)
    moved = shifted(images, np.random.default_rng(0), 2)
    seen = set()
    for before, after in zip(images.reshape(-1, SIZE, SIZE, 3), moved.reshape(-1, SIZE, SIZE, 3), strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode="edge")
        crops = {
            (row, column): padded[row : row + SIZE, column : column + SIZE] for row in range(5) for column in range(5)
        }
        found = [place for place, crop in crops.items() if np.array_equal(crop, after)]
        assert len(found) == 1
        seen |= set(found)
    assert len(seen) > 20  # of 25, in 60 draws
    np.testing.assert_array_equal(shifted(images, np.random.default_rng(0), 0), images)


def test_weights_in_a_file(tmp_path):
    made = encoder(0)
    save_file({**made.arrays(), "layer0.weight": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    other = encoder(1)
    other.load_arrays(tmp_path / "w.safetensors")
    for mine, its in zip(made.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)
    with pytest.raises(CheckpointError, match="embeddings has the shape"):
        encoder(1, spatial_embeddings=3).load_arrays(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="no weights"):
        other.load_arrays(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="lacks 'convolutions"):
        SpatialEncoder({}, 2, SIZE)
    with pytest.raises(CheckpointError, match="do not fit 1 cameras"):
        SpatialEncoder(made.arrays(), 1, SIZE)


def test_images_are_taken_by_name_and_checked():
    left, right = pictures(0)[:, 0], pictures(0)[:, 1]
    given = {"state": 0, "right": right, "left": left}
    np.testing.assert_array_equal(stacked(given, ("left", "right"), SIZE), pictures(0))
    assert stacked({"left": left[0]}, ("left",), SIZE).shape == (1, 1, SIZE, SIZE, 3)
    with pytest.raises(ConfigError, match="no image of the camera top"):
        stacked(given, ("left", "top"), SIZE)
    with pytest.raises(ConfigError, match="a vector"):
        stacked(np.zeros(3), ("left",), SIZE)
    with pytest.raises(ConfigError, match=r"left gives .* float64"):
        stacked({"left": left.astype(float)}, ("left",), SIZE)
    with pytest.raises(ConfigError, match="too small"):
        map_width(22, CONVOLUTIONS)


def test_what_must_not_be_seen_is_named():
    made = contract()
    np.testing.assert_array_equal(seen_elements(made, ("secret",)), [0, 1, 2])
    np.testing.assert_array_equal(seen_elements(made, ()), np.arange(5))
    with pytest.raises(UnknownNameError, match="secret"):
        seen_elements(made, ("cube",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": 0}, "image_size"),
        ({"cameras": ("a", "a")}, "twice"),
        ({"cameras": (), "unseen": ("x",)}, "with cameras"),
        ({"freeze_convolutions": True}, "encoder_weights"),
        ({"image_shift": -1}, "image_shift"),
    ],
)
def test_settings_are_checked(changes, said):
    with pytest.raises(ConfigError, match=said):
        dataclasses.replace(SETTINGS, **changes).check_images()
