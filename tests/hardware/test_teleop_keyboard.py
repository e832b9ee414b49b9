"""The keyboard of a terminal, driven through a pseudo terminal; keys are the byte sequences that terminals send."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceNotConnectedError
from hardware.teleoperation.keyboard import DIRECTIONS, EVENTS, GRIPPER, SPEED, Keyboard, KeyboardConfig
from hardware.teleoperation.keys import ESCAPE_WAIT_S, KeyDecoder
from hardware.teleoperator import OperatorEvent


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"w", ["w"]),
        (b"Ws", ["w", "s"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1bOC", ["right"]),  # application mode
        (b"\x1b[1;5C\x1b[15~w", ["w"]),  # Ctrl with an arrow, F5: read to their end, not taken for letters
        (b"\x1b\x1b[C", ["esc", "right"]),
        (b"\x1bx", []),  # Alt with a key
        (b" \r\t\x7f", ["space", "enter", "tab", "backspace"]),
        (b"\x01", []),
    ],
)
def test_bytes_become_keys(data, keys):
    assert KeyDecoder().feed(data, 0.0) == keys


def test_a_sequence_in_two_parts_is_one_key_and_a_lone_escape_waits():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b", 1.0) == []
    assert decoder.feed(b"[C", 1.0 + 0.5 * ESCAPE_WAIT_S) == ["right"]
    assert decoder.feed(b"\x1b", 2.0) == []
    assert decoder.feed(b"", 2.0 + 0.9 * ESCAPE_WAIT_S) == []
    assert decoder.feed(b"", 2.0 + 1.1 * ESCAPE_WAIT_S) == ["esc"]


def test_no_key_means_two_things():
    groups = [set(DIRECTIONS), set(GRIPPER), set(SPEED), set(EVENTS)]
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.fixture
def terminal():
    master, slave = os.openpty()
    yield master, os.ttyname(slave), slave
    for descriptor in (master, slave):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def keyboard(terminal):
    clock = VirtualClock(10.0)
    keyboard = Keyboard(KeyboardConfig(terminal=terminal[1]), clock)
    keyboard.connect()
    yield keyboard, clock, terminal[0]
    keyboard.disconnect()


def test_a_held_key_moves_and_its_silence_ends_the_motion(keyboard):
    device, clock, master = keyboard
    assert not device.read().enabled
    os.write(master, b"w")
    command = device.read()
    assert command.enabled
    np.testing.assert_allclose(command.tool_linear_velocity, [0.1, 0.0, 0.0])
    clock.advance(0.29)
    assert device.read().enabled
    clock.advance(0.02)
    command = device.read()
    assert not command.enabled
    assert not command.tool_linear_velocity.any()
    assert (command.capture_time_s, command.sequence) == (clock.now(), 4)


def test_opposite_keys_cancel_and_turning_gripper_and_speed_are_keys_too(keyboard):
    device, clock, master = keyboard
    os.write(master, b"adjv")
    command = device.read()
    assert command.tool_linear_velocity[1] == 0.0
    np.testing.assert_allclose(command.tool_angular_velocity, [0.0, 0.0, 0.5])
    assert command.gripper == 0.0
    clock.advance(1.0)
    os.write(master, b"+wb")
    command = device.read()
    np.testing.assert_allclose(command.tool_linear_velocity, [0.125, 0.0, 0.0])
    assert command.gripper == 1.0
    os.write(master, b"-" * 50)
    device.read()
    assert device.factor == pytest.approx(0.1)


def test_what_the_operator_says_comes_once_and_in_order(keyboard):
    device, clock, master = keyboard
    os.write(master, b"\x1b[C\x1b[B\x1b[D \r\t")
    assert device.read().events == (
        OperatorEvent.SUCCESS,
        OperatorEvent.FAILURE,
        OperatorEvent.RERECORD,
        OperatorEvent.STOP,
        OperatorEvent.RESET,
        OperatorEvent.CLUTCH,
    )
    os.write(master, b"\x1b")
    assert device.read().events == ()
    clock.advance(0.1)
    assert device.read().events == (OperatorEvent.FINISH,)
    assert device.read().events == ()


def test_beside_another_device_keys_only_speak(terminal):
    keyboard = Keyboard(KeyboardConfig(terminal=terminal[1], motion=False), VirtualClock())
    keyboard.connect()
    os.write(terminal[0], b"wn")
    command = keyboard.read()
    assert (command.enabled, command.events) == (False, (OperatorEvent.SUCCESS,))
    keyboard.disconnect()


def test_the_terminal_gets_its_settings_back(terminal):
    _, path, slave = terminal
    before = termios.tcgetattr(slave)
    keyboard = Keyboard(KeyboardConfig(terminal=path), VirtualClock())
    keyboard.connect()
    assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON)
    assert termios.tcgetattr(slave)[3] & termios.ISIG, "Ctrl-C must still interrupt"
    keyboard.disconnect()
    keyboard.disconnect()
    assert termios.tcgetattr(slave) == before


def test_a_terminal_that_hangs_up_is_a_lost_device(keyboard, terminal):
    device, _, master = keyboard
    os.close(terminal[2])
    os.close(master)
    with pytest.raises(DeviceNotConnectedError, match="keyboard"):
        device.read()


def test_what_is_no_terminal_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (str(file), str(tmp_path / "none")):
        with pytest.raises(DeviceNotConnectedError, match="terminal"):
            Keyboard(KeyboardConfig(terminal=path)).connect()
    with pytest.raises(DeviceNotConnectedError, match="connect"):
        Keyboard(KeyboardConfig()).read()
    with pytest.raises(ConfigError, match="hold_s"):
        KeyboardConfig(hold_s=3.0)


PROGRAM = """
import sys, time
from hardware.teleoperation.keyboard import Keyboard, KeyboardConfig
keyboard = Keyboard(KeyboardConfig())
keyboard.connect()
print("open", flush=True)
if sys.argv[1] == "raise":
    raise RuntimeError("a defect")
while True:
    time.sleep(0.01)
    if keyboard.read().events:
        print("again", flush=True)
"""


SHELL = """
import fcntl, os, signal, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for number in (signal.SIGTTOU, signal.SIGINT):  # a job that was started in the background inherits "ignore"
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[2]])

def echo():
    return bool(termios.tcgetattr(0)[3] & termios.ECHO)

while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", echo(), flush=True)
    os.tcsetpgrp(0, child)
    os.kill(child, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
print("ended", os.waitstatus_to_exitcode(status), echo(), flush=True)
"""


def shell(slave: int, what: str) -> subprocess.Popen[str]:
    """A shell with one job in the foreground: only so does Ctrl-Z mean something."""
    command = [sys.executable, "-c", SHELL, PROGRAM, what]
    return subprocess.Popen(
        command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True
    )


def test_an_exception_gives_the_terminal_back(terminal):
    process = shell(terminal[2], "raise")
    assert process.stdout.readline() == "open\n"
    assert process.stdout.readline() == "ended 1 True\n"
    assert process.wait(20.0) == 0


def test_ctrl_z_gives_the_terminal_back_and_going_on_takes_it_again(terminal):
    process = shell(terminal[2], "run")
    try:
        assert process.stdout.readline() == "open\n"
        os.write(terminal[0], b"\x1a")
        assert process.stdout.readline() == "stopped True\n"
        os.write(terminal[0], b"n")
        assert process.stdout.readline() == "again\n"
        assert not termios.tcgetattr(terminal[2])[3] & termios.ECHO
        os.write(terminal[0], b"\x03")
        assert process.stdout.readline() == f"ended {-signal.SIGINT} True\n"
    finally:
        process.kill()
        process.wait(10.0)
