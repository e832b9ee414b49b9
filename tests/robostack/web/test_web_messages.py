"""What a browser may say: valid messages come through whole, everything else is refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ProtocolError
from hardware.teleoperator import OperatorEvent
from robostack.teleoperation.web_page.messages import MESSAGE_BYTES_MAX, Control, Event, Input, Stop, parse

INPUT = {
    "type": "input",
    "sequence": 7,
    "client_time_s": 12.5,
    "seen_s": 3.25,
    "frames": 2,
    "enabled": True,
    "linear": [1, -0.5, 0.0],
    "angular": [0, 0, -1.0],
    "gripper": None,
}


def changed(**fields):
    return json.dumps({**INPUT, **fields})


def test_every_kind_of_message_is_understood():
    expected = Input(7, 12.5, 3.25, 2, True, (1.0, -0.5, 0.0), (0.0, 0.0, -1.0), None)
    assert parse(json.dumps(INPUT)) == expected
    assert parse(changed(gripper=1)).gripper == 1.0
    assert parse('{"type": "control", "take": false}') == Control(take=False)
    assert parse('{"type": "event", "event": "re-record"}') == Event(OperatorEvent.RERECORD)
    assert parse('{"type": "stop"}') == Stop()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 1500, "not JSON"),
        ("[]", "not a JSON object"),
        ('"stop"', "not a JSON object"),
        ("{}", "unknown message type"),
        ('{"type": ["stop"]}', "unknown message type"),
        ('{"type": "stop", "now": true}', "unknown field 'now'"),
        ('{"type": "control"}', "'take' is missing"),
        ('{"type": "control", "take": 1}', "'take' is not true or false"),
        ('{"type": "event", "event": "stop"}', "unknown event"),
        ('{"type": "event", "event": "clutch"}', "unknown event"),
        ('{"type": "event", "event": ["success"]}', "unknown event"),
        ('{"type": "event", "event": "dance"}', "unknown event"),
        (changed(speed=1.0), "unknown field 'speed'"),
        (changed(sequence=-1), "'sequence' is not a count"),
        (changed(sequence=1.0), "'sequence' is not a count"),
        (changed(sequence=True), "'sequence' is not a count"),
        (changed(frames=2**60), "'frames' is not a count"),
        (changed(enabled="yes"), "'enabled' is not true or false"),
        (changed(linear=[0, 0]), "'linear' is not a list of three numbers"),
        (changed(linear={"x": 1}), "'linear' is not a list of three numbers"),
        (changed(linear=[0, 0, 1.0001]), "'linear' is not a number in [-1, 1]"),
        (changed(angular=[0, True, 0]), "'angular' is not a number"),
        (changed(gripper=-0.1), "'gripper' is not a number in [0, 1]"),
        (changed(client_time_s="now"), "'client_time_s' is not a number"),
        (changed(seen_s=float("nan")), "not JSON"),
        (changed(seen_s=0).replace('"seen_s": 0', '"seen_s": 1e999'), "'seen_s' is not a number"),
        (changed(linear=[0, 0, 0]).replace("[0, 0, 0]", "[0, 0, Infinity]"), "not JSON"),
        (" " * (MESSAGE_BYTES_MAX + 1), "longer than"),
    ],
)
def test_what_is_not_in_the_protocol_is_refused_with_a_reason_that_fits_a_close_frame(text, reason):
    with pytest.raises(ProtocolError, match=".") as refused:
        parse(text)
    assert reason in str(refused.value)
    assert len(str(refused.value)) <= 123


@pytest.mark.parametrize("field", [name for name in INPUT if name != "type"])
def test_no_field_of_an_input_may_be_left_out(field):
    with pytest.raises(ProtocolError, match=f"'{field}' is missing"):
        parse(json.dumps({name: value for name, value in INPUT.items() if name != field}))


@given(
    st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
)
def test_whatever_arrives_only_a_protocol_error_leaves(text):
    with pytest.raises(ProtocolError):
        parse(text)


@given(st.dictionaries(st.sampled_from(sorted(INPUT)), st.none() | st.integers() | st.floats() | st.booleans()))
def test_an_input_is_valid_or_refused_whatever_its_fields_hold(fields):
    try:
        message = parse(changed(**fields))
    except ProtocolError:
        return
    assert isinstance(message, Input)
    assert all(-1.0 <= value <= 1.0 for value in (*message.linear, *message.angular))
