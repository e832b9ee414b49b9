"""`robostack train TASK`: learn a policy in simulation, with a live line of progress; kill it at any time."""

from __future__ import annotations

import os

# Products of this size lose by more threads, most of all beside other work; numpy and torch read this when imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next

if TYPE_CHECKING:
    from robostack.learning.training import Progress

WAITING = 0.0
"""The phase of a DORAEMON update that waits for success (`sim.randomization.doraemon`)."""


@dataclass(frozen=True)
class TrainOptions:
    """Train a policy in simulation."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """Name of the task; `robostack list tasks`."""
    output_dir: Path | None = None
    """Run folder; default: runs/<task>-<learner>-<seed>."""
    learner: str = "avg"
    """Name of the learner; `robostack list learners`."""
    steps: int = 20_000
    """Control steps to learn from."""
    seed: int = 0
    """Of the initial weights, exploration and the environment."""
    engine: str = "mujoco"
    """Physics engine; `robostack list engines`."""
    simulations: int = 0
    """Simulations stepped together, for learners that take batches; 0: as many as suit the learner."""
    fixed_dynamics: bool = False
    """Train with the nominal dynamics instead of randomised ones."""
    distribution: str = "uniform"
    """What the dynamics are drawn from; `robostack list distributions`."""
    distribution_every: int = 20_000
    """Steps between updates of a distribution that learns."""
    distribution_set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = field(default=())
    """A setting of the distribution, as name=value; may be given several times."""
    distribution_episodes: int = 0
    """Episodes without exploration that it learns from at each update, charged to the steps; 0: those of training."""
    history: int = 1
    """Observations that the policy is given, the newest included, with the actions between them; 1: no memory."""
    evaluate_every: int = 2_500
    """Steps between evaluations without exploration; the best policy is kept in the folder `best`. 0: none."""
    evaluate_episodes: int = 10
    """Episodes of each such evaluation."""
    checkpoint_every: int = 5_000
    """Steps between checkpoints."""
    resume: bool = False
    """Continue the run in the folder."""
    start_from: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Checkpoint or run of a batch learner (sac, rlpd) that avg takes over: its policy, values and statistics."""
    demonstrations: Path | None = None
    """Dataset that a learner with a replay for demonstrations (rlpd, sac) is given before its first step."""
    corrector: Literal["none", "scripted"] = "none"
    """Who takes over when nothing gets better, for the same learners: scripted, a simulated operator."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = field(default=())
    """A setting of the learner, as name=value; may be given several times."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(TrainOptions, "train", arguments)
    from robostack.learning.training import TrainConfig, train

    folder = options.output_dir or Path("runs") / f"{options.task}-{options.learner}-{options.seed}"
    config = TrainConfig(
        task=options.task,
        output_dir=folder,
        learner=options.learner,
        steps=options.steps,
        seed=options.seed,
        randomize=not options.fixed_dynamics,
        engine=options.engine,
        simulations=options.simulations,
        distribution=options.distribution,
        distribution_every=options.distribution_every,
        distribution_settings=settings(options.distribution_set),
        distribution_episodes=options.distribution_episodes,
        history=options.history,
        evaluate_every=options.evaluate_every,
        evaluate_episodes=options.evaluate_episodes,
        checkpoint_every=options.checkpoint_every,
        settings=settings(options.set),
        start_from=options.start_from,
        demonstrations=None if options.demonstrations is None else options.demonstrations.resolve(),
        corrector=options.corrector,
    )
    last: list[Progress] = []
    with _Bar(config.steps) as bar:

        def show(progress: Progress) -> None:
            last[:] = [progress]
            bar.update(progress)

        checkpoint = train(config, resume=options.resume, on_progress=show)
    console().print(f"checkpoint: {checkpoint}", markup=False, soft_wrap=True)
    if last and (note := waiting_note(last[0].metrics)):
        console().print(f"note: {note}", markup=False, soft_wrap=True)
    if options.json:
        report: dict[str, Any] = dataclasses.asdict(last[0]) if last else {}
        print_json_line({**report, "run": str(folder), "checkpoint": str(checkpoint)})
    else:
        print(folder)
    print_next(f"robostack evaluate {folder}")
    return 0


def waiting_note(metrics: Mapping[str, float]) -> str:
    """What to tell of a DORAEMON that never began to widen; empty where it did, or another distribution learned.

    Args:
        metrics: of the last report.
    """
    if metrics.get("dynamics_phase") != WAITING:
        return ""
    share = 100.0 * metrics["dynamics_success_rate"]
    return (
        f"the dynamics are still drawn from near the nominal ones. DORAEMON waits until its success_rate is "
        f"reached; {share:.0f} % of the last training episodes succeeded, exploration included. Train longer, lower it "
        f"(--distribution-set success_rate=0.3), or show it episodes without exploration (--distribution-episodes 50)."
    )


def settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Pairs "name=value" as a mapping; values are Python literals, anything else is text.

    Raises:
        ConfigError: a pair has no "=".
    """
    from hardware.errors import ConfigError

    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair}: write name=value, for example --set discount=0.9")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


class _Bar:
    """A progress bar with success rate, error and speed on standard error."""

    def __init__(self, steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = RichProgress(*columns, TimeRemainingColumn(), console=console())
        self._id = self._bar.add_task("", total=steps)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show a report."""
        error = "" if progress.final_error_mm is None else f"  error {progress.final_error_mm:.1f} mm"
        text = f"success {100 * progress.success:.0f} %{error}  {progress.steps_per_s:.0f} steps/s"
        self._bar.update(self._id, completed=progress.steps, description=text)


COMMAND = Command(summary="Train a policy in simulation", main=main)
