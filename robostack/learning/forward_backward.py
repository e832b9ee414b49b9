"""Learning without resets: one policy does, the other undoes, in turns on one robot.

As in SERL (Luo et al., arXiv 2401.16013; the idea is Eysenbach et al.'s, arXiv 1711.06782): a success hands over to the
other task, which begins where this one ended; a failure is tried again from where it left things. Each learner learns
from its own turns, as often as its own ratio of updates to steps says, so that neither runs ahead of its data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np

from controllers.plant import Plant
from controllers.reference import JointReference
from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.corrector import Corrector
from robostack.env import PlacesObjects, bounded_action, bounds, step_limit
from robostack.learning.learner import Learner, Source, Transition
from robostack.tasks.task import Episode, Task


class Turn(NamedTuple):
    """One try at one of the two tasks."""

    direction: int
    """0 forward, 1 backward."""
    success: bool
    """Whether it was accomplished; then the other direction is next."""
    steps: int
    """Steps it took."""
    corrected: int
    """Steps in which somebody took over."""
    reset: bool
    """Whether robot and objects had to be put in order before the next try."""


class ForwardBackward:
    """Two tasks on one plant, each with its learner.

    Args:
        tasks: forward and backward; the same robot and control period.
        plant: one robot, simulated or physical.
        learners: of the tasks, in the same order.
        seed: of goals and starts.
        correctors: who may take over in each direction; None: nobody.
        failures_max: failures in a row after which robot and objects are put in order; 0: never. A state from which
            the task says that no return follows is put in order in any case.

    Raises:
        ConfigError: the tasks are not of one robot, or the plant holds several.
    """

    def __init__(
        self,
        tasks: tuple[Task, Task],
        plant: Plant,
        learners: tuple[Learner, Learner],
        seed: int = 0,
        correctors: tuple[Corrector | None, Corrector | None] = (None, None),
        failures_max: int = 0,
    ) -> None:
        forward, backward = tasks
        if (forward.spec, forward.control_period_s) != (backward.spec, backward.control_period_s):
            raise ConfigError(f"'{forward.name}' and '{backward.name}' are not of one robot and one control period")
        if plant.batch_shape not in ((), (1,)):
            raise ConfigError(f"forward and backward take turns on one robot, the plant holds {plant.batch_shape}")
        self.tasks, self.plant, self.learners, self.correctors = tasks, plant, learners, correctors
        self.failures_max = failures_max
        self.direction = 0
        """The task whose turn it is."""
        self.steps = [0, 0]
        """Steps made in each direction."""
        self.resets = 0
        """Times that robot and objects had to be put in order, the first time included."""
        self.metrics: list[Mapping[str, float]] = [{}, {}]
        """What the last update of each learner reported."""
        self._rng = np.random.default_rng(seed)
        self._bounds = [bounds(task.action) for task in tasks]
        self._failures = 0
        self._state: RobotState | None = None
        self._episode: Episode = {}
        self._observation: FloatArray = np.zeros(0)
        self._taken, self._corrected = 0, 0

    def step(self) -> Turn | None:
        """Act, observe and learn once; the try that ended with that.

        Raises:
            NonFiniteError: an action is not finite.
            DeviceError: the physical robot stopped.
        """
        state = self._state
        if state is None:
            state = self._put_in_order()
            self._begin(state)
        task, learner = self.tasks[self.direction], self.learners[self.direction]
        action, source = self._action(state)
        executed = action.reshape((*self.plant.batch_shape, -1))
        reference = cast(JointReference, task.reference(executed, state, self._episode))
        self._state = following = self.plant.follow(reference)
        outcome, self._episode = task.judge(executed, following, self._episode)
        self._taken += 1
        self.steps[self.direction] += 1
        success, lost = bool(np.asarray(outcome.success).item()), bool(np.asarray(outcome.terminated).item())
        # A success ends the turn whatever the task does with it elsewhere: the other direction is next.
        ended = success or lost
        limit = not ended and self._taken >= step_limit(task)
        before, self._observation = self._observation, self._observe(following)
        reward = float(np.asarray(outcome.reward).item())
        learner.observe(Transition(before, action, reward, self._observation, ended, limit, source))
        self.metrics[self.direction] = learner.update()
        return self._end(following, success and not lost, lost) if ended or limit else None

    def _action(self, state: RobotState) -> tuple[FloatArray, Source]:
        """What is executed, within its bounds, and whose it is."""
        proposed = self.learners[self.direction].act(self._observation)
        corrector, shown = self.correctors[self.direction], None
        if corrector is not None:
            shown = corrector.correct(self._observation, proposed, state, self._episode)
        self._corrected += shown is not None
        physical: Source = "real" if self.plant.batch_shape == () else "sim"
        chosen = proposed if shown is None else shown
        return bounded_action(chosen, *self._bounds[self.direction]), physical if shown is None else "intervention"

    def _end(self, state: RobotState, success: bool, lost: bool) -> Turn:
        self._failures = 0 if success else self._failures + 1
        reset = lost or 0 < self.failures_max <= self._failures
        turn = Turn(self.direction, success, self._taken, self._corrected, reset)
        if success:
            self.direction = 1 - self.direction
        if reset:
            self._failures = 0
            state = self._put_in_order()
        self._begin(state)
        return turn

    def _begin(self, state: RobotState) -> None:
        """Begin a try from `state`, as it is."""
        self._state, self._taken, self._corrected = state, 0, 0
        self._episode = self.tasks[self.direction].begin(self._rng, state)
        self._observation = self._observe(state)
        corrector = self.correctors[self.direction]
        if corrector is not None:
            corrector.reset()

    def _put_in_order(self) -> RobotState:
        """Bring robot and, in simulation, objects to a start of the task whose turn it is."""
        self.resets += 1
        start = self.tasks[self.direction].start(self._rng, 1)
        if self.plant.batch_shape == ():
            # A physical robot moves there slowly; what lies around it is put in order by a person.
            return self.plant.reset(start.joint_position[0], np.zeros_like(start.joint_velocity[0]))
        if start.objects is None:
            return self.plant.reset(start.joint_position, start.joint_velocity)
        return cast(PlacesObjects, self.plant).reset(start.joint_position, start.joint_velocity, None, start.objects)

    def _observe(self, state: RobotState) -> FloatArray:
        return np.asarray(self.tasks[self.direction].observe(state, self._episode), dtype=np.float64).reshape(-1)
