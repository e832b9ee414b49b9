"""An operator: types keys, moves sticks and a puck, carries a leader arm, and records episodes.

Also a program that records a whole session through one device, checks it, and replays it:
`python tests/nodes/operator_script.py so101 keyboard --episodes 10`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

RIGHT, DOWN, LEFT, ESCAPE, STOP, RESET, CLUTCH = b"\x1b[C", b"\x1b[B", b"\x1b[D", b"\x1b", b" ", b"\r", b"\t"
COMMAND = [sys.executable, "-c", "from robostack.cli.main import main; main()"]


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            start_new_session=True,
        )
        os.close(slave)
        self._text = ""
        self._new = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the last process has closed its end
                return
            with self._new:
                self._text += data.decode(errors="replace")
                self._new.notify_all()

    @property
    def lines(self) -> list[str]:
        """What stays on the screen: without the status that is written anew."""
        plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", self._text).replace("\r\n", "\n")
        return [line.rpartition("\r")[2] for line in plain.split("\n")]

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + limit_s
        with self._new:
            while not condition():
                assert time.monotonic() < deadline_s, "\n".join(self.lines[-40:])
                assert self.process.poll() is None or condition(), "\n".join(self.lines[-40:])
                self._new.wait(0.1)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait(self, limit_s: float = 60.0) -> int:
        status = self.process.wait(limit_s)
        time.sleep(0.2)  # the rest of the output
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        os.close(self.master)

    def result(self) -> dict:
        return json.loads(next(line for line in reversed(self.lines) if line.startswith("{")))


class Hand:
    """A device in the operator's hands. `flags` are those of the command; `move` takes a while."""

    flags: tuple[str, ...] = ()
    directions: tuple[object, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reach(self, terminal: Terminal) -> None:
        """Once the command has been started."""

    def take(self, terminal: Terminal) -> None:
        """Once the robot is ready."""

    def move(self, terminal: Terminal, direction: object, duration_s: float) -> None:
        raise NotImplementedError

    def say(self, terminal: Terminal, what: bytes) -> None:
        terminal.type(what)

    def put_down(self) -> None:
        pass


class KeyboardHand(Hand):
    directions = (b"w", b"s", b"e", b"c", b"a", b"d")

    def move(self, terminal, direction, duration_s):
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            terminal.type(direction)
            time.sleep(0.03)  # as a terminal repeats a held key


class PipeHand(Hand):
    """A device file that is a pipe; packets keep their borders, as on hidraw."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "device"
        os.mkfifo(self.path)
        self.writer = os.open(self.path, os.O_RDWR)
        fcntl.fcntl(self.writer, fcntl.F_SETFL, os.O_DIRECT)
        self.flags = ("--teleop.device", str(self.path))

    def put_down(self):
        os.close(self.writer)


class GamepadHand(PipeHand):
    directions = ((1, -0.9), (1, 0.9), (4, -0.9), (4, 0.9), (0, -0.9), (0, 0.9))  # left stick, right stick, left stick

    def event(self, kind: int, number: int, value: int) -> None:
        os.write(self.writer, struct.pack("<IhBB", 0, value, kind, number))

    def move(self, terminal, direction, duration_s):
        axis, value = direction
        self.event(1, 5, 1)  # RB
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self.event(2, axis, int(32767 * value) + random.randint(-50, 50))
            time.sleep(0.02)
        self.event(2, axis, 0)
        self.event(1, 5, 0)

    def say(self, terminal, what):
        button = {RIGHT: 0, DOWN: 2, STOP: 1, RESET: 3, LEFT: 6, ESCAPE: 7}[what]
        self.event(1, button, 1)
        self.event(1, button, 0)


class SpaceMouseHand(PipeHand):
    directions = ((0, -300, 0), (0, 300, 0), (0, 0, -300), (0, 0, 300), (-300, 0, 0), (300, 0, 0))

    def move(self, terminal, direction, duration_s):
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            os.write(self.writer, struct.pack("<B3h", 1, *direction))
            os.write(self.writer, struct.pack("<B3h", 2, 0, 0, 0))
            time.sleep(0.016)
        os.write(self.writer, struct.pack("<B3h", 1, 0, 0, 0))


class LeaderHand(Hand):
    """A second virtual arm with its torque off, and the hand that carries it."""

    directions = (0.3, -0.3)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        port = folder / "leader"
        command = [sys.executable, "-m", "sim.devices.run", "so101", "--port", str(port), "--seed", "5"]
        self.arm = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.arm.stdout.readline().startswith("ready so101")
        self.flags = ("--teleop.port", str(port))

    def order(self, line: str) -> dict:
        self.arm.stdin.write(line + "\n")
        self.arm.stdin.flush()
        return json.loads(self.arm.stdout.readline())

    def take(self, terminal):
        terminal.type(CLUTCH)

    def move(self, terminal, direction, duration_s):
        self.order(f"inject hand {direction}")
        time.sleep(duration_s)
        self.order("inject hand 0")

    def put_down(self):
        self.arm.terminate()
        self.arm.wait(10.0)


class WebHand(Hand):
    """A finger on the page, in a browser without a window, as trusted input."""

    flags = ("--teleop.port", "0")
    directions = (("#stick", 0, 1), ("#stick", 0, -1), ("#height", 0, 1), ("#height", 0, -1), ("#stick", 1, 0))

    def __init__(self, folder: Path) -> None:
        from chromium import center, chromium

        super().__init__(folder)
        self.center, self.closing = center, contextlib.ExitStack()
        context = self.closing.enter_context(chromium()).new_context(has_touch=True)
        self.page = context.new_page()
        self.input = context.new_cdp_session(self.page)

    def reach(self, terminal):
        terminal.until(lambda: terminal.count("open http://") > 0)
        self.page.goto(next(line for line in terminal.lines if line.startswith("open http://")).split()[1])
        self.page.wait_for_function("document.body.dataset.control === 'you'")

    def touch(self, kind: str, *points: dict[str, float]) -> None:
        self.input.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    def move(self, terminal, direction, duration_s):
        selector, right, up = direction
        x, y, half_x, half_y = self.center(self.page, selector)
        self.touch("touchStart", {"x": x + right * half_x, "y": y - up * half_y, "id": 0})
        time.sleep(duration_s)
        self.touch("touchEnd")

    def say(self, terminal, what):
        # "Record" and "Success" say the same; which of them can be pressed depends on what the page knows by now.
        buttons = {RIGHT: "#record, #success", DOWN: "#failure", LEFT: "#re-record", ESCAPE: "#finish", STOP: "#stop"}
        presses, selector = (2, "#reset") if what == RESET else (1, buttons[what])
        script = """(selector) => { const button = [...document.querySelectorAll(selector)].find((one) =>
            !one.disabled && !one.hidden); if (button) button.click(); return Boolean(button) }"""
        for _ in range(presses):
            self.page.wait_for_function(script, arg=selector)

    def put_down(self):
        self.closing.close()


HANDS = {
    "keyboard": KeyboardHand,
    "gamepad": GamepadHand,
    "spacemouse": SpaceMouseHand,
    "leader-arm": LeaderHand,
    "web": WebHand,
}


def record(terminal: Terminal, hand: Hand, episodes: int, moves: int = 3, move_s: float = 0.8) -> int:
    """Record episodes, each of some moves; what a stall aborts is recorded again. Returns how many were."""
    saved, discarded, stopped, taken = 0, 0, 0, -1

    def patient(condition: Callable[[], bool]) -> None:
        """Wait; reset the robot whenever it was stopped, as a person would."""
        nonlocal stopped
        deadline_s = time.monotonic() + 120.0
        while not condition():
            assert time.monotonic() < deadline_s, "\n".join(terminal.lines[-40:])
            if stopped < terminal.count("was stopped:"):
                time.sleep(1.0)  # nobody reacts faster, and what comes at once was meant for the aborted episode
                stopped = terminal.count("was stopped:")
                hand.say(terminal, RESET)
                hand.say(terminal, RIGHT)
            with contextlib.suppress(AssertionError):
                terminal.until(condition, 0.5)
            assert terminal.process.poll() is None or condition(), "\n".join(terminal.lines[-40:])

    def ended() -> int:
        return terminal.count(" saved (") + terminal.count("episode discarded")

    hand.reach(terminal)
    while saved < episodes:
        patient(lambda: terminal.count(" begins") > ended())
        begun = terminal.count(" begins")
        if taken < stopped:  # at the beginning, and after every stop
            hand.take(terminal)
            taken = stopped
        for number in range(moves):
            hand.move(terminal, hand.directions[(2 * saved + number) % len(hand.directions)], move_s)
        if ended() < begun:
            hand.say(terminal, RIGHT if saved % 2 == 0 else DOWN)
        patient(functools.partial(lambda number: ended() >= number, begun))
        saved = terminal.count(" saved (")
        if terminal.count("episode discarded") > discarded:  # "success" may have come too late for the discarded one
            discarded = terminal.count("episode discarded")
            time.sleep(1.0)
        if saved < episodes and stopped == terminal.count("was stopped:") and terminal.count(" begins") == ended():
            hand.say(terminal, RIGHT)
    return terminal.count("episode discarded")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("robot")
    parser.add_argument("device", choices=sorted(HANDS))
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--replays", type=int, default=None, help="how many episodes are replayed; default: all")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--address", default="", help="of the virtual robot, such as port=/tmp/arm")
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1]))  # where the browser's helper is
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    address = [f"--{options.address}"] if options.address else []
    hand = HANDS[options.device](folder)
    dataset = folder / "dataset"
    terminal = Terminal(
        *("record", options.robot, "--virtual", *address, "--teleop.type", options.device, *hand.flags),
        *("--dataset.root", str(dataset), "--dataset.num_episodes", str(options.episodes), "--json"),
    )
    try:
        aborted = record(terminal, hand, options.episodes)
        status = terminal.wait()
        reports = [line for line in terminal.lines if " saved (" in line]
    finally:
        terminal.close()
        hand.put_down()
    print("\n".join(reports))
    figures = {
        "device": options.device,
        "robot": options.robot,
        "status": status,
        "aborted": aborted,
        **terminal.result(),
    }
    check = subprocess.run([*COMMAND, "data", "check", str(dataset)], capture_output=True, text=True, check=False)
    figures["check"] = check.returncode
    print(check.stdout, json.dumps(figures), flush=True)
    within = 0
    wanted = options.episodes if options.replays is None else options.replays
    for episode in range(wanted):
        command = [*COMMAND, "replay", str(dataset), "--virtual", *address, "--episode", str(episode), "--json"]
        for attempt in range(4):  # noqa: B007  (a stall of the machine stops the robot, and with it the replay)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            result = json.loads(done.stdout.splitlines()[-1])
            if result["status"] == 0 and result["compared"] >= 0.9 * result["steps"]:
                break
        shown = {key: result[key] for key in ("episode", "rms_rad", "max_rad", "compared", "within_tolerance")}
        print(json.dumps({**shown, "broken_off": attempt}), flush=True)
        within += done.returncode == 0
    return 0 if status == 0 and check.returncode == 0 and within == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
