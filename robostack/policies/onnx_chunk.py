"""A chunk model in an ONNX file: all steps of the drawing are in the graph, the noise is an input."""

from __future__ import annotations

import json

import numpy as np

from hardware.arrays import FloatArray
from hardware.config import load_config
from hardware.errors import CheckpointError
from robostack.policies.chunked import ChunkSettings
from robostack.policies.onnx_file import OnnxFile


class OnnxChunkModel:
    """Inputs `obs` (batch, past, num_observations), `noise` (batch, horizon, num_actions); output `actions`.

    Args:
        file: an opened file of kind "chunk".

    Raises:
        CheckpointError: the file is of another kind, or says not how its chunks are executed.
    """

    def __init__(self, file: OnnxFile) -> None:
        if file.kind != "chunk" or "chunk" not in file.metadata:
            raise CheckpointError(f"{file.path} holds no chunk policy. Export it again.")
        self._session, self.metadata, self.contract = file.session, file.metadata, file.contract
        self.settings = load_config(ChunkSettings, json.loads(file.metadata["chunk"]))

    def predict(self, history: FloatArray, noise: FloatArray) -> FloatArray:
        """Chunks (batch, horizon, num_actions); see `robostack.policies.chunked.ChunkModel`."""
        inputs = {"obs": np.asarray(history, dtype=np.float32), "noise": np.asarray(noise, dtype=np.float32)}
        (chunk,) = self._session.run(["actions"], inputs)
        return np.asarray(chunk, dtype=np.float64)
