"""The training loop, on one environment or on many simulations stepped together.

A run folder holds `config.yaml` (resolved), `progress.jsonl` (one line per report), `checkpoints/<steps>` (written
atomically), and in `best` the policy that did best in an evaluation. A run may be killed at any time; resumed, it goes
on from its newest readable checkpoint. The learner then continues exactly; the environment starts a new episode.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from hardware.arrays import Array
from hardware.config import dump_config, load_config, plain
from hardware.errors import CheckpointError, ConfigError
from hardware.registry import load_object
from robostack.checkpoint import atomic_folder, checkpoints, write_durable
from robostack.contract import contract_of
from robostack.evaluation import EvaluationResult, evaluate_env, evaluate_many
from robostack.files import append_line, write_text
from robostack.learning.avg import Avg
from robostack.learning.best_policy import FOLDER, Judged, judged, judged_from, keep_policy
from robostack.learning.dynamics_schedule import DynamicsSchedule
from robostack.learning.experience import Ended, Experience, SingleExperience, many
from robostack.learning.hand_over import hand_over, hand_over_config
from robostack.learning.learner import LEARNERS, Learner
from robostack.learning.presets import recommended
from robostack.learning.scripted_demonstrations import demonstrate
from robostack.make import make_env
from robostack.simulated_operator import SimulatedOperator
from robostack.tasks.task import Task
from robostack.tasks.with_history import open_task
from sim.randomization.distribution import DISTRIBUTIONS, Distribution

CONFIG, PROGRESS = "config.yaml", "progress.jsonl"
Setting: TypeAlias = bool | int | float | str | list[int] | list[float] | list[str] | None
"""What the setting of a learner may be."""
TOGETHER = 100
"""Simulations stepped together in an evaluation, at most."""
WINDOW = 50
"""Episodes over which progress is averaged."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    task: str
    """Name of the task; `robostack list tasks`."""
    output_dir: Path
    """Run folder."""
    learner: str = "avg"
    """Name of the learner; `robostack list learners`."""
    steps: int = 20_000
    """Control steps to learn from."""
    seed: int = 0
    """Of the initial weights, exploration and the environment."""
    randomize: bool = True
    """Draw the dynamics anew for each episode."""
    distribution: str = "uniform"
    """What they are drawn from; `robostack list distributions`."""
    distribution_settings: dict[str, Setting] = field(default_factory=dict)
    """Settings of the distribution."""
    distribution_every: int = 20_000
    """Steps between updates of a distribution that learns."""
    distribution_episodes: int = 0
    """Episodes without exploration that it learns from, run before each update, whose steps count among `steps`; 0: it
    learns from the episodes of training. For learners that take batches."""
    scripted_demonstrations: int = 0
    """Episodes of the task's hand-written policy that a learner with a replay for demonstrations (rlpd, sac) is given
    before its first step; not counted among `steps`. Their dynamics are those of evaluations: with `randomize` from
    the whole range, whatever the distribution."""
    episode_s: float = 0.0
    """Time limit of an episode in training and its evaluations [s]; 0: the task's."""
    success_return: float | None = None
    """Sum of rewards from which on an episode succeeded, in training, for the distribution and in evaluations; None:
    the task says which did."""
    history: int = 1
    """Observations that the policy is given, the newest included, with the actions between them; 1: no memory."""
    engine: str = "mujoco"
    """Physics engine; `robostack list engines`."""
    simulations: int = 0
    """Simulations stepped together, for learners that take batches; 0: as many as suit the learner."""
    checkpoint_every: int = 5_000
    """Steps between checkpoints; there is always one at the end."""
    keep: int = 3
    """Checkpoints kept; older ones are deleted."""
    report_every: int = 500
    """Steps between reports."""
    evaluate_every: int = 2500
    """Steps between evaluations of the policy without exploration, on its own simulation; 0: none."""
    evaluate_episodes: int = 10
    """Episodes of each such evaluation; with drawn dynamics, they are uniform between their bounds. Not counted among
    `steps`."""
    settings: dict[str, Setting] = field(default_factory=dict)
    """Settings of the learner; those not named are the recommended ones for the task."""
    start_from: Path | None = None
    """Checkpoint or run of a batch learner (sac, rlpd) whose policy and values AVG starts with."""
    demonstrations: Path | None = None
    """Dataset that a learner with a replay for demonstrations (rlpd, sac) is given before its first step."""
    corrector: Literal["none", "scripted"] = "none"
    """Who takes over when nothing gets better, for the same learners in one simulation: "scripted", a simulated
    operator who acts as the task's script."""


