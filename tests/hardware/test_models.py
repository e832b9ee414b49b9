from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError, UnknownNameError
from hardware.models import resolve_model
from hardware.ur5e import MODEL, UR5E

NOWHERE = {"HOME": "/nonexistent"}


@pytest.fixture(autouse=True)
def no_packages(monkeypatch):
    """Whatever is installed here is not seen, unless a test adds it."""
    real = importlib.util.find_spec
    hidden = {"airo_models"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in hidden else real(name))
    return hidden


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<mujoco/>")
    return path


def cached(root: Path, complete: bool = True) -> Path:
    model = write(root / "models" / "universal_robots_ur5e-0123456789abcdef" / "ur5e.xml")
    if complete:
        write(model.parent / ".complete")
    return model


def test_falls_back_on_the_first_party_model_and_says_why():
    found = resolve_model("ur5e", environ=NOWHERE)
    assert found.path == MODEL and found.origin == "first-party" and found.format == "mjcf"
    assert len(found.passed_over) == 3 and "airo-models: none" in str(found)


def test_explicit_path_wins(tmp_path):
    own = write(tmp_path / "own.urdf")
    found = resolve_model("ur5e", path=own, environ={"MENAGERIE_ROOT": "/nonexistent"})
    assert (found.path, found.origin, found.format) == (own, "explicit path", "urdf")
    with pytest.raises(ConfigError, match="gone.xml"):
        resolve_model("ur5e", path=tmp_path / "gone.xml")


def test_menagerie_checkout_comes_before_its_cache(tmp_path):
    checkout = write(tmp_path / "checkout" / "universal_robots_ur5e" / "ur5e.xml")
    write(tmp_path / "checkout" / "universal_robots_ur10e" / "ur10e.xml")
    cache = cached(tmp_path / "cache")
    environ = {"MENAGERIE_ROOT": str(tmp_path / "checkout"), "MENAGERIE_CACHE_DIR": str(tmp_path / "cache")}
    found = resolve_model("ur5e", environ=environ)
    assert (found.path, found.origin) == (checkout, "MENAGERIE_ROOT")
    found = resolve_model("ur5e", environ={"MENAGERIE_CACHE_DIR": str(tmp_path / "cache")})
    assert (found.path, found.origin) == (cache, "mujoco-menagerie cache")


def test_default_cache_folder(tmp_path):
    model = cached(tmp_path / ".cache" / "mujoco_menagerie")
    assert resolve_model("ur5e", environ={"HOME": str(tmp_path)}).path == model
    assert resolve_model("ur5e", environ={"XDG_CACHE_HOME": str(tmp_path / ".cache")}).path == model


def test_unfinished_download_is_not_used(tmp_path):
    cached(tmp_path, complete=False)
    assert resolve_model("ur5e", environ={"MENAGERIE_CACHE_DIR": str(tmp_path)}).origin == "first-party"


def test_package_data_without_importing_it(tmp_path, monkeypatch, no_packages):
    no_packages.clear()
    write(tmp_path / "airo_models" / "__init__.py").write_text("raise RuntimeError('imported')")
    model = write(tmp_path / "airo_models" / "arms" / "ur5e" / "ur5e.urdf")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    found = resolve_model("ur5e", environ=NOWHERE)
    assert (found.path, found.origin, found.format) == (model, "airo-models", "urdf")


def test_first_party_on_demand(tmp_path):
    write(tmp_path / "universal_robots_ur5e" / "ur5e.xml")
    assert resolve_model("ur5e", "first-party", environ={"MENAGERIE_ROOT": str(tmp_path)}).path == MODEL


def test_what_is_missing_is_said():
    with pytest.raises(ConfigError, match="Set MENAGERIE_ROOT"):
        resolve_model("ur5e", "meshes", environ=NOWHERE)
    with pytest.raises(ConfigError, match="not a folder"):
        resolve_model("ur5e", environ={"MENAGERIE_ROOT": "/nonexistent"})
    with pytest.raises(UnknownNameError, match="ur5e"):
        resolve_model("ur5", environ=NOWHERE)


def test_airo_models_arm_is_ours_half_a_turn_about_z(no_packages):
    """The maker's URDF, where installed, against the first-party model: independent of both our tables."""
    no_packages.clear()
    if importlib.util.find_spec("airo_models") is None:
        pytest.skip("airo-models is not installed")
    theirs = mujoco.MjModel.from_xml_path(str(resolve_model("ur5e", environ=NOWHERE).path))
    ours = mujoco.MjModel.from_xml_path(str(MODEL))
    rng = np.random.default_rng(0)
    for q in rng.uniform(-math.pi, math.pi, (20, 6)):
        places = []
        for model, body in ((theirs, "wrist_3_link"), (ours, "wrist_3")):
            data = mujoco.MjData(model)
            for name, value in zip(UR5E.joint_names, q, strict=True):
                data.joint(name).qpos[0] = value
            mujoco.mj_kinematics(model, data)
            places.append(data.body(body).xpos.copy())
        np.testing.assert_allclose(places[0] * (-1, -1, 1), places[1], atol=1e-6)
