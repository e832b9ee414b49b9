from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hardware.errors import DuplicateNameError, UnknownNameError
from hardware.registry import Registry, load_object


@pytest.fixture
def package(tmp_path, monkeypatch) -> tuple[Path, Registry]:
    """A package "zoo" with one module, one sub-package, and two files that register nothing."""
    folder = tmp_path / "zoo"
    (folder / "night_owl").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "cat.py").write_text("import sys\nANIMAL = 'a cat'\n")
    (folder / "night_owl" / "__init__.py").write_text("ANIMAL: str = 'an owl'\n")
    (folder / "helper.py").write_text("raise RuntimeError('imported')\n")
    (folder / "mention.py").write_text("def f():\n    ANIMAL = 1\nANIMALS = 2\nother = 'ANIMAL'\nANIMAL: int\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder, Registry("animal", "zoo", "ANIMAL")
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def plug_in(folder: Path, name: str, points: str) -> None:
    """What an installed distribution leaves on the path."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[robostack.animals]\n{points}\n")


def test_members_are_the_modules_that_assign_the_name(package):
    _, registry = package
    assert registry.names() == ("cat", "night-owl")
    assert registry.load("cat") == "a cat"
    assert registry.load("night-owl") == "an owl"


def test_listing_imports_no_module(package):
    _, registry = package
    registry.names()
    assert not {"zoo.cat", "zoo.night_owl", "zoo.helper"} & set(sys.modules)


def test_an_unknown_name_lists_those_there_are_with_the_nearest(package):
    _, registry = package
    with pytest.raises(UnknownNameError, match=r"unknown animal 'cta'. Did you mean 'cat'\? Available: cat, night-owl"):
        registry.load("cta")
    with pytest.raises(UnknownNameError, match="Available: cat, night-owl"):
        registry.summary("dog")


def test_another_distribution_adds_members_by_entry_point(package, tmp_path):
    _, registry = package
    (tmp_path / "farm.py").write_text("COW = 'a cow'\n")
    plug_in(tmp_path, "farm", "cow = farm:COW")
    assert registry.names() == ("cat", "cow", "night-owl")
    assert registry.load("cow") == "a cow"
    assert load_object("farm:COW") == "a cow"


def test_a_name_given_twice_is_an_error(package, tmp_path):
    _, registry = package
    plug_in(tmp_path, "other", "cat = other:CAT")
    with pytest.raises(
        DuplicateNameError, match=r"animal 'cat' is registered twice: by zoo.cat:ANIMAL and by other:CAT"
    ):
        registry.names()
    with pytest.raises(DuplicateNameError):
        registry.load("night-owl")


def test_the_same_member_found_in_both_ways_is_no_duplicate(package, tmp_path):
    _, registry = package
    plug_in(tmp_path, "zoo", "cat = zoo.cat:ANIMAL")
    assert registry.names() == ("cat", "night-owl")


def test_a_package_that_does_not_exist_has_no_members():
    assert Registry("animal", "no_such_package_here", "ANIMAL").names() == ()


def test_a_summary_is_read_without_importing_where_it_is_written_out(package):
    folder, registry = package
    (folder / "dog.py").write_text("raise RuntimeError\nANIMAL = Animal(summary='Barks.')\n")
    (folder / "emu.py").write_text("'Runs.'\nclass Emu:\n    pass\nANIMAL = Emu\n")
    (folder / "fox.py").write_text("class Fox:\n    summary = 'Sly' + '.'\nANIMAL = Fox()\n")
    assert [registry.summary(name) for name in ("dog", "emu", "fox")] == ["Barks.", "Runs.", "Sly."]
    assert "zoo.dog" not in sys.modules
