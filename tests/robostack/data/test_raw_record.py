"""The raw record: rosbags and ROS read what was written, and a kill loses less than a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rosbags.highlevel import AnyReader, AnyReaderError

from hardware.errors import DatasetError
from robostack.data.raw_record import RawRecorder, RecordEnd, read_metadata, read_record, recover_record
from robostack.data.ros_types import (
    JOINT_STATE,
    STRING,
    definition_of,
    from_cdr,
    header,
    new_message,
    register_definition,
    to_cdr,
)

TYPES = (
    "sensor_msgs/msg/JointState",
    "trajectory_msgs/msg/JointTrajectory",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "std_msgs/msg/String",
    "diagnostic_msgs/msg/DiagnosticArray",
    "geometry_msgs/msg/TwistStamped",
    "nav_msgs/msg/Odometry",
    "sensor_msgs/msg/Imu",
)


def joints(step: int):
    numbers = np.array([step, -0.5 * step])
    return new_message(
        JOINT_STATE,
        header=header(step * 10**7, "base"),
        name=["a", "b"],
        position=numbers,
        velocity=numbers,
        effort=numbers,
    )


def write(path, count=200, **settings):
    with RawRecorder(path, **settings) as recorder:
        recorder.add_metadata("robostack", {"robot_type": "ur5e"})
        for step in range(count):
            recorder.write("joint_states", JOINT_STATE, to_cdr(joints(step)), step * 10**7, step * 10**7 + 5)
            if step % 50 == 0:
                recorder.write("note", STRING, to_cdr(new_message(STRING, data=f"step {step}")), step * 10**7)
    return path


def test_rosbags_reads_it(tmp_path):
    with AnyReader([write(tmp_path / "a.mcap")]) as reader:
        assert {item.topic: (item.msgtype, item.msgcount) for item in reader.connections} == {
            "joint_states": (JOINT_STATE, 200),
            "note": (STRING, 4),
        }
        messages = [
            (item.topic, when, reader.deserialize(data, item.msgtype)) for item, when, data in reader.messages()
        ]
    states = [(when, message) for topic, when, message in messages if topic == "joint_states"]
    assert [when for when, _ in states] == [step * 10**7 for step in range(200)]
    assert [message.position.tolist() for _, message in states] == [[step, -0.5 * step] for step in range(200)]
    assert states[7][1].name == ["a", "b"] and states[7][1].header.stamp.nanosec == 7 * 10**7
    assert [message.data for topic, _, message in messages if topic == "note"] == [
        f"step {k}" for k in (0, 50, 100, 150)
    ]


def test_reading_it_back(tmp_path):
    end = RecordEnd()
    found = list(read_record(write(tmp_path / "a.mcap"), end))
    assert end.whole and len(found) == 204
    assert found[3].publish_time_ns == found[3].log_time_ns + 5 and found[3].data == to_cdr(joints(2))
    assert found[0].definition == definition_of(JOINT_STATE)
    assert read_metadata(tmp_path / "a.mcap") == {"robostack": {"robot_type": "ur5e"}}


@pytest.mark.parametrize("share", [0.15, 0.5, 0.8, 0.97, 0.999])
def test_a_file_that_was_cut_off_is_made_whole_again(tmp_path, share):
    path = tmp_path / "a.mcap"
    with RawRecorder(path, flush_s=60.0) as recorder:
        for step in range(200):
            recorder.write("joint_states", JOINT_STATE, to_cdr(joints(step)), step * 10**7)
            if step % 20 == 19:
                recorder._writer.flush()  # what the thread does twice a second
        ends = path.stat().st_size
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AnyReaderError):
        list(AnyReader([path]).__enter__().messages())
    end = RecordEnd()
    kept = [from_cdr(item.data, item.type_name).position[0] for item in read_record(path, end)]
    assert not end.whole and kept == list(range(len(kept))) and len(kept) % 20 == 0
    assert len(kept) >= 20 * int(share * len(data) / ends * 10 - 1)
    assert recover_record(path, path) == len(kept)
    with AnyReader([path]) as reader:
        assert sum(1 for _ in reader.messages()) == len(kept)
    assert recover_record(path, tmp_path / "b.mcap") == len(kept)  # a whole one is only copied


def test_a_flipped_byte_ends_the_reading_before_it(tmp_path):
    path = tmp_path / "a.mcap"
    with RawRecorder(path, flush_s=60.0) as recorder:
        for step in range(100):
            recorder.write("joint_states", JOINT_STATE, to_cdr(joints(step)), step * 10**7)
            if step == 49:
                recorder._writer.flush()
                middle = path.stat().st_size
    data = bytearray(path.read_bytes())
    data[middle + 300] ^= 0xFF
    path.write_bytes(data)
    assert len(list(read_record(path))) == 50


CHILD = """
import sys, time
from pathlib import Path
from robostack.data.raw_record import RawRecorder
from robostack.data.ros_types import STRING, new_message, to_cdr
recorder = RawRecorder(Path(sys.argv[1]), flush_s=0.2)
step = 0
while True:
    step += 1
    recorder.write("count", STRING, to_cdr(new_message(STRING, data=str(step))), time.monotonic_ns())
    print(time.monotonic_ns(), flush=True)
    time.sleep(0.01)
