"""Several critics of one shape as one network: every layer is one batched product over the members.

The gradients are derived by hand. That keeps all working memory in place (an ensemble of ten moves 2.6 MB through every
element-wise operation, and memory of that size, asked for anew, costs page faults) and lets the actor ask for the
gradient by the input alone. A test compares with autograd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robostack.learning.rlpd_config import Activation
from robostack.learning.torch_backend import Tensor, torch

EPSILON = 1e-6
"""Added to the variance in LayerNorm."""


class Layer(NamedTuple):
    """Parameters of one layer of all members, or of some."""

    weight: Tensor
    """(members, fan_in, fan_out); of the last layer (members, fan_out, fan_in)."""
    bias: Tensor
    """(members, 1, fan_out)."""
    gain: Tensor | None
    """LayerNorm's scale, (members, 1, fan_out); None where the layer is not normalised."""
    shift: Tensor | None
    """LayerNorm's offset, (members, 1, fan_out)."""


class CriticPass:
    """Working memory of one forward and backward pass for `members` critics on `batch` inputs."""

    def __init__(self, sizes: Sequence[int], members: int, batch: int, layer_norm: bool, device: torch.device) -> None:
        def room(width: int) -> Tensor:
            return torch.empty(members, batch, width, device=device)

        self.inputs: list[Tensor] = []
        """What each layer was given, (members or 1, batch, fan_in)."""
        self.hidden = [room(width) for width in sizes[1:-1]]
        """Output of each hidden layer."""
        self.normal = [room(width) for width in sizes[1:-1]] if layer_norm else []
        """Before gain and shift: mean 0 and variance 1."""
        self.inverse = [room(1) for _ in sizes[1:-1]]
        """1 / standard deviation."""
        self.deltas = [room(width) for width in sizes[1:-1]]
        """Gradient by the output of each hidden layer, then by what it normalised."""
        self.scratch = [room(width) for width in sizes[1:-1]]
        self.output = room(sizes[-1])
        self.ones = torch.ones(members, 1, batch, device=device)
        """A product with it sums over the batch, several times as fast as a sum along that axis."""


