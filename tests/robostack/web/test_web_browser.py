"""The page in a real browser: what a person does there is what the device reads."""

import threading
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from chromium import LIMIT_S, Wire, center, chromium, until

from hardware.teleoperator import OperatorEvent
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.device import WebTeleoperator

pytestmark = pytest.mark.wire


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


class Operator:
    """A person at the page of a device; `events` collects what the device read."""

    def __init__(self, page, device):
        self.page, self.device = page, device
        self.events, self.errors = [], []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def open(self, url=None):
        self.page.goto(url or self.device.url)
        self.until(lambda: self.shown("control") == "you", "control")
        return self

    def read(self):
        command = self.device.read()
        self.events += command.events
        return command

    def until(self, condition, what):
        return until(self.page, condition, what)

    def shown(self, name):
        return self.page.evaluate(f"document.body.dataset.{name}")

    def press(self, selector, x=0.0, y=0.0):
        """Press on `selector` and drag by fractions of its half sizes, until the device reads it."""
        middle_x, middle_y, half_x, half_y = center(self.page, selector)
        for _ in range(5):  # where this machine stood still for a second, the page must be let go first
            self.page.mouse.move(middle_x, middle_y)
            self.page.mouse.down()
            self.page.mouse.move(middle_x + x * half_x, middle_y - y * half_y, steps=3)
            for _ in range(100):
                if self.read().enabled:
                    return
                self.page.wait_for_timeout(10)
            self.page.mouse.up()
        pytest.fail("the held control never counted")

    def twist(self):
        command = self.read()
        return np.concatenate([command.tool_linear_velocity, command.tool_angular_velocity])


