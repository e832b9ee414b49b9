"""Policies with cameras: encoder equal in torch, numpy and ONNX; learned from pictures alone; hidden blocks unseen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from point_demonstrations import point_contract

from hardware.errors import CheckpointError, ConfigError, UnknownNameError
from robostack.checkpoint import load_policy as read
from robostack.export import export_onnx
from robostack.learning.image_augmentation import SHIFT_MAX, shifted
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.imitator import Imitator, blocked_elements
from robostack.learning.imitation.scaling import fitted, hiding
from robostack.learning.imitation.vision import KeypointNet, as_tensor
from robostack.learning.imitation.windows import Demonstration
from robostack.policies.chunked import ChunkSettings
from robostack.policies.keypoint_encoder import FEATURES, KeypointEncoder, map_width, positions
from robostack.policies.opening import open_policy

SIZE = 31
CONFIG = ImitationConfig(
    head="bc",
    steps=250,
    batch=16,
    width=32,
    blocks=1,
    warmup=20,
    learning_rate=3e-3,
    average_max=0.9,
    cameras=("left", "right"),
    hidden=("position",),
    chunk=ChunkSettings(1, 2, 1, 0),
)


def picture(place):
    """A bright square at `place`, (x, y) from -1 to 1, on grey; the second camera sees it mirrored."""
    image = np.full((SIZE, SIZE, 3), 60, dtype=np.uint8)
    column, row = np.clip(((np.asarray(place) + 1.0) / 2.0 * (SIZE - 9) + 4).astype(int), 4, SIZE - 5)
    image[row - 3 : row + 4, column - 3 : column + 4] = (250, 40, 40)
    return np.stack([image, image[:, ::-1]])


def demonstrations(count=40):
    """Go to where the square is; the observed position is noise."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        places = rng.uniform(-1.0, 1.0, (4, 2))
        images = np.stack([picture(place) for place in places])
        made.append(Demonstration(rng.normal(size=(4, 2)), 0.8 * places, images=images))
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    imitator = Imitator(point_contract(), demonstrations(), CONFIG)
    for _ in range(CONFIG.steps):
        imitator.update()
    path = tmp_path_factory.mktemp("images") / "checkpoint"
    imitator.save(path)
    return path


def test_the_encoder_is_the_same_in_numpy_and_torch():
    torch.manual_seed(0)
    network = KeypointNet(SIZE)
    arrays = {f"encoder.{name}": value.numpy() for name, value in network.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (3, 2, SIZE, SIZE, 3), dtype=np.uint8)
    found = KeypointEncoder(arrays, SIZE)(images)
    assert found.shape == (3, 2 * FEATURES)
    np.testing.assert_allclose(found, network(as_tensor(images)).detach().numpy(), atol=1e-5)
    with pytest.raises(CheckpointError, match="lacks"):
        KeypointEncoder({}, SIZE)
    with pytest.raises(CheckpointError, match="other shapes"):
        KeypointEncoder({**arrays, "encoder.convolutions.0.bias": np.zeros(3)}, SIZE)


def test_positions_run_along_rows():
    assert map_width(84) == 9 and map_width(SIZE) == 2
    assert positions(SIZE).tolist() == [[-1, -1], [1, -1], [-1, 1], [1, 1]]
    with pytest.raises(ConfigError, match="too small"):
        map_width(16)


def test_images_are_shifted_as_a_whole_with_their_border_repeated():
    images = np.random.default_rng(0).integers(0, 256, (1, 2, 12, 12, 3), dtype=np.uint8)
    moved = shifted(images, np.random.default_rng(3))
    padded = np.pad(images[0, 1], ((SHIFT_MAX, SHIFT_MAX), (SHIFT_MAX, SHIFT_MAX), (0, 0)), mode="edge")
    places = [(a, b) for a in range(9) for b in range(9) if np.array_equal(padded[a : a + 12, b : b + 12], moved[0, 1])]
    assert len(places) == 1 and moved.shape == images.shape


def test_it_learns_from_pictures_what_the_state_does_not_tell(folder):
    policy = open_policy(folder)
    places = np.random.default_rng(9).uniform(-0.9, 0.9, (60, 2))
    seen = np.stack([picture(place) for place in places])
    state = np.random.default_rng(1).normal(size=(60, 2))
    found = policy.act({"state": state, "left": seen[:, 0], "right": seen[:, 1]})
    assert np.mean(np.abs(found - 0.8 * places)) < 0.15  # guessing the middle costs 0.36
    policy.reset()
    again = policy.act({"state": state + 100.0, "left": seen[:, 0], "right": seen[:, 1]})
    np.testing.assert_allclose(again, found, atol=1e-6)  # the state is hidden


def test_onnx_sees_the_same(folder, tmp_path):
    assert export_onnx(folder, tmp_path / "policy.onnx").max_error < 1e-5
    first, second = open_policy(folder), open_policy(tmp_path / "policy.onnx")
    assert second.image_size == SIZE and second.model.cameras == ("left", "right")
    left, right = picture((0.3, -0.2))
    for policy in (first, second):
        assert policy.act({"state": np.zeros(2), "right": right, "left": left}).shape == (2,)
    observation = {"state": np.zeros(2), "left": left, "right": right}
    np.testing.assert_allclose(first.act(observation), second.act(observation), atol=1e-5)


def test_missing_and_wrong_images_are_refused(folder):
    policy = open_policy(folder)
    left, right = picture((0.0, 0.0))
    with pytest.raises(ConfigError, match="given a vector"):
        policy.act(np.zeros(2))
    with pytest.raises(ConfigError, match="cameras left, right"):
        policy.act({"state": np.zeros(2), "left": left})
    with pytest.raises(ConfigError, match="needs \\(31, 31, 3\\)"):
        policy.act({"state": np.zeros(2), "left": left[:-1], "right": right[:-1]})
    blind = [dataclasses.replace(episode, images=None) for episode in demonstrations(2)]
    with pytest.raises(ConfigError, match="hold no images"):
        Imitator(point_contract(), blind, CONFIG)


def test_a_run_with_pictures_resumes_bit_for_bit(folder, tmp_path):
    whole = Imitator(point_contract(), demonstrations(), CONFIG)
    whole.load(folder)
    again = Imitator(point_contract(), demonstrations(), CONFIG)
    again.load(folder)
    assert [whole.update() for _ in range(3)] == [again.update() for _ in range(3)]
    assert read(folder).config["image_size"] == SIZE


def test_hidden_blocks_are_named_and_become_zero():
    assert blocked_elements(point_contract(), ("position",)).tolist() == [True, True]
    with pytest.raises(UnknownNameError, match="position"):
        blocked_elements(point_contract(), ("velocity",))
    scaling = hiding(fitted(np.array([[0.0, 5.0], [1.0, 9.0]]), "min_max"), np.array([False, True]))
    np.testing.assert_allclose(scaling.scaled(np.array([0.5, 1000.0])), [0.0, 0.0], atol=1e-8)
