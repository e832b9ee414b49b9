"""Forward, differential and inverse kinematics of one serial chain, batched over the array API.

The chain is read once from a compiled MuJoCo model; afterwards it is pure array mathematics (product of exponentials,
Lynch and Park, Modern Robotics, chapters 4 to 6), so it runs for one robot in a control loop and for many on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from controllers.rotations import cross, rotation_error
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError, UnknownNameError

_INVERSE_STEPS = 100
_INVERSE_STEP_MAX = 0.4
"""Largest joint step of one iteration of the inverse [rad]; keeps the linearisation honest."""


class SerialChain:
    """Joints between a base body and a tool site.

    Args:
        joint_names: the joints, in the order of every joint array given or returned, (n,).
        axes: direction of each joint in the base frame at the reference pose, (n, 3).
        anchors: a point on each joint's axis in the base frame at the reference pose, (n, 3) [m].
        prismatic: whether each joint slides, (n,) bool.
        order: the joints that move the tool, base first, as indices into `joint_names`; the others' columns of the
            Jacobian are zero.
        reference: joint positions of the reference pose, (n,) [rad].
        tool: pose of the tool in the base frame at the reference pose, (4, 4).
        position_min: lower joint limits, (n,) [rad]; -inf where there is none.
        position_max: upper joint limits, (n,) [rad].
    """

    def __init__(
        self,
        joint_names: Sequence[str],
        *,
        axes: FloatArray,
        anchors: FloatArray,
        prismatic: np.ndarray,
        order: Sequence[int],
        reference: FloatArray,
        tool: FloatArray,
        position_min: FloatArray,
        position_max: FloatArray,
    ) -> None:
        self.joint_names = tuple(joint_names)
        self.position_min, self.position_max = frozen(position_min), frozen(position_max)
        chosen = list(order)
        count, total = len(chosen), len(self.joint_names)
        self._in_order = chosen == list(range(total))
        self._any_prismatic = bool(np.any(prismatic[chosen]))
        columns = np.full(total, count, dtype=np.int64)  # index `count`: the zero column appended to the Jacobian
        columns[chosen] = np.arange(count)
        self._constants: dict[str, Any] = {
            "order": np.array(chosen, dtype=np.int64),
            "columns": columns,
            "reference": frozen(reference[chosen]),
            "slides": np.array(prismatic[chosen]),
            "axes": frozen(axes[chosen][..., None]),
            "position_min": self.position_min,
            "position_max": self.position_max,
            **_local_transforms(axes[chosen], anchors[chosen], prismatic[chosen], tool),
        }

    @classmethod
    def from_mjcf(cls, path: Path, joint_names: Sequence[str], site: str, base_body: str) -> SerialChain:
        """Read the chain from a model file.

        Args:
            path: MJCF (or URDF) file.
            joint_names: hinge and slide joints, in the order wanted for joint arrays.
            site: the tool.
            base_body: body whose frame poses are given in ("world" for the world).

        Raises:
            UnknownNameError: the model has no such joint, site or body.
            ConfigError: the site does not hang below the base, or a joint in between is not named or not supported.
        """
        return cls.from_model(mujoco.MjModel.from_xml_path(str(path)), joint_names, site, base_body)

    @classmethod
    def from_model(cls, model: mujoco.MjModel, joint_names: Sequence[str], site: str, base_body: str) -> SerialChain:
        """Read the chain from a compiled model; arguments and errors as `from_mjcf`."""
        ids = np.array([_find(model, "joint", name) for name in joint_names], dtype=np.int64)
        site_id, base_id = _find(model, "site", site), _find(model, "body", base_body)
        path = _joints_between(model, base_id, int(model.site_bodyid[site_id]), site)
        for joint in path:
            if joint not in ids:
                raise ConfigError(f"joint '{model.joint(joint).name}' moves site '{site}' but is not among joint_names")
        kinds = model.jnt_type[ids]
        if not np.all((kinds == mujoco.mjtJoint.mjJNT_HINGE) | (kinds == mujoco.mjtJoint.mjJNT_SLIDE)):
            raise ConfigError("only hinge and slide joints can be part of a serial chain")
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        base_position, base_rotation = data.xpos[base_id], data.xmat[base_id].reshape(3, 3)
        tool = np.eye(4)
        tool[:3, :3] = base_rotation.T @ data.site_xmat[site_id].reshape(3, 3)
        tool[:3, 3] = base_rotation.T @ (data.site_xpos[site_id] - base_position)
        limited = model.jnt_limited[ids].astype(bool)
        positions = {int(joint): index for index, joint in enumerate(ids)}
        return cls(
            joint_names,
            axes=data.xaxis[ids] @ base_rotation,
            anchors=(data.xanchor[ids] - base_position) @ base_rotation,
            prismatic=kinds == mujoco.mjtJoint.mjJNT_SLIDE,
            order=[positions[joint] for joint in path],
            reference=model.qpos0[model.jnt_qposadr[ids]],
            tool=tool,
            position_min=np.where(limited, model.jnt_range[ids, 0], -np.inf),
            position_max=np.where(limited, model.jnt_range[ids, 1], np.inf),
        )

    def forward(self, q: Array) -> tuple[Array, Array]:
        """Pose of the tool in the base frame.

        Args:
            q: joint positions, (..., n) [rad].

        Returns:
            Position, (..., 3) [m], and rotation matrix, (..., 3, 3).
        """
        xp = namespace(q)
        constants = self._constants_for(xp, q)
        pose = self._frames(xp, q, constants)[-1] @ constants["tool"]
        return pose[..., :3, 3], pose[..., :3, :3]

    def jacobian(self, q: Array) -> Array:
        """Derivative of the tool's pose: linear rows [m/rad], then angular rows [rad/rad], in the base frame.

        Args:
            q: joint positions, (..., n) [rad].

        Returns:
            (..., 6, n).
        """
        return self.forward_and_jacobian(q)[2]

    def forward_and_jacobian(self, q: Array) -> tuple[Array, Array, Array]:
        """Both in one pass.

        Args:
            q: joint positions, (..., n) [rad].

        Returns:
            Position (..., 3) [m], rotation (..., 3, 3), Jacobian (..., 6, n).
        """
        xp = namespace(q)
        constants = self._constants_for(xp, q)
        frames = self._frames(xp, q, constants)
        pose = frames[-1] @ constants["tool"]
        position = pose[..., :3, 3]
        stacked = xp.stack(frames, axis=-3)
        axes = (stacked[..., :3, :3] @ constants["axes"])[..., 0]
        linear = cross(axes, position[..., None, :] - stacked[..., :3, 3])
        angular = axes
        if self._any_prismatic:
            slides = constants["slides"][:, None]
            linear, angular = xp.where(slides, axes, linear), xp.where(slides, xp.zeros_like(axes), axes)
        rows = xp.concat([linear, angular], axis=-1)
        if not self._in_order:
            rows = xp.concat([rows, xp.zeros_like(rows[..., :1, :])], axis=-2)
            rows = xp.take(rows, constants["columns"], axis=-2)
        return position, pose[..., :3, :3], xp.matrix_transpose(rows)

    def inverse(
        self, position: Array, rotation: Array, q0: Array, tolerance_m: float = 1e-6, tolerance_rad: float = 1e-6
    ) -> tuple[Array, Array]:
        """Joint positions that put the tool at a pose: damped least squares from `q0`, inside the joint limits.

        The damping falls with the error (Sugihara 2011), so that convergence is quadratic near a solution and steps
        stay bounded near a singular pose.

        Args:
            position: (..., 3) [m], in the base frame.
            rotation: (..., 3, 3).
            q0: start, (..., n) [rad].
            tolerance_m: largest position error that counts as reached [m].
            tolerance_rad: largest rotation error that counts as reached [rad].

        Returns:
            Joint positions, (..., n) [rad], and whether each is a solution, (...,) bool.
        """
        xp = namespace(q0)
        constants = self._constants_for(xp, q0)
        q, identity = q0 + 0.0, xp.eye(6, dtype=q0.dtype)
        done = xp.zeros(q0.shape[:-1], dtype=xp.bool)
        for _ in range(_INVERSE_STEPS):
            current, orientation, jacobian = self.forward_and_jacobian(q)
            shift, turn = position - current, rotation_error(rotation, orientation)
            done = (xp.linalg.vector_norm(shift, axis=-1) <= tolerance_m) & (
                xp.linalg.vector_norm(turn, axis=-1) <= tolerance_rad
            )
            if xp.all(done):
                break
            error = xp.concat([shift, turn], axis=-1)[..., None]
            transposed = xp.matrix_transpose(jacobian)
            damping = 0.5 * xp.sum(error * error, axis=-2, keepdims=True) + 1e-10
            step = (transposed @ xp.linalg.solve(jacobian @ transposed + damping * identity, error))[..., 0]
            largest = xp.max(xp.abs(step), axis=-1, keepdims=True)
            step = step * (_INVERSE_STEP_MAX / xp.maximum(largest, _INVERSE_STEP_MAX * xp.ones_like(largest)))
            stepped = xp.clip(q + step, constants["position_min"], constants["position_max"])
            q = xp.where(done[..., None], q, stepped)
        return q, done

    def _frames(self, xp: Any, q: Array, constants: dict[str, Any]) -> list[Array]:
        """Pose of the frame behind each joint that moves the tool, base first, each (..., 4, 4).

        At the reference pose every frame is parallel to the base, with its origin on the joint's axis.
        """
        angle = (q if self._in_order else xp.take(q, constants["order"], axis=-1)) - constants["reference"]
        first, second = xp.sin(angle), 1.0 - xp.cos(angle)
        if self._any_prismatic:
            first = xp.where(constants["slides"], angle, first)
        local = (
            constants["fixed"]
            + first[..., None, None] * constants["first"]
            + second[..., None, None] * constants["second"]
        )
        frames = [local[..., 0, :, :]]
        for index in range(1, local.shape[-3]):
            frames.append(frames[-1] @ local[..., index, :, :])  # each needs the one before
        return frames

    def _constants_for(self, xp: Any, like: Array) -> dict[str, Any]:
        if xp is np:
            return self._constants
        import array_api_compat

        device = array_api_compat.device(like)
        return {name: xp.asarray(value.copy(), device=device) for name, value in self._constants.items()}


def _local_transforms(
    axes: FloatArray, anchors: FloatArray, prismatic: np.ndarray, tool: FloatArray
) -> dict[str, FloatArray]:
    """Each joint's transform is fixed + f first + (1 - cos q) second, f = sin q (hinge) or q (slide); (n, 4, 4)."""
    count = len(axes)
    fixed, first, second = np.zeros((count, 4, 4)), np.zeros((count, 4, 4)), np.zeros((count, 4, 4))
    fixed[:] = np.eye(4)
    fixed[:, :3, 3] = np.diff(anchors, axis=0, prepend=np.zeros((1, 3)))
    for index, (x, y, z) in enumerate(axes):
        skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        if prismatic[index]:
            first[index, :3, 3] = (x, y, z)
        else:
            first[index, :3, :3], second[index, :3, :3] = skew, skew @ skew
    hand = tool.copy()
    hand[:3, 3] -= anchors[-1]
    return {"fixed": frozen(fixed), "first": frozen(first), "second": frozen(second), "tool": frozen(hand)}


