"""Rendering of a robot's scene without a display."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import Array
from hardware.errors import RobostackError

HEADLESS_PACKAGES = "libegl1 libopengl0 libgl1-mesa-dri"
"""Debian packages that software rendering through EGL needs."""


class RenderingError(RobostackError):
    """Pictures cannot be rendered here."""


class SceneRenderer:
    """Renders joint positions of one robot in its scene, RGB, with MuJoCo's classic renderer.

    Shadows and reflections are off: on a machine without a GPU they cost 15 to 30 times the rest.

    Args:
        model: MJCF of the scene.
        joint_names: order of the joint positions given to `frame`.
        camera: name of a camera of the scene.
        width: image width [px].
        height: image height [px].

    Raises:
        RenderingError: no OpenGL here; names the packages to install.
    """

    def __init__(self, model: Path, joint_names: tuple[str, ...], camera: str, width: int, height: int) -> None:
        os.environ.setdefault("MUJOCO_GL", "egl")
        import mujoco

        self._mujoco = mujoco
        spec = mujoco.MjSpec.from_file(str(model))
        spec.visual.global_.offwidth = max(width, 640)
        spec.visual.global_.offheight = max(height, 480)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._addresses = np.array([self._model.joint(name).qposadr[0] for name in joint_names], dtype=np.intp)
        self._camera = camera
        try:
            self._renderer: Any = mujoco.Renderer(self._model, height=height, width=width)
        except (AttributeError, ImportError, RuntimeError, OSError) as error:
            raise RenderingError(
                f"cannot render without a display ({error}). Install the packages {HEADLESS_PACKAGES}, "
                "or set MUJOCO_GL=osmesa with libosmesa6"
            ) from error
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def __enter__(self) -> SceneRenderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def frame(
        self,
        joint_position: Array,
        markers: Mapping[str, Array] | None = None,
        trail: Array | None = None,
    ) -> NDArray[np.uint8]:
        """One image.

        Args:
            joint_position: (num_joints,) [rad].
            markers: mocap body -> position in the world frame, (3,) [m].
            trail: points of a line to draw, (k, 3) [m], world frame.

        Returns:
            RGB image, (height, width, 3).
        """
        self._data.qpos[self._addresses] = joint_position
        for name, position in (markers or {}).items():
            self._data.mocap_pos[self._model.body(name).mocapid[0]] = position
        self._mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera)
        if trail is not None and len(trail) > 1:
            self._draw_trail(np.asarray(trail, dtype=np.float64))
        return np.array(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()

    def _draw_trail(self, points: NDArray[np.float64]) -> None:
        """Add capsules between successive points, fading from the newest backwards, while the scene has room."""
        scene = self._renderer.scene
        segments = min(len(points) - 1, scene.maxgeom - scene.ngeom)
        for k in range(segments):
            geom = scene.geoms[scene.ngeom]
            fade = 0.15 + 0.85 * (k + 1) / segments
            rgba = np.array([0.96, 0.55, 0.10, fade], dtype=np.float32)
            self._mujoco.mjv_initGeom(
                geom, self._mujoco.mjtGeom.mjGEOM_CAPSULE, np.zeros(3), np.zeros(3), np.zeros(9), rgba
            )
            start, end = points[-segments - 1 + k], points[-segments + k]
            self._mujoco.mjv_connector(geom, self._mujoco.mjtGeom.mjGEOM_CAPSULE, 0.004, start, end)
            scene.ngeom += 1
