"""Replaying: the way to the first pose, the recorded rate, and the error, on a virtual clock and an exact follower."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.tracking import JointTrackingController
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.robot import ROBOTS
from robostack.data.features import ACTION, CAPTURE_TIME, STATE, Feature
from robostack.teleoperation.frame_layout import FrameLayout
from robostack.teleoperation.replay import Replay, ReplayConfig, ReplayPhase, recorded_motion

SPEC = ROBOTS.load("so101").spec
FPS, PERIOD_S = 30.0, 0.02
FEATURES = FrameLayout(SPEC, {}).features()


def episode(count: int = 61, lag_s: float = 0.0):
    """Two seconds of slow waves from rest; what was measured lags behind what was commanded."""
    time_s = np.arange(count) / FPS - 0.004
    amplitude = np.linspace(0.05, 0.2, 6)
    values, lagging = (
        np.array(SPEC.default_position) + (1.0 - np.cos(2.0 * np.maximum(times, 0.0)))[:, None] * amplitude
        for times in (time_s, time_s - lag_s)
    )
    return {ACTION: values, STATE: lagging, CAPTURE_TIME: time_s}


def run(motion, blocked: str = ""):
    """Replay on a robot that is exactly where the real controller tells it, but for a joint that does not move."""
    replay = Replay(motion, SPEC, ReplayConfig(settle_s=0.1), PERIOD_S)
    controller = JointTrackingController(SPEC)
    position, now_s, phases, sent = np.array(SPEC.position_min) + 0.3, 20.0, [], []
    controller.reset(RobotState(now_s, position, np.zeros(6)))
    for cycle in range(4000):
        seen = position.copy()
        if blocked and replay.phase is ReplayPhase.RUN:
            index = SPEC.joint_names.index(blocked)
            seen[index] = motion.position[0, index]
        state = RobotState(now_s, seen, np.zeros(6))
        replay.on_state(state)
        if cycle % 2 == 0:
            reference = replay.step(state, now_s)
            if replay.phase not in phases:
                phases.append(replay.phase)
            if reference is None:
                return replay, phases, sent
            sent.append((replay.phase, now_s, reference))
            controller.set_reference(reference)
        position = np.array(controller.update(state, now_s).position)
        now_s += 1.0 / SPEC.control_rate_hz
    raise AssertionError("it never ended")


def test_a_motion_is_reproduced_with_no_error_by_an_exact_robot():
    replay, phases, sent = run(recorded_motion(episode(), FEATURES, FPS, SPEC))
    assert phases == list(ReplayPhase)
    result = replay.result()
    assert result.max_rad < 0.01
    assert result.rms_rad < 0.003
    assert result.compared >= 58
    assert result.within(ReplayConfig())
    running = [entry for entry in sent if entry[0] is ReplayPhase.RUN]
    assert len(running) == pytest.approx(2.0 / PERIOD_S, abs=3)
    assert np.max(np.abs(running[-1][2].value)) < 0.05, "it comes to rest at the end"


def test_the_way_to_the_first_pose_is_slow():
    motion = recorded_motion(episode(), FEATURES, FPS, SPEC)
    _, _, sent = run(motion)
    first = sent[0][2]
    away = np.max(np.abs(motion.action[0] - (np.array(SPEC.position_min) + 0.3)))
    assert first.mode == "position"
    assert first.horizon_s == pytest.approx(away / (0.15 * 2.5) * 15.0 / 8.0)
    horizons = [reference.horizon_s for phase, _, reference in sent if phase is ReplayPhase.MOVE]
    assert np.all(np.diff(horizons) < 0.0)


def test_the_error_of_a_joint_that_does_not_move_is_measured():
    motion = recorded_motion(episode(), FEATURES, FPS, SPEC)
    result = run(motion, "elbow_flex")[0].result()
    index = SPEC.joint_names.index("elbow_flex")
    error = motion.position[:, index] - motion.position[0, index]
    assert result.worst_joint == "elbow_flex"
    assert result.max_rad == pytest.approx(np.max(error), abs=2e-3)
    assert result.joint_rms_rad["elbow_flex"] == pytest.approx(np.sqrt(np.mean(error**2)), abs=4e-3)
    assert not result.within(ReplayConfig())
    assert result.within(ReplayConfig(tolerance_max=0.3, tolerance_rms=0.1))


def test_a_robot_quicker_than_the_recorded_one_is_held_back():
    result = run(recorded_motion(episode(lag_s=0.1), FEATURES, FPS, SPEC))[0].result()
    ahead = 0.1 * 2.0 * 0.2  # of the fastest joint, if the commands alone were repeated [rad]
    assert result.max_rad < 0.8 * ahead


def with_a_hole():
    """0.3 rad/s; the recorder saw nothing for half a second, in most of which the robot stood."""
    fine_s = np.arange(0.0, 3.2, 1e-3)
    speed = 0.3 * np.clip(fine_s / 0.1, 0.0, 1.0) * (fine_s < 2.6) * ((fine_s < 1.05) | (fine_s > 1.4))
    time_s = np.arange(91) / FPS
    seen = np.maximum.accumulate(np.where((time_s < 1.0) | (time_s > 1.5), np.arange(91), 0))
    moved = np.interp(time_s, fine_s, np.cumsum(speed) * 1e-3)[seen]
    values = np.array(SPEC.default_position) + moved[:, None] * np.array([1.0, 1.0, 1.0, 0.5, 1.0, 1.0])
    return {ACTION: values, STATE: values, CAPTURE_TIME: time_s[seen]}


def test_where_the_recording_has_a_hole_the_robot_arrives_at_its_end_in_time():
    motion = recorded_motion(with_a_hole(), FEATURES, FPS, SPEC)
    assert np.max(np.diff(motion.time_s)) > 0.5
    result = run(motion)[0].result()
    assert result.complete
    assert result.max_rad < 0.006, "a velocity that goes on across the hole makes 0.04 rad"


def test_an_episode_of_one_measurement_is_refused():
    still = {name: np.repeat(values[:1], 30, axis=0) for name, values in episode().items()}
    with pytest.raises(ConfigError, match="1 different measurements"):
        recorded_motion(still, FEATURES, FPS, SPEC)


def test_a_hole_in_the_measurements_is_not_judged():
    replay, _, _ = run(recorded_motion(episode(), FEATURES, FPS, SPEC))
    whole = replay.result()
    replay._measured = [entry for entry in replay._measured if not 0.5 < entry[0] < 1.5]
    result = replay.result()
    assert whole.complete
    assert result.compared == pytest.approx(whole.compared - 30, abs=2)
    assert not result.complete
    assert not result.within(ReplayConfig())


def test_joints_are_matched_by_name_and_repeated_measurements_count_once():
    columns = episode(10)
    order = [3, 1, 0, 2, 5, 4]
    names = tuple(f"{SPEC.joint_names[index]}.pos" for index in order)
    features = {name: Feature("float32", (6,), names) for name in (STATE, ACTION)}
    shuffled = {STATE: columns[STATE][:, order], ACTION: columns[ACTION][:, order], CAPTURE_TIME: columns[CAPTURE_TIME]}
    shuffled[CAPTURE_TIME] = np.concatenate([shuffled[CAPTURE_TIME][:5], shuffled[CAPTURE_TIME][4:-1]])
    motion = recorded_motion(shuffled, features, FPS, SPEC)
    assert len(motion.time_s) == 9
    np.testing.assert_array_equal(motion.position[0], columns[STATE][0])
    assert np.all(np.diff(motion.time_s) > 0.0)


def test_a_dataset_without_capture_times_has_the_times_of_its_rate():
    columns = episode(10)
    del columns[CAPTURE_TIME]
    np.testing.assert_allclose(recorded_motion(columns, FEATURES, FPS, SPEC).time_s, np.arange(10) / FPS)


def test_another_robot_or_too_little_is_refused_in_words():
    with pytest.raises(ConfigError, match="ur5e needs joint positions called shoulder_pan_joint.pos"):
        recorded_motion(episode(), FEATURES, FPS, ROBOTS.load("ur5e").spec)
    with pytest.raises(ConfigError, match="2 time steps"):
        recorded_motion(episode(2), FEATURES, FPS, SPEC)
    with pytest.raises(ConfigError, match="tolerances"):
        ReplayConfig(tolerance_max=0.0)


def test_a_replay_broken_off_has_no_result():
    replay = Replay(recorded_motion(episode(), FEATURES, FPS, SPEC), SPEC, ReplayConfig(), PERIOD_S)
    result = replay.result()
    assert (result.compared, result.within(ReplayConfig())) == (0, False)
