"""`robostack data` and `robostack viz` as a person uses them."""

from __future__ import annotations

import json

import pytest
from dataset_samples import FEATURES, NUMBERS, contract, record

from robostack.cli.command import COMMANDS
from robostack.cli.main import run
from robostack.data.dataset import Dataset
from robostack.data.raw_record import read_record


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_check_tells_good_from_damaged_and_names_the_next_command(tmp_path, capsys):
    root = record(tmp_path / "d", features=NUMBERS, contract=contract())
    assert run(["data", "check", str(root)]) == 0
    captured = capsys.readouterr()
    assert "0 errors, 0 warnings" in captured.err and f"robostack data info {root}" in captured.err
    (root / "data/chunk-000/file-001.parquet").unlink()
    assert run(["data", "check", str(root), "--json"]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out.strip())
    assert found["ok"] is False and found["findings"][0]["where"] == "episode 1"
    assert f"robostack data repair {root}" in captured.err


def test_repair(tmp_path, capsys):
    root = record(tmp_path / "d", features=NUMBERS, contract=contract())
    (root / "data/chunk-000/file-001.parquet").unlink()
    assert run(["data", "repair", str(root), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.strip())
    assert found["episodes"] == 2 and found["changed"] and found["lost"][0][0] == 1
    assert "episode 1 is damaged and was taken out" in captured.err and f"robostack data check {root}" in captured.err
    assert run(["data", "repair", str(root), "--json"]) == 0 and last_json(capsys)["changed"] is False
    assert run(["data", "check", str(root)]) == 0


def test_compact_and_info(tmp_path, capsys):
    root = record(tmp_path / "d", features=FEATURES, contract=contract())
    assert run(["data", "compact", str(root), "--json"]) == 0
    assert last_json(capsys) == {"episodes": 3, "files_before": 9, "files_after": 3}
    assert run(["data", "info", str(root)]) == 0
    text = capsys.readouterr().out
    assert "observation.state" in text and "ur5e-reach on ur5e" in text and "pick" in text
    assert run(["data", "info", str(root), "--quality", "--json"]) == 0
    found = last_json(capsys)
    assert found["episodes"] == 3 and found["time steps"] == 15 and found["fps"] == 10.0
    assert [item["length"] for item in found["quality"]["episodes"]] == [5, 3, 7]
    assert found["quality"]["episodes"][0]["verdict"]["accept"] in (True, False)


def test_convert_to_a_bag_repair_it_and_back(tmp_path, capsys):
    root, bag = record(tmp_path / "d"), tmp_path / "a.mcap"
    assert run(["data", "convert", str(root), str(bag), "--episodes", "0", "2", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out.strip())["episodes"] == 2 and f"robostack viz {bag}" in captured.err
    bag.write_bytes(bag.read_bytes()[:-30])
    assert run(["data", "repair", str(bag)]) == 0
    assert run(["data", "convert", str(bag), str(tmp_path / "e"), "--fps", "10"]) == 0
    assert [row.length for row in Dataset(tmp_path / "e").rows] == [5, 7]


def test_convert_says_what_it_cannot(tmp_path, capsys):
    root = record(tmp_path / "d", features=NUMBERS)
    assert run(["data", "convert", str(root), str(tmp_path / "e")]) == 1
    assert "name a target that ends with .mcap" in capsys.readouterr().err
    assert run(["data", "convert", str(tmp_path / "nothing"), str(tmp_path / "e")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_viz_writes_a_file_beside_the_dataset(tmp_path, capsys):
    root = record(tmp_path / "d")
    assert run(["viz", str(root), "--json"]) == 0
    captured = capsys.readouterr()
    file = tmp_path / "d.mcap"
    assert json.loads(captured.out.strip()) == {"file": str(file)} and "Foxglove" in captured.err
    topics = {message.topic for message in read_record(file)}
    assert {"joint_states", "executed_command", "episode_events", "front/image_raw/compressed"} <= topics
    assert "dataset/next.reward" in topics and not {"index", "dataset/index"} & topics
    assert run(["viz", str(file)]) == 0 and "robostack data convert" in capsys.readouterr().err
    assert run(["viz", str(root)]) == 1 and "exists" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["check"], ["repair"], ["info"]])
def test_without_a_dataset_one_clear_line(tmp_path, capsys, arguments):
    assert run(["data", *arguments, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "no dataset" in error and "robostack record" in error and "Traceback" not in error


def test_verbs_are_listed_and_unknown_ones_refused(capsys):
    assert run(["data"]) == 0
    text = capsys.readouterr().out
    for verb in ("check", "repair", "compact", "convert", "info"):
        assert verb in text
    assert run(["data", "chekc"]) == 2
    assert "Did you mean 'check'?" in capsys.readouterr().err
    assert {"data", "viz"} <= set(COMMANDS.names())
