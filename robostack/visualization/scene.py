"""Rendering of a robot's scene without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import Array
from sim.camera_rendering import CameraRenderer, RenderingError


class SceneRenderer:
    """Renders joint positions of one robot in its scene, RGB, with MuJoCo's classic renderer.

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
        compiled = mujoco.MjModel.from_xml_path(str(model))
        self._renderer = CameraRenderer(compiled, width, height, samples=4)
        self._model, self._data = self._renderer.model, self._renderer.data
        self._addresses = np.array([self._model.joint(name).qposadr[0] for name in joint_names], dtype=np.intp)
        self._camera = camera

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
        mujoco.mj_forward(self._model, self._data)
        points = np.zeros((0, 3)) if trail is None else np.asarray(trail, dtype=np.float64)
        decorate = (lambda scene: _draw_trail(scene, points)) if len(points) > 1 else None
        return self._renderer.image(self._camera, decorate=decorate)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def _draw_trail(scene: Any, points: NDArray[np.float64]) -> None:
    """Add capsules between successive points, fading from the newest backwards, while the scene has room."""
    segments = min(len(points) - 1, scene.maxgeom - scene.ngeom)
    for k in range(segments):
        geom = scene.geoms[scene.ngeom]
        fade = 0.15 + 0.85 * (k + 1) / segments
        rgba = np.array([0.96, 0.55, 0.10, fade], dtype=np.float32)
        mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, np.zeros(3), np.zeros(3), np.zeros(9), rgba)
        start, end = points[-segments - 1 + k], points[-segments + k]
        mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, 0.004, start, end)
        scene.ngeom += 1


__all__ = ["RenderingError", "SceneRenderer"]
