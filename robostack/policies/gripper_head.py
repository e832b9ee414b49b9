"""The level of a gripper, chosen by the values that were learned for it; beside the network that moves the arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]


class GripperHead:
    """level = levels[argmax mlp(x)], with LayerNorm before each activation where the arrays are there.

    Args:
        network: column, levels, activation and epsilon, as the checkpoint has them.
        arrays: of the checkpoint; those named `gripper<layer>.<part>` are used.

    Raises:
        KeyError: something is missing.
    """

    def __init__(self, network: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.column, self.levels = int(network["column"]), np.array(network["levels"], dtype=np.float64)
        self.activation, self.epsilon = str(network["activation"]), float(network["epsilon"])
        count = sum(name.startswith("gripper") and name.endswith(".kernel") for name in arrays)
        self.layers = [
            {part: arrays[f"gripper{index}.{part}"] for part in ("kernel", "bias")}
            | {
                part: arrays[f"gripper{index}.{part}"]
                for part in ("gain", "shift")
                if f"gripper{index}.{part}" in arrays
            }
            for index in range(count)
        ]

    def insert(self, normalized: Values, action: Values) -> Values:
        """The arm's `action` (..., n) with the gripper's level put in at its column, (..., n + 1)."""
        hidden = normalized
        for layer in self.layers[:-1]:
            hidden = hidden @ layer["kernel"].T + layer["bias"]
            if "gain" in layer:
                hidden = hidden - np.mean(hidden, axis=-1, keepdims=True)
                square = np.mean(hidden * hidden, axis=-1, keepdims=True)
                hidden = hidden / np.sqrt(square + np.float32(self.epsilon)) * layer["gain"] + layer["shift"]
            hidden = np.tanh(hidden) if self.activation == "tanh" else np.maximum(hidden, np.float32(0.0))
        values = hidden @ self.layers[-1]["kernel"].T + self.layers[-1]["bias"]
        level = self.levels[np.argmax(values, axis=-1)]
        return np.insert(action, self.column, level, axis=-1)

    def nodes(self, source: str, action: str, arm: int) -> Iterator[tuple[str, list[Any], str, dict[str, Any]]]:
        """Operator, inputs, output and attributes of the same as an ONNX graph; an input that is a pair is a constant.

        Args:
            source: name of the normalised observation, (batch, n).
            action: name of the arm's action; the whole one is called "with_gripper".
            arm: length of the arm's action.
        """
        hidden = source
        for index, layer in enumerate(self.layers[:-1]):
            name = f"gripper{index}"
            yield (
                "Gemm",
                [hidden, (f"{name}_kernel", layer["kernel"]), (f"{name}_bias", layer["bias"])],
                name,
                {"transB": 1},
            )
            hidden = name
            if "gain" in layer:
                constants = [(f"{name}_gain", layer["gain"]), (f"{name}_shift", layer["shift"])]
                yield (
                    "LayerNormalization",
                    [hidden, *constants],
                    f"{name}_normal",
                    {"axis": -1, "epsilon": self.epsilon},
                )
                hidden = f"{name}_normal"
            yield "Tanh" if self.activation == "tanh" else "Relu", [hidden], f"{name}_out", {}
            hidden = f"{name}_out"
        last = self.layers[-1]
        constants = [("gripper_kernel", last["kernel"]), ("gripper_bias", last["bias"])]
        yield "Gemm", [hidden, *constants], "gripper_values", {"transB": 1}
        yield "ArgMax", ["gripper_values"], "gripper_number", {"axis": -1, "keepdims": 1}
        yield "Gather", [("gripper_levels", self.levels), "gripper_number"], "gripper_level", {"axis": 0}
        yield "Concat", [action, "gripper_level"], "arm_and_gripper", {"axis": 1}
        order = [*range(self.column), arm, *range(self.column, arm)]
        numbers = ("action_order", np.array(order, dtype=np.int64))
        yield "Gather", ["arm_and_gripper", numbers], "with_gripper", {"axis": 1}
