"""Heads against hand-computed values; and the loop that draws, with networks that know the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robostack.learning.imitation.behaviour_cloning import BehaviourCloning
from robostack.learning.imitation.config import BehaviourCloningConfig, DiffusionConfig, FlowMatchingConfig
from robostack.learning.imitation.diffusion import Diffusion, signal_shares
from robostack.learning.imitation.flow_matching import FlowMatching
from robostack.learning.imitation.network import ChunkNet, draw, embedded
from robostack.policies.chunk_network import TIME_FEATURES, time_embedding

CHUNK = torch.tensor([[[0.3, -0.8], [0.9, 0.1]]])
DRAWING = [
    Diffusion(DiffusionConfig(draw_steps=5, prediction="epsilon")),
    Diffusion(DiffusionConfig(draw_steps=5, prediction="v")),
    Diffusion(DiffusionConfig(draw_steps=7, prediction="sample")),
    FlowMatching(FlowMatchingConfig(draw_steps=6)),
]


def test_signal_shares_follow_the_squared_cosine():
    shares = signal_shares(100)
    ratio = math.cos(0.508 / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert shares[49] == pytest.approx(ratio)
    assert np.all(np.diff(shares) < 0) and 0.0 < shares[-1] < 1e-5 and shares[0] > 0.999


def perfect(head, chunk):
    """The network that knows the chunk: its answer for a noisy chunk at level t."""

    def answer(x, time, observed, images):
        t = levels[tuple(np.round(time[0].numpy(), 4))]
        if isinstance(head, FlowMatching):
            return (chunk - x) / (1.0 - t)
        share = head.shares[round(t * head.config.train_steps)]
        signal, spread = math.sqrt(share), math.sqrt(1.0 - share)
        noise = (x - signal * chunk) / spread
        return {"epsilon": noise, "sample": chunk, "v": signal * noise - spread * chunk}[head.config.prediction]

    rows = head.schedule(1.0)[:, 0]
    levels = {tuple(np.round(embedded(torch.tensor([t]).float())[0].numpy(), 4)): t for t in rows}
    return answer


@pytest.mark.parametrize("head", DRAWING)
def test_a_perfect_network_draws_the_chunk_from_any_noise(head):
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2, 2))).float()
    found = draw(perfect(head, CHUNK), head.schedule(1.0), torch.zeros(1, 1, 1), noise)
    assert torch.allclose(found, CHUNK, atol=2e-4)


@pytest.mark.parametrize("head", DRAWING)
def test_the_loss_of_a_perfect_network_is_zero_and_of_silence_is_not(head):
    def know(x, t):
        if isinstance(head, FlowMatching):
            return (CHUNK - x) / (1.0 - t[:, None, None])
        share = torch.from_numpy(head.shares).float()[(t * head.config.train_steps).round().long()][:, None, None]
        noise = (x - share.sqrt() * CHUNK) / (1.0 - share).sqrt()
        wanted = {
            "epsilon": noise,
            "sample": CHUNK.expand_as(x),
            "v": share.sqrt() * noise - (1 - share).sqrt() * CHUNK,
        }
        return wanted[head.config.prediction]

    many = CHUNK.expand(64, -1, -1)
    generator = torch.Generator().manual_seed(0)
    assert head.loss(know, many, generator).max() < 1e-3
    assert head.loss(lambda x, t: torch.zeros_like(x), many, generator).mean() > 0.1


def test_ddim_step_is_the_published_one():
    head = Diffusion(DiffusionConfig(train_steps=100, draw_steps=10, prediction="epsilon"))
    assert head.levels() == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    _, p, q, r, s, _ = head.schedule(1e9)[0]
    x, noise, now, after = 0.7, -0.4, head.shares[90], head.shares[80]
    clean = (x - math.sqrt(1 - now) * noise) / math.sqrt(now)
    assert p * x + q * noise == pytest.approx(clean)
    assert r * x + s * clean == pytest.approx(math.sqrt(after) * clean + math.sqrt(1 - after) * noise)
    assert Diffusion(DiffusionConfig(train_steps=100, draw_steps=4, prediction="v")).levels() == [99, 74, 49, 24]


def test_flow_rows_are_euler_steps():
    x, velocity = 0.2, -1.3
    for t, p, q, r, s, _ in FlowMatching(FlowMatchingConfig(draw_steps=4)).schedule(1e9):
        assert r * x + s * (p * x + q * velocity) == pytest.approx(x + velocity / 4)
        assert 0.0 <= t < 1.0


@pytest.mark.parametrize(("loss", "expected"), [("l1", 0.5), ("mse", 0.25)])
def test_cloning_measures_the_distance(loss, expected):
    head = BehaviourCloning(BehaviourCloningConfig(loss=loss))
    found = head.loss(lambda x, t: CHUNK + 0.5, CHUNK, torch.Generator())
    assert torch.allclose(found, torch.full_like(CHUNK, expected))
    assert head.schedule(1.0).tolist() == [[0, 0, 1, 0, 1, 1]]


def test_time_is_embedded_by_sines_and_cosines():
    found = time_embedding(np.array([0.0, 0.002]))
    assert found.shape == (2, TIME_FEATURES)
    np.testing.assert_allclose(found[0], [0.0] * 16 + [1.0] * 16)
    np.testing.assert_allclose(found[1, [0, 15, 16]], [math.sin(2.0), math.sin(2e-4), math.cos(2.0)])


def test_blocks_begin_as_the_identity_and_a_plain_network_ignores_noise():
    torch.manual_seed(0)
    network = ChunkNet(observations=4, horizon=2, actions=2, width=8, blocks=2, noisy=False)
    arguments = embedded(torch.zeros(1)), torch.ones(1, 2, 2)
    assert torch.equal(network(torch.randn(1, 2, 2), *arguments), network(torch.zeros(1, 2, 2), *arguments))
    hidden = torch.randn(3, 8)
    assert torch.equal(network.blocks[0](hidden, torch.randn(3, 8)), hidden)
