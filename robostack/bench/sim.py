"""How much of MuJoCo's own speed is left once a task, restarts and NumPy are on top of it."""

from __future__ import annotations

import gc
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import mujoco
import numpy as np

from robostack.bench.bench import BenchEntry, Measured
from robostack.env import bounds
from robostack.make import make_env, simulate
from robostack.tasks.hopper import HopperTask
from sim.bodies.gymnasium_assets import gymnasium_model

COUNT = 512
GYMNASIUM_COUNT = 64
FRAME_SKIP = 4
REPEATS = 9
SLICE_STEPS = 8192
"""Control steps per measurement: short, so that the contenders take turns often enough to see the same machine."""
RESTART_STEPS = 25
"""Control steps after which the simulations of stepping alone begin again."""
WARM_UP = 100
"""Control steps before the first measurement: the mix of falling and fresh hoppers is then steady."""


def run(quick: bool) -> Measured:
    """Control steps of the hopper per CPU-second; best of several short turns that alternate between the contenders."""
    contenders = {"vector_env": _vector_env(), "raw": _raw(), "gymnasium_sync": _gymnasium()}
    envpool = _envpool()
    if envpool is not None:
        contenders["envpool"] = envpool
    best = _best_rates(contenders, 2 if quick else REPEATS, SLICE_STEPS // 8 if quick else SLICE_STEPS)
    figures = {f"{name}_per_cpu_s": rate for name, rate in best.items()}
    randomized = _randomized(2 if quick else REPEATS, SLICE_STEPS // 8 if quick else SLICE_STEPS)
    figures.update(randomized)
    ratio_raw = best["vector_env"] / best["raw"]
    ratio_gymnasium = best["vector_env"] / best["gymnasium_sync"]
    figures.update(ratio_to_raw=ratio_raw, ratio_to_gymnasium_sync=ratio_gymnasium)
    single = _single_arm(50 if quick else 1000)
    notes = [
        f"{COUNT} hoppers on one thread with observation, reward and restarts; raw is the same model without any of it",
        "all step bit-identically (tests/sim/test_gymnasium_parity.py); ours skips MuJoCo's search for islands, of "
        "which a single robot can have only one, raw and Gymnasium run MuJoCo's default",
        "Gymnasium restarts within a step, as ours does; in its default mode a restart counts as a control step",
        "unit: process CPU time of all threads; random actions, so that hoppers fall and restart often",
        f"MuJoCo {mujoco.__version__}, Gymnasium {gymnasium.__version__}",
        "shared, randomized: stepping alone, with one model for all and with masses, dampings and friction for each "
        "simulation, all of them nominal, so that both compute the same; _env: the whole environment with dynamics "
        "drawn anew at every restart, random actions, so that hoppers restart every few dozen steps",
        f"one simulated UR5e doing ur5e-reach: {single:.0f} control steps of 40 ms per CPU-second",
    ]
    if envpool is None:
        notes.append("EnvPool is not installed, so that envpool_per_cpu_s is absent")
    met = ratio_raw >= 0.95 and ratio_gymnasium >= 1.5 and randomized["randomized_vs_shared"] >= 0.95
    return Measured(figures, met, seeds=(0,), notes=tuple(notes))


def _randomized(repeats: int, steps: int) -> dict[str, float]:
    """What a model of its own for each simulation costs: rates in turns, and their ratios."""
    stepping = {"shared": _stepping(False), "randomized": _stepping(True)}
    best = _best_rates(stepping, repeats, steps)
    envs = _best_rates({"shared": _vector_env(), "randomized": _vector_env(randomize=True)}, repeats, steps)
    return {
        "shared_stepping_per_cpu_s": best["shared"],
        "randomized_stepping_per_cpu_s": best["randomized"],
        "randomized_vs_shared": best["randomized"] / best["shared"],
        "randomized_vs_shared_env": envs["randomized"] / envs["shared"],
    }


def _stepping(randomized: bool) -> Callable[[], int]:
    """One control step of the physics alone; all begin again, equally, before most have fallen."""
    task = HopperTask()
    plant = simulate(task, COUNT)
    if randomized:
        plant.set_dynamics({entry.name: np.full(COUNT, entry.nominal) for entry in task.dynamics})
    start = task.start(np.random.default_rng(0), COUNT)
    inputs = np.zeros((COUNT, FRAME_SKIP, len(task.spec.joints)))
    turn, done = _Turn(_actions(COUNT)), 0

    def advance() -> int:
        nonlocal done
        if done % RESTART_STEPS == 0:
            plant.engine.reset(start.joint_position, start.joint_velocity)
        inputs[:, :, -3:] = turn.next()[:, None]
        plant.engine.step(inputs)
        done += 1
        return COUNT

    return advance


def _best_rates(contenders: dict[str, Callable[[], int]], repeats: int, steps: int) -> dict[str, float]:
    """Control steps per CPU-second of each contender, in its best turn."""
    best = dict.fromkeys(contenders, 0.0)
    gc.collect()
    for _ in range(repeats):
        for name, advance in contenders.items():
            done, start = 0, time.process_time()
            while done < steps:
                done += advance()
            best[name] = max(best[name], done / (time.process_time() - start))
    return best


def _vector_env(randomize: bool = False) -> Callable[[], int]:
    """One step of our environment; returns the control steps done."""
    env = make_env("hopper", COUNT, randomize=randomize)
    env.reset()
    actions = _actions(COUNT)
    for index in range(WARM_UP):
        env.step(actions[index % len(actions)])
    turn = _Turn(actions)

    def advance() -> int:
        env.step(turn.next())
        return COUNT

    return advance


def _raw() -> Callable[[], int]:
    """Nothing but MuJoCo: set the controls, step, and start again where our environment does so too."""
    model = mujoco.MjModel.from_xml_path(str(gymnasium_model("hopper")))
    data = mujoco.MjData(model)
    start = data.qpos.copy()
    turn = _Turn(_actions(1)[:, 0])

    def advance() -> int:
        for _ in range(COUNT):
            data.ctrl[:] = turn.next()
            mujoco.mj_step(model, data, nstep=FRAME_SKIP)
            if data.qpos[1] < 0.7 or abs(data.qpos[2]) > 0.2:
                mujoco.mj_resetData(model, data)
                data.qpos[:] = start
        return COUNT

    return advance


def _gymnasium() -> Callable[[], int]:
    """Gymnasium's own vector environment, restarting within a step as ours does, so that every step counts alike."""
    options = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    env: Any = gymnasium.make_vec("Hopper-v5", GYMNASIUM_COUNT, vectorization_mode="sync", vector_kwargs=options)
    env.reset(seed=0)
    actions = _actions(GYMNASIUM_COUNT).astype(np.float32)
    for index in range(WARM_UP):
        env.step(actions[index % len(actions)])
    turn = _Turn(actions)

    def advance() -> int:
        env.step(turn.next())
        return GYMNASIUM_COUNT

    return advance


def _envpool() -> Callable[[], int] | None:
    """EnvPool's hopper, where EnvPool is installed."""
    if importlib.util.find_spec("envpool") is None:
        return None
    import envpool

    env = envpool.make_gymnasium("Hopper-v4", num_envs=GYMNASIUM_COUNT, num_threads=1, seed=0)
    env.reset()
    turn = _Turn(_actions(GYMNASIUM_COUNT))

    def advance() -> int:
        env.step(turn.next())
        return GYMNASIUM_COUNT

    return advance


def _single_arm(steps: int) -> float:
    """Control steps per CPU-second of one simulated arm with its tracking controller, best of three turns."""
    env = make_env("ur5e-reach")
    env.reset()
    low, high = bounds(env.task.action)
    actions = np.random.default_rng(0).uniform(low, high, (64, len(low)))
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for index in range(steps):
            _, _, terminated, truncated, _ = env.step(actions[index % 64])
            if terminated or truncated:
                env.reset()
        best = max(best, steps / (time.process_time() - start))
    return best


def _actions(count: int) -> np.ndarray:
    """Random actions in turn, (64, count, 3)."""
    return np.random.default_rng(0).uniform(-1.0, 1.0, (64, count, 3))


class _Turn:
    """The next of some prepared actions, over and over."""

    def __init__(self, actions: np.ndarray) -> None:
        self._actions, self._index = actions, 0

    def next(self) -> np.ndarray:
        """The next one."""
        self._index = (self._index + 1) % len(self._actions)
        return self._actions[self._index]


BENCH = BenchEntry(
    summary="control steps per CPU-second of the vector environment, raw MuJoCo and Gymnasium",
    run=run,
    aims={
        "vector_env_per_cpu_s": ">= 0.95 x raw_per_cpu_s",
        "ratio_to_gymnasium_sync": ">= 1.5",
        "randomized_vs_shared": ">= 0.95",
    },
)
