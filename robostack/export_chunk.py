"""The ONNX graph of a chunk policy: every step of the drawing unrolled, the weights stored once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hardware.arrays import FloatArray
from robostack.checkpoint import SavedPolicy
from robostack.onnx_graph import Node, metadata_of, serialized
from robostack.policies.chunk_network import EPSILON, OBSERVATION_CLIP, ChunkNetwork
from robostack.policies.keypoint_encoder import CONVOLUTIONS, FEATURES, KeypointEncoder
from robostack.policies.onnx_chunk import OnnxChunkModel
from robostack.policies.onnx_file import OnnxFile

Comparison: TypeAlias = Callable[[Path], tuple[float, int]]
"""Largest difference of a file from the original, as a fraction of half the action range, and number of comparisons."""
RANDOM_HISTORIES = 128
RECORDED_MAX = 512
BATCH = 32
"""Histories compared at once, besides one alone."""


def graph(saved: SavedPolicy, recorded: FloatArray | None) -> tuple[bytes, Comparison]:
    """The serialised graph of a policy of kind "chunk", and what compares the file with it.

    Args:
        saved: what the checkpoint holds.
        recorded: observations to compare on besides random ones, (n, num_observations).

    Raises:
        CheckpointError: the checkpoint holds no chunk policy.
        MissingExtraError: onnx is not installed.
    """
    model = ChunkNetwork(saved)
    settings, actions = model.settings, model.contract.num_actions
    chunk = ("batch", settings.horizon, actions)
    inputs: dict[str, tuple[str | int, ...]] = {
        "obs": ("batch", settings.past, model.contract.num_observations),
        "noise": chunk,
    }
    metadata = {**metadata_of(saved), "chunk": json.dumps(dataclasses.asdict(settings))}
    if model.image_size is not None:
        inputs["images"] = ("batch", len(model.cameras), model.image_size, model.image_size, 3)
        metadata |= {"cameras": json.dumps(model.cameras), "image_size": str(model.image_size)}
    constants: dict[str, Any] = {}
    blob = serialized(list(_nodes(model, constants)), constants, inputs, {"actions": chunk}, metadata)

    def compare(path: Path) -> tuple[float, int]:
        return _largest_difference(model, OnnxChunkModel(OnnxFile(path)), _histories(model, recorded))

    return blob, compare


def _histories(model: ChunkNetwork, recorded: FloatArray | None) -> FloatArray:
    """Random pasts spread like those of training, and the recorded ones, (n, past, num_observations)."""
    rng, past = np.random.default_rng(0), model.settings.past
    shape = (RANDOM_HISTORIES, past, model.contract.num_observations)
    random = model.center + model.half * rng.uniform(-1.2, 1.2, shape)
    if recorded is None or len(recorded) < past:
        return random
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(recorded, dtype=np.float64), past, axis=0)
    return np.concatenate([random, windows.swapaxes(1, 2)[:RECORDED_MAX]])


def _largest_difference(model: ChunkNetwork, exported: OnnxChunkModel, histories: FloatArray) -> tuple[float, int]:
    rng, count = np.random.default_rng(1), len(histories)
    noise = rng.standard_normal((count, model.settings.horizon, model.contract.num_actions))
    half, worst = (model.high - model.low) / 2.0, 0.0
    for rows in (slice(0, 1), *(slice(first, first + BATCH) for first in range(0, count, BATCH))):
        asked = histories[rows], noise[rows]
        images = None
        if model.image_size is not None:
            shape = (len(asked[0]), len(model.cameras), model.image_size, model.image_size, 3)
            images = rng.integers(0, 256, shape, dtype=np.uint8)
        difference = np.abs(exported.predict(*asked, images) - model.predict(*asked, images))
        worst = max(worst, float(np.max(difference / half)))
    return worst, count


def _nodes(model: ChunkNetwork, constants: dict[str, Any]) -> Iterator[Node]:
    """The nodes of ChunkNetwork.predict; fills `constants`."""

    def constant(name: str, value: Any) -> str:
        array = np.asarray(value)
        constants[name] = array if array.dtype == np.int64 else array.astype(np.float32)
        return name

    yield "Sub", ["obs", constant("observation_center", model.center)], "centered", {}
    yield "Div", ["centered", constant("observation_half", model.half)], "scaled", {}
    limits = [constant("lowest", -OBSERVATION_CLIP), constant("highest", OBSERVATION_CLIP)]
    yield "Clip", ["scaled", *limits], "clipped", {}
    yield "Reshape", ["clipped", constant("flat", np.array([0, -1], dtype=np.int64))], "observed_flat", {}
    yield "Reshape", ["noise", "flat"], "x0", {}
    seen = "observed_flat"
    if model.encoder is not None:
        yield from _encoder(model.encoder, len(model.cameras), constant)
        yield "Concat", ["observed_flat", "features"], "seen", {"axis": 1}
        seen = "seen"
    weights = [constant("condition", model.condition[0]), constant("condition_bias", model.condition[1])]
    yield "Gemm", [seen, *weights], "observed", {"transB": 1}
    for index, row in enumerate(model.schedule):
        yield "Add", ["observed", constant(f"time{index}", model.times[index])], f"timed{index}", {}
        yield from _forward(model, index, constant)
        yield from _step(index, row, constant)
    last = f"x{len(model.schedule)}"
    shape = np.array([-1, model.settings.horizon, model.contract.num_actions], dtype=np.int64)
    yield "Reshape", [last, constant("chunk_shape", shape)], "chunk", {}
    yield "Mul", ["chunk", constant("action_half", model.action_half)], "spread", {}
    yield "Add", ["spread", constant("action_center", model.action_center)], "mapped", {}
    yield "Max", ["mapped", constant("action_low", model.low)], "above", {}
    yield "Min", ["above", constant("action_high", model.high)], "actions", {}


def _encoder(encoder: KeypointEncoder, cameras: int, constant: Callable[[str, Any], str]) -> Iterator[Node]:
    """From the images to the positions of their features."""

    def shape(name: str, *sizes: int) -> str:
        return constant(name, np.array(sizes, dtype=np.int64))

    size = encoder.image_size
    yield "Reshape", ["images", shape("image_shape", -1, size, size, 3)], "pictures", {}
    yield "Transpose", ["pictures"], "map0", {"perm": [0, 3, 1, 2]}
    for index, ((weight, bias), (_, _, stride)) in enumerate(zip(encoder.layers, CONVOLUTIONS, strict=True)):
        source = f"map{index}"
        if index:
            yield "Relu", [source], f"active_map{index}", {}
            source = f"active_map{index}"
        names = [constant(f"convolution{index}", weight), constant(f"convolution{index}_bias", bias)]
        yield "Conv", [source, *names], f"map{index + 1}", {"strides": [stride, stride]}
    channels, places = CONVOLUTIONS[-1][0], len(encoder.positions)
    yield "Reshape", [f"map{len(CONVOLUTIONS)}", shape("map_shape", -1, channels, places)], "responses", {}
    yield "Softmax", ["responses"], "shares", {"axis": -1}
    yield "MatMul", ["shares", constant("positions", encoder.positions)], "keypoints", {}
    yield "Reshape", ["keypoints", shape("feature_shape", -1, cameras * FEATURES)], "features", {}


def _forward(model: ChunkNetwork, index: int, constant: Callable[[str, Any], str]) -> Iterator[Node]:
    """From x and the context to the network's output, for one step of the drawing."""

    def silu(source: str, target: str) -> Iterator[Node]:
        yield "Sigmoid", [source], f"{target}_gate", {}
        yield "Mul", [source, f"{target}_gate"], target, {}

    def norm(source: str, target: str) -> Node:
        one = constant("one", np.ones(model.input[0].shape[0]))
        return "LayerNormalization", [source, one], target, {"axis": -1, "epsilon": EPSILON}

    def gemm(source: str, name: str, weight: Any, bias: Any, target: str) -> Node:
        return "Gemm", [source, constant(name, weight), constant(f"{name}_bias", bias)], target, {"transB": 1}

    yield from silu(f"timed{index}", f"context{index}")
    yield gemm(f"x{index}", "input", *model.input, f"hidden{index}_0")
    for place, (first, first_bias, mixed, second, second_bias) in enumerate(model.blocks):
        at, block = f"{index}_{place}", f"block{place}"
        yield norm(f"hidden{at}", f"normed{at}")
        yield gemm(f"normed{at}", f"{block}_first", first, first_bias, f"plain{at}")
        yield "Gemm", [f"context{index}", constant(f"{block}_context", mixed)], f"mixed{at}", {"transB": 1}
        yield "Add", [f"plain{at}", f"mixed{at}"], f"inner{at}", {}
        yield from silu(f"inner{at}", f"active{at}")
        yield gemm(f"active{at}", f"{block}_second", second, second_bias, f"change{at}")
        yield "Add", [f"hidden{at}", f"change{at}"], f"hidden{index}_{place + 1}", {}
    yield norm(f"hidden{index}_{len(model.blocks)}", f"final{index}")
    yield gemm(f"final{index}", "output", *model.output, f"network{index}")


def _step(index: int, row: FloatArray, constant: Callable[[str, Any], str]) -> Iterator[Node]:
    """One row of the schedule: y = clip(p x + q network, -c, c);  x = r x + s y."""
    _, p, q, r, s, clip = (float(value) for value in row)
    names = {name: constant(f"{name}{index}", value) for name, value in zip("pqrs", (p, q, r, s), strict=True)}
    limits = [constant(f"below{index}", -clip), constant(f"above{index}", clip)]
    yield "Mul", [f"x{index}", names["p"]], f"kept{index}", {}
    yield "Mul", [f"network{index}", names["q"]], f"given{index}", {}
    yield "Add", [f"kept{index}", f"given{index}"], f"sum{index}", {}
    yield "Clip", [f"sum{index}", *limits], f"estimate{index}", {}
    yield "Mul", [f"x{index}", names["r"]], f"rest{index}", {}
    yield "Mul", [f"estimate{index}", names["s"]], f"towards{index}", {}
    yield "Add", [f"rest{index}", f"towards{index}"], f"x{index + 1}", {}