@dataclass(frozen=True)
class Progress:
    """One report."""

    steps: int
    """Steps learned from."""
    episodes: int
    """Episodes finished."""
    success: float
    """Share of successes in the last evaluation, without exploration; 0 before the first."""
    final_error_mm: float | None
    """Median distance from the goal at the end of its episodes [mm]; None before, and where the task has none."""
    training_success: float
    """Share of successes among the last episodes of training, with exploration."""
    training_error_mm: float | None
    """Median distance from the goal at the end of those [mm]."""
    episode_return: float
    """Mean sum of rewards of the last episodes."""
    steps_per_s: float
    """Since the run was started or resumed [1/s]."""
    wall_s: float
    """Time spent learning, over all starts of the run [s]."""
    cpu_s: float
    """Time of the process, all threads and evaluations included, over all starts of the run [s]."""
    metrics: dict[str, float]
    """What the learner reports."""


def train(config: TrainConfig, *, resume: bool = False, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """Train, or go on training.

    Args:
        config: the run. When resuming, only `output_dir` and `steps` count: the rest is read from the run.
        resume: continue the run in `output_dir`.
        on_progress: called with each report.

    Returns:
        The final checkpoint.

    Raises:
        ConfigError: the folder already holds a run and `resume` is off, or a setting is wrong.
        CheckpointError: there is nothing to resume.
    """
    config = _resumed(config) if resume else _fresh(config)
    return _Run(config, on_progress).loop()


def learner_config(config: TrainConfig) -> Any:
    """The configuration of the run's learner."""
    base = recommended(config.learner, re.sub(r"-history\d+$", "", config.task))
    cls: Any = load_object(LEARNERS.load(config.learner).config)
    return load_config(cls, {**plain(base), **plain(config.settings)})


def _fresh(config: TrainConfig) -> TrainConfig:
    folder = config.output_dir
    if (folder / CONFIG).exists():
        raise ConfigError(f"{folder} already holds a run. Continue it with --resume, or choose another folder.")
    if config.steps < 1 or config.checkpoint_every < 1 or config.report_every < 1 or config.keep < 1:
        raise ConfigError("steps, checkpoint_every, report_every and keep must be at least 1")
    if config.start_from is not None:
        if config.learner != "avg":
            raise ConfigError(f"the learner '{config.learner}' cannot start from another's checkpoint; avg can")
        given = {**plain(hand_over_config(config.start_from)), **config.settings}
        config = dataclasses.replace(config, settings=given, start_from=config.start_from.resolve())
    resolved = dataclasses.replace(config, settings=plain(learner_config(config)))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, dump_config(resolved))
    return resolved


def _resumed(config: TrainConfig) -> TrainConfig:
    path = config.output_dir / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"no run to resume in {config.output_dir}: {CONFIG} is missing. Start one without --resume."
        )
    return dataclasses.replace(load_config(TrainConfig, path), output_dir=config.output_dir, steps=config.steps)


