"""A person's stop on its way to the driver, with the services' answers in the test's hands."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from robostack.nodes.person import Person


class Client:
    def __init__(self) -> None:
        self.answers: list[Future] = []

    def call_async(self, request: object) -> Future:
        self.answers.append(Future())
        return self.answers[-1]


class FakeNode:
    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}

    def create_client(self, kind: object, name: str) -> Client:
        return self.clients.setdefault(name, Client())

    def destroy_client(self, client: Client) -> None:
        pass


class Operator:
    def __init__(self) -> None:
        self.stopped = self.next = False

    def listen(self) -> None:
        self.stopped = self.next


@pytest.fixture
def person():
    node, operator = FakeNode(), Operator()
    made = Person(node, operator)
    stops, resets = (node.clients[f"driver/{name}"].answers for name in ("stop", "reset"))
    return made, operator, stops, resets


def test_a_stop_is_asked_for_at_once_and_again_until_the_driver_has_confirmed(person):
    made, operator, stops, resets = person
    made.attend(10.0)
    assert not (stops or resets)
    operator.next = True
    made.attend(10.02)
    assert (len(stops), made.stopped) == (1, True)
    made.attend(10.08)
    assert len(stops) == 1
    stops[0].set_exception(RuntimeError("the service went away"))
    made.attend(10.13)
    assert len(stops) == 2
    stops[1].set_result(None)
    for step in range(100):
        made.attend(10.2 + 0.1 * step)
    assert (len(stops), len(resets)) == (2, 0)


def test_reset_goes_to_the_driver_once_and_ends_the_asking(person):
    made, operator, stops, resets = person
    operator.next = True
    made.attend(0.0)
    operator.next = False
    made.attend(0.05)
    made.attend(5.0)
    assert (len(stops), len(resets), made.stopped) == (1, 1, False)
    operator.next = True  # and once more
    made.attend(5.1)
    assert len(stops) == 2


class Screen:
    def __init__(self) -> None:
        self.shown: list[dict] = []

    def show_frame(self, camera: str, jpeg: bytes, capture_time_s: float) -> None:
        raise AssertionError("no camera")

    def show_status(self, status) -> None:
        self.shown.append(dict(status))


def test_a_device_that_shows_something_is_told_how_things_are_a_few_times_per_second(person):
    made, operator, *_ = person
    operator.device = Screen()
    for step in range(100):
        made.show(0.01 * step, lambda step=step: {"step": step})
    steps = [status["step"] for status in operator.device.shown]
    assert steps[0] == 0 and len(steps) in (4, 5) and set(np.diff(steps)) <= {20, 21}
    operator.device = object()
    made.show(9.0, lambda: pytest.fail("nobody looks"))


def test_nobody_stops_nothing():
    node = FakeNode()
    made = Person(node)
    made.attend(0.0)
    assert (made.stopped, made.entities, node.clients) == (False, [], {})
