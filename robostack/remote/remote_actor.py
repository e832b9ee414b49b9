"""A policy that acts here and learns elsewhere: newest weights from a learner, every transition to it.

For a `robostack.runner.EpisodeRunner` or an environment of simulation. Numpy only. Nothing here waits, and losing the
learner is no fault of the robot: the policy goes on with the weights it has, and after a while begins no new episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardware.arrays import Array
from hardware.clock import Clock, SystemClock
from hardware.errors import DeviceNotConnectedError, ProtocolError
from robostack.contract import Contract
from robostack.learning.learner import Transition
from robostack.remote.actor_link import ActorLink, LinkConfig


class RemoteActor:
    """See the module. `start` it; an episode may begin when `may_begin` says so.

    Args:
        contract: of the robot and task at hand.
        config: how the learner is reached.
        seed: of exploration.
        silence_limit_s: no further episode begins while the learner has been silent for this long [s]; 0: no limit.
        connect_limit_s: longest wait for the first answer of a learner [s]; 0: no limit.
        clock: measures silence.

    Raises:
        ConfigError: the keys or the address cannot be used.
        MissingExtraError: pyzmq or msgpack is not installed.
    """

    def __init__(
        self,
        contract: Contract,
        config: LinkConfig,
        seed: int,
        silence_limit_s: float = 60.0,
        connect_limit_s: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.silence_limit_s, self.connect_limit_s = silence_limit_s, connect_limit_s
        self.link = ActorLink(config, contract, self.clock)
        self.cycles = 0
        """Transitions of this start."""
        self._rng = np.random.default_rng(seed)
        self._begun_s = self.clock.now()

    def start(self) -> None:
        """Begin to look for the learner."""
        self._begun_s = self.clock.now()
        self.link.start()

    def reset(self) -> None:
        """There is no memory of an episode."""

    def act(self, observation: Array) -> Array:
        """The action to explore with: uniform before the learner learns, then drawn from its newest policy.

        Raises:
            NonFiniteError: the observation or the action is not finite.
            ProtocolError: there are no weights yet.
        """
        policy = self.link.policy
        if policy is None:
            raise ProtocolError("there are no weights from the learner yet")
        if self.link.learner.get("uniform", True):
            return policy.uniform(self._rng)
        return policy.explore(observation, self._rng)

    def experience(self, transition: Transition, deadline_s: float) -> None:
        """Hand over what the last action led to; see `robostack.runner.Experiences`."""
        self.cycles += 1
        self.link.offer(transition)

    def may_begin(self) -> bool:
        """Whether an episode may begin.

        Raises:
            ProtocolError: the learner refuses this actor, or cannot be spoken to.
            DeviceNotConnectedError: no learner has answered within `connect_limit_s`.
        """
        if self.link.failure:
            raise ProtocolError(self.link.failure)
        waited_s = self.clock.now() - self._begun_s
        if not self.link.welcomed and 0.0 < self.connect_limit_s < waited_s:
            trouble = self.link.problem or "no answer"
            raise DeviceNotConnectedError("the learner", self.link.config.address, trouble)
        return not self.waits_for

    @property
    def waits_for(self) -> str:
        """What must come before an episode may begin; "" if nothing."""
        link = self.link
        if not link.welcomed:
            return link.problem or f"the learner at {link.config.address}"
        if link.policy is None:
            return "the learner's first weights"
        if link.full:
            why = f" ({link.problem})" if link.problem else ""
            return (
                f"room: {link.waiting + link.queued} transitions are not acknowledged, "
                f"the limit is {link.config.spool_limit}{why}"
            )
        if 0.0 < self.silence_limit_s < link.silent_s:
            return f"the learner, which has been silent for {link.silent_s:.0f} s"
        return str(link.learner.get("hold", ""))

    def figures(self) -> dict[str, Any]:
        """Flat figures of this start."""
        link, learner = self.link, self.link.learner
        found: dict[str, Any] = {
            "cycles": self.cycles,
            "weights_version": link.version,
            "recorded": link.recorded,
            "acknowledged": link.acknowledged,
            "unacknowledged": link.waiting + link.queued,
            "lost": link.lost,
            "rejected": link.rejected,
            "silent_s": link.silent_s,
            "waits_for": self.waits_for,
            "problem": link.problem,
        }
        return found | {f"learner_{name}": learner[name] for name in ("steps", "updates", "owed") if name in learner}

    def close(self, wait_s: float = 5.0) -> None:
        """Let the learner acknowledge what is under way for at most `wait_s` [s]; the rest stays in the spool."""
        self.link.close(wait_s)
