"""From files and folders to policies: the right kind, the newest checkpoint, clear refusals."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from point_demonstrations import point_contract

from hardware.errors import CheckpointError, ContractMismatchError, MissingExtraError
from robostack import export_chunk
from robostack.checkpoint import load_policy as read
from robostack.checkpoint import save_policy
from robostack.export import export_onnx
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.imitator import Imitator
from robostack.onnx_graph import metadata_of, serialized
from robostack.policies.chunked import ChunkedPolicy, ChunkSettings
from robostack.policies.onnx_chunk import OnnxChunkModel
from robostack.policies.onnx_file import OnnxFile
from robostack.policies.opening import open_policy
from robostack.policies.policy import image_size_of

CONFIG = ImitationConfig(head="flow", steps=2, batch=8, width=8, blocks=1, chunk=ChunkSettings(2, 4, 2, 1))


@pytest.fixture(scope="module")
def run(contract, demonstrations, tmp_path_factory):
    """A run folder with checkpoints after one and two steps, and the ONNX file of the second."""
    folder = tmp_path_factory.mktemp("run")
    imitator = Imitator(contract, demonstrations, CONFIG)
    for step in (1, 2):
        imitator.update()
        imitator.save(folder / "checkpoints" / f"{step:09d}")
    export_onnx(folder, folder / "policy.onnx")
    return folder


def test_a_run_folder_opens_its_newest_checkpoint(run):
    newest, named = open_policy(run), open_policy(run / "checkpoints" / "000000002")
    older = open_policy(run / "checkpoints" / "000000001")
    observation = np.array([0.2, -0.1])
    first = newest.act(observation)
    np.testing.assert_array_equal(first, named.act(observation))
    assert not np.array_equal(first, older.act(observation))
    assert isinstance(newest, ChunkedPolicy) and newest.period_s == 0.1 and image_size_of(newest) is None


def test_a_policy_keeps_to_its_settings_in_every_form(run):
    for policy in (open_policy(run), open_policy(run / "policy.onnx")):
        assert policy.settings == CONFIG.chunk
        for _ in range(3):  # a second episode with another seed of noise, but the same machine
            policy.reset()
            assert policy.act(np.zeros(2)).shape == (2,)


def test_another_contract_is_refused_in_every_form(run):
    other = dataclasses.replace(point_contract(), robot="plane")
    for source in (run, run / "policy.onnx"):
        with pytest.raises(ContractMismatchError, match="robot: trained with 'point', offered 'plane'"):
            open_policy(source, other)


def test_unknown_kinds_and_files_are_refused(run, contract, tmp_path):
    saved = read(run / "checkpoints" / "000000002")
    save_policy(tmp_path / "odd", saved.arrays, contract, {**saved.config, "kind": "oracle"}, {})
    with pytest.raises(CheckpointError, match=r"kind 'oracle'; this version runs mlp, image-mlp, chunk"):
        open_policy(tmp_path / "odd")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        open_policy(tmp_path / "nowhere")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="Export it again"):
        open_policy(tmp_path / "broken.onnx")


def test_a_chunk_file_without_its_settings_is_refused(run, tmp_path):
    saved = read(run / "checkpoints" / "000000002")
    metadata = metadata_of(saved)
    shape = ("batch", 4, 2)
    blob = serialized([("Identity", ["noise"], "actions", {})], {}, {"noise": shape}, {"actions": shape}, metadata)
    (tmp_path / "bare.onnx").write_bytes(blob)
    with pytest.raises(CheckpointError, match="holds no chunk policy"):
        open_policy(tmp_path / "bare.onnx")


def test_the_file_says_what_others_need_to_run_it(run, contract):
    file = OnnxFile(run / "policy.onnx", contract)
    inputs = {entry.name: entry.shape for entry in file.session.get_inputs()}
    assert inputs == {"obs": ["batch", 2, 2], "noise": ["batch", 4, 2]}
    assert [entry.shape for entry in file.session.get_outputs()] == [["batch", 4, 2]]
    assert file.metadata["sha256"] == read(run / "checkpoints" / "000000002").sha256
    assert file.metadata["observation_names"] == "position" and OnnxChunkModel(file).cameras == ()


def test_weights_are_stored_once_however_many_steps_there_are(run, contract, demonstrations, tmp_path):
    long = dataclasses.replace(CONFIG, flow=dataclasses.replace(CONFIG.flow, draw_steps=40))
    Imitator(contract, demonstrations, long).save(tmp_path / "long")
    export_onnx(tmp_path / "long", tmp_path / "long.onnx")
    import onnx

    def weights(path):
        return sum(entry.dims[0] * entry.dims[1] for entry in onnx.load(path).graph.initializer if len(entry.dims) == 2)

    assert weights(run / "policy.onnx") == weights(tmp_path / "long.onnx")


def test_what_is_missing_names_its_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"robostack-learning\[onnx\]"):
        open_policy(run / "policy.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"robostack-learning\[onnx\]"):
        export_onnx(run, tmp_path / "policy.onnx")


def test_recorded_observations_become_pasts(run):
    model = open_policy(run).model
    recorded = np.arange(10.0).reshape(5, 2)
    histories = export_chunk._histories(model, recorded)
    assert len(histories) == export_chunk.RANDOM_HISTORIES + 4
    np.testing.assert_array_equal(histories[-1], recorded[-2:])
    assert len(export_chunk._histories(model, recorded[:1])) == export_chunk.RANDOM_HISTORIES
