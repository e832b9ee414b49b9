"""A process that learns Hopper-v4 for 1,000 steps and then writes its resident memory; run by the benchmark `avg`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from robostack.bench.stock_gymnasium import stock_contract, stock_env
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import Transition

TASK = "Hopper-v4"
STEPS = 1000


def main() -> None:
    """Learn, then write resident memory in MB of 2^20 bytes."""
    env = stock_env(TASK)
    learner = Avg(stock_contract(TASK, env), AvgConfig(), seed=0)
    observation, _ = env.reset(seed=0)
    for _ in range(STEPS):
        action = learner.act(observation)
        following, reward, terminated, truncated, _ = env.step(action)
        learner.observe(Transition(observation, action, reward, following, terminated, truncated))
        learner.update()
        observation = env.reset()[0] if terminated or truncated else following
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sys.stdout.write(f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f}\n")


if __name__ == "__main__":
    main()
