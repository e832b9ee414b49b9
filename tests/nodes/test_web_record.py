"""`robostack record ur5e --virtual --teleop.type web` driven by a browser; the arm is watched over its own protocol."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from chromium import Wire, center, chromium, until

from hardware.errors import DeviceError
from hardware.ur5e.rtde_client import RtdeClient
from robostack.data.layout import read_info

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow, pytest.mark.timeout(300)]

MOVING_RAD_S = 0.02
AT_REST_RAD_S = 1e-3
"""Of the velocity that the arm's controller commands, which is free of noise."""
MEASURED_REST_RAD_S = 0.02
"""Of the measured velocity, smoothed: the virtual arm's encoders have noise."""
SMOOTHING = np.ones(9) / 9


class ArmWatch:
    """A second client of the virtual arm, at its own 500 Hz: speed of the fastest joint, by the arm's time stamps."""

    def __init__(self, host: str) -> None:
        self.samples: list[tuple[float, float, float]] = []
        """Time stamp [s], speed that the arm's controller commands, measured speed [rad/s]."""
        self._client = RtdeClient(host, 30004, 5.0)
        self._client.negotiate()
        self._client.set_up_output(500.0, ["timestamp", "target_qd", "actual_qd"])
        self._client.start()
        self._offset_s = float("inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        with contextlib.suppress(DeviceError):
            while not self._closing.is_set():
                values = self._client.newest()
                if values is None:
                    time.sleep(5e-4)
                    continue
                stamp_s = float(values["timestamp"])
                # The least delayed package tells how the arm's clock lies to this computer's.
                self._offset_s = min(self._offset_s, time.monotonic() - stamp_s)
                target, actual = (float(np.abs(values[name]).max()) for name in ("target_qd", "actual_qd"))
                self.samples.append((stamp_s, target, actual))

    @property
    def speed(self) -> float:
        return self.samples[-1][1] if self.samples else 0.0

    def braking(self, moment_s: float) -> dict[str, float]:
        """Of a motion that ends at rest: when it slowed down for good and when it was over, in ms after `moment_s`."""
        stamps_s, target, actual = np.array(self.samples).T
        after_s = stamps_s + self._offset_s - moment_s
        target = np.maximum.accumulate(target[::-1])[::-1][after_s >= 0.0]  # the highest from here on
        actual = np.convolve(actual, SMOOTHING, mode="same")[after_s >= 0.0]
        after_ms = 1e3 * after_s[after_s >= 0.0]
        return {
            "speed_rad_s": target[0],
            "slows_ms": after_ms[np.argmax(target < 0.98 * target[0])],
            "commanded_rest_ms": after_ms[np.argmax(target < AT_REST_RAD_S)],
            "measured_rest_ms": after_ms[len(actual) - np.argmax(actual[::-1] > MEASURED_REST_RAD_S) - 1],
        }

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2.0)
        self._client.close()


class Recording:
    """The verb as a process, with what it says."""

    def __init__(self, root, host: str, page_host: str, domain_id: int) -> None:
        command = [sys.executable, "-m", "robostack", "record", "ur5e", "--virtual", "--host", host, "--json"]
        command += ["--teleop.type", "web", "--teleop.port", "0", "--teleop.host-names", page_host]
        command += ["--ros.domain-id", str(domain_id)]
        command += ["--dataset.root", str(root), "--dataset.num-episodes", "2", "--dataset.reset-time-s", "600"]
        self.root, self.host = root, host
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def count(self, text: str) -> int:
        return self.output.count(text)

    @property
    def url(self) -> str:
        found = re.search(r"^open (http://\S+)$", self.output, re.MULTILINE)
        return found.group(1) if found else ""

    def wait(self, limit_s: float = 60.0) -> int:
        status = self._process.wait(limit_s)
        self._reader.join(5.0)
        return status

    def clear(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(20.0)
        self._process.kill()


class Hand:
    """Two fingers on the page, as trusted input: the first holds the joystick, the second taps."""

    def __init__(self, browser, url: str, arm: ArmWatch) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, has_touch=True)
        self.page, self.arm = context.new_page(), arm
        self._input = context.new_cdp_session(self.page)
        self._stick: list[dict[str, float]] = []
        self._direction = -1
        self.page.add_init_script(
            """addEventListener("pointerdown", (event) => {
                 window.pressedAt = performance.timeOrigin + event.timeStamp }, { capture: true })"""
        )
        self.page.goto(url)
        self.until(lambda: self.page.evaluate("document.body.dataset.control") == "you", "control")

    def until(self, condition, what: str, limit_s: float = 30.0) -> None:
        until(self.page, condition, what, limit_s)

    def says(self, selector: str, text: str, limit_s: float = 30.0) -> None:
        self.until(lambda: self.page.inner_text(selector) == text, f"'{text}' in {selector}", limit_s)

    def _touch(self, kind: str, *points: dict[str, float]) -> None:
        self._input.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    def push(self) -> bool:
        """Hold the joystick, forward or back, until the arm moves at full speed; False where it is stopped."""
        x, y, _, half = center(self.page, "#stick")
        for _ in range(5):  # where this machine stood still for a second, the stick must be let go first
            self._direction = -self._direction  # back and forth: the workspace ends somewhere
            self._stick = [{"x": x, "y": y - self._direction * half, "id": 0}]
            self._touch("touchStart", *self._stick)
            for _ in range(100):
                self.page.wait_for_timeout(10)
                if self.arm.speed > MOVING_RAD_S:
                    self.page.wait_for_timeout(500)
                    break
            if self.arm.speed > MOVING_RAD_S:
                return True
            self.let_go()
            if self.page.inner_text("#stop") == "STOPPED":
                return False
        pytest.fail(f"the arm does not move: {self.page.inner_text('main')}")

    def let_go(self) -> None:
        self._stick = []
        self._touch("touchEnd")

    def tap(self, selector: str) -> float:
        """Tap with the second finger; when the browser took it, monotonic [s]."""
        x, y, *_ = center(self.page, selector)
        self._touch("touchStart", *self._stick, {"x": x, "y": y, "id": 1})
        epoch_s = self.page.evaluate("window.pressedAt") / 1000.0
        self.let_go()
        return epoch_s - (time.time() - time.monotonic())

    def press(self, selector: str) -> None:
        """Press a button if it can be pressed now; never waits."""
        script = (
            "(selector) => { const b = document.querySelector(selector); if (!b.disabled && !b.hidden) b.click(); }"
        )
        self.page.evaluate(script, selector)

    def reset(self) -> None:
        """Release a latched stop, if there is one."""
        if self.page.locator("#reset").is_visible():
            self.press("#reset")
            self.press("#reset")
            self.page.wait_for_timeout(1000)

    def begin_episode(self, recording: Recording, number: int) -> None:
        """What it takes until an episode is recorded, also after a stall of this machine stopped the arm."""

        def begun() -> bool:
            self.reset()
            self.press("#record")
            return recording.count(f"episode {number} begins") > recording.count(f"episode {number} ended")

        self.until(begun, "an episode", 90.0)


