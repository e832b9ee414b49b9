from __future__ import annotations

import itertools
import os
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest
import yaml

from hardware.errors import ConfigError, UnknownNameError
from robostack.launching.description import NodeSpec, ProcessSpec
from robostack.launching.finder import launch_files, launch_folders, load_launch, resolve_arguments
from robostack.launching.parameter_file import parameters_of

ROOT = Path(__file__).parents[2]


def described(**given):
    description = load_launch("ur5e")
    return description.describe(resolve_arguments(description, given))


def test_the_virtual_arm_comes_first_and_the_driver_goes_to_its_address():
    helper, driver, policy = described(
        virtual="true",
        policy="scripted",
        episodes="3",
        seed="7",
        results_path="r.jsonl",
        person="gamepad",
        judge="person",
    )
    assert isinstance(helper, ProcessSpec)
    assert helper.arguments == ("ur5e", "--seed", "0")
    assert helper.ready_line == "ready ur5e"
    assert isinstance(driver, NodeSpec)
    assert driver.parameters["driver.host"] == "127.0.0.2"
    assert policy.parameters["episodes"] == 3
    assert (policy.parameters["person"], policy.parameters["judge"]) == ("gamepad", "person")
    assert (policy.parameters["policy"], policy.parameters["results_path"]) == ("scripted", "r.jsonl")


def test_a_virtual_arm_can_listen_elsewhere_and_the_driver_follows():
    helper, driver = described(virtual="true", host="127.0.0.3", virtual_seed="5")
    assert helper.arguments == ("ur5e", "--host", "127.0.0.3", "--seed", "5")
    assert driver.parameters["driver.host"] == "127.0.0.3"
    assert driver.parameters["driver.rtde_port"] == 30004


def test_a_physical_arm_needs_its_address_and_starts_no_helper():
    items = described(host="192.168.1.10")
    assert [item.name for item in items] == ["driver"]
    assert items[0].parameters["driver.host"] == "192.168.1.10"
    with pytest.raises(ConfigError, match="robostack launch ur5e --virtual"):
        described()


def test_arguments_are_checked():
    description = load_launch("ur5e")
    with pytest.raises(UnknownNameError, match="Did you mean 'host'"):
        resolve_arguments(description, {"hots": "1"})
    with pytest.raises(ConfigError, match="choose one of false, true"):
        resolve_arguments(description, {"virtual": "yes"})
    with pytest.raises(ConfigError, match="no whole number"):
        described(virtual="true", policy="scripted", episodes="many")


def test_a_learner_is_started_in_place_of_a_policy_and_only_a_virtual_robot_is_reset_by_it():
    policy = described(virtual="true", task="ur5e-reacher-2", learn="avg", learn_dir="r", resume="true")[-1]
    assert policy.name == "policy"
    expected = {"task": "ur5e-reacher-2", "policy": "", "learn.learner": "avg", "learn.folder": "r"}
    expected |= {"learn.resume": True, "learn.minutes": 10.0, "learn.update_budget": 0.25}
    assert expected.items() <= policy.parameters.items()
    assert policy.parameters["resets_max"] > 0
    assert "resets_max" not in described(host="192.168.1.10", learn="avg")[-1].parameters
    assert "resets_max" not in described(virtual="true", policy="scripted")[-1].parameters
    assert described(virtual="true", policy="scripted", virtual_resets="3")[-1].parameters["resets_max"] == 3
    assert described(virtual="true", learn="avg", virtual_resets="3")[-1].parameters["resets_max"] == 3
    with pytest.raises(ConfigError, match="cleared by a person"):
        described(host="192.168.1.10", policy="scripted", virtual_resets="3")
    assert not any(name.startswith("learn.") for name in described(virtual="true", policy="scripted")[-1].parameters)
    with pytest.raises(ConfigError, match="a policy either runs or is learned"):
        described(virtual="true", policy="scripted", learn="avg")
    with pytest.raises(ConfigError, match="update_budget = 'half' is no number"):
        described(virtual="true", learn="avg", update_budget="half")


def test_the_room_of_the_virtual_create_2_is_an_argument():
    description = load_launch("create2")
    given = {"virtual": "true", "virtual_room": "walled", "learn": "avg"}
    helper, _, policy = description.describe(resolve_arguments(description, given))
    assert helper.arguments[-2:] == ("--room", "walled")
    assert policy.parameters["task"] == "create2-mover"
    with pytest.raises(ConfigError, match="choose one of edge, walled"):
        resolve_arguments(description, {"virtual_room": "cellar"})


def test_the_parameter_file_names_only_parameters_that_the_nodes_have():
    pytest.importorskip("rclpy")
    import dataclasses

    from controllers.loop import LoopConfig
    from robostack.nodes.driver_node import DriverNodeConfig
    from robostack.nodes.policy_node import PolicyNodeConfig

    robots = [ROOT / "launch" / f"{robot}.params.yaml" for robot in ("ur5e", "create2")]
    nodes = (("driver", DriverNodeConfig), ("policy", PolicyNodeConfig))
    for file, (node, config) in itertools.product(robots, nodes):
        names = {field.name for field in dataclasses.fields(config)}
        names |= {f"loop.{field.name}" for field in dataclasses.fields(LoopConfig)} if node == "driver" else set()
        parameters = parameters_of(file, node)
        assert parameters and set(parameters) <= names


def test_a_parameter_file_is_read_as_ros_reads_it(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "/**": {"ros__parameters": {"rate": 1.0, "a": "all"}},
                "driver": {"ros__parameters": {"rate": 2.0, "driver": {"host": "h", "deep": {"x": [1.0]}}}},
                "other": {"ros__parameters": {"rate": 3.0}},
            }
        )
    )
    assert parameters_of(file, "driver") == {"rate": 2.0, "a": "all", "driver.host": "h", "driver.deep.x": [1.0]}
    for content in ("- 1", "driver: {rate: 1}", "driver: 3", "a: [1"):
        file.write_text(content)
        with pytest.raises(ConfigError, match="parameter file"):
            parameters_of(file, "driver")
    with pytest.raises(ConfigError, match="cannot be read"):
        parameters_of(tmp_path / "none.yaml", "driver")


def test_launch_files_are_found_in_the_source_tree_first_then_where_ament_puts_them(tmp_path, monkeypatch):
    installed = tmp_path / "share" / "robostack" / "launch"
    installed.mkdir(parents=True)
    (installed / "other.launch.py").write_text("x = 1\n")
    (installed / "ur5e.launch.py").write_text("x = 1\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert launch_folders()[-1] == installed
    assert Path(sys.prefix) / "share" / "robostack" / "launch" in launch_folders()
    files = launch_files()
    assert files["ur5e"] == ROOT / "launch" / "ur5e.launch.py"
    assert files["other"] == installed / "other.launch.py"
    with pytest.raises(ConfigError, match="defines no DESCRIPTION"):
        load_launch("other")
    with pytest.raises(UnknownNameError, match=r"other, .*ur5e"):
        load_launch("nothing")


def test_the_package_is_one_that_ament_finds():
    package = xml.etree.ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.findtext("name") == "robostack"
    assert package.findtext("export/build_type") == "ament_python"
    assert (ROOT / "resource" / "robostack").is_file()
    assert os.environ.get("ROS_VERSION") is None or package.findtext("version")
