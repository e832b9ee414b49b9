"""The life-cycle node that every node of this stack is: it fails loudly, and no request can kill it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.exceptions import ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from hardware.errors import RobostackError

EXPECTED_ERRORS = (RobostackError, OSError, ParameterException, rclpy_implementation.RCLError)
"""Errors that say by themselves what is wrong; anything else is logged with its traceback."""


class ManagedNode(LifecycleNode):
    """A node whose sub-class says what to do in `configure`, `activate`, `deactivate` and `cleanup`.

    Each hook may raise: the transition then fails, the reason is logged and kept in `failure`, and what `configure`
    or `activate` had begun is undone by calling `cleanup` or `deactivate`. Those two must work in any state.
    With the parameter `autostart` (default true) the node configures and activates itself.

    Args:
        name: default node name.
        overrides: parameter values, for tests; the command line wins in the usual ROS way.
    """

    def __init__(self, name: str, overrides: Sequence[Any] = ()) -> None:
        super().__init__(name, parameter_overrides=list(overrides))
        self.failure = ""
        self.finished = False
        self.exit_status = 0
        self._closed = False
        self._autostart = bool(self.declare_parameter("autostart", True).value)
        _answer_illegal_requests(self)

    def configure(self) -> None:
        """Open and check everything the node needs."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Bring everything to rest; nothing moves afterwards. Called in any state, never raises."""

    def cleanup(self) -> None:
        """Release what `configure` opened. Called in any state, never raises."""

    def autostart(self) -> None:
        """Configure and activate if the parameter says so; a failure finishes the node with status 1."""
        if not self._autostart:
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                self.finish(1)
                return

    def finish(self, exit_status: int) -> None:
        """Let the node end, in order, with `exit_status`."""
        self.exit_status, self.finished = exit_status, True

    def close(self) -> int:
        """Deactivate, clean up, and return the exit status. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self.deactivate()
            self.cleanup()
        return self.exit_status

    @property
    def active(self) -> bool:
        """Whether the node is in the state "active"."""
        return str(self._state_machine.current_state[1]) == "active"

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        return self._transition("configure", self.configure, self.cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        return self._transition("activate", self.activate, self.deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        return self._transition("deactivate", self.deactivate, self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        return self._transition("clean up", self.cleanup, self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy: the node ends afterwards."""
        self.close()
        self.finish(self.exit_status)
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy: back to "unconfigured", at rest."""
        self.deactivate()
        self.cleanup()
        return TransitionCallbackReturn.SUCCESS

    def _transition(self, name: str, hook: Callable[[], None], undo: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy turns an exception in a transition into a silent ERROR, so it is said here, whatever it is.
        with _Loud(self, name, undo) as attempt:
            hook()
        return TransitionCallbackReturn.FAILURE if attempt.failed else TransitionCallbackReturn.SUCCESS


class _Loud:
    """Logs what goes wrong inside, undoes it, and swallows only errors that explain themselves."""

    def __init__(self, node: ManagedNode, name: str, undo: Callable[[], None]) -> None:
        self._node, self._name, self._undo = node, name, undo
        self.failed = False

    def __enter__(self) -> _Loud:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            return False
        self.failed = True
        self._node.failure = f"cannot {self._name}: {error}"
        self._node.get_logger().error(self._node.failure)
        expected = isinstance(error, EXPECTED_ERRORS)
        if not expected:
            import traceback

            self._node.get_logger().error("".join(traceback.format_exception(kind, error, trace)))
        self._undo()
        return expected


def _answer_illegal_requests(node: ManagedNode) -> None:
    """Answer an illegal transition request with "no": rclpy 7.1.6 throws out of the executor, and the caller hangs."""
    service = node._service_change_state
    original = service.callback

    def guarded(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return original(request, response)
        except rclpy_implementation.RCLError as error:
            state = node._state_machine.current_state[1]
            node.get_logger().warning(f"transition {request.transition.id} refused in state '{state}': {error}")
            response.success = False
            return response

    service.callback = guarded