"""


@pytest.mark.wire  # in real time: run again where the machine stood still
def test_a_kill_loses_less_than_a_second(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "a.mcap")], stdout=subprocess.PIPE, text=True)
    first = int(child.stdout.readline())
    last = first
    while last - first < 2 * 10**9:
        last = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = [int(line) for line in child.stdout.read().splitlines() if line.strip()]
    child.wait()
    child.stdout.close()
    found = [item.log_time_ns for item in read_record(tmp_path / "a.mcap")]
    assert max([last, *rest]) - found[-1] < 10**9


def test_the_file_is_kept_up_to_date_without_further_messages(tmp_path):
    recorder = RawRecorder(tmp_path / "a.mcap", flush_s=0.02)
    recorder.write("note", STRING, to_cdr(new_message(STRING, data="only one")), 1)
    until = time.monotonic() + 20.0
    while not list(read_record(tmp_path / "a.mcap")) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(list(read_record(tmp_path / "a.mcap"))) == 1
    recorder.close()
    recorder.close()
    with pytest.raises(DatasetError, match="closed"):
        recorder.write("note", STRING, b"", 2)


def test_misuse_is_refused(tmp_path):
    path = write(tmp_path / "a.mcap", 1)
    with pytest.raises(DatasetError, match="exists"):
        RawRecorder(path)
    with RawRecorder(tmp_path / "b.mcap") as recorder:
        recorder.write("x", STRING, to_cdr(new_message(STRING, data="")), 0)
        with pytest.raises(DatasetError, match="is recorded as std_msgs"):
            recorder.write("x", JOINT_STATE, b"", 0)
        with pytest.raises(DatasetError, match="give its definition"):
            recorder.write("y", "my_msgs/msg/Secret", b"", 0)
        recorder.write("y", "my_msgs/msg/Secret", b"\x00\x01\x00\x00\x05\x00\x00\x00", 0, definition="int32 number\n")
        assert recorder.counts == {"x": 1, "y": 1}
    found = list(read_record(tmp_path / "b.mcap"))[1]
    register_definition(found.type_name, found.definition)
    assert from_cdr(found.data, found.type_name).number == 5
    (tmp_path / "c.mcap").write_text("no such thing")
    with pytest.raises(DatasetError, match="not an MCAP file"):
        list(read_record(tmp_path / "c.mcap"))


@pytest.mark.parametrize("type_name", TYPES)
def test_the_definitions_are_those_of_ros(type_name):
    import importlib

    package, _, name = type_name.split("/")
    module = pytest.importorskip(f"{package}.msg")
    fields = getattr(module, name).get_fields_and_field_types()
    own = definition_of(type_name).split("=" * 80)[0]
    assert [line.split()[1] for line in own.splitlines() if line.strip() and "=" not in line.split()[1]] == list(fields)
    assert importlib.util.find_spec(package)


@pytest.mark.parametrize("frame", ["base", "b", "base1", "base12"])  # moves what follows
@pytest.mark.parametrize("effort", [[1.5, 2.5], []])
def test_bytes_from_ros_are_read_and_ours_by_ros(effort, frame):
    serialization = pytest.importorskip("rclpy.serialization")
    from sensor_msgs.msg import JointState

    message = JointState(name=["a", "b"], position=[1.0, 2.0], velocity=[0.0, 0.5], effort=effort)
    message.header.frame_id = frame
    found = from_cdr(serialization.serialize_message(message), JOINT_STATE)  # an empty end is written with padding
    assert found.name == ["a", "b"] and found.position.tolist() == [1.0, 2.0] and found.effort.tolist() == effort
    again = serialization.deserialize_message(to_cdr(joints(4)), JointState)
    assert list(again.position) == [4.0, -2.0] and again.header.frame_id == "base"


def test_bytes_of_something_else_are_refused():
    with pytest.raises(DatasetError, match="not a sensor_msgs"):
        from_cdr(b"\x00\x01\x00\x00\xff\xff", JOINT_STATE)
    with pytest.raises(DatasetError, match="not known"):
        from_cdr(b"\x00\x01\x00\x00", "my_msgs/msg/Unknown")


def test_a_full_disk(small_disk):
    rng = np.random.default_rng(0)
    recorder = RawRecorder(small_disk / "a.mcap", flush_s=0.05)
    with pytest.raises(DatasetError, match="no space left"):
        for step in range(4000):
            text = rng.integers(33, 126, 2000, dtype=np.uint8).tobytes().decode()
            recorder.write("note", STRING, to_cdr(new_message(STRING, data=text)), step)
    with pytest.raises(DatasetError, match="no space left"):
        recorder.close()
    assert len(list(read_record(small_disk / "a.mcap"))) > 100
