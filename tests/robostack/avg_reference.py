"""AVG once more, as plainly as torch's autograd allows, from the paper's formulas and sharing no code with ours.

Published conventions: the actor's second head is the logarithm of the variance; actions are clipped to the bounds while
the critic sees the unclipped ones; a time limit does not start a new return in the scale of the error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.distributions import MultivariateNormal

torch.set_num_threads(1)


class PNormNetwork(torch.nn.Module):
    """Linear layers with LeakyReLU between, the last hidden vector divided by its length."""

    def __init__(self, sizes: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.linears = torch.nn.ModuleList(torch.nn.Linear(i, o, dtype=dtype) for i, o in itertools.pairwise(sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear in self.linears[:-1]:
            x = torch.nn.functional.leaky_relu(linear(x), 0.01)
        return self.linears[-1](x / torch.linalg.vector_norm(x))

    def set_weights(self, matrices: Sequence[np.ndarray]) -> None:
        """`matrices`: [weight, bias] of each layer, (fan_out, fan_in + 1)."""
        with torch.no_grad():
            for linear, matrix in zip(self.linears, matrices, strict=True):
                linear.weight.copy_(torch.from_numpy(matrix[:, :-1].copy()))
                linear.bias.copy_(torch.from_numpy(matrix[:, -1].copy()))

    def weights(self) -> list[np.ndarray]:
        return [
            np.column_stack([linear.weight.detach().numpy(), linear.bias.detach().numpy()]) for linear in self.linears
        ]


class PowerSums:
    """Mean and variance from sums of x and x^2."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, x: float) -> None:
        self.count, self.sum, self.squares = self.count + 1, self.sum + x, self.squares + x * x

    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    def variance(self) -> float:
        return self.squares / self.count - self.mean() ** 2


class ReferenceAvg:
    """Feed it `act`, then `update`, with the noise of both draws given."""

    def __init__(
        self,
        num_observations: int,
        num_actions: int,
        *,
        actor_learning_rate: float,
        critic_learning_rate: float,
        alpha: float,
        gamma: float,
        beta1: float = 0.0,
        hidden: Sequence[int] = (256, 256),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.alpha, self.gamma, self.num_actions, self.dtype = alpha, gamma, num_actions, dtype
        self.actor = PNormNetwork([num_observations, *hidden, 2 * num_actions], dtype)
        self.critic = PNormNetwork([num_observations + num_actions, *hidden, 1], dtype)
        betas = (beta1, 0.999)
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=actor_learning_rate, betas=betas)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=critic_learning_rate, betas=betas)
        self.seen = 1e-4
        self.mean, self.variance = np.zeros(num_observations), np.ones(num_observations)
        self.last: np.ndarray | None = None
        self.rewards, self.discounts, self.squared_returns = PowerSums(), PowerSums(), PowerSums()
        self.episode_return = 0.0

    def act(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        if self.last is None or not np.array_equal(observation, self.last):
            self._see(observation)
        self.state = self._normalized()
        self.action, self.log_probability = self._draw(self.state, noise)
        return self.action.detach().numpy()

    def update(self, observation: np.ndarray, reward: float, terminated: bool, noise: np.ndarray) -> float:
        """Returns the temporal-difference error."""
        self._see(observation)
        sigma = self._scale(reward - self.alpha * self.log_probability.item(), terminated)
        with torch.no_grad():
            following, log_following = self._draw(self._normalized(), noise)
            value = self._q(self._normalized(), following) - self.alpha * log_following
            target = reward + self.gamma * (1.0 - float(terminated)) * value
        delta = target - self._q(self.state, self.action.detach())
        actor_loss = self.alpha * self.log_probability - self._q(self.state, self.action)
        actor_gradient = torch.autograd.grad(actor_loss, list(self.actor.parameters()))
        critic_gradient = torch.autograd.grad((delta / sigma) ** 2, list(self.critic.parameters()))
        for adam, network, gradients in (
            (self.actor_adam, self.actor, actor_gradient),
            (self.critic_adam, self.critic, critic_gradient),
        ):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient
            adam.step()
        return delta.item()

    def _draw(self, state: torch.Tensor, noise: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mu, log = self.actor(state).split(self.num_actions)
        covariance = torch.diag(torch.exp(torch.clamp(log, -20.0, 2.0)))
        normal = MultivariateNormal(mu, covariance)
        u = mu + normal.scale_tril @ torch.as_tensor(noise, dtype=self.dtype)
        squash = 2.0 * (math.log(2.0) - u - torch.nn.functional.softplus(-2.0 * u))
        return torch.tanh(u), normal.log_prob(u) - squash.sum()

    def _q(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.critic(torch.cat([state, action]))[0]

    def _see(self, observation: np.ndarray) -> None:
        """Parallel-variance formula of Chan et al. for a batch of one."""
        difference, total = observation - self.mean, self.seen + 1.0
        self.mean = self.mean + difference / total
        self.variance = (self.variance * self.seen + difference**2 * self.seen / total) / total
        self.seen, self.last = total, observation.copy()

    def _normalized(self) -> torch.Tensor:
        assert self.last is not None
        return torch.as_tensor((self.last - self.mean) / np.sqrt(self.variance + 1e-8), dtype=self.dtype)

    def _scale(self, reward: float, terminated: bool) -> float:
        self.rewards.add(reward)
        self.discounts.add(0.0 if terminated else self.gamma)
        self.episode_return += reward
        if terminated:
            self.squared_returns.add(self.episode_return**2)
            self.episode_return = 0.0
        variance = self.rewards.variance() + self.discounts.variance() * self.squared_returns.mean()
        variance = max(variance, 1e-4)
        return 1.0 if variance <= 0.01 and not self.squared_returns.count else math.sqrt(variance)
