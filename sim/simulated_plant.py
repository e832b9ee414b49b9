"""Simulated robots under their tracking controller: what an environment steps in place of a physical robot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from controllers.interpolation import JerkLimitedInterpolator
from controllers.reference import JointReference
from controllers.tracking import interpolator_of
from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from sim.engine import Engine


class SimulatedPlant:
    """Simulations of one robot that follow references; see `controllers.plant.Plant`.

    Position and velocity references pass through the same jerk-limited interpolator as on the physical robot, at its
    control rate, into the position servos of the model. Its whole output for one horizon is computed at once. Effort
    references go to the actuators as they are.

    Args:
        engine: the physics.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.spec: RobotSpec = engine.spec
        self.batch_shape: tuple[int, ...] = (engine.count,)
        self._interpolator = _interpolator(self.spec)
        # Physics steps for which one command is held: the tracking controller runs at the robot's own rate.
        self._hold = max(1, round(1.0 / (self.spec.control_rate_hz * engine.timestep_s)))
        self._horizon_s, self._steps, self._times = 0.0, 0, np.zeros(0)

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> RobotState:
        """Put simulations at a state, (k, num_joints) [rad], [rad/s]; `ids` (k,) ascending, None for all."""
        self.engine.reset(joint_position, joint_velocity, ids)
        if self._interpolator is not None:
            self._interpolator.reset(joint_position, joint_velocity, ids)
        return self.engine.state()

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset; errors as `sim.engine.Engine.set_dynamics`."""
        self.engine.set_dynamics(values, ids)

    def state(self) -> RobotState:
        """The state of all simulations."""
        return self.engine.state()

    def follow(self, reference: JointReference) -> RobotState:
        """Follow `reference`, arrays (count, num_joints), for its horizon; the state at the end of it.

        Raises:
            ConfigError: the horizon is not a whole number of physics steps, or the robot takes only efforts.
            SimulationError: the engine failed.
        """
        if reference.horizon_s != self._horizon_s:
            self._plan(reference.horizon_s)
        value = reference.value
        if reference.mode == "effort":
            shape = (self.engine.count, self._steps, value.shape[-1])
            self.engine.step(np.broadcast_to(value[:, None, :], shape))
            return self.engine.state()
        interpolator = self._interpolator
        if interpolator is None:
            raise ConfigError(f"'{self.spec.name}' has no finite speed limits and takes references of mode effort only")
        interpolator.retarget(reference)
        control: FloatArray = np.moveaxis(interpolator.sample(self._times)[0], 0, 1)
        if self._hold > 1:
            control = np.repeat(control, self._hold, axis=1)[:, : self._steps]
        interpolator.advance(reference.horizon_s)
        self.engine.step(control)
        return self.engine.state()

    def _plan(self, horizon_s: float) -> None:
        """Times within a horizon at which the tracking controller samples its reference."""
        steps = round(horizon_s / self.engine.timestep_s)
        if steps < 1 or abs(steps * self.engine.timestep_s - horizon_s) > 1e-9:
            raise ConfigError(
                f"a horizon of {horizon_s} s is not a whole number of physics steps of {self.engine.timestep_s} s"
            )
        commands = -(-steps // self._hold)
        period_s = self._hold * self.engine.timestep_s
        self._horizon_s, self._steps = horizon_s, steps
        # As controllers.tracking does: a command is where the robot should be when the next one comes.
        self._times = np.minimum(period_s * np.arange(1, commands + 1), horizon_s)


def _interpolator(spec: RobotSpec) -> JerkLimitedInterpolator | None:
    """The interpolator of a robot; None for one that is driven by effort only and has no limits to keep."""
    if not np.isfinite([spec.velocity_max, spec.acceleration_max, spec.jerk_max]).all():
        return None
    return interpolator_of(spec)