@pytest.fixture
def context(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def operator(context, device):
    operator = Operator(context.new_page(), device).open()
    yield operator
    assert operator.errors == []


def test_the_page_opens_and_hides_its_token(operator):
    page = operator.page
    assert "token" not in page.evaluate("location.href + document.cookie + document.documentElement.outerHTML")
    assert page.title().startswith("ur5e")
    page.reload()
    operator.until(lambda: operator.shown("control") == "you", "control after loading the page again")
    operator.until(lambda: page.inner_text("#round-trip").endswith("ms"), "the round trip")


def test_without_the_token_there_is_no_page(context, device):
    page = context.new_page()
    base = device.url.partition("?")[0]
    assert page.goto(base).status == 401
    assert page.goto(f"{base}?token=wrong").status == 401


def test_a_page_of_another_origin_cannot_reach_it_even_in_the_browser_of_the_operator(operator, context):
    """The cookie is there; only the origin is wrong: another port of the same host, as close as it gets."""
    other = WebTeleoperator(WebConfig(port=0))
    other.connect()
    try:
        page = context.new_page()
        page.goto(other.url)
        address = f"ws://{urlsplit(operator.device.url).netloc}/socket"
        outcome = page.evaluate(
            """(address) => new Promise((done) => {
                 const socket = new WebSocket(address);
                 socket.onopen = () => done("open");
                 socket.onerror = () => done("refused");
               })""",
            address,
        )
        assert outcome == "refused"
    finally:
        page.close()
        other.disconnect()


def test_the_joystick_moves_forward_and_to_the_right_and_only_while_it_is_held(operator):
    operator.press("#stick", x=0.4, y=0.3)
    reach = operator.page.evaluate(
        """(() => { const s = document.getElementById("stick");
             return 1 - s.querySelector(".knob").offsetWidth / s.offsetWidth })()"""
    )
    speed = 0.2 * 0.5  # limit times the slider for speed
    expected = [speed * 0.3 / reach, -speed * 0.4 / reach, 0, 0, 0, 0]
    operator.until(lambda: np.allclose(operator.twist(), expected, atol=2e-3), "the expected twist")
    operator.until(lambda: operator.page.inner_text("#enabled") == "moving", "the page to say so")
    operator.page.mouse.up()
    operator.until(lambda: not operator.read().enabled, "rest after letting go")
    assert not operator.twist().any()


def test_height_turn_and_speed(operator):
    operator.page.locator("#speed").focus()
    operator.page.keyboard.press("End")
    operator.press("#height", y=-2.0)
    operator.until(lambda: np.allclose(operator.twist(), [0, 0, -0.2, 0, 0, 0]), "full speed down")
    operator.page.mouse.up()
    operator.until(lambda: not operator.read().enabled, "rest")
    operator.press("#turn", x=-2.0)
    operator.until(lambda: np.allclose(operator.twist(), [0, 0, 0, 0, 0, 0.5]), "full speed to the left")
    operator.page.mouse.up()
    operator.until(lambda: not operator.read().enabled, "rest")
    assert not operator.twist().any()


def test_the_keyboard_drives_what_has_the_focus_and_losing_the_focus_lets_go(operator):
    page = operator.page
    page.locator("#stick").focus()
    page.keyboard.down("ArrowUp")
    operator.until(lambda: np.allclose(operator.twist(), [0.1, 0, 0, 0, 0, 0]), "forward")
    page.keyboard.down("ArrowLeft")
    operator.until(lambda: np.allclose(operator.twist()[:2], np.array([1, 1]) * 0.1 / np.sqrt(2)), "forward and left")
    page.locator("#gripper").focus()
    operator.until(lambda: not operator.read().enabled, "rest without the focus")
    assert not operator.twist().any()
    page.keyboard.up("ArrowUp")
    page.keyboard.up("ArrowLeft")


def test_the_gripper_is_commanded_only_once_it_was_touched(operator):
    assert operator.read().gripper is None
    operator.page.locator("#gripper").focus()
    operator.page.keyboard.down("Home")
    operator.until(lambda: (command := operator.read()).gripper == 0.0 and command.enabled, "a closing gripper")
    operator.page.keyboard.up("Home")
    operator.until(lambda: not operator.read().enabled, "rest")


def test_tilting_the_phone_moves_relative_to_the_pose_at_the_press(operator, context):
    """Held upright at 60 degrees and pressed; then its top goes down by 34 degrees: more than full deflection."""
    page = operator.page
    tilt = context.new_cdp_session(page)

    def pose(alpha, beta, gamma):
        angles = {"alpha": alpha, "beta": beta, "gamma": gamma}
        tilt.send("DeviceOrientation.setDeviceOrientationOverride", angles)

    x, y, *_ = center(page, "#tilt")
    page.mouse.move(x, y)
    page.mouse.down()
    pose(30, 60, 0)
    operator.until(lambda: operator.read().enabled, "the held button")
    assert not operator.twist().any(), "the pose at the press is the zero"
    pose(30, 26, 0)
    operator.until(lambda: np.allclose(operator.twist(), [0.1, 0, 0, 0, 0, 0], atol=1e-6), "forward")
    page.mouse.up()
    operator.until(lambda: not operator.read().enabled, "rest")
    page.select_option("#tilt-mode", "rotate")
    page.mouse.move(x, y)
    page.mouse.down()
    pose(0, 0, 0)
    operator.until(lambda: operator.read().enabled, "the held button")
    pose(0, 0, 34)
    operator.until(lambda: np.allclose(operator.twist(), [0, 0, 0, 0.25, 0, 0], atol=1e-6), "roll about x")
    page.mouse.up()


def test_buttons_of_the_episode_become_events_when_they_make_sense(operator):
    page, device = operator.page, operator.device

    def status(**changes):
        device.show_status({"phase": "record", "recording": True, "episode": 0, "episodes": 3, **changes})

    status(recording=False, phase="reset")
    operator.until(lambda: page.locator("#record").is_enabled(), "the button Record")
    assert page.locator("#success").is_disabled()
    page.click("#record")
    status()
    operator.until(lambda: page.locator("#success").is_enabled(), "the button Success")
    assert page.inner_text("#episode").startswith("1 of 3")
    for button in ("#success", "#failure", "#re-record", "#finish"):
        page.click(button)
        assert page.locator("#success").is_disabled(), "a second press means something else, once the first has worked"
        operator.until(lambda: page.locator("#success").is_enabled(), "the buttons, since nothing has come of it")
    E = OperatorEvent
    expected = [E.SUCCESS, E.SUCCESS, E.FAILURE, E.RERECORD, E.FINISH]
    operator.until(lambda: operator.read() and operator.events == expected, f"{expected}")


@pytest.mark.parametrize("how", ["press", "escape", "keyboard"])
def test_the_stop_is_told_before_anybody_reads_and_lets_go(operator, how):
    page, told = operator.page, threading.Event()
    operator.press("#stick", y=0.5)
    operator.device.on_stop = told.set
    if how == "press":  # a second finger, while the first one holds the joystick: pressing is enough
        page.dispatch_event("#stop", "pointerdown")
    elif how == "escape":
        page.keyboard.press("Escape")
    else:
        page.locator("#stop").focus()
        page.keyboard.press("Enter")
    assert told.wait(LIMIT_S)
    command = operator.read()
    assert command.events == (OperatorEvent.STOP,)
    assert not command.enabled
    operator.device.show_status({"stopped": True, "phase": "operate"})
    operator.until(lambda: page.inner_text("#stop") == "STOPPED", "the page to confirm it")
    page.mouse.up()
    page.click("#reset")
    page.click("#reset")
    operator.until(lambda: operator.read() and operator.events[-1] is OperatorEvent.RESET, "the reset")


def test_pictures_are_drawn_and_their_rate_is_shown(operator):
    page, device = operator.page, operator.device
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :, 2] = 255  # red, in the order of OpenCV
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()

    def drawn():
        device.show_frame("wrist", jpeg, 0.0)
        return page.evaluate(
            """(() => { const c = document.querySelector("canvas");
                 return c && c.width === 64 && [...c.getContext("2d").getImageData(30, 20, 1, 1).data] })()"""
        )

    operator.until(lambda: (pixel := drawn()) and pixel[0] > 240 and pixel[1] < 20, "a red picture")
    operator.until(lambda: drawn() and "wrist · " in page.inner_text("figcaption"), "the camera's name")
    operator.until(lambda: drawn() and page.inner_text("#frame-rate") not in ("–", "0 fps"), "the rate")
    device.show_frame("wrist", b"no picture at all", 0.0)
    operator.until(drawn, "the page to survive a broken picture")
    assert page.locator("canvas").count() == 1


