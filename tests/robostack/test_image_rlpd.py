"""RLPD through cameras: who trains the encoder, resume to the bit, crash and damage, the exported policy, cloning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from image_steps import CAMERAS, SIZE, contract, observation, step  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError  # noqa: E402
from robostack.checkpoint import load_policy as read_policy  # noqa: E402
from robostack.learning.encoder_pretraining import PretrainingConfig, pretrain  # noqa: E402
from robostack.learning.image_settings import ImageSettings  # noqa: E402
from robostack.learning.imitation.windows import Demonstration  # noqa: E402
from robostack.learning.rlpd import Rlpd, RlpdConfig  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402

SMALL = RlpdConfig(
    cameras=CAMERAS,
    image_size=SIZE,
    unseen=("secret",),
    image_features=6,
    state_features=4,
    spatial_embeddings=2,
    image_shift=2,
    critics=3,
    hidden=(16, 16),
    batch_size=8,
    updates_per_step=2.0,
    critic_steps_per_actor_step=2,
    learning_starts=10,
    replay_size=200,
    demo_size=100,
)
WAYS = pytest.mark.parametrize("frozen", [False, True], ids=["learned", "frozen"])


@pytest.fixture
def weights(tmp_path):
    """A file with weights of an encoder."""
    path = tmp_path / "weights.safetensors"
    save_file(Rlpd(contract(), SMALL, 9).images.encoder.arrays(), path)
    return path


def learner(weights, frozen: bool, seed: int = 0, **changes) -> Rlpd:
    given = {"encoder_weights": str(weights), "freeze_convolutions": frozen, "shift_versions": 3, **changes}
    return Rlpd(contract(), dataclasses.replace(SMALL, **given), seed)


def live(made: Rlpd, first: int, last: int) -> list[np.ndarray]:
    actions = []
    for moment in range(first, last):
        given = step(moment, "intervention" if moment % 5 == 0 else "sim")
        actions.append(made.act(given.observation))
        made.observe(dataclasses.replace(given, action=actions[-1]))
        made.update()
    return actions


def state_of(made: Rlpd) -> dict:
    arrays = {name: tensor.numpy().copy() for name, tensor in made._tensors().items()}
    for name, replay in (("online", made.online), ("demos", made.demos)):
        arrays |= {f"{name}.{key}": array for key, array in replay.newest(10**6).items()}
    return arrays


@WAYS
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_resume_is_exact_to_the_bit(tmp_path, weights, frozen, where):
    def fresh() -> Rlpd:
        return learner(weights, frozen, replay_dir=str(tmp_path / "replay") if where == "disk" else "")

    made = fresh()
    for moment in range(1000, 1014):
        made.observe(step(moment, "demo"))
    live(made, 0, 37)  # in the midst of an episode
    made.save(tmp_path / "checkpoint")
    actions = live(made, 37, 50)
    again = fresh()
    again.load(tmp_path / "checkpoint")
    np.testing.assert_array_equal(live(again, 37, 50), actions)
    expected, found = state_of(made), state_of(again)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert again.update() == made.update() != {}


@WAYS
def test_critics_train_the_encoder_and_what_is_frozen_gets_nothing(weights, frozen):
    made = learner(weights, frozen)
    for moment in range(20):
        made.observe(step(moment))
    before = {name: value.detach().clone() for name, value in made.images.encoder.named_parameters()}
    made.learn()
    for name, value in made.images.encoder.named_parameters():
        fixed = frozen and name.startswith("convolutions.")
        assert torch.equal(before[name], value) == fixed, name
        assert (value.grad is None) == fixed and value.requires_grad != fixed


@WAYS
def test_the_actors_gradient_does_not_reach_the_encoder(weights, frozen):
    made = learner(weights, frozen, critic_learning_rate=1e-12, encoder_learning_rate=1e-12)
    for moment in range(20):
        made.observe(step(moment))
    made.learn()
    gradient, actor = made.images.optimizer.gradient.clone(), made.actor_optimizer.parameters.clone()
    features = torch.rand(8, made.images.width, requires_grad=True)
    inputs = torch.cat([features, torch.zeros(8, 2)], dim=1)
    made._actor_step(features.detach(), inputs.detach(), shown=0)
    assert not torch.equal(actor, made.actor_optimizer.parameters)
    assert torch.equal(gradient, made.images.optimizer.gradient) and float(gradient.abs().max()) > 0.0
    # In a whole group of updates, too: with the critics' part switched off, nothing is left.
    weights_before = made.images.optimizer.parameters.clone()
    made.images.learn = lambda features, slope: None
    made.learn()
    assert torch.equal(gradient, made.images.optimizer.gradient)
    assert torch.equal(weights_before, made.images.optimizer.parameters)


@WAYS
def test_the_policy_acts_reloaded_and_exported_as_trained(tmp_path, weights, frozen):
    made = learner(weights, frozen)
    live(made, 0, 30)
    made.save(tmp_path / "c")
    again = learner(weights, frozen, seed=5)
    again.load(tmp_path / "c")
    exported = load_policy(tmp_path / "c", contract())
    actions = []
    for moment in range(20):
        actions.append(made.act(observation(moment), explore=False))
        np.testing.assert_array_equal(again.act(observation(moment), explore=False), actions[-1])
        np.testing.assert_allclose(exported.act(observation(moment)), actions[-1], atol=2e-5)
    assert np.ptp(actions, axis=0).min() > 0.01
    assert exported.image_size == made.image_size == SIZE
    saved = read_policy(tmp_path / "c")
    assert saved.config["images"] == [
        {"camera": name, "shape": [SIZE, SIZE, 3], "encoding": "rgb8"} for name in CAMERAS
    ]
    # What is not to be seen changes nothing; what is missing is said.
    np.testing.assert_array_equal(made.act(observation(3, secret=5.0), False), made.act(observation(3), False))
    for policy in (made, exported):
        with pytest.raises(ConfigError, match="image"):
            policy.act(np.zeros(5))
        with pytest.raises(ConfigError, match="right"):
            policy.act({"state": np.zeros(5), "left": observation(0)["left"]})
        with pytest.raises(NonFiniteError):
            policy.act({**observation(0), "state": np.full(5, np.nan)})


def test_a_checkpoint_of_other_cameras_is_refused(tmp_path, weights):
    made = learner(weights, False)
    live(made, 0, 12)
    made.save(tmp_path / "c")
    with pytest.raises(ContractMismatchError, match="right"):
        learner(weights, False, cameras=("right", "left")).load(tmp_path / "c")
    with pytest.raises(ConfigError, match="architecture"):
        learner(weights, False, architecture="avg")


@WAYS
def test_the_replay_survives_a_crash_and_a_corrupted_row(tmp_path, weights, frozen):
    made = learner(weights, frozen, replay_dir=str(tmp_path / "replay"))
    for moment in range(20):
        made.observe(step(moment))  # ends after 6 and 13
    made.save(tmp_path / "c")
    path = tmp_path / "replay" / "online" / "rows.bin"
    stride = path.stat().st_size // SMALL.replay_size
    with path.open("r+b") as file:
        file.seek(3 * stride + 40)
        file.write(b"\x55\xaa\x55")
    with pytest.warns(RuntimeWarning, match="1 damaged"):
        again = learner(weights, frozen, replay_dir=str(tmp_path / "replay"))
    again.load(tmp_path / "c", keep_later=True)
    rows = again.online.newest(100)
    kept = [moment for moment in range(19) if moment not in (2, 3)]
    np.testing.assert_allclose(rows["reward"], [step(moment).reward for moment in kept], rtol=1e-6)
    if not frozen:
        for row, moment in enumerate(kept):
            for name, shown in (("frames", moment), ("next_frames", moment + 1)):
                seen = observation(shown)
                np.testing.assert_array_equal(rows[name][row], np.stack([seen[camera] for camera in CAMERAS]))
    again.learn()


def test_frames_of_frozen_convolutions_are_their_output_for_shifted_images(weights):
    made = learner(weights, True, image_shift=0)
    made.observe(step(0))
    made.observe(step(1))
    row = made.online.newest(1)
    images = torch.from_numpy(made.images.images(observation(0)))
    expected = made.images.encoder.maps(images).numpy()
    assert row["frames"].shape[1] == 1  # nothing to choose from without shifts
    np.testing.assert_allclose(row["frames"][:, 0], expected, rtol=1e-3, atol=1e-3)  # stored as float16
    state = torch.from_numpy(row["observation"])
    features = made.images.features(row["frames"], state, learn=False)
    np.testing.assert_allclose(features, made.images.look(images.numpy(), state), atol=5e-3)
    shifting = learner(weights, True)
    shifting.observe(step(0))
    shifting.observe(step(1))
    versions = shifting.online.newest(1)["frames"][0]
    assert len(versions) == 3 and not np.array_equal(versions[0], versions[1])


def test_cloning_gives_a_policy_and_weights_to_start_with(tmp_path):
    """The left image's brightness says what to do; what must not be seen says the opposite."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(30):
        bright = rng.random(4)
        images = rng.integers(0, 60, (4, 2, SIZE, SIZE, 3), dtype=np.uint8)
        images[:, 0] += (bright[:, None, None, None] * 190).astype(np.uint8)
        state = np.concatenate([0.1 * rng.standard_normal((4, 3)), np.stack([-bright, -bright], 1)], axis=1)
        episodes.append(Demonstration(state, np.stack([4.0 * bright - 1.0, np.ones(4)], 1), images=images))
    settings = ImageSettings(
        CAMERAS, SIZE, ("secret",), spatial_embeddings=2, image_features=8, state_features=4, image_shift=1
    )
    config, losses = PretrainingConfig(steps=200, batch_size=32, hidden=(16,), learning_rate=3e-3), []
    path = pretrain(contract(), episodes, settings, tmp_path / "bc", config, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    policy = load_policy(tmp_path / "bc", contract())
    for episode in episodes[:5]:
        images = dict(zip(CAMERAS, episode.images.transpose(1, 0, 2, 3, 4), strict=True))
        found = policy.act({"state": episode.observation, **images})
        assert np.abs(found[:, 0] - episode.action[:, 0]).mean() < 0.4  # guessing is 1 off
    made = Rlpd(contract(), RlpdConfig(**dataclasses.asdict(settings) | {"encoder_weights": str(path)}), 0)
    for name, array in made.images.encoder.arrays().items():
        np.testing.assert_array_equal(array, read_policy(tmp_path / "bc").arrays[name])
    again = pretrain(contract(), episodes, settings, tmp_path / "again", config)
    assert again.read_bytes() == path.read_bytes()  # the same seed, the same weights
    with pytest.raises(ConfigError, match="name cameras"):
        pretrain(contract(), [], settings, tmp_path / "none", config)
    with pytest.raises(CheckpointError, match="no weights"):
        Rlpd(contract(), dataclasses.replace(SMALL, encoder_weights=str(tmp_path / "nothing")), 0)
