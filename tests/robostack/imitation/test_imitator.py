"""Learning: both ways past an obstacle, the same run from the same seed, exact continuation, equal in every runner."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from point_demonstrations import STEPS, point_contract, point_step

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError
from robostack import export_chunk
from robostack.checkpoint import load_policy as read
from robostack.checkpoint import save_policy
from robostack.export import export_onnx
from robostack.learning.imitation import imitator as module
from robostack.learning.imitation.config import (
    BehaviourCloningConfig,
    DiffusionConfig,
    FlowMatchingConfig,
    ImitationConfig,
)
from robostack.learning.imitation.imitator import Imitator
from robostack.learning.imitation.windows import Demonstration
from robostack.policies.chunk_network import ChunkNetwork
from robostack.policies.chunked import ChunkSettings
from robostack.policies.onnx_file import OnnxFile
from robostack.policies.onnx_policy import OnnxPolicy
from robostack.policies.opening import open_policy

CHUNK = ChunkSettings(past=2, horizon=8, executed=4, blend_steps=1)
SMALL = ImitationConfig(steps=60, batch=16, width=16, blocks=2, warmup=10, average_max=0.9, chunk=CHUNK)
HEADS = ("bc", "diffusion", "flow")


def learned(contract, demonstrations, config):
    imitator = Imitator(contract, demonstrations, config)
    for _ in range(config.steps):
        imitator.update()
    return imitator


@pytest.fixture(scope="module")
def saved(contract, demonstrations, tmp_path_factory):
    """Head -> folder of a policy after a few steps."""
    folders = {}
    for head in HEADS:
        folders[head] = tmp_path_factory.mktemp(head) / "checkpoint"
        learned(contract, demonstrations, dataclasses.replace(SMALL, head=head)).save(folders[head])
    return folders


def middle_and_end(policy, count=100):
    """Where `count` points are beside the obstacle (y), and at the end."""
    position = np.zeros((count, 2))
    for step in range(STEPS):
        position = point_step(position, policy.act(position))
        if step == STEPS // 2 - 1:
            middle = position[:, 1].copy()
    return middle, position


def sideways(policy, count=200):
    """How far to the side (y) the first four actions of chunks from the start lead, drawn `count` times."""
    noise = np.random.default_rng(0).standard_normal((count, CHUNK.horizon, 2))
    chunks = policy.model.predict(np.zeros((count, CHUNK.past, 2)), noise)
    return 0.25 * chunks[:, :4, 1].sum(axis=1)


SIDE = 0.5 * np.sin(np.pi * 4 / STEPS)
"""What demonstrations do there, either way."""


def test_squared_error_leads_between_the_ways(contract, demonstrations, tmp_path):
    config = dataclasses.replace(SMALL, head="bc", steps=300, batch=64, bc=BehaviourCloningConfig(loss="mse"))
    learned(contract, demonstrations, config).save(tmp_path / "checkpoint")
    assert np.max(np.abs(sideways(open_policy(tmp_path / "checkpoint")))) < 0.5 * SIDE


@pytest.mark.parametrize("head", ["diffusion", "flow"])
def test_diffusion_and_flow_take_both_ways(head, contract, demonstrations, tmp_path):
    fast = {"diffusion": DiffusionConfig(draw_steps=5), "flow": FlowMatchingConfig(draw_steps=10)}
    settings = {"steps": 1200, "batch": 64, "width": 48, "warmup": 50, "learning_rate": 3e-3, "average_max": 0.99}
    config = dataclasses.replace(SMALL, head=head, **settings, **fast)
    learned(contract, demonstrations, config).save(tmp_path / "checkpoint")
    policy = open_policy(tmp_path / "checkpoint")
    sides = sideways(policy)
    assert 0.2 < np.mean(sides > 0.0) < 0.8
    assert np.mean(np.abs(sides) > 0.5 * SIDE) > 0.75
    middle, end = middle_and_end(policy)
    assert np.mean(np.abs(middle) > 0.35) > 0.8
    assert np.median(np.linalg.norm(end - [1.0, 0.0], axis=1)) < 0.1


@pytest.mark.parametrize("head", HEADS)
def test_onnx_numpy_and_the_policy_agree(head, saved, contract, tmp_path):
    done = export_onnx(saved[head], tmp_path / "policy.onnx", np.random.default_rng(0).normal(size=(40, 2)))
    assert done.max_error < 1e-5 and done.observations == 128 + 39
    file = OnnxFile(tmp_path / "policy.onnx", contract)
    assert file.kind == "chunk" and file.metadata["control_period_s"] == "0.1"
    first, second = open_policy(saved[head], contract), open_policy(tmp_path / "policy.onnx", contract)
    assert second.settings == first.settings == CHUNK
    for step in range(10):
        observation = np.random.default_rng(step).uniform(-0.5, 0.5, 2)
        np.testing.assert_allclose(second.act(observation), first.act(observation), atol=1e-5)
    with pytest.raises(CheckpointError, match="kind 'chunk'"):
        OnnxPolicy(tmp_path / "policy.onnx")
    with pytest.raises(ContractMismatchError):
        open_policy(tmp_path / "policy.onnx", point_contract(0.2))


def test_noise_decides_the_chunk_except_for_regression(saved):
    history = np.zeros((1, 2, 2))
    for head, folder in saved.items():
        model = ChunkNetwork(read(folder))
        noise = np.random.default_rng(0).standard_normal((2, 1, 8, 2))
        chunks = [model.predict(history, noise[0]), model.predict(history, noise[1])]
        assert np.array_equal(*chunks) == (head == "bc")
        np.testing.assert_array_equal(model.predict(history, noise[0]), chunks[0])
        assert np.all(np.abs(chunks[0]) <= 1.0)


def test_a_graph_that_differs_is_not_kept(saved, tmp_path, monkeypatch):
    right = export_chunk._step

    def wrong(index, row, constant):
        yield from right(index, row * 1.01, constant)

    monkeypatch.setattr(export_chunk, "_step", wrong)
    with pytest.raises(CheckpointError, match="differs"):
        export_onnx(saved["diffusion"], tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_numpy_that_differs_from_torch_is_found_when_saving(contract, demonstrations, tmp_path, monkeypatch):
    imitator = learned(contract, demonstrations, dataclasses.replace(SMALL, head="flow", steps=3))
    monkeypatch.setattr(module, "draw", lambda network, schedule, observed, noise, images: noise * 0.99)
    with pytest.raises(CheckpointError, match="differs from torch"):
        imitator.save(tmp_path / "checkpoint")


@pytest.mark.parametrize("head", HEADS)
def test_a_resumed_run_continues_bit_for_bit(head, saved, contract, demonstrations, tmp_path):
    config = dataclasses.replace(SMALL, head=head, observation_noise=0.05)
    whole = Imitator(contract, demonstrations, config)
    for _ in range(20):
        whole.update()
    whole.save(tmp_path / "half")
    resumed = Imitator(contract, demonstrations, dataclasses.replace(config))
    resumed.load(tmp_path / "half")
    for _ in range(20):
        assert whole.update() == resumed.update()
    whole.save(tmp_path / "whole")
    resumed.save(tmp_path / "resumed")
    assert read(tmp_path / "whole").sha256 == read(tmp_path / "resumed").sha256 != read(saved[head]).sha256


def test_the_seed_decides_the_run(contract, demonstrations):
    def weights(seed):
        config = dataclasses.replace(SMALL, seed=seed, steps=5)
        return learned(contract, demonstrations, config).network.input.weight.detach().numpy()

    np.testing.assert_array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))


def test_padding_can_be_left_out_of_the_loss(contract):
    """One window, all of it padding but its first action: masked, the network is right there and free elsewhere."""
    episode = Demonstration(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[-1.0, -1.0], [1.0, 1.0]]))
    config = dataclasses.replace(SMALL, head="bc", steps=1, batch=4)
    losses = [
        Imitator(contract, [episode], dataclasses.replace(config, mask_padding=mask)).update()["loss"]
        for mask in (False, True)
    ]
    assert losses[0] != losses[1]


def test_what_does_not_fit_is_refused(saved, contract, demonstrations, tmp_path):
    with pytest.raises(ConfigError, match="3 observed and 2 commanded"):
        Imitator(contract, [Demonstration(np.zeros((4, 3)), np.zeros((4, 2)))], SMALL)
    fresh = Imitator(contract, demonstrations[:-1], dataclasses.replace(SMALL, head="diffusion"))
    with pytest.raises(CheckpointError, match="other demonstrations"):
        fresh.load(saved["diffusion"])
    with pytest.raises(CheckpointError, match="does not fit"):
        Imitator(contract, demonstrations, dataclasses.replace(SMALL, width=8)).load(saved["diffusion"])
    with pytest.raises(ContractMismatchError):
        Imitator(point_contract(0.2), demonstrations, SMALL).load(saved["diffusion"])
    policy = read(saved["bc"])
    without = {name: array for name, array in policy.arrays.items() if name != "schedule"}
    save_policy(tmp_path / "torn", without, contract, policy.config, {})
    with pytest.raises(CheckpointError, match="schedule"):
        open_policy(tmp_path / "torn")
    narrow = {**policy.arrays, "output.weight": policy.arrays["output.weight"][1:]}
    save_policy(tmp_path / "narrow", narrow, contract, policy.config, {})
    with pytest.raises(CheckpointError, match="do not fit"):
        open_policy(tmp_path / "narrow")


def test_a_loss_that_is_not_finite_stops_the_run(contract, demonstrations):
    imitator = Imitator(contract, demonstrations, SMALL)
    with torch.no_grad():
        imitator.network.output.bias[0] = torch.nan
    with pytest.raises(NonFiniteError, match="learning_rate"):
        imitator.update()


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"average_max": 1.0}, {"diffusion": DiffusionConfig(draw_steps=0)}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(SMALL, **wrong)
