"""From streams to time steps: alignment by capture time, late recorders, gaps, ends; into a writer that remembers."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import ConfigError, ProtocolError
from hardware.records import RobotState
from hardware.robot import ROBOTS
from robostack.contract import contract_from_json
from robostack.data.dataset import Dataset
from robostack.data.features import (
    ACTION,
    CAPTURE_TIME,
    DONE,
    IMAGES,
    IS_INTERVENTION,
    LATENESS,
    REQUESTED_ACTION,
    STATE,
    SUCCESS,
    checked_features,
)
from robostack.data.writer import DatasetWriter
from robostack.teleoperation.episode_recorder import EpisodeRecorder
from robostack.teleoperation.frame_layout import JOINT_VELOCITY, FrameLayout
from robostack.teleoperation.history import History

SPEC = ROBOTS.load("so101").spec
FPS = 10.0
T0 = 50.0


class Memory:
    """A writer that remembers."""

    def __init__(self) -> None:
        self.frames: list[dict] = []
        self.episodes: list[list[dict]] = []
        self.discarded = 0
        self.dropped_frames: dict[str, int] = {"front": 2}

    def add(self, frame, task) -> None:
        self.frames.append({**frame, "task": task})

    def finish_episode(self) -> int:
        self.episodes.append(self.frames)
        self.frames = []
        return len(self.episodes) - 1

    def discard_episode(self) -> None:
        self.discarded += 1
        self.frames = []


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def recorder(memory):
    return EpisodeRecorder(memory, FrameLayout(SPEC, {}), FPS, settle_s=0.1)


def state(time_s: float) -> RobotState:
    """A robot whose first joint is at the time since the beginning, in radians."""
    position = np.zeros(6)
    position[0] = time_s - T0
    return RobotState(time_s, position, np.ones(6))


def feed(recorder, start_s: float, end_s: float, period_s: float = 0.01, delay_s: float = 0.002) -> None:
    for time_s in np.arange(start_s, end_s - 1e-9, period_s):
        recorder.on_state(state(time_s), time_s + delay_s)
        recorder.on_command("requested", time_s, np.full(6, 2.0 * (time_s - T0), dtype=np.float32))
        recorder.on_command("executed", time_s, np.full(6, time_s - T0, dtype=np.float32))


def test_each_step_has_the_newest_values_not_newer_than_its_moment(recorder, memory):
    feed(recorder, T0 - 0.003, T0 + 1.2)
    recorder.begin(7, "push the cube", T0)
    recorder.end(T0 + 0.95, "success", success=True, keep=True)
    report = recorder.step(T0 + 2.0)
    (frames,) = memory.episodes
    assert len(frames) == report.frames == 10
    moments = np.arange(10) / FPS
    captured = np.array([frame[CAPTURE_TIME] for frame in frames])
    np.testing.assert_allclose(captured, moments - 0.003, atol=1e-6)
    np.testing.assert_allclose([frame[STATE][0] for frame in frames], captured, atol=1e-6)
    np.testing.assert_allclose([frame[ACTION][3] for frame in frames], captured, atol=1e-6)
    np.testing.assert_allclose([frame[REQUESTED_ACTION][3] for frame in frames], 2.0 * captured, atol=1e-6)
    np.testing.assert_allclose([frame[LATENESS] for frame in frames], 0.003, atol=1e-6)
    assert frames[0]["task"] == "push the cube"
    assert (report.number, report.index, report.reason, report.repeated) == (7, 0, "success", 0)
    assert report.lateness_p50_ms == pytest.approx(3.0, abs=1e-3)
    assert "10 frames, 0 without a new measurement" in report.text()


def test_a_late_recorder_records_the_same(recorder, memory):
    on_time, late = [], []
    for kept, times in ((on_time, np.arange(0.0, 1.5, 0.01)), (late, [0.4, 1.5])):
        memory.episodes.clear()
        other = EpisodeRecorder(memory, recorder.layout, FPS)
        feed(other, T0 - 0.005, T0 + 1.2)
        other.begin(0, "t", T0)
        for time_s in times:
            if time_s > 0.7:
                other.end(T0 + 0.75, "", success=False, keep=True)
            other.step(T0 + time_s)
        kept += memory.episodes[0]
    assert len(on_time) == len(late) == 8
    for first, second in zip(on_time, late, strict=True):
        np.testing.assert_array_equal(first[STATE], second[STATE])


def test_nothing_is_made_before_its_messages_can_have_arrived(recorder, memory):
    feed(recorder, T0 - 0.01, T0 + 0.5)
    recorder.begin(0, "t", T0)
    assert recorder.step(T0 + 0.09) is None
    assert memory.frames == []
    recorder.step(T0 + 0.21)  # moments 0 and 0.1; the last one waits for what comes after it
    assert len(memory.frames) == 1
    assert recorder.recording


def test_a_gap_in_the_measurements_is_counted_and_shows_in_the_data(recorder, memory):
    feed(recorder, T0, T0 + 0.32)
    feed(recorder, T0 + 0.65, T0 + 1.2)
    recorder.begin(0, "t", T0)
    recorder.end(T0 + 1.0, "", success=False, keep=True)
    report = recorder.step(T0 + 2.0)
    assert report.frames == 10
    assert report.repeated == 2  # moments 0.5 and 0.6 repeat that of 0.4; 0.4 itself has a new one, of 0.31
    assert memory.episodes[0][6][LATENESS] == pytest.approx(0.29, abs=1e-4)


def test_the_last_step_says_how_it_ended(recorder, memory):
    for number, success in enumerate((True, False)):
        start = T0 + 3.0 * number
        feed(recorder, start, start + 1.0)
        recorder.begin(number, "t", start)
        recorder.end(start + 0.5, "", success=success, keep=True)
        assert recorder.step(start + 1.0).index == number
    for frames, success in zip(memory.episodes, (True, False), strict=True):
        assert [bool(frame[DONE]) for frame in frames] == [False] * 4 + [True]
        assert [bool(frame[SUCCESS]) for frame in frames] == [False] * 4 + [success]


def test_what_is_not_kept_leaves_nothing(recorder, memory):
    feed(recorder, T0, T0 + 1.0)
    recorder.begin(0, "t", T0)
    recorder.step(T0 + 0.5)
    recorder.end(T0 + 0.6, "re-record", success=False, keep=False)
    report = recorder.step(T0 + 0.6)
    assert (report.index, memory.episodes, memory.frames, memory.discarded) == (None, [], [], 1)
    assert report.text().startswith("episode discarded (re-record)")


def test_an_episode_without_measurements_is_not_kept(recorder, memory):
    recorder.begin(0, "t", T0)
    recorder.end(T0 + 0.5, "time limit", success=False, keep=True)
    report = recorder.step(T0 + 1.0)
    assert (report.index, report.frames, memory.discarded) == (None, 0, 1)
    assert "nothing was measured" in report.reason


def test_it_begins_with_the_first_complete_step(recorder, memory):
    feed(recorder, T0 + 0.25, T0 + 1.0)
    recorder.begin(0, "t", T0)
    recorder.end(T0 + 0.75, "", success=False, keep=True)
    recorder.step(T0 + 1.0)
    captured = [frame[CAPTURE_TIME] for frame in memory.episodes[0]]
    np.testing.assert_allclose(captured, np.arange(5) * 0.1, atol=0.0101)


def test_a_second_beginning_discards_the_first(recorder, memory):
    feed(recorder, T0, T0 + 1.0)
    recorder.begin(0, "t", T0)
    recorder.step(T0 + 0.5)
    recorder.begin(1, "t", T0 + 0.6)
    assert memory.discarded == 1
    recorder.abandon()
    assert (memory.discarded, recorder.recording, recorder.step(T0 + 2.0)) == (2, False, None)


def test_a_person_in_control_is_marked(recorder, memory):
    feed(recorder, T0, T0 + 1.0)
    for time_s in np.arange(T0 + 0.2, T0 + 0.4, 0.02):
        recorder.on_operator(time_s, True)
    recorder.on_operator(T0 + 0.75, False)
    recorder.begin(0, "t", T0)
    recorder.end(T0 + 0.95, "", success=False, keep=True)
    recorder.step(T0 + 2.0)
    marks = [frame[IS_INTERVENTION] for frame in memory.episodes[0]]
    assert marks == [False, False, True, True, True, True, False, False, False, False]


def test_delays_and_clocks_that_differ_are_reported(recorder):
    feed(recorder, T0 - 0.1, T0)
    recorder.begin(0, "t", T0)
    feed(recorder, T0, T0 + 1.0, delay_s=-0.03)
    recorder.end(T0 + 0.5, "", success=False, keep=True)
    report = recorder.step(T0 + 2.0)
    assert report.delay_min_ms == pytest.approx(-30.0, abs=0.01)
    assert report.clock_skew_ms == pytest.approx(30.0, abs=0.01)


def test_images_are_those_of_their_moment_and_decoded_only_then(memory):
    recorder = EpisodeRecorder(memory, FrameLayout(SPEC, {"front": (4, 6)}), FPS)
    decoded = []

    def picture(number: int):
        def decode():
            decoded.append(number)
            return np.full((4, 6, 3), number, dtype=np.uint8)

        return decode

    assert not recorder.ready
    feed(recorder, T0, T0 + 1.0)
    for number in range(30):
        recorder.on_image("front", T0 + number / 30.0, picture(number))
    assert recorder.ready
    recorder.begin(0, "t", T0 + 0.01)
    recorder.end(T0 + 0.5, "", success=False, keep=True)
    report = recorder.step(T0 + 1.0)
    frames = memory.episodes[0]
    assert [int(frame[IMAGES + "front"][0, 0, 0]) for frame in frames] == [0, 3, 6, 9, 12] == decoded
    assert frames[1][f"{CAPTURE_TIME}.front"] == pytest.approx(0.09)
    assert report.dropped == 2


def test_a_dataset_written_from_it_reads_back(tmp_path):
    layout = FrameLayout(SPEC, {})
    writer = DatasetWriter(
        tmp_path / "set", fps=FPS, features=layout.features(), robot_type="so101", contract=layout.contract(FPS)
    )
    recorder = EpisodeRecorder(writer, layout, FPS)
    feed(recorder, T0, T0 + 1.5)
    recorder.begin(0, "push", T0 + 0.005)
    recorder.end(T0 + 0.905, "success", success=True, keep=True)
    assert recorder.step(T0 + 2.0).index == 0
    writer.close()
    dataset = Dataset(tmp_path / "set")
    episode = dataset.episode(0)
    assert dataset.features[STATE].names == tuple(f"{name}.pos" for name in SPEC.joint_names)
    np.testing.assert_allclose(episode[STATE][:, 0], np.arange(9) * 0.1, atol=2e-6)
    np.testing.assert_allclose(episode[JOINT_VELOCITY], 1.0)
    assert dataset.contract == contract_from_json(layout.contract(FPS).to_json(), "")
    assert episode[SUCCESS].tolist() == [False] * 8 + [True]


def test_layouts_of_wheels_and_of_what_cannot_be_recorded():
    base = ROBOTS.load("create2").spec
    layout = FrameLayout(base, {})
    half_turn = np.array([np.cos(0.75), 0.0, 0.0, np.sin(0.75)])
    measured = RobotState(
        0.0,
        np.zeros(0),
        np.zeros(0),
        base_position=np.array([1.0, 2.0, 0.0]),
        base_quaternion=half_turn,
        base_linear_velocity=np.array([0.2, 0.0, 0.0]),
        base_angular_velocity=np.array([0.0, 0.0, -0.4]),
    )
    np.testing.assert_allclose(layout.state(measured)[STATE], [1.0, 2.0, 1.5, 0.2, -0.4], rtol=1e-6)
    np.testing.assert_allclose(layout.action({"base": np.array([0.1, 0.3])}), [0.1, 0.3], rtol=1e-6)
    assert layout.contract(20.0).action[0].elements == ("x.vel", "theta.vel")
    with pytest.raises(ProtocolError, match="carries no base"):
        layout.action({"position": np.zeros(2)})
    with pytest.raises(ProtocolError, match="carries no position for 6"):
        FrameLayout(SPEC, {}).action({"position": np.zeros(5)})
    with pytest.raises(ConfigError, match="fps"):
        EpisodeRecorder(Memory(), layout, 0.0)


def test_the_features_of_every_robot_are_ones_the_format_allows():
    for name in ROBOTS.names():
        spec = ROBOTS.load(name).spec
        features = FrameLayout(spec, {"front": (480, 640)}).features()
        assert set(checked_features(features)) == set(features)
        assert not any(key.startswith(("observation", "action")) for key in features if "complementary" in key)


def test_a_history_drops_what_is_not_newer_and_remembers_that_it_forgot():
    history: History[str] = History(2)
    assert (history.at(1.0), history.newest(), len(history)) == (None, None, 0)
    for time_s, value in ((1.0, "a"), (1.0, "again"), (0.5, "late"), (2.0, "b")):
        history.add(time_s, value)
    assert history.at(0.9) is None
    assert (history.at(1.5), history.newest()) == ((1.0, "a"), (2.0, "b"))
    history.add(3.0, "c")
    assert history.at(0.9) == (2.0, "b"), "the oldest that is kept"
