"""Settings of RLPD, and thereby of soft actor-critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware.errors import ConfigError
from robostack.learning.image_settings import ImageSettings
from robostack.learning.squashed_gaussian import Variance

Activation = Literal["relu", "tanh"]
Architecture = Literal["relu", "avg"]


@dataclass(frozen=True)
class RlpdConfig(ImageSettings):
    """Settings. The defaults are those of RLPD's locomotion tasks."""

    critics: int = 10
    """Number of critics (E)."""
    target_subset: int = 2
    """Critics drawn anew for each target, of which the smallest value counts (M)."""
    layer_norm: bool = True
    """Normalise the hidden layers of the critics."""
    critic_activation: Activation = "relu"
    """Activation of the critics."""
    actor_objective: Literal["mean", "min"] = "mean"
    """Whether the actor maximises the mean or the smallest of all critics."""
    updates_per_step: float = 20.0
    """Steps of the critics per environment step; exact over time, also when it is a fraction or when many simulations
    step together."""
    critic_steps_per_actor_step: int = 20
    """Steps of the critics for each step of the actor and the temperature."""
    batch_size: int = 256
    """Transitions per step of the critics."""
    demo_fraction: float = 0.5
    """Share of each batch that is drawn from the demonstrations, where there are any."""
    imitation_weight: float = 0.0
    """Weight, relative to the mean |Q|, of staying near demonstrated actions that the critics value more than the
    actor's own (`robostack.learning.imitation_loss`); 0: demonstrations are only experience, as in RLPD."""
    learning_starts: int = 5_000
    """Environment steps with uniformly random actions, and without learning, before the first update."""
    discount: float = 0.99
    """gamma: discount per step."""
    target_rate: float = 0.005
    """Rate at which the moving-average critics follow, per step of the critics."""
    actor_learning_rate: float = 3e-4
    """Adam step size of the actor."""
    critic_learning_rate: float = 3e-4
    """Adam step size of the critics."""
    average_rate: float = 0.0
    """Rate at which the policy that acts without exploration and is saved follows the one that learns, per step of the
    actor: an average over about 1 / rate steps swings less from one checkpoint to the next. 0: they are the same."""
    temperature_learning_rate: float = 3e-4
    """Adam step size of the temperature's logarithm; 0 keeps the temperature."""
    initial_temperature: float = 1.0
    """Weight of the policy's entropy at the start."""
    target_entropy_per_action: float = -0.5
    """Entropy that the temperature aims at, per dimension of the action [nat]."""
    entropy_backup: bool = True
    """Whether the critics' targets contain the entropy."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critics."""
    architecture: Architecture = "relu"
    """Form of the actor: "relu", or "avg", which AVG can take over."""
    feature_epsilon: float = 1e-8
    """With "avg": added in quadrature to the length that the last hidden layer is divided by."""
    variance: Variance = "std"
    """What the actor's second head is the logarithm of: "std", or "variance" as AVG's."""
    gripper: str = ""
    """Name of the action's term, of one element, that a critic of its own decides as one of a few levels; empty:
    none."""
    gripper_levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """The gripper's levels, as fractions of half its range; one that is 0 leaves it alone."""
    gripper_penalty: float = 0.02
    """Reward that the gripper's critic loses at each level that is not 0."""
    normalize_observations: bool = False
    """Bring observations to zero mean and unit variance by all that was seen so far."""
    privileged: int = 0
    """Length of what only the critics see (`Transition.privileged`); 0: nothing."""
    replay_size: int = 1_000_000
    """Transitions kept."""
    demo_size: int = 200_000
    """Demonstrated and corrected transitions kept."""
    replay_dir: str = ""
    """Folder that keeps the transitions on disk; empty: in memory, and in every checkpoint."""
    device: str = "cpu"
    """Where it computes: "cpu" or "cuda"."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        name = type(self).__name__
        for key in ("critics", "critic_steps_per_actor_step", "batch_size", "replay_size", "demo_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{name}.{key} = {getattr(self, key)} must be at least 1")
        for key in ("updates_per_step", "actor_learning_rate", "critic_learning_rate", "initial_temperature"):
            if not getattr(self, key) > 0.0:
                raise ConfigError(f"{name}.{key} = {getattr(self, key)} must be positive")
        for key in ("temperature_learning_rate", "learning_starts", "privileged", "imitation_weight"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{name}.{key} = {getattr(self, key)} must not be negative")
        for key in ("discount", "target_rate", "demo_fraction", "average_rate"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ConfigError(f"{name}.{key} = {getattr(self, key)} must lie in [0, 1]")
        self._check_networks(name)

    def _check_networks(self, name: str) -> None:
        """The settings of the networks, and of the gripper."""
        if not 1 <= self.target_subset <= self.critics:
            raise ConfigError(f"{name}.target_subset = {self.target_subset} must lie in [1, critics = {self.critics}]")
        if len(set(self.gripper_levels)) != len(self.gripper_levels) or len(self.gripper_levels) < 2:
            raise ConfigError(f"{name}.gripper_levels = {self.gripper_levels} must name two levels or more, each once")
        self.check_images()
        if self.cameras and self.architecture == "avg":
            raise ConfigError(
                f"{name}.architecture: with cameras it is 'relu'; AVG, for which 'avg' is, has no cameras"
            )
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"{name}.hidden = {self.hidden} must name one width or more, each at least 1")
