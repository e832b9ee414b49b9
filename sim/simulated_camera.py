"""A camera that draws a robot where its measurements say it is: pictures without a lens, for virtual robots."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from hardware.arrays import FloatArray
from hardware.camera import CameraEntry, CameraFrame
from hardware.cameras.frame_thread import FrameThread, paced
from hardware.errors import ConfigError, DeviceNotConnectedError
from hardware.records import RobotState
from hardware.robot import ROBOTS
from sim.camera_rendering import CameraRenderer, RenderingError
from sim.model_binding import bind_model

_NAME = "simulated_camera"
_FIRST_FRAME_S = 30.0


@dataclass(frozen=True)
class SimulatedCameraConfig:
    """A camera in the model of a robot."""

    robot: str = "ur5e"
    """Registry name of the robot."""
    camera: str = ""
    """Camera of the model to look through; "": one at `position` that looks at `target`."""
    position: tuple[float, float, float] = (1.3, -1.0, 0.9)
    """Place of the camera in the world of the model [m]."""
    target: tuple[float, float, float] = (0.2, 0.0, 0.3)
    """Point that it looks at [m]."""
    vertical_field_deg: float = 45.0
    """Vertical field of view [deg]."""
    width: int = 640
    """Image width [px]."""
    height: int = 480
    """Image height [px]."""
    rate_hz: float = 30.0
    """Frame rate [Hz]."""
    model: Path | None = None
    """MJCF to draw; without one the robot in its scene."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or self.rate_hz <= 0.0:
            raise ConfigError("width, height and rate_hz of a camera are positive")


class SimulatedSource:
    """Draws the newest measurement at a fixed rate; the capture time is that of the drawing.

    Raises:
        ConfigError: the model or its camera cannot be used.
        UnknownNameError: no such robot.
    """

    def __init__(self, config: SimulatedCameraConfig) -> None:
        self.config = config
        entry = ROBOTS.load(config.robot)
        scene = entry.model.parent / "scene.xml"
        path = config.model or (scene if scene.is_file() else entry.model)
        try:
            spec = mujoco.MjSpec.from_file(str(path))
            if not config.camera:
                spec.worldbody.add_camera(
                    name=_NAME, pos=config.position, quat=_looking(config), fovy=config.vertical_field_deg
                )
            self.model = spec.compile()
        except (ValueError, OSError) as error:
            raise ConfigError(f"MuJoCo cannot compile '{path.name}': {error}") from error
        self._columns = bind_model(entry.spec, self.model).qpos
        self._position: FloatArray | None = None
        self._renderer: CameraRenderer | None = None
        self._pace = paced(1.0 / config.rate_hz)

    def follow(self, state: RobotState) -> None:
        """Take the newest measurement."""
        self._position = np.asarray(state.joint_position, dtype=np.float64)

    def open(self) -> None:
        """See `FrameSource`. The renderer is made with the first image, because it belongs to the thread that reads."""
        self._pace = paced(1.0 / self.config.rate_hz)

    def grab(self) -> CameraFrame:
        """See `FrameSource`."""
        self._pace()
        if self._renderer is None:
            try:
                self._renderer = CameraRenderer(self.model, self.config.width, self.config.height)
            except RenderingError as error:
                raise DeviceNotConnectedError("simulated camera", self.config.robot, str(error)) from error
        renderer, name, now_s = self._renderer, self.config.camera or _NAME, time.monotonic()
        if self._position is not None:
            renderer.data.qpos[self._columns] = self._position
        mujoco.mj_forward(renderer.model, renderer.data)
        color = renderer.image(name)
        return CameraFrame(now_s, color, None, renderer.intrinsics(name), f"simulated {name}")

    def close(self) -> None:
        """See `FrameSource`."""
        renderer, self._renderer = self._renderer, None
        if renderer is not None:
            renderer.close()


class SimulatedCamera(FrameThread):
    """A `hardware.camera.Camera` and `StateFollower`.

    Args:
        config: which robot, from where.
    """

    def __init__(self, config: SimulatedCameraConfig) -> None:
        self._drawing = SimulatedSource(config)
        super().__init__(f"simulated camera of {config.robot}", self._drawing)
        self.robot = config.robot

    def connect(self) -> None:
        """Begin to draw; waits for the first image.

        Raises:
            DeviceNotConnectedError: nothing can be drawn here; says what to install.
        """
        super().connect()
        self.read_next(_FIRST_FRAME_S)

    def follow(self, state: RobotState) -> None:
        """Take the newest measurement of the robot."""
        self._drawing.follow(state)


def _looking(config: SimulatedCameraConfig) -> Any:
    """Orientation of a camera at its position, (4,), w x y z: it looks along its -z axis, x to the right."""
    backward = np.subtract(config.position, config.target)
    right = np.cross([0.0, 0.0, 1.0], backward)
    if not np.linalg.norm(backward) or not np.linalg.norm(right):
        raise ConfigError("the camera stands at its target, or straight above or below it; move it aside")
    axes = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, (axes / np.linalg.norm(axes, axis=0)).reshape(-1))
    return quaternion


CAMERA = CameraEntry(
    camera="sim.simulated_camera:SimulatedCamera",
    config="sim.simulated_camera:SimulatedCameraConfig",
    summary="A virtual robot as it stands, drawn by MuJoCo",
)