@pytest.fixture
def browser() -> Iterator[object]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def recording(tmp_path, domain_id, loopback_host):
    host = f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"
    recording = Recording(tmp_path / "demonstrations", host, loopback_host, domain_id)
    yield recording
    recording.clear()
    print(recording.output)  # shown where the test failed


def undisturbed(attempt):
    """`attempt()` until it returns something: None where the arm was stopped because this machine stood still."""
    for _ in range(5):
        outcome = attempt()
        if outcome is not None:
            return outcome
    pytest.fail("this machine stands still all the time")


def record_success(hand: Hand, recording: Recording, number: int) -> bool | None:
    """Record one episode and call it a success."""
    hand.begin_episode(recording, number)
    ended = recording.count(f"episode {number} ended")
    if not hand.push():
        return None
    hand.page.wait_for_timeout(500)
    hand.let_go()
    hand.until(lambda: hand.arm.speed < AT_REST_RAD_S, "the arm to hold after letting go")

    def over() -> bool:
        hand.press("#success")
        return recording.count(f"episode {number} ended") > ended

    hand.until(over, "the end of the episode")
    return True if f"episode {number} ended: success" in recording.output else None


def press_stop(hand: Hand, recording: Recording) -> dict[str, float] | None:
    """Press the emergency stop in full motion while an episode is recorded."""
    hand.begin_episode(recording, 1)
    stops = recording.count("STOP: the operator")
    if not hand.push():
        return None
    pressed_s = hand.tap("#stop")
    hand.until(lambda: recording.count("STOP: the operator") > stops, "the stop")
    hand.until(lambda: hand.arm.speed < AT_REST_RAD_S, "the arm to stop")
    hand.says("#stop", "STOPPED")
    figures = hand.arm.braking(pressed_s)
    return figures if "episode 1 ended: aborted: the operator stopped the robot" in recording.output else None


def lose_connection(hand: Hand, recording: Recording, wire: Wire) -> dict[str, float] | None:
    """Let the network swallow everything in full motion: the arm holds, and is stopped a second later."""
    hand.begin_episode(recording, 1)
    silences = recording.count("silent for")
    if not hand.push():
        return None
    lost_s = time.monotonic()
    wire.hold_up()
    hand.until(lambda: recording.count("silent for") > silences, "the stop after the silence")
    stopped_s = time.monotonic()
    wire.cut()
    hand.let_go()
    hand.until(lambda: hand.page.evaluate("document.body.dataset.control") == "you", "control once it is back")
    return {**hand.arm.braking(lost_s), "stopped_ms": 1e3 * (stopped_s - lost_s)}


def test_a_browser_records_stops_the_arm_and_loses_its_connection(browser, recording, record_property):
    until(None, lambda: recording.url, "the address of the page", 90.0)
    page_host, port = urlsplit(recording.url).netloc.split(":")
    wire, arm = Wire(page_host, ("127.0.0.1", int(port))), ArmWatch(recording.host)
    hand = Hand(browser, recording.url, arm)
    undisturbed(lambda: record_success(hand, recording, 0))

    stop = undisturbed(lambda: press_stop(hand, recording))
    assert 0.0 < stop["slows_ms"] < stop["commanded_rest_ms"]

    loss = undisturbed(lambda: lose_connection(hand, recording, wire))
    assert 0.0 < loss["slows_ms"] < loss["commanded_rest_ms"] < loss["stopped_ms"], "it holds first and is stopped then"

    undisturbed(lambda: record_success(hand, recording, 1))
    assert recording.wait() == 0, recording.output
    arm.close()
    wire.close()
    assert read_info(recording.root).total_episodes == 2
    for name, figures in (("stop", stop), ("loss", loss)):
        print(name, {key: round(float(value), 2) for key, value in figures.items()})
        record_property(name, figures)