class BatchedCritic:
    """h <- f(LayerNorm(h W + b)) for each hidden layer, q = h w + b; for every member at once.

    All parameters lie in one flat tensor, so that the optimiser and the moving average are one operation each.

    Args:
        inputs: width of the input.
        hidden: widths of the hidden layers, at least one.
        members: number of critics.
        rng: draws the weights (Glorot, uniform; biases zero).
        layer_norm: whether hidden layers are normalised before the activation.
        activation: f.
        device: where it lives.
        outputs: width of the output of each member; more than one for critics of discrete actions.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        members: int,
        rng: np.random.Generator,
        layer_norm: bool = True,
        activation: Activation = "relu",
        device: torch.device | None = None,
        outputs: int = 1,
    ) -> None:
        self.sizes = (inputs, *hidden, outputs)
        self.members, self.layer_norm, self.activation = members, layer_norm, activation
        self.device = device or torch.device("cpu")
        rows = [(fan_in, fan_out) for fan_in, fan_out in zip(self.sizes[:-1], self.sizes[1:], strict=True)]
        self._norms = [layer_norm] * len(hidden) + [False]
        count = sum(
            members * fan_out * (fan_in + 1 + 2 * n) for (fan_in, fan_out), n in zip(rows, self._norms, strict=True)
        )
        self.parameters = torch.zeros(count, device=self.device)
        self.gradient = torch.zeros(count, device=self.device)
        self.layers = self.view(self.parameters)
        self._gradients = self.view(self.gradient)
        self._passes: dict[tuple[int, int], CriticPass] = {}
        for layer, (fan_in, fan_out) in zip(self.layers, rows, strict=True):
            limit = math.sqrt(6.0 / (fan_in + fan_out))
            drawn = rng.uniform(-limit, limit, tuple(layer.weight.shape)).astype(np.float32)
            layer.weight.copy_(torch.from_numpy(drawn))
            if layer.gain is not None:
                layer.gain.fill_(1.0)

    def view(self, flat: Tensor) -> list[Layer]:
        """Views of `flat`, laid out as `parameters`, layer by layer."""
        layers, start = [], 0

        def take(rows: int, columns: int) -> Tensor:
            nonlocal start
            size = self.members * rows * columns
            start += size
            return flat[start - size : start].view(self.members, rows, columns)

        for index, (fan_in, fan_out, normal) in enumerate(
            zip(self.sizes[:-1], self.sizes[1:], self._norms, strict=True)
        ):
            last = index == len(self._norms) - 1
            weight, bias = take(fan_out, fan_in) if last else take(fan_in, fan_out), take(1, fan_out)
            gain, shift = (take(1, fan_out), take(1, fan_out)) if normal else (None, None)
            layers.append(Layer(weight, bias, gain, shift))
        return layers

    def subset(self, layers: Sequence[Layer], members: Tensor) -> list[Layer]:
        """The layers of the members with the numbers `members`, (k,) int64: copies."""
        return [
            Layer(
                layer.weight.index_select(0, members),
                layer.bias.index_select(0, members),
                None if layer.gain is None else layer.gain.index_select(0, members),
                None if layer.shift is None else layer.shift.index_select(0, members),
            )
            for layer in layers
        ]

    def forward(self, inputs: Tensor, layers: Sequence[Layer] | None = None) -> tuple[Tensor, CriticPass]:
        """Values of `inputs` (batch, width), (members, batch, outputs), and what `backward` needs.

        Both belong to this object and are overwritten by the next pass of the same shape.

        Args:
            inputs: what all members are given.
            layers: other parameters than the own, from `view` or `subset`.
        """
        layers = self.layers if layers is None else layers
        members, batch = layers[0].weight.shape[0], inputs.shape[0]
        run = self._passes.get((members, batch))
        if run is None:
            run = CriticPass(self.sizes, members, batch, self.layer_norm, self.device)
            self._passes[members, batch] = run
        current = inputs.expand(members, *inputs.shape)
        run.inputs = [current]
        for index, layer in enumerate(layers[:-1]):
            hidden = run.hidden[index]
            torch.baddbmm(layer.bias, current, layer.weight, out=hidden)
            if layer.gain is not None and layer.shift is not None:
                self._normalize(run, index)
                torch.addcmul(layer.shift, run.normal[index], layer.gain, out=hidden)
            (torch.relu_ if self.activation == "relu" else torch.tanh_)(hidden)
            run.inputs.append(hidden)
            current = hidden
        torch.baddbmm(layers[-1].bias, current, layers[-1].weight.transpose(1, 2), out=run.output)
        return run.output, run

    @staticmethod
    def _normalize(run: CriticPass, index: int) -> None:
        """run.normal = (run.hidden - mean) / sqrt(variance + eps), over the width."""
        hidden, normal, inverse = run.hidden[index], run.normal[index], run.inverse[index]
        torch.mean(hidden, -1, keepdim=True, out=inverse)
        torch.sub(hidden, inverse, out=normal)
        torch.linalg.vector_norm(normal, dim=-1, keepdim=True, out=inverse)
        inverse.square_().mul_(1.0 / normal.shape[-1]).add_(EPSILON).rsqrt_()
        normal.mul_(inverse)

    def backward(self, run: CriticPass, by_output: Tensor, parameters: bool = True) -> None:
        """Carry dL/dq (members, batch, outputs) back, after a `forward` with the own parameters.

        Args:
            run: of that pass.
            by_output: dL/dq.
            parameters: write the gradient by the parameters into `gradient`.
        """
        last, found = self.layers[-1], self._gradients[-1]
        if parameters:
            torch.bmm(by_output.transpose(1, 2), run.hidden[-1], out=found.weight)
            torch.bmm(run.ones, by_output, out=found.bias)
        # A product with one column is an element-wise one.
        (torch.mul if self.sizes[-1] == 1 else torch.bmm)(by_output, last.weight, out=run.deltas[-1])
        for index in range(len(self.layers) - 2, -1, -1):
            layer, found = self.layers[index], self._gradients[index]
            delta = self._through_hidden(run, index, layer, found, parameters)
            if parameters:
                torch.bmm(run.inputs[index].transpose(1, 2), delta, out=found.weight)
                torch.bmm(run.ones, delta, out=found.bias)
            if index > 0:
                torch.bmm(delta, layer.weight.transpose(1, 2), out=run.deltas[index - 1])

    def input_gradient(self, run: CriticPass) -> Tensor:
        """Gradient by the input after `backward`, summed over the members, (batch, width)."""
        return torch.bmm(run.deltas[0], self.layers[0].weight.transpose(1, 2)).sum(0)

    def _through_hidden(self, run: CriticPass, index: int, layer: Layer, found: Layer, parameters: bool) -> Tensor:
        """Turn the gradient by the layer's output, in run.deltas, into that by its product h W + b."""
        delta, hidden, scratch = run.deltas[index], run.hidden[index], run.scratch[index]
        if self.activation == "relu":
            torch.ops.aten.threshold_backward.grad_input(delta, hidden, 0.0, grad_input=delta)
        else:
            torch.ops.aten.tanh_backward.grad_input(delta, hidden, grad_input=delta)
        if layer.gain is None or found.gain is None or found.shift is None:
            return delta
        normal = run.normal[index]
        if parameters:
            torch.bmm(run.ones, delta, out=found.shift)
            torch.bmm(run.ones, torch.mul(delta, normal, out=scratch), out=found.gain)
        # Gradient g by xhat(z) = (z - mean(z)) / deviation(z) becomes (g - mean(g) - xhat mean(g xhat)) / deviation.
        delta.mul_(layer.gain)
        mean = torch.mean(delta, -1, keepdim=True)
        along = torch.mean(torch.mul(delta, normal, out=scratch), -1, keepdim=True)
        delta.sub_(mean).addcmul_(normal, along, value=-1.0)
        return delta.mul_(run.inverse[index])
