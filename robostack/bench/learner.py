"""How many steps of the critics a CPU-second holds: RLPD as it is defined, nothing left out."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from robostack.bench.bench import BenchEntry, Measured
from robostack.contract import Contract
from robostack.learning.learner import Transition
from robostack.tasks.task import Term

OBSERVATIONS, ACTIONS = 17, 6
"""HalfCheetah's."""
TRANSITIONS = 10_000
GROUP = 20
"""Steps of the critics per step of the actor; also the number of batches drawn at once."""
HOPPER = "hopper_randomized_steps_per_cpu_s"
AIMS = {"e10_utd20_critic_steps_per_cpu_s": 50.0, "e2_critic_only_steps_per_cpu_s": 200.0, HOPPER: 1000.0}
"""On Hopper the aim is 1,000 steps per second on two cores; here of one."""
Step = Callable[[], None]


def run(quick: bool) -> Measured:
    """Measure in turn, so that what else the machine does strikes all alike; the best turn counts."""
    turns, calls = (1, 1) if quick else (12, 2)
    steps: dict[str, Step] = {
        "e10_utd20_critic_steps_per_cpu_s": _rlpd(10, actor=True),
        "e2_critic_only_steps_per_cpu_s": _rlpd(2, actor=False),
        "e2_utd1_critic_steps_per_cpu_s": _sac(),
    }
    hopping = _hopper(quick)
    peer = importlib.util.find_spec("stable_baselines3") is not None
    if peer:
        steps |= {"sb3_critic_steps_per_cpu_s": _sb3(10), "sb3_e2_critic_steps_per_cpu_s": _sb3(2)}
    threads = _one_thread()
    try:
        for step in steps.values():
            step()  # makes room for working memory, and settles the clock of the processor
        best = dict.fromkeys([*steps, HOPPER], 0.0)
        for _ in range(turns):
            for name, step in steps.items():
                best[name] = max(best[name], _rate(step, calls))
            best[HOPPER] = max(best[HOPPER], hopping())
    finally:
        _one_thread(threads)
    notes = [
        f"critic steps per CPU-second of the process, one thread, best of {turns} turns; batch 256, two layers of 256, "
        f"observation {OBSERVATIONS}, action {ACTIONS}",
        "e10_utd20: ten critics with LayerNorm, targets from two of them; drawing batches, next actions, targets, "
        "Adam, moving average at every step, and one step of actor and temperature for every twenty",
        "e2_critic_only: the same with two critics, without the steps of actor and temperature",
        "e2_utd1: soft actor-critic, with a step of actor and temperature after each of the critics",
        "hopper: environment steps of the task hopper with randomised dynamics in ten simulations, soft actor-critic "
        "with two layers of 128 learning 0.2 times per step",
    ]
    notes.append(
        "sb3: stable-baselines3's SAC with ten critics and (e2) two; no LayerNorm, but all networks at every step"
        if peer
        else "stable-baselines3 is not installed: no sb3 keys"
    )
    return Measured(best, all(best[name] >= aim for name, aim in AIMS.items()), seeds=(0,), notes=tuple(notes))


def _rate(step: Step, calls: int) -> float:
    begun = time.process_time()
    for _ in range(calls):
        step()
    return GROUP * calls / (time.process_time() - begun)


def _rlpd(critics: int, actor: bool) -> Step:
    from robostack.learning.rlpd import Rlpd, RlpdConfig

    learner = Rlpd(contract(), RlpdConfig(critics=critics, replay_size=TRANSITIONS), seed=0)
    _fill(learner)
    return lambda: learner.learn(actor=actor)


def _sac() -> Step:
    from robostack.learning.rlpd import Rlpd
    from robostack.learning.sac import SacConfig

    learner = Rlpd(contract(), dataclasses.replace(SacConfig(), replay_size=TRANSITIONS), seed=0)
    _fill(learner)

    def step() -> None:
        for _ in range(GROUP):
            learner.learn()

    return step


def _hopper(quick: bool) -> Callable[[], float]:
    """Environment steps per CPU-second of training on Hopper, learning included."""
    from robostack.contract import contract_of
    from robostack.learning.experience import many
    from robostack.learning.rlpd import Rlpd
    from robostack.learning.sac import SacConfig
    from robostack.make import make_env

    env = make_env("hopper", 10, randomize=True, seed=0)
    settings: dict[str, Any] = {"hidden": (128, 128), "updates_per_step": 0.2, "learning_starts": 300}
    learner = Rlpd(contract_of(env.task), SacConfig(replay_size=100_000, **settings), seed=0)
    experience = many(env, learner)
    experience.start()
    count = 100 if quick else 1000

    def rate() -> float:
        begun = time.process_time()
        for _ in range(count // experience.count):
            experience.step()
            learner.update()
        return count / (time.process_time() - begun)

    while learner.steps < 400:  # past the random steps
        rate()
    return rate


def _sb3(critics: int) -> Step:
    """stable-baselines3's SAC on the same kind of data."""
    sb3: Any = importlib.import_module("stable_baselines3")
    logger: Any = importlib.import_module("stable_baselines3.common.logger")
    kwargs = {"n_critics": critics, "net_arch": [256, 256]}
    model: Any = sb3.SAC("MlpPolicy", _Idle(), buffer_size=TRANSITIONS, policy_kwargs=kwargs, device="cpu", seed=0)
    model.set_logger(logger.configure(None, []))
    data = _stream()
    for index in range(TRANSITIONS):
        now, following, action = (data[name][index][None] for name in ("observation", "next_observation", "action"))
        model.replay_buffer.add(now, following, action, data["reward"][index][None], np.zeros(1), [{}])
    return lambda: model.train(gradient_steps=GROUP, batch_size=256)


class _Idle(gymnasium.Env[Any, Any]):
    """An environment that only has spaces."""

    observation_space = gymnasium.spaces.Box(-math.inf, math.inf, (OBSERVATIONS,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,))


def contract() -> Contract:
    """Sizes and bounds; there is no robot."""
    observation, action = (
        Term(name, tuple(map(str, range(size))), "1", "", -bound, bound)
        for name, size, bound in (("observation", OBSERVATIONS, math.inf), ("action", ACTIONS, 1.0))
    )
    return Contract("", "", (), (), (), (), "", None, 0.05, 20.0, (observation,), (action,), 1)


def _stream() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "observation": rng.standard_normal((TRANSITIONS, OBSERVATIONS)),
        "next_observation": rng.standard_normal((TRANSITIONS, OBSERVATIONS)),
        "action": rng.uniform(-1.0, 1.0, (TRANSITIONS, ACTIONS)),
        "reward": rng.standard_normal(TRANSITIONS),
    }


def _fill(learner: Any) -> None:
    ended = np.zeros(TRANSITIONS, dtype=bool)
    learner.observe(Transition(**_stream(), terminated=ended, truncated=ended))


def _one_thread(count: int = 1) -> int:
    """Give the framework `count` threads; how many it had."""
    from robostack.learning.torch_backend import use_threads

    return use_threads(count)


BENCH = BenchEntry(
    summary="RLPD: steps of the critics per CPU-second, beside stable-baselines3's SAC",
    run=run,
    aims={name: f">= {aim:g}" for name, aim in AIMS.items()},
)
