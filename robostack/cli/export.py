"""`robostack export POLICY`: write a policy as ONNX, verified against the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.next_launch import print_next_launch
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line


@dataclass(frozen=True)
class ExportOptions:
    """Write a policy as an ONNX file, compared with the original on random and recorded observations."""

    policy: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Run folder or checkpoint folder."""
    out: Path | None = None
    """File to write; default: policy.onnx in that folder."""
    episodes: int = 2
    """Simulated episodes whose observations are compared besides random ones."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(ExportOptions, "export", arguments)
    from robostack.checkpoint import latest_checkpoint, load_policy
    from robostack.contract import contract_of
    from robostack.export import export_onnx
    from robostack.policies import mlp
    from robostack.tasks.with_history import open_task

    folder = latest_checkpoint(options.policy)
    contract = load_policy(folder).contract
    task = open_task(contract.task)
    recorded = _record(task, mlp.load_policy(folder, contract_of(task)), options.episodes)
    done = export_onnx(folder, options.out or options.policy / "policy.onnx", recorded)
    console().print(f"largest difference {done.max_error:.1e} on {done.observations} observations", markup=False)
    if options.json:
        print_json_line(
            {
                "path": str(done.path),
                "max_error": done.max_error,
                "observations": done.observations,
                "sha256": done.sha256,
            }
        )
    else:
        print(done.path)
    print_next_launch(contract.robot, contract.task, done.path, f"robostack evaluate {done.path}")
    return 0


def _record(task: Any, policy: Any, episodes: int) -> Any:
    """Observations of some episodes in simulation, (n, num_observations); None for no episodes."""
    import numpy as np

    from robostack.make import make_env
    from robostack.policies.policy import image_size_of

    if episodes < 1:
        return None
    env = make_env(task, seed=0, image_size=image_size_of(policy))
    seen = []
    for _ in range(episodes):
        observation, _ = env.reset()
        ended = False
        while not ended:
            seen.append(observation["state"] if isinstance(observation, dict) else observation)
            observation, _, terminated, truncated, _ = env.step(policy.act(observation))
            ended = terminated or truncated
    return np.array(seen)


COMMAND = Command(summary="Write a policy as ONNX, verified against the original", main=main)
