"""`robostack reward ...`: learn from labelled episodes what success looks like, and say how well it is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_json_line, print_next, print_table
from robostack.cli.sub_verbs import SubVerbs, run_sub_verb

FIGURES = ("frames", "accuracy", "precision", "recall", "false_positive_rate", "roc_area", "threshold")


@dataclass(frozen=True)
class CollectOptions:
    """Show which frames of a dataset would be learned from, and as what."""

    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder of a dataset whose episodes are labelled with success."""
    cameras: tuple[str, ...] = ()
    """Cameras to look through; by default all."""
    positive_frames: int = 2
    """Last frames of a successful episode that show success."""
    unlabelled_frames: int = 3
    """Frames before these that are left out."""
    label: str = ""
    """Column that labels every frame: 1 success, 0 not, -1 not to be used; by default the end of the episode does."""
    json: bool = False
    """Print the counts as one JSON object on the last line of standard output."""


@dataclass(frozen=True)
class TrainOptions(CollectOptions):
    """Learn a classifier of success, choose its threshold, and report on episodes that it was not learned from."""

    output_dir: Path | None = None
    """Folder of the classifier; default: runs/<dataset>-reward."""
    steps: int = 400
    """Gradient steps."""
    batch_size: int = 64
    """Images per step and camera, half of them of success."""
    learning_rate: float = 3e-4
    """Adam step size."""
    shift: int = 4
    """Largest random shift of an image in training [px]."""
    encoder_weights: str = ""
    """File of weights (safetensors) that the encoder starts with."""
    seed: int = 0
    """Of the division of episodes, weights, batches, shifts and dropout."""
    false_positives: float = 0.02
    """Largest share of false positives when the threshold is chosen."""


@dataclass(frozen=True)
class ReportOptions:
    """Say how good a classifier is: as it was trained, or on another dataset."""

    classifier: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLASSIFIER")]
    """Folder of the classifier."""
    dataset: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")] = None
    """Dataset to judge; by default the report is that of the training, on its held-out episodes."""
    positive_frames: int = 2
    """Last frames of a successful episode that show success."""
    unlabelled_frames: int = 3
    """Frames before these that are left out."""
    label: str = ""
    """Column that labels every frame."""
    json: bool = False
    """Print the figures as one JSON object on the last line of standard output."""


def _frames(options: CollectOptions | ReportOptions) -> Any:
    from robostack.learning.reward_frames import FrameConfig

    cameras = options.cameras if isinstance(options, CollectOptions) else ()
    return FrameConfig(cameras, options.positive_frames, options.unlabelled_frames, options.label)


def collect(arguments: list[str]) -> int:
    """`robostack reward collect`."""
    options = parse_options(CollectOptions, "reward collect", arguments)
    from robostack.learning.reward_frames import labelled_frames

    frames, cameras = labelled_frames(options.dataset, _frames(options))
    positive = int(frames.positive.sum())
    counts = {"success": positive, "no success": len(frames.positive) - positive}
    shown = {kind: len(set(frames.episode[frames.positive == (kind == "success")].tolist())) for kind in counts}
    print_table(("frames that show", "frames", "episodes"), [(kind, counts[kind], shown[kind]) for kind in counts])
    print_next(f"robostack reward train {options.dataset}")
    if options.json:
        print_json_line({"cameras": list(cameras), "frames": counts, "episodes": shown})
    return 0


def train(arguments: list[str]) -> int:
    """`robostack reward train`."""
    options = parse_options(TrainOptions, "reward train", arguments)
    from robostack.learning.reward_classifier import RewardConfig, train_classifier

    known = {item.name for item in dataclasses.fields(RewardConfig)}
    given = {name: value for name, value in vars(options).items() if name in known}
    config = RewardConfig(_frames(options), **given)
    folder = options.output_dir or Path("runs") / f"{options.dataset.name}-reward"
    with console().status("reading the dataset") as status:
        found = train_classifier(
            options.dataset,
            folder,
            config,
            lambda step, loss: status.update(f"step {step} of {config.steps}  loss {loss:.4f}"),
        )
    print_next(f"robostack reward report {folder} DATASET")
    _show(found.figures(), options.json, {"classifier": str(folder)})
    return 0


def report(arguments: list[str]) -> int:
    """`robostack reward report`."""
    options = parse_options(ReportOptions, "reward report", arguments)
    from robostack.policies.success_classifier import load_classifier

    classifier = load_classifier(options.classifier)
    figures: Mapping[str, Any] = classifier.meta.get("report", {})
    if options.dataset is not None:
        from robostack.learning.reward_classifier import judge_dataset

        figures = judge_dataset(classifier, options.dataset, _frames(options)).figures()
    print_next("robostack train TASK --learner rlpd")
    _show(figures, options.json, {"classifier": str(options.classifier)})
    return 0


def _show(figures: Mapping[str, Any], as_json: bool, about: Mapping[str, Any]) -> None:
    if as_json:
        print_json_line({**about, **figures})
        return
    confusion = [
        ("success", figures.get("true_positives"), figures.get("false_negatives")),
        ("no success", figures.get("false_positives"), figures.get("true_negatives")),
    ]
    print_table(("is", "judged success", "judged no success"), confusion)
    print_table(("figure", "value"), [(name, _number(figures[name])) for name in FIGURES if name in figures])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


VERBS: SubVerbs = {
    "collect": (collect, "show which frames of a dataset show success, and which do not"),
    "train": (train, "learn a classifier of success from them"),
    "report": (report, "say how good a classifier is"),
}


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return run_sub_verb("reward", VERBS, arguments)


COMMAND = Command(summary="Learn from labelled episodes to see success", main=main)
