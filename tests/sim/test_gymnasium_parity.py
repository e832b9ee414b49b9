"""The engine reproduces Gymnasium's own stepping bit for bit, on one thread and on two."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from hardware.spec import JointSpec, RobotSpec
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import HOPPER
from sim.mujoco_engine import MujocoEngine

STEPS = 200
COUNT = 3
ANT = RobotSpec(
    name="ant",
    joints=tuple(
        JointSpec(f"{part}_{leg}", -3.0, 3.0, 10.0, 100.0, 1000.0, 150.0) for leg in "1234" for part in ("hip", "ankle")
    ),
    control_rate_hz=20.0,
    command_modes=("effort",),
    base_frame="torso",
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("identifier", "spec", "body", "frame_skip"), [("Hopper-v5", HOPPER, "hopper", 4), ("Ant-v5", ANT, "ant", 5)]
)
def test_trajectories_are_equal(identifier: str, spec: RobotSpec, body: str, frame_skip: int, threads: int) -> None:
    engine = MujocoEngine(spec, gymnasium_model(body), COUNT, threads)
    env = gymnasium.make(identifier).unwrapped
    model = env.model
    # Input of each of the robot's joints in the order of Gymnasium's actions; passive joints have none.
    column = {model.joint(int(model.actuator_trnid[index, 0])).name: index for index in range(model.nu)}
    driven = [index for index, name in enumerate(spec.joint_names) if name in column]
    order = [column[spec.joint_names[index]] for index in driven]
    actions = np.random.default_rng(7).uniform(-1.0, 1.0, (COUNT, STEPS, model.nu))
    starts = np.random.default_rng(8).uniform(-0.01, 0.01, (COUNT, model.nq + model.nv))
    _start(engine, env, starts)
    trajectories = []
    for _row in range(STEPS):
        control = np.zeros((COUNT, 1, len(spec.joints)))
        control[:, 0, driven] = actions[:, _row][:, order]
        engine.step(np.broadcast_to(control, (COUNT, frame_skip, len(spec.joints))))
        trajectories.append((engine.qpos.copy(), engine.qvel.copy()))
    for row in range(COUNT):
        env.reset()
        env.set_state(env.init_qpos + starts[row, : model.nq], env.init_qvel + starts[row, model.nq :])
        for step in range(STEPS):
            env.do_simulation(actions[row, step], frame_skip)
            assert np.array_equal(trajectories[step][0][row], env.data.qpos), (row, step)
            assert np.array_equal(trajectories[step][1][row], env.data.qvel), (row, step)
    env.close()


def _start(engine: MujocoEngine, env: gymnasium.Env, starts: np.ndarray) -> None:
    """Put every simulation where Gymnasium's `set_state` puts its own, free joint included."""
    engine.reset(np.zeros((COUNT, len(engine.spec.joints))), np.zeros((COUNT, len(engine.spec.joints))))
    nq = engine.model.nq
    engine.batch.reset(stage=0)
    engine.qpos[:] = env.init_qpos + starts[:, :nq]
    engine.qvel[:] = env.init_qvel + starts[:, nq:]
    engine.batch.forward()
