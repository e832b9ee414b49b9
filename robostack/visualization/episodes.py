"""Pictures of episodes that a policy ran on a robot: one figure, one video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from robostack.visualization.scene import SceneRenderer
from robostack.visualization.video import VideoWriter

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"


@dataclass(frozen=True)
class ReachTrace:
    """One reach as it happened on the robot."""

    time_s: FloatArray
    """Since the first action, (k,) [s]."""
    joint_position: FloatArray
    """(k, num_joints) [rad]."""
    tool_position: FloatArray
    """In the base frame, (k, 3) [m]."""
    target: FloatArray
    """In the base frame, (3,) [m]."""
    success: bool
    """Whether the reach succeeded."""

    @property
    def error_m(self) -> FloatArray:
        """Distance from the target, (k,) [m]."""
        return np.asarray(np.linalg.norm(self.tool_position - self.target, axis=-1))


def scene_picture(renderer: SceneRenderer, traces: Sequence[ReachTrace]) -> np.ndarray:
    """The robot at the end of the last reach, with the paths of the tool over the last few reaches."""
    last = traces[-1]
    trail = np.concatenate([trace.tool_position for trace in traces[-6:]])
    return renderer.frame(last.joint_position[-1], {"target": last.target}, trail)


def write_figure(
    path: Path, renderer: SceneRenderer, learned: Sequence[ReachTrace], scripted: Sequence[ReachTrace]
) -> None:
    """One picture: the scene, the error over time, the final errors.

    Args:
        path: PNG file.
        renderer: of the robot's scene.
        learned: reaches of the learned policy; at least one.
        scripted: reaches of the policy it is compared with.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 4.6), layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    scene, curves, finals = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.35, 1.2, 0.8]})
    picture = scene_picture(renderer, learned)
    height, width = picture.shape[:2]
    scene.imshow(picture[height // 12 : -height // 5, width // 6 : -width // 5])
    scene.set_title("the virtual arm and the paths of its tool")
    scene.axis("off")
    _plot_errors(curves, learned, scripted)
    _plot_finals(finals, learned, scripted)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(path))


def _plot_errors(axes: Any, learned: Sequence[ReachTrace], scripted: Sequence[ReachTrace]) -> None:
    for traces, colour, label in ((scripted, GREY, "scripted"), (learned, BLUE, "learned")):
        for index, trace in enumerate(traces):
            name = label if index == 0 else None
            axes.plot(trace.time_s, 1e3 * trace.error_m, color=colour, alpha=0.45, linewidth=1.0, label=name)
    axes.axhline(10.0, color=ORANGE, linewidth=1.2, linestyle="--", label="tolerance")
    axes.set(yscale="log", xlabel="time [s]", ylabel="distance from the target [mm]", title="every reach over the wire")
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.legend(frameon=False)


def _plot_finals(axes: Any, learned: Sequence[ReachTrace], scripted: Sequence[ReachTrace]) -> None:
    groups = [(name, traces) for name, traces in (("learned", learned), ("scripted", scripted)) if traces]
    for place, (_, traces) in enumerate(groups):
        finals = np.array([1e3 * trace.error_m[-1] for trace in traces])
        spread = np.linspace(-0.16, 0.16, len(finals))
        colours = [BLUE if trace.success else "#c53030" for trace in traces]
        axes.scatter(place + spread, finals, c=colours, s=16, alpha=0.8)
        axes.hlines(np.median(finals), place - 0.3, place + 0.3, color="black", linewidth=1.5)
    axes.axhline(10.0, color=ORANGE, linewidth=1.2, linestyle="--")
    axes.set_xticks(range(len(groups)), [name for name, _ in groups])
    axes.set(
        ylabel="final distance [mm]",
        title="where it ended (bar: median)",
        xlim=(-0.6, len(groups) - 0.4),
        ylim=(0, None),
    )
    axes.grid(visible=True, axis="y", alpha=0.25)


def write_video(
    path: Path, renderer: SceneRenderer, traces: Sequence[ReachTrace], fps: int, advance: Callable[[], None]
) -> None:
    """The reaches one after the other, at the speed at which they happened.

    Args:
        path: MP4 file.
        renderer: of the robot's scene.
        traces: the reaches.
        fps: frames per second; each frame shows the sample nearest in time.
        advance: called after every frame, for a progress bar.
    """
    with VideoWriter(path, fps) as video:
        for trace in traces:
            for moment in np.arange(0.0, trace.time_s[-1], 1.0 / fps):
                index = int(np.argmin(np.abs(trace.time_s - moment)))
                trail = trace.tool_position[max(0, index - 40) : index + 1]
                video.write(renderer.frame(trace.joint_position[index], {"target": trace.target}, trail))
                advance()


def frame_count(traces: Sequence[ReachTrace], fps: int) -> int:
    """Number of frames that `write_video` writes."""
    return sum(len(np.arange(0.0, trace.time_s[-1], 1.0 / fps)) for trace in traces)
