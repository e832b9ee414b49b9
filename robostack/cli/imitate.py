"""`robostack imitate DATASET`: learn a policy from demonstrations; kill it at any time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next
from robostack.learning.imitation.config import ImitationConfig

if TYPE_CHECKING:
    from robostack.learning.imitation.training import ImitationProgress


@dataclass(frozen=True)
class ScriptedOptions:
    """Demonstrations to record first, in simulation, by the task's hand-written policy."""

    task: str | None = None
    """Name of the task; none: the dataset is there already."""
    episodes: int = 50
    """Episodes that the dataset shall have."""
    seed: int = 0
    """Of starts, goals, dynamics and the operator."""
    speed_spread: float = 0.4
    """Each episode moves at 1 - u of the script's speed, u uniform up to this."""
    tremor: float = 0.1
    """Unevenness of the operator, as a fraction of the largest action; it is recorded."""
    disturbance: float = 0.1
    """The same on the way to the robot: what is recorded is the action that leads back."""
    image_size: int | None = None
    """Width and height of the images of the task's cameras, recorded too [px]; None: no images."""


@dataclass(frozen=True)
class ImitateOptions:
    """Learn a policy from demonstrations in a LeRobot dataset."""

    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder of the dataset."""
    policy: Annotated[ImitationConfig, tyro.conf.arg(name="")] = field(default_factory=ImitationConfig)
    """How the policy is learned."""
    scripted: ScriptedOptions = field(default_factory=ScriptedOptions)
    """Demonstrations to record first."""
    output_dir: Path | None = None
    """Run folder; default: runs/<dataset>-<head>-<seed>."""
    task: str | None = None
    """Name of the task, for a dataset that carries no contract."""
    keep_failures: bool = False
    """Learn from episodes that failed, too."""
    checkpoint_every: int = 2_000
    """Steps between checkpoints."""
    resume: bool = False
    """Continue the run in the folder."""
    json: bool = False
    """Print the result as one JSON object on the last line of standard output."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(ImitateOptions, "imitate", arguments)
    if options.scripted.task is not None:
        _record(options.dataset, options.scripted)
    training = _training()
    settings = options.policy
    folder = options.output_dir or Path("runs") / f"{options.dataset.name}-{settings.head}-{settings.seed}"
    run = training.ImitationRun(
        dataset=options.dataset,
        output_dir=folder,
        task=options.task,
        keep_failures=options.keep_failures,
        checkpoint_every=options.checkpoint_every,
        settings=settings,
    )
    last: list[ImitationProgress] = []
    with console().status("reading the dataset") as status:

        def show(progress: ImitationProgress) -> None:
            last[:] = [progress]
            left_s = (settings.steps - progress.steps) / progress.steps_per_s
            status.update(
                f"step {progress.steps} of {settings.steps}  loss {progress.loss:.4f}  "
                f"{progress.steps_per_s:.0f} steps/s  {left_s:.0f} s left"
            )

        checkpoint = training.imitate(run, resume=options.resume, on_progress=show)
    console().print(f"checkpoint: {checkpoint}", markup=False, soft_wrap=True)
    if options.json:
        report: dict[str, Any] = dataclasses.asdict(last[0]) if last else {}
        print_json_line({**report, "run": str(folder), "checkpoint": str(checkpoint)})
    else:
        print(folder)
    print_next(f"robostack evaluate {folder}")
    return 0


def _training() -> Any:
    """The module that learns, which needs torch."""
    from hardware.errors import MissingExtraError

    try:
        from robostack.learning.imitation import training
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("torch", "train", "learning from demonstrations") from error
    return training


def _record(root: Path, options: ScriptedOptions) -> None:
    """Record demonstrations until the dataset has as many as asked for."""
    from robostack.learning.imitation.recording import RecordingConfig, record_scripted
    from robostack.tasks.task import TASKS

    config = RecordingConfig(
        episodes=options.episodes,
        seed=options.seed,
        speed_spread=options.speed_spread,
        tremor=options.tremor,
        disturbance=options.disturbance,
        image_size=options.image_size,
    )
    with console().status("recording") as status:
        failed = record_scripted(
            TASKS.load(str(options.task))(),
            root,
            config,
            lambda kept, _: status.update(f"recording: {kept} of {config.episodes} episodes"),
        )
    console().print(
        f"demonstrations: {root} ({failed} attempts failed and were not kept)", markup=False, soft_wrap=True
    )


COMMAND = Command(summary="Learn a policy from demonstrations", main=main)
