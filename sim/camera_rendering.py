"""Pictures of a MuJoCo model through its cameras, without a display, in a fast profile.

Shadows, multisampling and reflections are off: without a GPU they cost 15 to 30 times the rest. A renderer belongs to
the thread that made it, and making one takes some tenths of a second: make it once and keep it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.camera import CameraIntrinsics, pinhole_intrinsics
from hardware.errors import ConfigError, RobostackError, UnknownNameError
from sim.mujoco_engine import MujocoEngine

HEADLESS_PACKAGES = "libegl1 libopengl0 libgl1-mesa-dri"
"""Debian packages that software rendering through EGL needs."""


class RenderingError(RobostackError):
    """Pictures cannot be rendered here."""


class CameraRenderer:
    """Renders colour images of one model.

    MuJoCo chooses its OpenGL when it is imported, by MUJOCO_GL; the command line sets that to EGL where it is there.

    Args:
        model: compiled model; left unchanged.
        width: image width [px].
        height: image height [px].
        samples: samples per pixel; several smooth the edges, and cost.

    Raises:
        ConfigError: a size is not positive.
        RenderingError: no OpenGL here; names the packages to install.
    """

    def __init__(self, model: Any, width: int, height: int, samples: int = 0) -> None:
        if width < 1 or height < 1:
            raise ConfigError(f"images must have a positive size, not {width} x {height}")
        self.width, self.height = width, height
        self.model = copy.copy(model)
        self.model.vis.quality.offsamples = samples
        self.model.vis.global_.offwidth = max(width, int(model.vis.global_.offwidth))
        self.model.vis.global_.offheight = max(height, int(model.vis.global_.offheight))
        self.data = mujoco.MjData(self.model)
        try:
            self._renderer: Any = mujoco.Renderer(self.model, height=height, width=width)
        except (AttributeError, ImportError, RuntimeError, OSError, mujoco.FatalError) as error:
            raise RenderingError(
                f"cannot render here ({error}). Without a display, install the packages {HEADLESS_PACKAGES} and set "
                "MUJOCO_GL=egl before the program starts, or MUJOCO_GL=osmesa with libosmesa6"
            ) from error
        flags = self._renderer.scene.flags
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            flags[flag] = False

    def __enter__(self) -> CameraRenderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def image(
        self, camera: str, data: Any | None = None, decorate: Callable[[Any], None] | None = None
    ) -> NDArray[np.uint8]:
        """One image, RGB, (height, width, 3).

        Args:
            camera: name of a camera of the model.
            data: an MjData of the model, current in its positions (mj_forward); None: the renderer's own `data`.
            decorate: adds to the scene (an MjvScene) before it is drawn.

        Raises:
            UnknownNameError: the model has no such camera.
        """
        self._require(camera)
        self._renderer.update_scene(self.data if data is None else data, camera=camera)
        if decorate is not None:
            decorate(self._renderer.scene)
        return np.array(self._renderer.render(), dtype=np.uint8)

    def intrinsics(self, camera: str) -> CameraIntrinsics:
        """The pinhole model of a camera: square pixels, the axis through the middle, no distortion.

        Raises:
            UnknownNameError: the model has no such camera.
        """
        number = self._require(camera)
        return pinhole_intrinsics(self.width, self.height, float(self.model.cam_fovy[number]))

    def close(self) -> None:
        """Free the OpenGL context. Idempotent."""
        self._renderer.close()

    def _require(self, camera: str) -> int:
        number = int(mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_CAMERA, camera))
        if number < 0:
            names = (self.model.camera(index).name for index in range(self.model.ncam))
            raise UnknownNameError("camera of the model", camera, names)
        return number


class EngineCameras:
    """Images of one simulation of an engine, as an environment's observation.

    Args:
        engine: the physics.
        names: cameras of its model.
        width: image width [px].
        height: image height [px].

    Raises:
        UnknownNameError: the model has no such camera.
        RenderingError: no OpenGL here.
    """

    def __init__(self, engine: MujocoEngine, names: Sequence[str], width: int, height: int) -> None:
        self.names = tuple(names)
        self.shape = (height, width, 3)
        self._engine = engine
        self._renderer = CameraRenderer(engine.model, width, height)
        for name in self.names:
            self._renderer.intrinsics(name)

    def read(self, index: int = 0) -> dict[str, NDArray[np.uint8]]:
        """The images of now of simulation `index`, by camera, (height, width, 3)."""
        renderer = self._renderer
        self._engine.batch.get_data(index, renderer.data)
        mujoco.mj_kinematics(renderer.model, renderer.data)
        mujoco.mj_comPos(renderer.model, renderer.data)
        mujoco.mj_camlight(renderer.model, renderer.data)
        return {name: renderer.image(name) for name in self.names}

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
