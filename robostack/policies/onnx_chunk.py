"""A chunk model in an ONNX file: all steps of the drawing are in the graph, the noise is an input."""

from __future__ import annotations

import json

import numpy as np

from hardware.arrays import FloatArray
from hardware.config import load_config
from hardware.errors import CheckpointError, ConfigError
from robostack.policies.chunked import ChunkSettings, Images
from robostack.policies.keypoint_encoder import scaled
from robostack.policies.onnx_file import OnnxFile


class OnnxChunkModel:
    """Inputs `obs` (batch, past, num_observations), `noise` (batch, horizon, num_actions); output `actions`.

    With cameras also `images` (batch, cameras, height, width, 3), RGB from -1 to 1. All are float32.

    Args:
        file: an opened file of kind "chunk".

    Raises:
        CheckpointError: the file is of another kind, or says not how its chunks are executed.
    """

    def __init__(self, file: OnnxFile) -> None:
        if file.kind != "chunk" or "chunk" not in file.metadata:
            raise CheckpointError(f"{file.path} holds no chunk policy. Export it again.")
        self._session, self.metadata, self.contract = file.session, file.metadata, file.contract
        seen = json.loads(file.metadata.get("cameras", "[]"))
        self.cameras: tuple[str, ...] = tuple(str(name) for name in seen)
        """Cameras it looks through, in order."""
        self.image_size = int(file.metadata["image_size"]) if self.cameras else None
        """Width and height of their images [px]; None without cameras."""
        self.settings = load_config(ChunkSettings, json.loads(file.metadata["chunk"]))

    def predict(self, history: FloatArray, noise: FloatArray, images: Images | None = None) -> FloatArray:
        """Chunks (batch, horizon, num_actions); see `robostack.policies.chunked.ChunkModel`."""
        inputs = {"obs": np.asarray(history, dtype=np.float32), "noise": np.asarray(noise, dtype=np.float32)}
        if self.cameras:
            if images is None:
                raise ConfigError(f"the policy needs images of the cameras {', '.join(self.cameras)}")
            inputs["images"] = scaled(images)
        (chunk,) = self._session.run(["actions"], inputs)
        return np.asarray(chunk, dtype=np.float64)
