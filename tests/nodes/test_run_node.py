from __future__ import annotations

import pytest
from graph import Process

pytestmark = pytest.mark.graph


@pytest.fixture
def run(ros_environment):
    processes: list[Process] = []

    def begin(kind: str, **variables: str) -> Process:
        processes.append(Process("awkward_node", ros_environment | variables, kind=kind))
        return processes[-1]

    yield begin
    for process in processes:
        process.clear()


@pytest.mark.parametrize(
    ("kind", "text", "undone"),
    [
        ("expected", "cannot configure: the value is wrong; use another", "cleaned up"),
        ("activate", "cannot activate: cannot begin", "deactivated"),
    ],
)
def test_an_error_that_explains_itself_is_one_line_and_is_undone(run, kind, text, undone):
    node = run(kind)
    assert node.wait() == 1
    assert text in node.output
    assert undone in node.output
    assert "Traceback" not in node.output


def test_a_defect_in_a_transition_is_said_with_its_traceback(run):
    node = run("defect")
    assert node.wait() == 1
    assert "Traceback" in node.output
    assert "KeyError: 'a defect'" in node.output


def test_a_defect_in_a_callback_ends_the_node_at_rest(run):
    node = run("callback")
    assert node.wait() == 1
    assert node.output.index("active") < node.output.index("deactivated") < node.output.index("cleaned up")
    assert "KeyError: 'a defect in a callback'" in node.output


def test_a_node_ends_by_itself_with_its_own_status(run):
    node = run("finish")
    assert node.wait() == 5
    assert "cleaned up" in node.output


def test_a_signal_is_status_0(run):
    node = run("none")
    node.wait_for("active")
    status, duration_s = node.end()
    assert (status, duration_s < 2.0) == (0, True)
    assert node.output.count("cleaned up") == 1


def test_a_priority_that_is_no_number_is_said_and_does_no_harm(run):
    node = run("finish", ROBOSTACK_FIFO_PRIORITY="high")
    assert node.wait() == 5
    assert "ROBOSTACK_FIFO_PRIORITY=high has no effect" in node.output