class _Run:
    """State of the loop."""

    def __init__(self, config: TrainConfig, on_progress: Callable[[Progress], None] | None) -> None:
        self.config, self.on_progress = config, on_progress
        self.folder = config.output_dir
        self.steps, self.episodes, self.spent_s, self.spent_cpu_s = 0, 0, 0.0, 0.0
        self.task = open_task(config.task, config.history)
        self.task.episode_s = config.episode_s or self.task.episode_s
        self.schedule = _schedule(config, self.task)
        self.learner, self.experience = _open(
            config, self.task, None if self.schedule is None else self.schedule.distribution
        )
        self.best: Judged | None = None
        self._before, self._begun_cpu_s = 0, time.process_time()
        self.recent: deque[Ended] = deque(maxlen=WINDOW)
        self.evaluated: dict[str, Any] = {}
        self.dynamics_metrics: dict[str, float] = {}
        if config.demonstrations is not None and not checkpoints(self.folder):
            _show(self.learner, config.demonstrations, self.task)
        if config.scripted_demonstrations and not checkpoints(self.folder):
            demonstrate(self.learner, self.task, config.scripted_demonstrations, config.seed, config.randomize)
        self._restore()
        self._writer = _tensorboard(self.folder)

    def _restore(self) -> None:
        """Take over the newest checkpoint that can be read; drop reports from after it, and what was half written."""
        found = checkpoints(self.folder)
        if not found and self.config.start_from is not None and isinstance(self.learner, Avg):
            hand_over(self.learner, self.config.start_from)
        for torn in (*self.folder.glob("checkpoints/.*.new-*"), *self.folder.glob(".*.part")):
            _remove(torn)
        for folder in reversed(found):
            try:
                counters = json.loads((folder / "training.json").read_text())
                self.learner.load(folder)
            except (CheckpointError, OSError, ValueError):
                if folder == found[0]:
                    raise
                continue
            self.steps, self.episodes = int(counters["steps"]), int(counters["episodes"])
            self.spent_s, self.spent_cpu_s = float(counters["wall_s"]), float(counters.get("cpu_s", 0.0))
            self.best = judged_from(counters.get("best"), folder)
            if self.best is not None and self.best.steps == self.steps:
                self._keep(folder, self.best)  # the run may have ended between the two
            if self.schedule is not None and "dynamics" in counters:
                self.schedule.restore(counters["dynamics"])
                self.experience.generation = self.schedule.generation
            # Not the episodes of before once more.
            self.experience.start(seed=self.config.seed + self.steps)
            break
        path = self.folder / PROGRESS
        if path.is_file():
            write_text(path, "".join(f"{line}\n" for line in _lines_until(path.read_text(), self.steps)))

    def loop(self) -> Path:
        """Learn until the number of steps is reached; returns the last checkpoint."""
        config, experience = self.config, self.experience
        started_s, begun = time.monotonic(), self.steps
        experience.start()
        while self.steps < config.steps:
            self._before = self.steps
            ended = [self._judged(one) for one in experience.step()]
            metrics = dict(self.learner.update())
            self.steps += experience.count
            self.episodes += len(ended)
            self.recent.extend(ended)
            if config.corrector != "none" and self.recent:
                metrics["corrected_steps_per_episode"] = float(np.mean([ended.corrected for ended in self.recent]))
            if self.schedule is not None:
                self._learn_dynamics(self.schedule, ended)
                metrics |= self.dynamics_metrics
            wall_s = time.monotonic() - started_s
            if self._due(config.evaluate_every):
                self._evaluate()
            if self._due(config.report_every):
                self._report(metrics, (self.steps - begun) / max(wall_s, 1e-9), self.spent_s + wall_s)
            due = self._due(config.checkpoint_every) or (self.best is not None and self.best.steps == self.steps)
            if due and self.steps < config.steps:
                self._checkpoint(self.spent_s + wall_s)
        return self._checkpoint(self.spent_s + time.monotonic() - started_s)

    def _learn_dynamics(self, schedule: DynamicsSchedule, ended: list[Ended]) -> None:
        judged_alone = self.config.distribution_episodes > 0
        if not judged_alone:
            schedule.add(ended)
        if self._due(schedule.every) and not (judged_alone and self.steps >= self.config.steps):
            if judged_alone:
                self._judge_dynamics(schedule)
            self.dynamics_metrics = {f"dynamics_{name}": value for name, value in schedule.update().items()}
            self.experience.generation = schedule.generation

    def _judge_dynamics(self, schedule: DynamicsSchedule) -> None:
        """Run episodes without exploration for the distribution to learn from, and count their steps."""
        count = self.config.distribution_episodes
        result = self._many(count, schedule.distribution, seed=self.config.seed + 20_000 + schedule.generation)
        period = self.task.control_period_s
        self.steps += sum(round(episode.duration_s / period) for episode in result.episodes)
        schedule.add(
            [
                Ended(episode.success, None, episode.total_reward, episode.dynamics, schedule.generation)
                for episode in result.episodes
            ]
        )

    def _many(self, episodes: int, randomize: bool | Distribution, seed: int) -> EvaluationResult:
        """Episodes of the policy without exploration, in simulations stepped together."""
        count, engine = min(episodes, TOGETHER), self.config.engine
        env = make_env(self.task, count, randomize=randomize, seed=seed, engine=engine)
        result = evaluate_many(env, lambda observation: self.learner.act(observation, explore=False), episodes)
        return result.judged_by(self.config.success_return)

    def _judged(self, ended: Ended) -> Ended:
        enough = self.config.success_return
        return ended if enough is None else ended._replace(success=ended.total >= enough)

    def _due(self, every: int) -> bool:
        """Whether a multiple of `every` was reached or passed since the last step of all simulations."""
        return every > 0 and self.steps // every > self._before // every

    def _evaluate(self) -> None:
        """Judge the policy as it would be exported."""
        config, seed = self.config, self.config.seed + 10_000
        image_size = _image_size(self.learner)
        if LEARNERS.load(config.learner).simulations and image_size is None:
            result = self._many(config.evaluate_episodes, config.randomize, seed)
        else:
            env = make_env(
                self.task, randomize=config.randomize, seed=seed, image_size=image_size, engine=config.engine
            )
            alone = evaluate_env(env, _WithoutExploration(self.learner), config.evaluate_episodes)
            result = alone.judged_by(config.success_return)
        self.evaluated = result.figures()
        now = judged(self.evaluated, self.steps)
        if now.better_than(self.best):
            self.best = now

    def _report(self, metrics: dict[str, float], rate: float, wall_s: float) -> None:
        errors = [ended.error_mm for ended in self.recent if ended.error_mm is not None]
        progress = Progress(
            steps=self.steps,
            episodes=self.episodes,
            success=self.evaluated.get("success", 0.0),
            final_error_mm=self.evaluated.get("final_error_mm"),
            training_success=float(np.mean([ended.success for ended in self.recent])) if self.recent else 0.0,
            training_error_mm=float(np.median(errors)) if errors else None,
            episode_return=float(np.mean([ended.total for ended in self.recent])) if self.recent else 0.0,
            steps_per_s=rate,
            wall_s=wall_s,
            cpu_s=self._cpu_s(),
            metrics=metrics,
        )
        append_line(self.folder / PROGRESS, json.dumps(dataclasses.asdict(progress)))
        if self._writer is not None:
            for name in ("success", "final_error_mm", "episode_return", "steps_per_s"):
                if (value := getattr(progress, name)) is not None:
                    self._writer.add_scalar(f"charts/{name}", value, self.steps)
            for name, value in metrics.items():
                self._writer.add_scalar(f"losses/{name}", value, self.steps)
        if self.on_progress is not None:
            self.on_progress(progress)

    def _checkpoint(self, wall_s: float) -> Path:
        folder = self.folder / "checkpoints" / f"{self.steps:09d}"
        counters: dict[str, Any] = {"steps": self.steps, "episodes": self.episodes, "wall_s": wall_s}
        counters["cpu_s"] = self._cpu_s()
        if self.best is not None:
            counters["best"] = dataclasses.asdict(self.best)
        if self.schedule is not None:
            counters["dynamics"] = self.schedule.state()
        with atomic_folder(folder) as fresh:
            self.learner.save(fresh)
            write_durable(fresh / "training.json", json.dumps(counters).encode())
        for old in checkpoints(self.folder)[: -self.config.keep]:
            _remove(old)
        if self.best is not None and self.best.steps == self.steps:
            self._keep(folder, self.best)
        return folder

    def _keep(self, checkpoint: Path, best: Judged) -> None:
        keep_policy(checkpoint, self.folder / FOLDER, dataclasses.asdict(best))

    def _cpu_s(self) -> float:
        """CPU time of the run so far [s]."""
        return self.spent_cpu_s + time.process_time() - self._begun_cpu_s


