"""Camera intrinsics as files: the YAML of ROS's camera_info_manager, which calibration tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from hardware.camera import CameraIntrinsics, pinhole_intrinsics
from hardware.errors import ConfigError
from hardware.yaml_core import parse_yaml, write_yaml

_COEFFICIENTS = 5
_ROWS = {"camera_matrix": (3, 3), "distortion_coefficients": (1, _COEFFICIENTS)}


def load_intrinsics(path: Path) -> tuple[str, CameraIntrinsics]:
    """Camera name and intrinsics from a camera_info YAML.

    Raises:
        ConfigError: not readable, a part missing or misshapen, or another model than plumb_bob.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
        model = data.get("distortion_model", "plumb_bob")
        if model != "plumb_bob":
            raise ConfigError(
                f"{path}: distortion_model is '{model}'; only plumb_bob (k1, k2, p1, p2, k3) is supported"
            )
        arrays = {key: np.array(data[key]["data"], dtype=np.float64).reshape(shape) for key, shape in _ROWS.items()}
        width, height = int(data["image_width"]), int(data["image_height"])
        name = str(data.get("camera_name", ""))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is no camera_info file ({error!r}); write one with: robostack calibrate") from error
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise ConfigError(f"{path}: a number is not finite")
    return name, CameraIntrinsics(width, height, arrays["camera_matrix"], arrays["distortion_coefficients"].reshape(-1))


def save_intrinsics(path: Path, name: str, intrinsics: CameraIntrinsics) -> None:
    """Write a camera_info YAML.

    Raises:
        OSError: the file cannot be written.
    """

    def block(rows: int, columns: int, values: object) -> dict[str, object]:
        return {"rows": rows, "cols": columns, "data": [float(value) for value in np.asarray(values).reshape(-1)]}

    projection = np.hstack([intrinsics.matrix, np.zeros((3, 1))])
    text = write_yaml(
        {
            "image_width": intrinsics.width,
            "image_height": intrinsics.height,
            "camera_name": name,
            "camera_matrix": block(3, 3, intrinsics.matrix),
            "distortion_model": "plumb_bob",
            "distortion_coefficients": block(1, _COEFFICIENTS, intrinsics.distortion),
            "rectification_matrix": block(3, 3, np.eye(3)),
            "projection_matrix": block(3, 4, projection),
        }
    )
    path.write_text(text, encoding="utf-8")


def intrinsics_for(path: Path | None, width: int, height: int) -> CameraIntrinsics:
    """Intrinsics from a file, checked against the image size; assumed ones without a file.

    Raises:
        ConfigError: the file is not readable, or was made for another image size.
    """
    if path is None:
        return pinhole_intrinsics(width, height)
    _, found = load_intrinsics(path)
    if (found.width, found.height) != (width, height):
        raise ConfigError(
            f"{path} was made for {found.width}x{found.height} images, the camera gives {width}x{height}; "
            "calibrate at this size, or ask the camera for that one"
        )
    return found
