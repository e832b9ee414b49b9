"""Datasets from raw records and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_samples import CAMERA, LENGTHS, RICH, STILL, contract, picture, record

from hardware.errors import ConfigError, DatasetError, UnknownNameError
from robostack.data.bag_reading import METADATA, BagMapping, bag_to_dataset
from robostack.data.bag_writing import dataset_to_bag
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, CAPTURE_TIME, IMAGES, REQUESTED_ACTION, STATE, SUCCESS, vector_feature
from robostack.data.pictures import encode_picture
from robostack.data.raw_record import RawRecorder, read_record
from robostack.data.ros_types import (
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATE,
    ODOMETRY,
    STRING,
    TWIST,
    TWIST_STAMPED,
    from_cdr,
    header,
    new_message,
    to_cdr,
)
from robostack.data.writer import DatasetWriter

MS = 10**6
START = 10**18


def joint_state(topic, when_ms, position, names=("a", "b"), captured_ms=None):
    numbers = np.asarray(position, dtype=np.float64)
    stamp = START + (when_ms if captured_ms is None else captured_ms) * MS
    nothing = np.full(len(numbers), np.nan)
    message = new_message(
        JOINT_STATE, header=header(stamp), name=list(names), position=numbers, velocity=2 * numbers, effort=nothing
    )
    return topic, JOINT_STATE, to_cdr(message), START + when_ms * MS


def event(when_ms, **values):
    return "episode_events", STRING, to_cdr(new_message(STRING, data=json.dumps(values))), START + when_ms * MS


def image(when_ms, step):
    data = np.frombuffer(encode_picture(picture(32, 48, 0, step), "mjpeg", "yuvj420p"), dtype=np.uint8)
    message = new_message(COMPRESSED_IMAGE, header=header(START), format="jpeg", data=data)
    return "front/image_raw/compressed", COMPRESSED_IMAGE, to_cdr(message), START + when_ms * MS


def write(path, messages, meta=None):
    with RawRecorder(path) as recorder:
        if meta:
            recorder.add_metadata(METADATA, meta)
        for topic, type_name, data, when in sorted(messages, key=lambda item: item[3]):
            recorder.write(topic, type_name, data, when)
    return path


def test_there_and_back_keeps_everything_but_the_codecs_loss(tmp_path):
    root = record(tmp_path / "d", features=RICH, contract=contract())
    assert dataset_to_bag(root, tmp_path / "a.mcap") == 3
    assert bag_to_dataset(tmp_path / "a.mcap", tmp_path / "e", BagMapping(fps=10.0)) == 3
    first, second = Dataset(root), Dataset(tmp_path / "e")
    assert second.contract == contract() and second.tasks == first.tasks and second.robot_type == "ur5e"
    for index, length in enumerate(LENGTHS):
        one, other = first.episode(index), second.episode(index)
        for name in (STATE, ACTION, "task_index", "timestamp"):
            np.testing.assert_array_equal(one[name], other[name])
        for key in (CAMERA, STILL):
            for step, seen in enumerate(second.images(index, key)):
                shown = picture(*RICH[key].shape[:2], index, step)[: seen.shape[0], : seen.shape[1]]
                assert np.abs(seen.astype(int) - shown).mean() < (6.0 if key == CAMERA else 15.0)  # few pixels
            assert step == length - 1
    assert second.features[STILL].shape == (16, 14, 3)  # a video needs an even size
    assert check(tmp_path / "e", deep=True).ok


@pytest.mark.parametrize(("end", "part"), [(".vel", "velocity"), (".torque", "effort"), (".pos", "position")])
def test_names_say_what_an_action_is(tmp_path, end, part):
    features = {STATE: vector_feature("a.pos", "b.pos"), ACTION: vector_feature("a" + end, "b" + end)}
    with DatasetWriter(tmp_path / "d", fps=10.0, features=features, robot_type="x") as writer:
        for step in range(3):
            writer.add({STATE: [step, 0], ACTION: [step, 1]}, "go")
        writer.finish_episode()
    dataset_to_bag(tmp_path / "d", tmp_path / "a.mcap")
    (message,) = [item for item in read_record(tmp_path / "a.mcap") if item.topic == "executed_command"][:1]
    found = from_cdr(message.data, message.type_name)
    assert found.name == ["a", "b"] and getattr(found, part).tolist() == [0.0, 1.0]
    bag_to_dataset(tmp_path / "a.mcap", tmp_path / "e", BagMapping(fps=10.0))
    again = Dataset(tmp_path / "e")
    assert {name: again.features[name] for name in features} == features
    np.testing.assert_array_equal(again.episode(0)[ACTION], [[0, 1], [1, 1], [2, 1]])


def test_a_time_step_holds_the_newest_that_had_arrived(tmp_path):
    """10 Hz out of states every 40 ms and actions every 70 ms; the first step is when both are there."""
    states = [joint_state("joint_states", t, [t, 0], captured_ms=t - 5) for t in range(0, 1000, 40)]
    actions = [joint_state("executed_command", t, [t, 1]) for t in range(30, 1000, 70)]
    bag = write(tmp_path / "a.mcap", [*states, *actions])
    bag_to_dataset(bag, tmp_path / "d", BagMapping(fps=10.0, task="reach", robot_type="x"))
    columns = Dataset(tmp_path / "d").episode(0)
    ticks = np.arange(30, 931, 100)  # the last one has passed when the last message comes, at 960 ms
    np.testing.assert_array_equal(columns[STATE][:, 0], ticks // 40 * 40)
    np.testing.assert_array_equal(columns[ACTION][:, 0], (ticks - 30) // 70 * 70 + 30)
    np.testing.assert_allclose(columns[CAPTURE_TIME], ticks // 40 * 0.04, atol=1e-6)
    assert Dataset(tmp_path / "d").tasks == ("reach",)


def test_events_say_which_episodes_are_kept(tmp_path):
    messages = []
    for step in range(100):
        t = 10 * step
        messages += [joint_state("joint_states", t, [step, 0]), joint_state("requested_command", t + 1, [step, 9])]
        messages += [joint_state("executed_command", t + 2, [step, 1]), image(t + 3, step)]
    messages += [
        event(105, event="begin", task="pick"),
        event(205, event="end", success=True, keep=True),
        event(305, event="begin", task="pick"),
        event(405, event="end", success=False, keep=False),
        event(505, event="begin", task="place"),
        event(605, event="end", success=False, keep=True),
        event(705, event="begin", task="never ended"),
    ]
    bag = write(tmp_path / "a.mcap", messages, {"robot_type": "ur5e", "contract": contract().to_json()})
    assert bag_to_dataset(bag, tmp_path / "d", BagMapping(fps=100.0)) == 2
    dataset = Dataset(tmp_path / "d")
    assert dataset.tasks == ("pick", "place") and dataset.contract == contract() and dataset.robot_type == "ur5e"
    for index, first in enumerate((11, 51)):
        columns = dataset.episode(index)
        steps = np.arange(first, first + 10)
        assert len(columns["index"]) in (9, 10)
        for name in (STATE, ACTION, REQUESTED_ACTION):
            np.testing.assert_array_equal(columns[name][:, 0], steps[: len(columns["index"])])
        assert columns[SUCCESS].tolist() == [False] * (len(columns["index"]) - 1) + [index == 0]
        assert len(list(dataset.images(index, IMAGES + "front"))) == len(columns["index"])
    assert bag_to_dataset(bag, tmp_path / "d", BagMapping(fps=100.0)) == 2  # appended
    assert Dataset(tmp_path / "d").num_episodes == 4 and check(tmp_path / "d").ok


def test_joints_are_matched_by_name(tmp_path):
    messages = [joint_state("joint_states", 0, [1, 2]), joint_state("joint_states", 100, [4, 3], names=("b", "a"))]
    messages += [joint_state("joint_trajectory", t, [0, 0]) for t in (0, 100)]
    bag = write(tmp_path / "a.mcap", messages)
    mapping = BagMapping(fps=10.0, action="joint_trajectory", state_fields=("position", "velocity"))
    bag_to_dataset(bag, tmp_path / "d", mapping)
    dataset = Dataset(tmp_path / "d")
    assert dataset.features[STATE].names == ("a.pos", "b.pos", "a.vel", "b.vel")
    np.testing.assert_array_equal(dataset.episode(0)[STATE], [[1, 2, 2, 4]])


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
def test_raw_pictures(tmp_path, encoding):
    shown = picture(32, 48, 0, 3)
    pixels = {"rgb8": shown, "bgr8": shown[..., ::-1], "mono8": shown[..., 0]}[encoding]
    rows = np.zeros((32, pixels[0].size + 4), dtype=np.uint8)  # rows may be padded
    rows[:, : pixels[0].size] = pixels.reshape(32, -1)
    message = new_message(
        IMAGE,
        header=header(START),
        height=32,
        width=48,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.reshape(-1),
    )
    messages = [(f"wrist/{name}", IMAGE, to_cdr(message), START + MS) for name in ("image_raw", "depth/image_raw")]
    messages += [joint_state(name, t, [0, 0]) for name in ("joint_states", "executed_command") for t in (0, 100)]
    bag_to_dataset(write(tmp_path / "a.mcap", messages), tmp_path / "d", BagMapping(fps=20.0))
    dataset = Dataset(tmp_path / "d")
    assert dataset.image_keys == (IMAGES + "wrist",)
    seen = next(dataset.images(0, IMAGES + "wrist")).astype(int)
    wanted = np.repeat(shown[..., :1], 3, axis=2) if encoding == "mono8" else shown
    assert np.abs(seen - wanted).mean() < 6.0


def test_a_rosbag2_folder(tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer

    from robostack.data.ros_types import message_types

    folder = tmp_path / "bag"
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in ("/joint_states", "/executed_command"):
            connection = writer.add_connection(topic, JOINT_STATE, typestore=message_types())
            for t in range(0, 500, 100):
                writer.write(connection, START + t * MS, joint_state(topic, t, [t, 0])[2])
    assert bag_to_dataset(folder, tmp_path / "d", BagMapping(fps=10.0)) == 1
    np.testing.assert_array_equal(Dataset(tmp_path / "d").episode(0)[STATE][:, 0], [0, 100, 200, 300])


def test_what_does_not_fit_is_said(tmp_path):
    bag = write(tmp_path / "a.mcap", [joint_state("joint_states", 0, [0, 0]), event(1, event="begin")])
    with pytest.raises(UnknownNameError, match="joint_states"):
        bag_to_dataset(bag, tmp_path / "d", BagMapping())
    with pytest.raises(ConfigError, match="no numbers are read from a std_msgs/msg/String"):
        bag_to_dataset(bag, tmp_path / "d", BagMapping(action="episode_events"))
    with pytest.raises(UnknownNameError, match="camera topic 'top'"):
        bag_to_dataset(bag, tmp_path / "d", BagMapping(action="joint_states", cameras=("top",)))
    with pytest.raises(DatasetError, match="no messages"):
        bag_to_dataset(write(tmp_path / "b.mcap", []), tmp_path / "d", BagMapping())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatasetError, match="no readable bag"):
        bag_to_dataset(tmp_path / "folder", tmp_path / "d", BagMapping())
    broken = ("episode_events", STRING, to_cdr(new_message(STRING, data="begin!")), START + MS)
    bag = write(tmp_path / "c.mcap", [joint_state("joint_states", 0, [0, 0]), broken])
    with pytest.raises(DatasetError, match="carries no JSON"):
        bag_to_dataset(bag, tmp_path / "d", BagMapping(action="joint_states"))


def test_a_robot_on_wheels(tmp_path):
    def vector(x=0.0, y=0.0, z=0.0):
        return new_message("geometry_msgs/msg/Vector3", x=x, y=y, z=z)

    def twist(forward, turn):
        return new_message(TWIST, linear=vector(forward), angular=vector(z=turn))

    def odometry(t):
        pose = new_message(
            "geometry_msgs/msg/Pose",
            position=new_message("geometry_msgs/msg/Point", x=t / 1000, y=2.0, z=0.0),
            orientation=new_message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.6, w=0.8),
        )
        spread = np.zeros(36)
        return new_message(
            ODOMETRY,
            header=header(START + t * MS),
            child_frame_id="base",
            pose=new_message("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=spread),
            twist=new_message("geometry_msgs/msg/TwistWithCovariance", twist=twist(0.5, -1.0), covariance=spread),
        )

    stamped = new_message(TWIST_STAMPED, header=header(START), twist=twist(0.25, 0.5))
    messages = []
    for t in (0, 100, 200):
        messages.append(("odom", ODOMETRY, to_cdr(odometry(t)), START + t * MS))
        messages.append(("executed_command", TWIST_STAMPED, to_cdr(stamped), START + t * MS))
        messages.append(("cmd_vel", TWIST, to_cdr(twist(9.0, 9.0)), START + t * MS))
    bag = write(tmp_path / "a.mcap", messages)
    bag_to_dataset(bag, tmp_path / "d", BagMapping(fps=10.0, state="odom"))
    dataset = Dataset(tmp_path / "d")
    assert dataset.features[ACTION].names == ("linear.x", "linear.y", "angular.z")
    columns = dataset.episode(0)
    np.testing.assert_allclose(columns[ACTION], [[0.25, 0.0, 0.5]] * 2)
    np.testing.assert_allclose(columns[STATE][1], [0.1, 2, 0, 0.8, 0, 0, 0.6, 0.5, 0, -1], rtol=1e-6)
    np.testing.assert_allclose(columns[CAPTURE_TIME], [0.0, 0.1], atol=1e-6)
    bag_to_dataset(bag, tmp_path / "e", BagMapping(fps=10.0, state="odom", action="cmd_vel"))
    assert Dataset(tmp_path / "e").episode(0)[ACTION][0].tolist() == [9.0, 0.0, 9.0]


def test_joints_that_vanish_are_said(tmp_path):
    messages = [joint_state("joint_states", 0, [1, 2]), joint_state("joint_states", 50, [1], names=("a",))]
    messages += [joint_state("executed_command", t, [0, 0]) for t in (0, 100, 200)]
    with pytest.raises(DatasetError, match="topic 'joint_states' lacks b.pos"):
        bag_to_dataset(write(tmp_path / "a.mcap", messages), tmp_path / "d", BagMapping(fps=10.0))
    with pytest.raises(ConfigError, match="not torque"):
        mapping = BagMapping(state_fields=("torque",))
        bag_to_dataset(tmp_path / "a.mcap", tmp_path / "e", mapping)
