"""The URScript compiler and the programs it makes, run cycle by cycle in a controller without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.devices.ur5e.config import VirtualUR5eConfig
from sim.devices.ur5e.controller import Controller, RuntimeState
from sim.devices.ur5e.urscript import ScriptError, parse


@pytest.fixture(scope="module")
def shared():
    return Controller(VirtualUR5eConfig(preset="nominal"))


@pytest.fixture
def controller(shared):
    shared.stop_program()
    shared.errors.clear()
    shared.outputs.ints[:] = [0] * 48
    shared.outputs.doubles[:] = [0.0] * 48
    shared.cycle()
    while not shared.motion.still:
        shared.cycle()
    return shared


def run(controller, body, cycles=1):
    """Run `body` inside `def test(): ... end` for at most `cycles`; the number of cycles it took."""
    controller.start_program(f"def test():\n{body}\nend\n")
    for count in range(1, cycles + 1):
        controller.cycle()
        if controller.runtime_state is not RuntimeState.PLAYING:
            return count
    return None


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 % 4 - 2", 1),
        ("1 / 2", 0.5),
        ("-2 - -3", 1),
        ("10 - 3 - 2", 5),
        ("1.5e1", 15),
        ("norm([3, 4])", 5),
        ("norm(-2.5)", 2.5),
        ("[1, [2, 3]][1][0]", 2),
        ("p[1, 2, 3, 0, 0, 9][5]", 9),
        ("pow(2, 3) + sqrt(16) + floor(1.7)", 13),
        ("r2d(d2r(30))", 30),
        ("length([1,2,3])", 3),
    ],
)
def test_expressions(controller, expression, value):
    assert run(controller, f"write_output_float_register(0, {expression})") == 1
    assert controller.outputs.doubles[0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("1 < 2 and not 2 < 1", True),
        ("True and False or True", True),
        ("True xor True", False),
        ("not (1 == 1)", False),
        ("1 != 2", True),
        ("[1, 2] == [1, 2]", True),
        ("2 >= 2 and 2 <= 2 and 3 > 2", True),
    ],
)
def test_conditions(controller, condition, value):
    assert run(controller, f"write_output_boolean_register(0, {condition})") == 1
    assert controller.outputs.bits[0] is value


def test_control_flow(controller):
    body = """
  i = 0
  total = 0
  while True:
    i = i + 1  # a comment with "quotes" and end
    if i == 3:
      continue
    elif i > 6:
      break
    else:
      total = total + i
    end
  end
  write_output_integer_register(0, total)
"""
    assert run(controller, body) == 1
    assert controller.outputs.ints[0] == 1 + 2 + 4 + 5 + 6


def test_functions_globals_and_lists_by_value(controller):
    body = """
  global count = 10
  local here = [1, 2, 3]
  def grow(by, values):
    count = count + by
    values[0] = 99
    return values[0] + by
  end
  def recurse(n):
    if n == 0:
      return 0
    end
    return n + recurse(n - 1)
  end
  write_output_integer_register(0, grow(5, here) + 1)
  write_output_integer_register(1, count)
  copy = here
  copy[1] = 50
  write_output_integer_register(2, here[0] + here[1]); write_output_integer_register(3, recurse(4))
  write_output_integer_register(4, grow(values=here, by=1))
"""
    assert run(controller, body) == 1
    assert list(controller.outputs.ints[:5]) == [105, 15, 3, 10, 100]


def test_threads_run_beside_the_main_program(controller):
    body = """
  global ticks = 0
  thread clock():
    while True:
      ticks = ticks + 1
      sync()
    end
  end
  thread short():
    sleep(0.01)
  end
  handle = run clock()
  join run short()
  kill handle
  before = ticks
  sleep(0.01)
  write_output_integer_register(0, before)
  write_output_integer_register(1, ticks - before)
