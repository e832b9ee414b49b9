"""The virtual UR5e's mechanics and safety, stepped without real time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.ur5e import UR5E
from robostack.tasks.ur5e_reach import DYNAMICS
from sim.devices.ur5e.arm import Arm
from sim.devices.ur5e.config import HIDDEN_RANGES, ArmDynamics, VirtualUR5eConfig, random_dynamics
from sim.devices.ur5e.controller import Controller, RobotMode, RuntimeState, SafetyMode
from sim.devices.ur5e.motion import ACCELERATION_MAX_RAD_S2, Motion

HOME = UR5E.default_position
STILL = np.zeros(6)
FOLLOW = """
def follow():
  q = get_target_joint_positions()
  while True:
    i = 0
    while i < 6:
      q[i] = read_input_float_register(i)
      i = i + 1
    end
    servoj(q, t=0.002, lookahead_time=0.03, gain=300)
  end
end
"""


def controller(**changes) -> Controller:
    return Controller(VirtualUR5eConfig(**{"preset": "nominal", **changes}))


def following(**changes) -> Controller:
    made = controller(**changes)
    made.inputs.doubles[:6] = made.motion.position.tolist()
    assert made.start_program(FOLLOW)
    made.cycle()
    return made


def hold(arm: Arm, cycles: int) -> None:
    for _ in range(cycles):
        arm.step(HOME, STILL)


def ramp_lag(dynamics: ArmDynamics) -> float:
    """How far joint 1 is behind a target that moves at 0.5 rad/s, in seconds."""
    arm, target, velocity = Arm(dynamics, HOME, 0), HOME.copy(), np.array([0.5, 0, 0, 0, 0, 0])
    for _ in range(500):
        target = target + velocity * 0.002
        arm.step(target, velocity)
    return float(target[0] - arm.true_position[0]) / 0.5


# --- hidden dynamics


def test_draws_are_repeatable_within_their_ranges_and_differ():
    first, again, other = random_dynamics(3), random_dynamics(3), random_dynamics(4)
    assert first == again != other
    for name, (low, high) in HIDDEN_RANGES.items():
        assert low <= getattr(first, name) <= high


def test_presets_select_the_arm():
    custom = ArmDynamics(payload_kg=1.0)
    assert VirtualUR5eConfig(seed=3).arm_dynamics() == random_dynamics(3)
    assert VirtualUR5eConfig(preset="nominal").arm_dynamics() == ArmDynamics()
    assert VirtualUR5eConfig(preset="custom", dynamics=custom).arm_dynamics() == custom


def test_every_hidden_quantity_lies_outside_the_shipped_model():
    nominal = dataclasses.asdict(ArmDynamics())
    assert all(not low <= nominal[name] <= high for name, (low, high) in HIDDEN_RANGES.items())


def test_hidden_arms_lie_outside_what_training_randomises():
    trained = {row.name: (row.low, row.high) for row in DYNAMICS}
    names = {"mass_factor": "link/mass", "damping_factor": "joint/damping", "friction_factor": "joint/frictionloss",
             "stiffness_factor": "actuator/stiffness"}  # fmt: skip
    for hidden, name in names.items():
        low, high = HIDDEN_RANGES[hidden]
        assert low > trained[name][1] or high < trained[name][0], hidden


def test_the_nominal_arm_holds_its_pose_without_sag():
    arm = Arm(ArmDynamics(), HOME, 0)
    hold(arm, 500)
    assert arm.true_position == pytest.approx(HOME, abs=1e-6)


def test_the_payload_sags_by_its_weight_over_the_stiffness():
    # Without dry friction the shoulder settles where stiffness times sag is the moment of the hidden weight.
    payload_kg = 2.0
    arm = Arm(ArmDynamics(payload_kg=payload_kg, friction_factor=0.0), HOME, 0)
    hold(arm, 2000)
    tool = np.array(arm.tool_pose(HOME)[:3])
    lever_m = float(np.hypot(tool[0], tool[1] - 0.1333))
    sag = arm.true_position[1] - HOME[1]
    assert sag * UR5E.stiffness[1] == pytest.approx(payload_kg * 9.81 * lever_m, rel=0.03)


def test_scaled_links_keep_the_gravity_compensation_of_the_nominal_ones():
    factor = 1.25
    heavy, nominal = Arm(ArmDynamics(mass_factor=factor), HOME, 0), Arm(ArmDynamics(), HOME, 0)
    links = nominal.model.body_gravcomp > 0
    assert heavy.model.body_mass[links] == pytest.approx(factor * nominal.model.body_mass[links])
    compensated = heavy.model.body_mass * heavy.model.body_gravcomp
    assert compensated == pytest.approx(nominal.model.body_mass * nominal.model.body_gravcomp)


def test_delay_postpones_the_response_by_whole_cycles():
    def first_moved(delay_s: float) -> int:
        arm = Arm(ArmDynamics(command_delay_s=delay_s), HOME, 0)
        for count in range(50):
            arm.step(HOME + 0.01, STILL)
            if np.abs(arm.true_position - HOME).max() > 1e-9:
                return count
        raise AssertionError

    assert first_moved(0.014) - first_moved(0.0) == 7


def test_delay_and_friction_add_lag():
    nominal = ramp_lag(ArmDynamics())
    assert ramp_lag(ArmDynamics(command_delay_s=0.02)) - nominal == pytest.approx(0.02, abs=1e-3)
    assert ramp_lag(ArmDynamics(damping_factor=3.0, friction_factor=3.0)) > nominal + 1e-4


def test_noise_has_its_standard_deviation_and_its_seed():
    dynamics = ArmDynamics(position_noise_rad=1e-3, velocity_noise_rad_s=1e-2)

    def errors(seed):
        arm, rows = Arm(dynamics, HOME, seed), []
        for _ in range(1500):
            arm.step(HOME, STILL)
            rows.append(np.concatenate((arm.position - arm.true_position, arm.velocity - arm.true_velocity)))
        return np.array(rows)

    first = errors(1)
    assert first[:, :6].std() == pytest.approx(1e-3, rel=0.05)
    assert first[:, 6:].std() == pytest.approx(1e-2, rel=0.05)
    assert np.array_equal(first[:20], errors(1)[:20])
    assert not np.array_equal(first[:20], errors(2)[:20])


def test_brakes_hold():
    arm = Arm(ArmDynamics(payload_kg=2.0), HOME, 0)
    for _ in range(200):
        arm.brake()
    assert np.array_equal(arm.true_position, HOME)


def test_tool_velocity_is_the_derivative_of_the_tool_pose():
    arm, velocity = Arm(ArmDynamics(), HOME, 0), np.array([0.3, -0.2, 0.4, 0.1, -0.5, 0.2])
    step = 1e-6
    ahead, behind = arm.tool_pose(HOME + step * velocity), arm.tool_pose(HOME - step * velocity)
    numeric = (np.array(ahead[:3]) - np.array(behind[:3])) / (2 * step)
    assert arm.tool_velocity(HOME, velocity)[:3] == pytest.approx(numeric, abs=1e-6)


# --- motion


def test_targets_stay_within_speed_and_acceleration():
    motion = Motion(HOME)
    motion.servo(HOME + 0.8, 0.03, 2000)
    velocities = [motion.velocity]
    for _ in range(600):
        motion.advance(1.0)
        velocities.append(motion.velocity)
    assert np.abs(velocities).max() <= UR5E.velocity_max[0] + 1e-9
    assert np.abs(np.diff(velocities, axis=0)).max() <= ACCELERATION_MAX_RAD_S2 * 0.002 + 1e-9
    assert motion.position == pytest.approx(HOME + 0.8, abs=1e-4)
    assert motion.position.max() - HOME.max() < 0.8 + 1e-3


@pytest.mark.parametrize("scaling", [0.25, 0.5])
def test_speed_scaling_stretches_time(scaling):
    full, slow = Motion(HOME), Motion(HOME)
    for motion in (full, slow):
        motion.move(HOME + 0.2, 0.5, 1.0)
    for _ in range(100):
        full.advance(1.0)
    for _ in range(round(100 / scaling)):
        slow.advance(scaling)
    assert slow.position == pytest.approx(full.position, abs=1e-9)


def test_zero_speed_scaling_stands_still():
    made = following(speed_scaling=0.0)
    made.inputs.doubles[0] += 0.1
    for _ in range(100):
        made.cycle()
    assert made.arm.true_position == pytest.approx(HOME, abs=1e-6)


def test_clients_may_slow_but_not_exceed_the_slider():
    made = controller(speed_scaling=0.5)
    made.inputs.values.update(speed_slider_mask=1, speed_slider_fraction=0.25)
    assert made.speed_scaling == 0.25
    made.inputs.values.update(speed_slider_fraction=3.0)
    assert made.speed_scaling == 0.5
    made.inputs.values.update(speed_slider_mask=0, speed_slider_fraction=0.1)
    assert made.speed_scaling == 0.5


# --- safety


def test_servo_jump_makes_a_protective_stop():
    made = following()
    made.inputs.doubles[0] += 1.5
    for _ in range(3):
        made.cycle()
    assert made.safety_mode is SafetyMode.PROTECTIVE_STOP
    assert made.runtime_state is RuntimeState.PAUSED
    assert "path sanity" in made.stop_reason


def test_joint_limit_makes_a_protective_stop_that_names_the_joint():
    made = following(initial_position=(0.0, -1.5, 3.0, -1.5, -1.5, 0.0))
    for _ in range(200):
        made.inputs.doubles[2] += 0.002
        made.cycle()
    assert made.stop_reason == "elbow_joint: position limit"
    assert made.arm.true_position[2] < UR5E.position_max[2] + 0.02


def test_blocked_arm_deviates_from_its_path():
    made = following()
    made.arm.model.dof_frictionloss[:] = 1e4
    for _ in range(400):
        made.inputs.doubles[0] += 0.002
        made.cycle()
    assert made.stop_reason == "shoulder_pan_joint: deviates from path"


def test_overspeed_makes_a_protective_stop():
    made = controller()
    made.arm.data.qvel[3] = 6.0
    made.cycle()
    assert "wrist_1_joint: speed limit" in made.stop_reason


def test_protective_stop_stops_moving_and_holds():
    made = following()
    for _ in range(100):
        made.inputs.doubles[0] += 0.002
        made.cycle()
    assert made.arm.true_velocity[0] > 0.8
    made.protective_stop("test")
    for _ in range(300):
        made.cycle()
    assert np.abs(made.arm.true_velocity).max() < 1e-3
    assert not made.play()
    assert not made.unlock_protective_stop()
    for _ in range(2500):
        made.cycle()
    assert made.unlock_protective_stop()
    assert made.safety_mode is SafetyMode.NORMAL
    assert made.counters["protective_stops"] == 1


def test_emergency_stop_ends_the_program_and_engages_the_brakes():
    made = following()
    for _ in range(100):
        made.inputs.doubles[0] += 0.001
        made.cycle()
    made.emergency_stop(True)
    for _ in range(200):
        made.cycle()
    held = made.arm.true_position
    assert (made.robot_mode, made.runtime_state) == (RobotMode.POWER_OFF, RuntimeState.STOPPED)
    assert not made.start_program(FOLLOW)
    assert "ROBOT_EMERGENCY_STOP" in made.errors[-1]
    made.emergency_stop(False)
    made.brake_release()
    for _ in range(500):
        made.cycle()
    assert made.robot_mode is RobotMode.RUNNING
    assert made.arm.true_position == pytest.approx(held, abs=1e-3)
    assert made.start_program(FOLLOW)


def test_the_hidden_arm_still_follows_a_slow_target():
    made = following(preset="hidden", seed=5)
    for count in range(1000):
        made.inputs.doubles[0] = HOME[0] + 0.2 * np.sin(count * 0.002)
        made.cycle()
    assert made.safety_mode is SafetyMode.NORMAL
    assert made.arm.true_position[0] == pytest.approx(made.inputs.doubles[0], abs=0.02)
