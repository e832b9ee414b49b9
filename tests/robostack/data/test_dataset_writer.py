"""Recording: what was added comes back, wrong input is refused, what breaks does not reach the finished episodes."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pyarrow.parquet as parquet
import pytest
from dataset_samples import (
    CAMERA,
    FEATURES,
    FPS,
    JOINTS,
    LENGTHS,
    MATRIX,
    NOTE,
    NUMBERS,
    RICH,
    STILL,
    contract,
    frame,
    open_writer,
    picture,
    record,
    state,
)

from hardware.errors import ConfigError, ContractMismatchError, DatasetError, NonFiniteError
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, CAPTURE_TIME, DONE, REWARD, STATE, Feature, image_feature, vector_feature


def test_what_was_added_comes_back(tmp_path):
    dataset = Dataset(record(tmp_path / "d", features=RICH, contract=contract()))
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (3, sum(LENGTHS), FPS)
    assert dataset.robot_type == "ur5e" and dataset.contract == contract() and dataset.tasks == ("pick", "place")
    assert {name: dataset.features[name] for name in RICH} == RICH
    start = 0
    for episode, length in enumerate(LENGTHS):
        columns = dataset.episode(episode)
        steps = np.arange(length)
        np.testing.assert_array_equal(columns[STATE], [state(episode, k) for k in steps])
        np.testing.assert_array_equal(columns[ACTION], -columns[STATE])
        np.testing.assert_array_equal(columns[REWARD], steps)
        np.testing.assert_array_equal(columns[DONE], steps == length - 1)
        np.testing.assert_array_equal(columns[MATRIX][:, 1, 2], 5.0 + 100 * episode + steps)
        assert columns[NOTE].tolist() == [f"note {episode} {k}" for k in steps]
        np.testing.assert_array_equal(columns["frame_index"], steps)
        np.testing.assert_array_equal(columns["index"], start + steps)
        np.testing.assert_array_equal(columns["episode_index"], np.full(length, episode))
        np.testing.assert_allclose(columns["timestamp"], steps / FPS, rtol=1e-6)
        assert set(columns["task_index"].tolist()) == {int(episode >= 2)}
        start += length
        stills = list(dataset.images(episode, STILL))
        assert len(stills) == length
        for step, (seen, still) in enumerate(zip(dataset.images(episode, CAMERA), stills, strict=True)):
            assert np.abs(seen.astype(int) - picture(32, 48, episode, step)).mean() < 5.0  # the codec's loss
            np.testing.assert_array_equal(still, picture(17, 15, episode, step))  # PNG has none


def test_part_of_the_pictures_can_be_read(tmp_path):
    dataset = Dataset(record(tmp_path / "d", features=RICH))
    for key in (CAMERA, STILL):
        whole = list(dataset.images(2, key))
        part = list(dataset.images(2, key, start=3, stop=5))
        np.testing.assert_array_equal(part, whole[3:5])
        assert next(dataset.images(2, key, start=6, stop=99)).shape == whole[0].shape


def test_the_files_are_those_of_the_format(tmp_path):
    root = record(tmp_path / "d", features=RICH)
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    files = {f"chunk-000/file-{k:03d}" for k in range(3)}
    assert names == {
        *("meta/info.json", "meta/stats.json", "meta/tasks.parquet"),
        *(f"meta/episodes/{file}.parquet" for file in files),
        *(f"data/{file}.parquet" for file in files),
        *(f"videos/{CAMERA}/{file}.mp4" for file in files),
    }
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10 and isinstance(info["fps"], int)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 15, 2)
    assert info["splits"] == {"train": "0:3"} and info["chunks_size"] == 1000
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["features"][STATE] == {"dtype": "float32", "shape": [3], "names": list(JOINTS)}
    video = info["features"][CAMERA]["info"]
    assert (video["video.height"], video["video.width"], video["video.codec"]) == (32, 48, "h264")
    assert info["features"]["timestamp"] == {"dtype": "float32", "shape": [1], "names": None}
    schema = parquet.read_schema(root / "data/chunk-000/file-000.parquet")
    assert str(schema.field(STATE).type).startswith("fixed_size_list<") and str(schema.field(DONE).type) == "bool"
    assert CAMERA not in schema.names
    pandas = json.loads(parquet.read_schema(root / "meta/tasks.parquet").metadata[b"pandas"])
    assert pandas["index_columns"] == ["task"]
    episode = parquet.read_table(root / "meta/episodes/chunk-000/file-002.parquet").to_pylist()[0]
    assert (episode["dataset_from_index"], episode["dataset_to_index"], episode["length"]) == (8, 15, 7)
    assert episode["tasks"] == ["place"] and episode[f"videos/{CAMERA}/to_timestamp"] == pytest.approx(0.7)
    assert np.shape(episode[f"stats/{CAMERA}/mean"]) == (3, 1, 1) and episode[f"stats/{STATE}/count"] == [7]


def test_a_dataset_is_continued(tmp_path):
    root = record(tmp_path / "d", (4, 2), contract=contract())
    record(root, (3,), first=2, contract=contract())
    dataset = Dataset(root)
    assert dataset.num_episodes == 3 and dataset.num_frames == 9
    np.testing.assert_array_equal(dataset.episode(2)[STATE], [state(2, k) for k in range(3)])
    assert len(list(dataset.images(2, CAMERA))) == 3
    np.testing.assert_array_equal(dataset.episode(2)["index"], [6, 7, 8])


def test_other_features_rate_or_robot_are_refused_with_the_difference(tmp_path):
    root = record(tmp_path / "d", (2,), NUMBERS)
    other = {**NUMBERS, STATE: vector_feature("a", "b", "z"), "next.success": Feature("bool", (1,), None)}
    del other[REWARD]
    with pytest.raises(ConfigError) as caught:
        open_writer(root, other, fps=20.0, robot_type="go2")
    text = str(caught.value)
    assert "fps: 10 in the dataset, offered 20" in text and "robot_type: ur5e in the dataset, offered go2" in text
    assert "observation.state: float32 [3] (a, b, c) in the dataset, offered float32 [3] (a, b, z)" in text
    assert "next.success: not in the dataset" in text and "next.reward: float32 [1] in the dataset, not offered" in text
    assert Dataset(root).num_episodes == 1


def test_another_contract_is_refused(tmp_path):
    import dataclasses

    root = record(tmp_path / "d", (2,), NUMBERS, contract=contract())
    with pytest.raises(ContractMismatchError, match="control_period_s"):
        open_writer(root, NUMBERS, contract=dataclasses.replace(contract(), control_period_s=0.5))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="holds other files"):
        open_writer(tmp_path, NUMBERS)
    assert (tmp_path / "thesis.tex").read_text() == "years of work" and not (tmp_path / "meta").exists()


def test_one_process_writes_at_a_time(tmp_path):
    with open_writer(tmp_path / "d", NUMBERS), pytest.raises(DatasetError, match="another process is writing"):
        open_writer(tmp_path / "d", NUMBERS)
    open_writer(tmp_path / "d", NUMBERS).close()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({STATE: None}, ConfigError, "lacks observation.state"),
        ({"spare": 1}, ConfigError, "has unknown spare"),
        ({STATE: np.zeros(2)}, ConfigError, r"shape \(2,\), the dataset \(3,\)"),
        ({STATE: np.array(["x", "y", "z"])}, ConfigError, "does not fit"),
        ({DONE: 0.5}, ConfigError, "does not fit"),
        ({CAMERA: np.zeros((32, 48, 3))}, ConfigError, "uint8"),
        ({CAMERA: np.zeros((48, 32, 3), np.uint8)}, ConfigError, "shape"),
        ({ACTION: np.array([0.0, np.nan, 0.0])}, NonFiniteError, "action"),
    ],
)
def test_a_wrong_time_step_is_refused_and_the_episode_goes_on(tmp_path, change, error, text):
    with open_writer(tmp_path / "d") as writer:
        writer.add(frame(0, 0, 2), "pick")
        bad = {key: value for key, value in {**frame(0, 1, 2), **change}.items() if value is not None}
        with pytest.raises(error, match=text):
            writer.add(bad, "pick")
        writer.add(frame(0, 1, 2), "pick")
        assert writer.finish_episode() == 0
    dataset = Dataset(tmp_path / "d")
    assert len(dataset.episode(0)["index"]) == 2 and len(list(dataset.images(0, CAMERA))) == 2


def test_the_time_of_capture_may_come_as_timestamp(tmp_path):
    given = {**frame(0, 0, 1, NUMBERS), "timestamp": 12.5}
    del given[CAPTURE_TIME]
    with open_writer(tmp_path / "d", NUMBERS) as writer:
        writer.add(given, "pick")
        writer.finish_episode()
    assert Dataset(tmp_path / "d").episode(0)[CAPTURE_TIME].tolist() == [12.5]
    bare = {STATE: NUMBERS[STATE]}
    with open_writer(tmp_path / "e", bare) as writer, pytest.raises(ConfigError, match="capture_time_s"):
        writer.add({STATE: state(0, 0), "timestamp": 1.0}, "pick")


def test_an_episode_without_time_steps_is_refused(tmp_path):
    with open_writer(tmp_path / "d") as writer:
        with pytest.raises(ConfigError, match="no time step"):
            writer.finish_episode()
        with pytest.raises(ConfigError, match="task is empty"):
            writer.add(frame(0, 0, 1), " ")
        assert writer.num_episodes == 0
    assert Dataset(tmp_path / "d").num_episodes == 0


def test_a_discarded_episode_leaves_nothing(tmp_path):
    with open_writer(tmp_path / "d") as writer:
        for step in range(4):
            writer.add(frame(7, step, 9), "drop")
        assert writer.num_frames == 4
        writer.discard_episode()
        assert writer.num_frames == 0
        for step in range(2):
            writer.add(frame(0, step, 2), "pick")
        writer.finish_episode()
    dataset = Dataset(tmp_path / "d")
    assert dataset.tasks == ("pick",) and dataset.num_frames == 2
    assert not [path for path in (tmp_path / "d").rglob("*") if path.name.endswith(".part")]


def test_an_unfinished_episode_is_gone_after_close(tmp_path):
    with open_writer(tmp_path / "d") as writer:
        writer.add(frame(0, 0, 9), "pick")
    assert Dataset(tmp_path / "d").num_episodes == 0
    assert not list((tmp_path / "d").rglob("*.mp4*"))


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ({}, "at least one"),
        ({"a/b": Feature("float32", (1,), None)}, "may not be empty or contain"),
        ({"a": Feature("complex64", (1,), None)}, "unknown dtype"),
        ({"a": Feature("float32", (0,), None)}, "at least 1"),
        ({"a": Feature("float32", (2,), ("x",))}, "1 names for 2"),
        ({"a": Feature("video", (4, 4), None)}, "height, width, 3"),
        ({"a": image_feature(33, 48)}, "even width and height"),
    ],
)
def test_impossible_features_are_refused(tmp_path, features, text):
    with pytest.raises(ConfigError, match=text):
        open_writer(tmp_path / "d", features)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_rate_must_be_positive(tmp_path, fps):
    with pytest.raises(ConfigError, match="fps"):
        open_writer(tmp_path / "d", NUMBERS, fps=fps)


def test_frames_that_the_encoder_cannot_take_are_counted_and_stood_in_for(tmp_path, monkeypatch):
    from robostack.data import video

    gate = threading.Event()
    encode = video.EpisodeEncoder._encode
    monkeypatch.setattr(video.EpisodeEncoder, "_encode", lambda self, file: (gate.wait(20), encode(self, file)))
    with open_writer(tmp_path / "d", queue_frames=2) as writer:
        for step in range(6):
            writer.add(frame(0, step, 6), "pick")
        assert writer.dropped_frames == {CAMERA: 4}
        gate.set()
        writer.finish_episode()
    dataset = Dataset(tmp_path / "d")
    blue = [frame[..., 2].mean() for frame in dataset.images(0, CAMERA)]
    assert len(blue) == 6 and dataset.rows[0].videos[CAMERA].dropped == 4
    np.testing.assert_allclose(blue, [0, 16, 16, 16, 16, 16], atol=6)  # the second picture stands in for the rest


def test_the_caller_may_use_its_arrays_again(tmp_path):
    values, image = np.zeros(3, np.float32), np.zeros((32, 48, 3), np.uint8)
    with open_writer(tmp_path / "d", {STATE: FEATURES[STATE], CAMERA: FEATURES[CAMERA]}) as writer:
        for step in range(3):
            values[:], image[:] = step, 80 * step
            writer.add({STATE: values, CAMERA: image}, "pick")
        writer.finish_episode()
    dataset = Dataset(tmp_path / "d")
    assert dataset.episode(0)[STATE][:, 0].tolist() == [0, 1, 2]
    means = [seen.mean() for seen in dataset.images(0, CAMERA)]
    np.testing.assert_allclose(means, [0, 80, 160], atol=4)


def test_a_rate_that_is_no_whole_number(tmp_path):
    root = record(tmp_path / "d", (4,), fps=100 / 3)
    dataset = Dataset(root)
    assert dataset.fps == pytest.approx(100 / 3)
    assert len(list(dataset.images(0, CAMERA))) == 4
    np.testing.assert_allclose(dataset.episode(0)["timestamp"], np.arange(4) * 0.03, atol=1e-6)


def test_numbers_that_are_not_finite_may_stand_in_further_columns(tmp_path):
    features = {STATE: NUMBERS[STATE], "complementary_info.effort": Feature("float32", (2,), None)}
    with open_writer(tmp_path / "d", features) as writer:
        for _ in range(2):
            writer.add({STATE: state(0, 0), "complementary_info.effort": [np.nan, 1.0]}, "pick")
        writer.finish_episode()
    stats = json.loads((tmp_path / "d/meta/stats.json").read_text())  # and JSON has no NaN
    assert stats["complementary_info.effort"]["mean"] == [0.0, 1.0]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_costs_the_running_episode_only(tmp_path, small_disk):
    lost = 0
    with open_writer(small_disk / "d") as writer:
        rng = np.random.default_rng(0)
        for episode in range(200):
            try:
                for step in range(5):
                    noise = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)  # does not compress
                    writer.add({**frame(episode, step, 5), CAMERA: noise}, "pick")
                writer.finish_episode()
            except DatasetError as error:
                assert "no space left" in str(error) and "intact" in str(error)
                lost += 1
                if lost == 3:
                    break
        finished = writer.num_episodes
    assert lost == 3 and finished > 0
    dataset = Dataset(small_disk / "d")
    assert dataset.num_episodes == finished
    for episode in range(finished):
        np.testing.assert_array_equal(dataset.episode(episode)[STATE], [state(episode, k) for k in range(5)])
        assert len(list(dataset.images(episode, CAMERA))) == 5
    assert check(small_disk / "d").ok


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_folder_that_cannot_be_written(small_disk, remount):
    remount("ro")
    with pytest.raises(DatasetError, match="cannot be written"):
        open_writer(small_disk / "d", NUMBERS)
    remount("rw")
    root = record(small_disk / "d", (2,), NUMBERS)
    with open_writer(root, NUMBERS) as writer:
        writer.add(frame(1, 0, 1, NUMBERS), "pick")
        remount("ro")
        with pytest.raises(DatasetError, match="cannot be written"):
            writer.finish_episode()
        remount("rw")
        writer.add(frame(1, 0, 1, NUMBERS), "pick")
        assert writer.finish_episode() == 1
    assert Dataset(root).num_episodes == 2


def test_a_file_too_large_costs_the_running_episode_only(tmp_path):
    import resource

    rng = np.random.default_rng(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_writer(tmp_path / "d") as writer:
        writer.add(frame(0, 0, 1), "pick")
        writer.finish_episode()
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
        try:
            with pytest.raises(DatasetError, match="no space left"):
                for step in range(60):
                    noise = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
                    writer.add({**frame(1, step, 60), CAMERA: noise}, "pick")
                writer.finish_episode()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.add(frame(1, 0, 1), "pick")
        assert writer.finish_episode() == 1
    dataset = Dataset(tmp_path / "d")
    assert [len(list(dataset.images(k, CAMERA))) for k in range(2)] == [1, 1]