def _schedule(config: TrainConfig, task: Task) -> DynamicsSchedule | None:
    """The distribution of the run, where its task has unknown dynamics and they are to be drawn."""
    dynamics = task.dynamics
    if not config.randomize or not dynamics:
        return None
    distribution = DISTRIBUTIONS.load(config.distribution).open(dynamics, config.distribution_settings)
    return DynamicsSchedule(distribution, config.distribution_every)


def _show(learner: Any, dataset: Path, task: Task) -> None:
    """Give a learner the demonstrations of a dataset."""
    from robostack.learning.image_demonstrations import with_images
    from robostack.learning.with_demonstrations import executed_demonstrations

    _require_demos(learner)
    steps = executed_demonstrations(dataset, task)
    seen = _image_size(learner) is not None
    for transition in (with_images(steps, dataset, learner.config.cameras) if seen else steps).transitions():
        learner.observe(transition)


def _image_size(learner: Any) -> int | None:
    """Width and height of the images that a learner looks at [px]; None: none."""
    found: int | None = getattr(learner, "image_size", None)
    return found


def _require_demos(learner: Any) -> None:
    if not hasattr(learner, "demos"):
        raise ConfigError("this learner learns from its own actions only; to be shown others', choose rlpd or sac")


def _open(config: TrainConfig, task: Task, distribution: Distribution | None) -> tuple[Learner, Experience]:
    """The run's learner, and where its steps come from."""
    entry = LEARNERS.load(config.learner)
    settings = learner_config(config)
    image_size = settings.image_size if getattr(settings, "cameras", ()) else None
    alone = config.corrector != "none" or image_size is not None
    count = config.simulations or (1 if alone else entry.simulations)
    randomize = False if distribution is None else distribution
    if count <= 1:
        env = make_env(task, randomize=randomize, seed=config.seed, image_size=image_size, engine=config.engine)
        learner = entry.open(contract_of(env.task), settings, config.seed)
        if config.corrector == "none":
            return learner, SingleExperience(env, learner)
        _require_demos(learner)
        return learner, SingleExperience(env, learner, SimulatedOperator(task, seed=config.seed))
    if image_size is not None:
        raise ConfigError("a learner with cameras learns from one simulation; leave --simulations out")
    if config.corrector != "none":
        raise ConfigError("an operator corrects one robot at a time; leave --simulations out")
    if entry.simulations == 0:
        raise ConfigError(f"'{config.learner}' learns from one step at a time; leave --simulations out")
    threads = min(count, os.cpu_count() or 1)
    envs = make_env(task, count, threads, randomize=randomize, seed=config.seed, engine=config.engine)
    learner = entry.open(contract_of(envs.task), settings, config.seed)
    return learner, many(envs, learner)


class _WithoutExploration:
    """A learner as a policy."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action without exploration."""
        return self.learner.act(observation, explore=False)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _lines_until(text: str, steps: int) -> list[str]:
    """The whole lines of a progress file up to `steps`; a torn last line is dropped."""
    kept = []
    for line in text.splitlines():
        try:
            if int(json.loads(line)["steps"]) <= steps:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return kept


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard writer if it is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
