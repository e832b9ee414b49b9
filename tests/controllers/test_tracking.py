"""Set-points of the tracking controller, and the servo law against MuJoCo's own actuator."""

from __future__ import annotations

import array_api_strict
import mujoco
import numpy as np
import pytest
from fake_robot import PERIOD, REST, SPEC, state_at

from controllers.reference import JointReference
from controllers.tracking import JointPdController, JointTrackingController
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import JointCommand, RobotState

KP, KV, FORCE = np.array([30.0, 12.0]), np.array([2.0, 0.8]), np.array([5.0, 3.0])


def model(actuators, integrator):
    return mujoco.MjModel.from_xml_string(f"""
    <mujoco><compiler angle="radian"/><option timestep="0.002" integrator="{integrator}"/><worldbody><body name="a">
      <joint name="a" axis="0 1 0" armature="0.05"/><geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0" mass="1"/>
      <body pos="0.3 0 0"><joint name="b" axis="0 1 0" armature="0.02"/>
        <geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0" mass="0.5"/></body>
    </body></worldbody><actuator>{actuators}</actuator></mujoco>""")


SERVO = "".join(
    f'<position joint="{j}" kp="{p}" kv="{v}" forcerange="{-f} {f}"/>'
    for j, p, v, f in zip("ab", KP, KV, FORCE, strict=True)
)
MOTOR = "".join(f'<motor joint="{joint}"/>' for joint in "ab")


def state_of(data):
    return RobotState(data.time, data.qpos.copy(), data.qvel.copy())


def test_step_response_equals_mujoco_position_actuators():
    servo, motor = model(SERVO, "Euler"), model(MOTOR, "Euler")
    first, second = mujoco.MjData(servo), mujoco.MjData(motor)
    controller = JointPdController(KP, KV, FORCE)
    saturated = 0
    for _ in range(1000):
        first.ctrl[:] = (0.8, -0.5)
        second.ctrl[:] = controller.effort(state_of(second), JointCommand(position=np.array([0.8, -0.5])))
        saturated += int(np.any(np.abs(second.ctrl) == FORCE))
        mujoco.mj_step(servo, first)
        mujoco.mj_step(motor, second)
        np.testing.assert_allclose(second.qpos, first.qpos, atol=1e-9)
        np.testing.assert_allclose(second.qvel, first.qvel, atol=1e-8)
    assert 10 < saturated < 900 and abs(first.qpos[0]) > 0.3


def test_force_is_the_same_where_the_integrator_is_implicit():
    servo = model(SERVO, "implicitfast")
    data, controller = mujoco.MjData(servo), JointPdController(KP, KV, FORCE)
    for _ in range(300):
        data.ctrl[:] = (0.8, -0.5)
        effort = controller.effort(state_of(data), JointCommand(position=np.array([0.8, -0.5])))
        mujoco.mj_forward(servo, data)
        np.testing.assert_allclose(effort, data.actuator_force, atol=1e-12)
        mujoco.mj_step(servo, data)


def test_pd_law_by_hand_batched_and_on_the_strict_array_api():
    controller = JointPdController([10.0, 20.0], [1.0, 2.0], [6.0, 6.0])
    position, velocity = np.array([[0.1, 0.2], [0.0, 0.0]]), np.array([[0.5, -0.5], [0.0, 1.0]])
    command = JointCommand(position + 0.2, np.array([[1.0, 0.0]] * 2), np.array([0.25, -0.25]))
    expected = [[10 * 0.2 + 0.5 + 0.25, 20 * 0.2 + 2 * 0.5 - 0.25], [2.0 + 1.0 + 0.25, 4.0 - 2.0 - 0.25]]
    np.testing.assert_allclose(controller.effort(RobotState(0.0, position, velocity), command), expected)
    xp = array_api_strict
    strict = controller.effort(
        RobotState(0.0, xp.asarray(position), xp.asarray(velocity)),
        JointCommand(
            *(xp.asarray(np.broadcast_to(a, (2, 2)).copy()) for a in (position + 0.2, [1.0, 0.0], [0.25, -0.25]))
        ),
    )
    np.testing.assert_allclose(np.asarray(strict), expected)
    gains = JointCommand(position + 0.2, stiffness=np.array([100.0, 0.0]), damping=np.zeros(2))
    np.testing.assert_allclose(controller.effort(RobotState(0.0, position, velocity), gains)[0], [6.0, 0.0])
    with pytest.raises(ConfigError, match="position"):
        controller.effort(RobotState(0.0, position, velocity), JointCommand(effort=np.zeros(2)))


def test_linearisation_is_the_derivative_of_the_law():
    controller, h = JointPdController(KP, KV, [1e9, 1e9]), 1e-5
    q, v, command = np.array([0.3, -0.2]), np.array([0.1, 0.4]), JointCommand(np.zeros(2), np.zeros(2))

    def effort(dq, dv):
        return controller.effort(RobotState(0.0, q + dq, v + dv), command)

    gains = controller.linearisation
    np.testing.assert_allclose((effort(h, 0) - effort(-h, 0)) / (2 * h), -gains.stiffness, rtol=1e-8)
    np.testing.assert_allclose((effort(0, h) - effort(0, -h)) / (2 * h), -gains.damping, rtol=1e-8)
    servo = JointTrackingController(SPEC).linearisation
    np.testing.assert_array_equal([servo.stiffness, servo.damping], [[100.0] * 6, [20.0] * 6])


def test_begins_at_the_measured_state_and_moves_by_whole_periods():
    controller = JointTrackingController(SPEC)
    controller.reset(state_at(REST))
    np.testing.assert_array_equal(controller.update(state_at(REST), 0.0).position, REST)
    controller.set_reference(JointReference("velocity", np.full(6, 0.1), 0.04))
    on_time = [controller.update(state_at(REST), k * PERIOD).position for k in range(1, 9)]
    again = JointTrackingController(SPEC)
    again.reset(state_at(REST))
    again.update(state_at(REST), 0.0)
    again.set_reference(JointReference("velocity", np.full(6, 0.1), 0.04))
    # late by up to 0.4 periods: the same set-points; one cycle missed: the next one is two periods on
    late = [again.update(state_at(REST), (k + 0.4 * (k % 2)) * PERIOD).position for k in (1, 2, 3, 4, 6)]
    np.testing.assert_allclose(late, [on_time[k - 1] for k in (1, 2, 3, 4, 6)], atol=1e-15)


def test_refuses_references_that_do_not_fit():
    controller = JointTrackingController(SPEC)
    with pytest.raises(ConfigError, match=r"\(3,\)"):
        controller.set_reference(JointReference("velocity", np.zeros(3), 0.04))
    with pytest.raises(NonFiniteError):
        controller.set_reference(JointReference("velocity", np.full(6, np.nan), 0.04))
    with pytest.raises(ConfigError, match="position commands, not effort"):
        controller.set_reference(JointReference("effort", np.zeros(6), 0.04))