def test_a_second_browser_watches_and_takes_over_when_the_first_gives_back(operator, context):
    watcher = Operator(context.new_page(), operator.device)
    watcher.page.goto(operator.device.url)
    watcher.until(lambda: watcher.shown("control") == "other", "the page of a watcher")
    watcher.page.click("#control")
    watcher.until(lambda: "else is in control" in watcher.page.inner_text("#notice"), "the reason")
    operator.page.close()  # on purpose: the control is free at once
    watcher.until(lambda: watcher.shown("control") == "free", "free control")
    watcher.page.click("#control")
    watcher.until(lambda: watcher.shown("control") == "you", "control")
    assert watcher.page.inner_text("#notice") == "", "the earlier refusal is not shown any more"


@pytest.fixture
def wire(device, loopback_host):
    """The same page behind a wire that can fail."""
    device.disconnect()
    wired = WebTeleoperator(WebConfig(port=0, host_names=(loopback_host,)))
    wired.connect()
    wire = Wire(loopback_host, ("127.0.0.1", urlsplit(wired.url).port))
    yield wire, wired
    wire.close()
    wired.disconnect()


@pytest.mark.parametrize("failure", ["hold_up", "cut"])
def test_a_wire_that_fails_lets_go_and_the_page_says_so_and_comes_back(context, wire, failure):
    wire, device = wire
    operator = Operator(context.new_page(), device).open()
    operator.press("#stick", y=1.0)
    getattr(wire, failure)()
    operator.until(lambda: not operator.read().enabled, "the dead-man switch to fall")
    last_s = operator.read().capture_time_s
    if failure == "hold_up":
        operator.until(lambda: operator.shown("link") == "lost", "the page to notice the silence")
        assert operator.read().capture_time_s == last_s
        wire.cut()
    operator.until(lambda: operator.shown("control") == "you", "the page to come back")
    for _ in range(20):
        assert not operator.read().enabled, "a stick that is still held does not move the robot again"
        operator.page.wait_for_timeout(10)
    operator.page.mouse.up()
    operator.press("#stick", y=1.0)


def test_a_page_that_hangs_lets_go(operator):
    operator.press("#stick", y=1.0)
    operator.page.evaluate(
        "setTimeout(() => { const end = performance.now() + 1500; while (performance.now() < end); })"
    )
    seen = []
    end = threading.Event()
    threading.Timer(1.0, end.set).start()
    while not end.wait(0.01):
        seen.append(operator.read().enabled)
    assert seen[-1] is False
    operator.page.mouse.up()


def test_everything_has_a_name_for_screen_readers_and_a_size_for_fingers(browser, device):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(device.url)
    until(page, lambda: page.evaluate("document.body.dataset.control") == "you", "control")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [tabindex]")].filter((element) =>
             !(element.textContent.trim() || element.ariaLabel || element.labels?.length)).map((one) => one.id)"""
    )
    small = page.evaluate(
        """[...document.querySelectorAll("button:enabled, select, [tabindex]")].filter((one) => one.offsetParent)
             .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 40).map((one) => one.id)"""
    )
    assert unnamed == []
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    stop = page.locator("#stop").bounding_box()
    assert stop["y"] + stop["height"] <= 740
    context.close()
