"""The plan of the house, checked on the source text: rooms, sizes, and habits that no tool looks at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("hardware", "controllers", "sim", "calibration", "robostack", "launch")
"""Lowest first; a room imports only rooms to its left."""
VENDOR_SDKS = {
    "rtde_control",
    "rtde_receive",
    "rtde_io",
    "pyrealsense2",
    "unitree_sdk2py",
    "dynamixel_sdk",
    "scservo_sdk",
}
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
PRINTS = ("robostack/cli/", "sim/devices/run.py")
ENUM_FIELDS = {"jnt_type", "geom_type", "eq_type", "wrap_type", "sensor_type", "trn_type", "dyntype"}
"""Names in MuJoCo arrays whose items are compared with enums."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def files(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names that `tree` imports, also inside functions, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def import_graph() -> dict[str, set[str]]:
    """Room -> the other rooms it imports."""
    graph: dict[str, set[str]] = {room: set() for room in ROOMS}
    for room in ROOMS:
        for path in files(room):
            graph[room] |= {name.partition(".")[0] for name, _ in imports(parsed(path))} & set(ROOMS)
    for room in ROOMS:
        graph[room].discard(room)
    graph["robostack"].discard("launch")  # `launch` names ROS's module there; the room is no package
    graph["launch"].discard("launch")
    return graph


def rendered(graph: dict[str, set[str]]) -> str:
    return "\n".join(f"{room} -> {', '.join(sorted(graph[room], key=ROOMS.index)) or '(nothing)'}" for room in ROOMS)


def upward(graph: dict[str, set[str]]) -> list[str]:
    return [f"{a} -> {b}" for a in ROOMS for b in graph[a] if ROOMS.index(b) >= ROOMS.index(a)]


def enum_membership(tree: ast.AST) -> list[int]:
    """Lines with `model.jnt_type[i] in (...)`: an enum on the left compares unequal to the item, so it is never in."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
        and isinstance(node.left, ast.Subscript)
        and isinstance(node.left.value, ast.Attribute)
        and node.left.value.attr.removeprefix("actuator_") in ENUM_FIELDS
    ]


def test_no_arrow_points_upward():
    graph = import_graph()
    assert upward(graph) == [], f"an import to the right is a defect:\n{rendered(graph)}"


def test_the_checks_find_what_they_look_for():
    assert upward({**{room: set() for room in ROOMS}, "sim": {"robostack"}}) == ["sim -> robostack"]
    assert enum_membership(ast.parse("x = model.jnt_type[i] in (HINGE, SLIDE)")) == [1]
    assert enum_membership(ast.parse("x = m.actuator_trn_type[i] not in {A}")) == [1]
    assert enum_membership(ast.parse("x = Joint(model.jnt_type[i]) in (HINGE, SLIDE)")) == []
    assert set(imports(ast.parse("def f():\n  import a.b\n  from c import d"))) == {("a.b", 2), ("c", 3), ("c.d", 3)}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("rclpy", ("robostack/nodes/", "launch/")),
        ("torch", ("robostack/learning/",)),
        ("launch_ros", ("robostack/launching/ros_launch.py", "launch/")),
    ],
)
def test_a_framework_is_imported_only_in_its_place(package, allowed):
    found = {
        f"{name_of(path)}:{line}"
        for path in files(*ROOMS)
        for name, line in imports(parsed(path))
        if name.partition(".")[0] == package and not name_of(path).startswith(allowed)
    }
    assert found == set()


def test_no_vendor_sdk_is_needed_to_import_a_module():
    found = {
        f"{name_of(path)}:{line}"
        for path in files(*ROOMS)
        for node in parsed(path).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, line in imports(ast.Module([node], []))
        if name.partition(".")[0] in VENDOR_SDKS
    }
    assert found == set()


def test_a_virtual_device_knows_of_a_robot_only_its_description():
    drivers = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "hardware").glob("*/**/*.py")
        if path.stem not in ("__init__", "spec")
    }
    found = {
        f"{name_of(path)}:{line} {name}"
        for path in files("sim/devices")
        for name, line in imports(parsed(path))
        if name in drivers
    }
    assert drivers
    assert found == set(), "emulator and driver share no code"


def test_files_are_at_most_500_lines():
    long = {
        name_of(p): n for p in files(*ROOMS, "tests") if (n := len(p.read_text("utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_functions_are_at_most_70_lines():
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": length
        for path in files(*ROOMS, "tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_only_the_command_line_prints():
    found = {
        f"{name_of(path)}:{node.lineno}"
        for path in files(*ROOMS)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if not name_of(path).startswith(PRINTS)
    }
    assert found == set()


def test_nothing_is_unpickled():
    modules = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
    found = {
        f"{name_of(path)}:{line} {name}"
        for path in files(*ROOMS)
        for name, line in imports(parsed(path))
        if name.partition(".")[0] in modules
    }
    found |= {
        f"{name_of(path)}:{node.lineno} allow_pickle"
        for path in files(*ROOMS)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and getattr(node.value, "value", True) is not False
    }
    assert found == set()


def test_no_enum_is_looked_for_by_membership():
    found = {f"{name_of(p)}:{line}" for p in files(*ROOMS, "tests") for line in enum_membership(parsed(p))}
    assert found == set(), (
        "an item of such an array is never `in` a tuple of enums; convert it first or compare with =="
    )


def test_every_part_of_a_room_explains_itself():
    silent = [name_of(path) for path in files(*ROOMS) if not ast.get_docstring(parsed(path))]
    assert silent == []


def test_test_files_have_names_of_their_own():
    names = [path.name for path in files("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