def _find(model: mujoco.MjModel, kind: str, name: str) -> int:
    """Index of a named object of the model."""
    index = mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name)
    if index < 0:
        count = {"joint": model.njnt, "site": model.nsite, "body": model.nbody}[kind]
        raise UnknownNameError(f"{kind} of the model", name, (getattr(model, kind)(i).name for i in range(count)))
    return int(index)


def _joints_between(model: mujoco.MjModel, base: int, body: int, site: str) -> list[int]:
    """Joints on the way from body `base` (exclusive) down to `body`, base first."""
    joints: list[int] = []
    while body != base:
        if body == 0:
            raise ConfigError(f"site '{site}' does not hang below the base body '{model.body(base).name}'")
        first = int(model.body_jntadr[body])
        joints[:0] = range(first, first + int(model.body_jntnum[body])) if first >= 0 else ()
        body = int(model.body_parentid[body])
    if not joints:
        raise ConfigError(f"no joint moves site '{site}' against body '{model.body(base).name}'")
    return joints


class KeptKinematics:
    """`SerialChain.forward_and_jacobian` of a chain, with its last answer kept: one step asks for it several times.

    Args:
        chain: answers.
    """

    def __init__(self, chain: SerialChain) -> None:
        self.chain = chain
        self._known: tuple[FloatArray, tuple[Array, Array, Array]] | None = None

    def __call__(self, joint_position: Array) -> tuple[Array, Array, Array]:
        """Position, rotation and Jacobian of the tool, as of the chain."""
        if not isinstance(joint_position, np.ndarray):
            found: tuple[Array, Array, Array] = self.chain.forward_and_jacobian(joint_position)
            return found
        known = self._known
        if known is None or not np.array_equal(known[0], joint_position):
            known = (joint_position.copy(), self.chain.forward_and_jacobian(joint_position))
            self._known = known
        return known[1]
