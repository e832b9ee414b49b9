"""Exported policies: equal to the learner, and between numpy and ONNX Runtime; refused where they do not fit."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys

import numpy as np
import pytest

from hardware.errors import CheckpointError, ContractMismatchError, MissingExtraError, NonFiniteError
from robostack import export, onnx_graph
from robostack.checkpoint import load_policy as read
from robostack.contract import contract_of
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import Transition
from robostack.policies.mlp import MlpPolicy, load_policy
from robostack.policies.onnx_policy import OnnxPolicy
from robostack.tasks.ur5e_reach import Ur5eReach


@pytest.fixture(scope="module")
def contract():
    return contract_of(Ur5eReach())


@pytest.fixture(scope="module")
def learner(contract):
    """A learner with statistics and weights that are no longer those of the start."""
    made = Avg(contract, AvgConfig(hidden=(32, 16), average=0.9), seed=2)
    rng = np.random.default_rng(0)
    observations = rng.normal(0.3, 2.0, size=(61, contract.num_observations))
    for now, following in itertools.pairwise(observations):
        made.observe(Transition(now, made.act(now), float(rng.normal()), following, False, False))
        made.update()
    return made


@pytest.fixture(scope="module")
def folder(learner, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "checkpoint"
    learner.save(path)
    return path


@pytest.fixture(scope="module")
def exported(folder):
    export.export_onnx(folder, folder.parent / "policy.onnx")
    return folder.parent / "policy.onnx"


def test_numpy_policy_is_the_mean_of_the_learner(learner, folder, contract):
    policy = load_policy(folder, contract)
    observations = np.random.default_rng(1).normal(0.3, 2.0, size=(20, contract.num_observations))
    expected = np.array([learner.act(observation, explore=False) for observation in observations])
    np.testing.assert_allclose(policy.act(observations), expected, atol=2e-6)
    np.testing.assert_allclose(policy.act(observations[0]), expected[0], atol=2e-6)
    assert policy.act(observations.reshape(4, 5, -1)).shape == (4, 5, 3)


def test_onnx_policy_equals_the_numpy_policy(folder, exported, contract):
    first, second = load_policy(folder), OnnxPolicy(exported, contract)
    observations = np.random.default_rng(2).normal(0.3, 2.0, size=(3, 7, contract.num_observations))
    np.testing.assert_allclose(second.act(observations), first.act(observations), atol=1e-5)
    np.testing.assert_allclose(second.act(observations[0, 0]), first.act(observations[0, 0]), atol=1e-5)
    assert second.act(observations[0, 0]).dtype == np.float64
    assert second.period_s == first.period_s == 0.04


def test_onnx_file_follows_the_conventions(exported, folder, contract):
    import onnx

    model = onnx.load(exported)
    assert [value.name for value in model.graph.input] == ["obs"]
    assert [value.name for value in model.graph.output] == ["actions"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.opset_import[0].version == 18
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["contract"]) == json.loads(contract.to_json())
    assert metadata["sha256"] == read(folder).sha256
    assert float(metadata["control_period_s"]) == 0.04
    assert metadata["joint_names"].split(",") == list(contract.joint_names)


def test_export_reports_what_it_compared(folder, tmp_path, contract):
    recorded = np.zeros((5, contract.num_observations))
    done = export.export_onnx(folder, tmp_path / "p.onnx", recorded)
    assert done.observations == export.RANDOM_OBSERVATIONS + 5
    assert 0.0 < done.max_error < 1e-5


def test_export_refuses_a_difference_and_leaves_nothing(folder, tmp_path, monkeypatch):
    nodes = export._nodes

    def wrong(policy, constants):
        yield from nodes(policy, constants)
        constants["action_center"] = constants["action_center"] + np.float32(1e-3)

    monkeypatch.setattr(export, "_nodes", wrong)
    with pytest.raises(CheckpointError, match="differs"):
        export.export_onnx(folder, tmp_path / "p.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("open_policy", ["mlp", "onnx"])
def test_a_policy_of_another_task_is_refused(open_policy, folder, exported, contract):
    other = dataclasses.replace(contract, control_period_s=0.02)
    with pytest.raises(ContractMismatchError, match=r"control_period_s: trained with 0.04, offered 0.02"):
        load_policy(folder, other) if open_policy == "mlp" else OnnxPolicy(exported, other)


def test_input_that_is_not_finite_raises(folder, exported, contract):
    bad = np.full(contract.num_observations, np.nan)
    for policy in (load_policy(folder), OnnxPolicy(exported)):
        policy.reset()
        with pytest.raises(NonFiniteError):
            policy.act(bad)


def test_unreadable_onnx_files_are_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    (tmp_path / "noise.onnx").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="Export it again"):
        OnnxPolicy(tmp_path / "noise.onnx")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("obs", "actions")]
    graph = helper.make_graph([helper.make_node("Abs", ["obs"], ["actions"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = onnx_graph.IR_VERSION
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="no contract"):
        OnnxPolicy(tmp_path / "foreign.onnx")


def test_missing_packages_name_the_extra(folder, exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"robostack-learning\[onnx\]"):
        OnnxPolicy(exported)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"robostack-learning\[onnx\]"):
        export.export_onnx(folder, tmp_path / "p.onnx")


def test_policies_that_cannot_be_run_are_refused(folder, tmp_path):
    saved = read(folder)
    without = {name: array for name, array in saved.arrays.items() if name != "observation_scale"}
    with pytest.raises(CheckpointError, match="observation_scale"):
        MlpPolicy(dataclasses.replace(saved, arrays=without))
    with pytest.raises(CheckpointError, match="do not fit"):
        MlpPolicy(dataclasses.replace(saved, arrays={**saved.arrays, "layer1.bias": np.zeros(3)}))
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = (tmp_path / "policy.json").read_text().replace('"kind": "mlp"', '"kind": "table"')
    (tmp_path / "policy.json").write_text(document)
    with pytest.raises(CheckpointError, match="table"):
        load_policy(tmp_path)