"""
    assert run(controller, body, 50) is not None
    assert controller.outputs.ints[0] >= 4
    assert controller.outputs.ints[1] == 0


@pytest.mark.parametrize(
    ("statement", "cycles"),
    [
        ("x = 1", 1),
        ("sync()", 2),
        ("sync()\nsync()", 3),
        ("sleep(0.01)", 6),
        ("servoj(get_target_joint_positions(), t=0.008, lookahead_time=0.1, gain=300)", 5),
        ("speedj([0,0,0,0,0,0], 1.0, 0.02)", 11),
        ("stopj(2)", 2),
        ("halt\nsync()", 1),
    ],
)
def test_cycles_consumed(controller, statement, cycles):
    assert run(controller, statement, 100) == cycles


def test_servoj_lags_by_the_lookahead(controller):
    start = float(controller.motion.position[5])
    body = """
  q = get_target_joint_positions()
  while True:
    q[5] = q[5] + 0.0004
    servoj(q, 0, 0, 0.002, lookahead_time=0.05, gain=2000)
  end
"""
    assert run(controller, body, 400) is None
    lag = start + 400 * 0.0004 - float(controller.motion.position[5])
    assert lag / 0.2 == pytest.approx(0.05, abs=0.004)  # [rad] / [rad/s]
    assert controller.motion.velocity[5] == pytest.approx(0.2, rel=1e-3)


def test_movej_is_trapezoidal_and_arrives(controller):
    start = controller.motion.position.copy()
    body = "q = get_target_joint_positions()\nq[5] = q[5] + 0.5\nmovej(q, a=2.0, v=0.5)"
    cycles = run(controller, body, 1000)
    # Ramps of v/a = 0.25 s around a cruise: way / v + v / a = 1.25 s.
    assert cycles * 0.002 == pytest.approx(1.25, abs=0.01)
    assert controller.motion.position[5] - start[5] == pytest.approx(0.5, abs=1e-6)


def test_movej_goes_on_after_a_pause(controller):
    goal = float(controller.motion.position[5]) + 0.3
    run(controller, "q = get_target_joint_positions()\nq[5] = q[5] + 0.3\nmovej(q, a=2.0, v=0.5)", 100)
    assert controller.pause_program()
    for _ in range(200):
        controller.cycle()
    assert controller.motion.still
    assert controller.motion.position[5] < goal - 0.05
    assert controller.play()
    for _ in range(600):
        controller.cycle()
    assert controller.motion.position[5] == pytest.approx(goal, abs=1e-6)
    assert controller.runtime_state is RuntimeState.STOPPED


def test_speedj_ramps_and_the_end_of_the_program_stops_the_arm(controller):
    assert run(controller, "speedj([0,0,0,0,0,0.5], 1.0)", 1000) == pytest.approx(0.5 / 1.0 / 0.002, abs=3)
    assert controller.motion.velocity[5] == pytest.approx(0.5, abs=0.05)
    for _ in range(200):
        controller.cycle()
    assert controller.motion.still


def test_textmsg_is_logged(controller):
    run(controller, 'textmsg("value ", 3)')
    assert controller.messages[-1].endswith("value  3")


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1 +", 2, "expected a value"),
        ("x = (1", 3, "expected"),
        ("while True\nend", 2, "':'"),
        ("if True:\nx = 1", 5, "'end'"),
        ("x = 1\ny = nosuch(1)", 3, "'nosuch' is not known"),
        ("x @ 1", 2, "unexpected character '@'"),
        ("break", 2, "outside a loop"),
        ("1 = x", 2, "assigned"),
        ("x = 1 2", 2, "unexpected '2'"),
        ("run 5", 2, "'run'"),
        ("sec x():\nend", 2, "secondary"),
        ("x = " + "(" * 3000, 0, "cannot be read"),
        ("def f(a, a):\nend", 2, "duplicate argument 'a'"),
    ],
)
def test_refused_scripts_say_the_line(controller, body, line, message):
    assert not controller.start_program(f"def test():\n{body}\nend\n")
    assert f"line {line}" in controller.errors[-1]
    assert message in controller.errors[-1]
    assert controller.runtime_state is RuntimeState.STOPPED


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\nif x:\nend", 3, "condition must be True or False"),
        ("x = 1 / 0", 2, "division by zero"),
        ("y = x", 2, "'x' has no value"),
        ("x = [1]\ny = x[3]", 3, "out of range"),
        ("x = [1]\ny = x[-1]", 3, "index"),
        ("x = [1] + [2]", 2, "cannot be added"),
        ("write_output_integer_register(48, 1)", 2, "out of range"),
        ("servoj([1,2,3], t=0.002, lookahead_time=0.1, gain=300)", 2, "6 joint values"),
        ("servoj([0,0,0,0,0,0], t=0.002, lookahead_time=0.5, gain=300)", 2, "lookahead_time"),
        ("movej([0,0,0,0,0,0], a=-1)", 2, "movej"),
        ("stopj(sqrt)", 2, "no value"),
        ("while True:\nend", 2, "infinite loop"),
        ("sync(1)", 2, "argument"),
    ],
)
def test_failing_scripts_end_with_the_line(controller, body, line, message):
    run(controller, body, 3)
    assert controller.runtime_state is RuntimeState.STOPPED
    assert f"line {line}" in controller.errors[-1]
    assert message in controller.errors[-1]


def test_non_finite_targets_are_refused(controller):
    controller.inputs.doubles[0] = float("nan")
    run(controller, "x = read_input_float_register(0)\nservoj([x,0,0,0,0,0], t=0.002, lookahead_time=0.1, gain=300)")
    assert "finite" in controller.errors[-1]
    run(controller, "speedj([0,0,0,0,0,0], read_input_float_register(0), 1.0)")
    assert "finite" in controller.errors[-1]
    controller.inputs.doubles[0] = 0.0


@pytest.mark.parametrize("name", ["__import__", "open", "eval", "__builtins__", "copy", "b_copy", "u_x"])
def test_a_script_reaches_nothing_of_python(controller, name):
    assert not controller.start_program(f'def test():\n  {name}("x")\nend\n')
    assert run(controller, f"x = {name}") == 1
    assert "no value" in controller.errors[-1]


WORDS = (
    "def f(x):", "f(x)", "thread t():", "run t()", "while True:", "while x < 3:", "if x == 1:", "elif True:", "else:",
    "end", "break", "continue", "halt", "return x", "return", "global x = 1", "local y = x", "x = [1, 2]", "x[0] = 3",
    "x = x + 1", "p[1,2,3,4,5,6]", "sync()", "not x", "(", ")", "]", "=", "x", "f = 2", "t(1, x=2)", "kill x", '"text"',
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["\n", " "]))
@settings(max_examples=300, deadline=None)
def test_any_text_is_run_or_refused_and_never_breaks_the_controller(shared, words, separator):
    if shared.start_program(f"def test():\n{separator.join(words)}\nend\n"):
        shared.cycle()
        shared.cycle()
    shared.stop_program()


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_characters_are_refused_or_run(shared, text):
    shared.start_program(text)
    shared.cycle()
    shared.stop_program()


def test_parse_gives_the_name_of_the_program():
    assert parse("def hello():\nend\n", (), ())[0] == "hello"
    with pytest.raises(ScriptError, match="line 1"):
        parse("end\n", (), ())


def test_watchdog_stops_a_program_whose_client_is_silent(controller):
    body = 'rtde_set_watchdog("input_int_register_24", 20, "stop")\nwhile True:\n  sync()\nend'
    assert run(controller, body, 10) is None
    for _ in range(10):
        controller.inputs.written_s["input_int_register_24"] = controller.time_s
        controller.cycle()
    assert controller.runtime_state is RuntimeState.PLAYING
    for _ in range(27):
        controller.cycle()
    assert controller.runtime_state is RuntimeState.STOPPED
    assert "watchdog" in controller.errors[-1]
