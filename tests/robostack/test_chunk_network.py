"""The numpy network of chunk policies against values computed by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError
from robostack.checkpoint import SavedPolicy
from robostack.contract import contract_of
from robostack.policies.chunk_network import EPSILON, OBSERVATION_CLIP, TIME_FEATURES, ChunkNetwork
from robostack.policies.keypoint_encoder import FEATURES
from robostack.tasks.hopper import HopperTask
from robostack.tasks.task import Term

CONTRACT = dataclasses.replace(
    contract_of(HopperTask()),
    observation=(Term("place", ("x",), "m", "", -9.0, 9.0),),
    action=(Term("speed", ("x",), "m/s", "", -1.0, 1.0),),
)
"""One number observed, one commanded."""
CONFIG = {"kind": "chunk", "chunk": {"past": 1, "horizon": 2, "executed": 1, "blend_steps": 0}}


def arrays(**more):
    """A network of width 2 and one block that changes nothing, which answers (0.5, -0.25) whatever it sees."""
    matrix, zero = np.zeros((2, 2), dtype=np.float32), np.zeros(2, dtype=np.float32)
    made = {
        "input.weight": matrix,
        "input.bias": zero,
        "condition.weight": np.zeros((2, 1), dtype=np.float32),
        "condition.bias": zero,
        "time.weight": np.zeros((2, TIME_FEATURES), dtype=np.float32),
        "blocks.0.first.weight": matrix,
        "blocks.0.first.bias": zero,
        "blocks.0.context.weight": matrix,
        "blocks.0.second.weight": matrix,
        "blocks.0.second.bias": zero,
        "output.weight": matrix,
        "output.bias": np.array([0.5, -0.25], dtype=np.float32),
        "observation_center": np.array([1.0]),
        "observation_half": np.array([2.0]),
        "action_center": np.array([0.1]),
        "action_half": np.array([0.5]),
        "action_low": np.array([-1.0]),
        "action_high": np.array([1.0]),
        "schedule": np.array([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]]),
    }
    return {**made, **more}


def network(config=CONFIG, **more):
    return ChunkNetwork(SavedPolicy(arrays(**more), CONTRACT, config, {}, ""))


def predict(model, observed=0.0, noise=(0.0, 0.0)):
    return model.predict(np.array([[[observed]]]), np.array(noise)[None, :, None])[0, :, 0]


def silu(x):
    return x / (1.0 + math.exp(-x))


def test_the_answer_is_scaled_to_the_action_and_bounded():
    np.testing.assert_allclose(predict(network()), [0.1 + 0.5 * 0.5, 0.1 - 0.5 * 0.25])
    wide = network(action_half=np.array([4.0]), action_low=np.array([-0.8]))
    np.testing.assert_allclose(predict(wide), [1.0, -0.8])


def test_rows_of_the_schedule_are_applied_in_order():
    rows = np.array([[0.0, 0.5, 1.0, 0.25, 2.0, 0.7], [0.5, 0.0, 1.0, 1.0, -0.5, 9.0]])
    # x = 0.8: y = clip(0.4 + 0.5, 0.7) = 0.7, x = 0.2 + 1.4 = 1.6; y = 0.5, x = 1.6 - 0.25 = 1.35
    # x = -0.4: y = -0.2 - 0.25 = -0.45, x = -0.1 - 0.9 = -1.0; y = -0.25, x = -1.0 + 0.125 = -0.875
    found = predict(network(schedule=rows, action_half=np.array([0.1])), noise=(0.8, -0.4))
    np.testing.assert_allclose(found, [0.1 + 0.135, 0.1 - 0.0875], rtol=1e-6)


def test_a_block_adds_what_its_layers_say():
    """Hidden (1, 3); normed to (-1, 1); first adds the context; only the first unit is passed on."""
    model = network(
        **{
            "input.bias": np.array([1.0, 3.0], dtype=np.float32),
            "condition.weight": np.array([[1.0], [0.0]], dtype=np.float32),
            "blocks.0.first.weight": np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32),
            "blocks.0.context.weight": np.array([[3.0, 0.0], [0.0, 0.0]], dtype=np.float32),
            "blocks.0.second.weight": np.array([[0.0, 0.0], [4.0, 0.0]], dtype=np.float32),
            "output.weight": np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32),
            "schedule": np.array([[0.0, 0.0, 1.0, 0.0, 1.0, 9.0]]),
        }
    )
    normed = -1.0 / math.sqrt(1.0 + EPSILON)
    context = silu((2.0 - 1.0) / 2.0)  # an observation of 2, scaled
    second = 3.0 + 4.0 * silu(2.0 * normed + 3.0 * context)
    half = (second - 1.0) / 2.0
    first = -half / math.sqrt(half * half + EPSILON)
    np.testing.assert_allclose(predict(model, observed=2.0)[0], max(0.1 + 0.5 * (first + 0.5), -1.0), rtol=1e-5)


def test_the_noise_level_reaches_the_context():
    weight = np.zeros((2, TIME_FEATURES), dtype=np.float32)
    weight[0, 0] = 1.0  # sin(1000 t)
    more = {
        "time.weight": weight,
        "blocks.0.context.weight": np.eye(2, dtype=np.float32),
        "blocks.0.second.weight": np.eye(2, dtype=np.float32),
        "output.weight": np.eye(2, dtype=np.float32),
    }
    early = predict(network(**more, schedule=np.array([[0.0, 0.0, 1.0, 0.0, 1.0, 9.0]])))
    late = predict(network(**more, schedule=np.array([[0.001, 0.0, 1.0, 0.0, 1.0, 9.0]])))
    np.testing.assert_allclose(early, [0.35, -0.025])  # sin 0 leaves the block silent
    assert late[0] > 0.7 and late[1] < -0.4  # and sin 1 does not


def test_an_observation_far_from_every_demonstration_is_held_at_the_clip():
    weight = {
        "condition.weight": np.ones((2, 1), dtype=np.float32),
        "blocks.0.context.weight": np.eye(2, dtype=np.float32),
    }
    second = {"blocks.0.second.weight": np.array([[1.0, 0.0], [0.0, 0.2]], dtype=np.float32)}
    model = network(**weight, **second, **{"output.weight": np.eye(2, dtype=np.float32)})
    edge = 1.0 + 2.0 * OBSERVATION_CLIP
    np.testing.assert_array_equal(predict(model, observed=1e9), predict(model, observed=edge))
    np.testing.assert_array_equal(predict(model, observed=-1e9), predict(model, observed=1.0 - 2.0 * OBSERVATION_CLIP))


def test_a_batch_is_its_rows():
    rng = np.random.default_rng(0)
    random = {name: rng.normal(size=value.shape).astype(value.dtype) for name, value in arrays().items() if "." in name}
    model = network(**random, schedule=np.array([[0.9, 0.2, 0.7, 0.4, 0.6, 1.0], [0.1, 0.5, 0.5, 0.1, 0.9, 1.0]]))
    history, noise = rng.normal(size=(5, 1, 1)), rng.normal(size=(5, 2, 1))
    rows = [model.predict(history[[row]], noise[[row]])[0] for row in range(5)]
    np.testing.assert_allclose(model.predict(history, noise), rows, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": np.zeros((3, 5))},
        {"action_low": np.zeros(2)},
        {"condition.weight": np.zeros((2, 3), dtype=np.float32)},
        {"blocks.0.second.weight": np.zeros((2, 3), dtype=np.float32)},
        {"input.weight": np.zeros((2, 5), dtype=np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong):
    with pytest.raises(CheckpointError, match="do not fit"):
        network(**wrong)


def test_cameras_need_an_encoder_and_images():
    with pytest.raises(CheckpointError, match="encoder"):
        network({**CONFIG, "cameras": ["front"], "image_size": 31})
    layers = {}
    for index, shape in enumerate([(16, 3, 5, 5), (32, 16, 3, 3), (32, 32, 3, 3)]):
        layers[f"encoder.convolutions.{index}.weight"] = np.zeros(shape, dtype=np.float32)
        layers[f"encoder.convolutions.{index}.bias"] = np.zeros(shape[0], dtype=np.float32)
    layers["condition.weight"] = np.zeros((2, 1 + FEATURES), dtype=np.float32)
    model = network({**CONFIG, "cameras": ["front"], "image_size": 31}, **layers)
    assert model.cameras == ("front",) and model.image_size == 31
    with pytest.raises(ConfigError, match="images of the cameras front"):
        predict(model)
    images = np.zeros((1, 1, 31, 31, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.predict(np.zeros((1, 1, 1)), np.zeros((1, 2, 1)), images)[0, :, 0], [0.35, -0.025])
