"""`train` with demonstrations and a corrector: given once, resumed with them, refused where they cannot be used."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hardware.errors import ConfigError, ContractMismatchError
from robostack.checkpoint import checkpoints, load_arrays
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.learning.training import PROGRESS, TrainConfig, train
from robostack.tasks.panda_peg_insert import PandaPegInsert

SMALL = {"hidden": [16, 16], "batch_size": 8, "learning_starts": 5, "updates_per_step": 0.5}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("demonstrations") / "peg"
    record_scripted(PandaPegInsert(), root, RecordingConfig(episodes=2, disturbance=0.1))
    return root


@pytest.fixture
def config(dataset, tmp_path) -> TrainConfig:
    return TrainConfig(
        task="panda-peg-insert", output_dir=tmp_path / "run", learner="rlpd", steps=120, report_every=120,
        evaluate_every=0, checkpoint_every=60, settings=SMALL, demonstrations=dataset, corrector="scripted",
    )  # fmt: skip


def kept(folder, name: str) -> int:
    return int(load_arrays(folder, name)[0]["total"][0])


def test_demonstrations_are_given_once_and_corrections_join_them(config, dataset):
    from robostack.data.demonstrations import read_demonstrations

    last = train(config)
    shown = len(read_demonstrations(dataset))
    first = checkpoints(config.output_dir)[0]
    assert kept(first, "replay") == 60 and kept(last, "replay") == 120
    assert kept(last, "demonstrations") > shown
    line = json.loads((config.output_dir / PROGRESS).read_text().splitlines()[-1])
    assert line["metrics"]["corrected_steps_per_episode"] > 0.0
    before = kept(last, "demonstrations")
    more = train(dataclasses.replace(config, steps=130, corrector="none"), resume=True)
    assert before <= kept(more, "demonstrations") <= before + 10  # not shown a second time


def test_what_cannot_be_used_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="choose rlpd or sac"):
        train(dataclasses.replace(config, learner="avg", settings={}))
    with pytest.raises(ConfigError, match="choose rlpd or sac"):
        train(dataclasses.replace(config, learner="avg", settings={}, output_dir=tmp_path / "b", demonstrations=None))
    with pytest.raises(ConfigError, match="one robot at a time"):
        train(dataclasses.replace(config, output_dir=tmp_path / "c", simulations=2))
    with pytest.raises(ContractMismatchError, match="panda-pick-cube"):
        train(dataclasses.replace(config, task="panda-pick-cube", output_dir=tmp_path / "d", settings={}))
