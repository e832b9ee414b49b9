"""The types of the virtual Go2's topics, written out for cyclonedds.

Octets are `byte`: peers with Cyclone 0.10 crash at cyclonedds 11's `uint8`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hardware.errors import MissingExtraError
from sim.devices.go2.wire import Bytes


def cyclonedds() -> Any:
    """The package, with what is used of it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import cyclonedds.core
        import cyclonedds.domain
        import cyclonedds.idl.annotations
        import cyclonedds.pub
        import cyclonedds.sub
        import cyclonedds.topic
    except ImportError as error:
        raise MissingExtraError("cyclonedds", "go2", "a virtual Go2") from error
    return cyclonedds


def _type(name: str, fields: dict[str, Any], *, room: str = "go", as_bytes: bool = False) -> Any:
    idl = cyclonedds().idl
    made = idl.make_idl_struct(name, f"unitree_{room}.msg.dds_.{name}", fields, dataclassify=not as_bytes)
    if as_bytes:
        for attribute in ("data", "serialize", "deserialize", "deserialize_key"):
            setattr(made, attribute, vars(Bytes)[attribute])
    return idl.annotations.final(idl.annotations.autoid("sequential")(made))


@cache
def low_level() -> tuple[Any, Any]:
    """LowCmd_ and LowState_, as bytes."""
    t = cyclonedds().idl.types
    b, f, i16, u16, u32 = t.byte, t.float32, t.int16, t.uint16, t.uint32
    three = t.array[f, 3]
    header = {"head": t.array[b, 2], "level_flag": b, "frame_reserve": b, "sn": t.array[u32, 2]}
    header |= {"version": t.array[u32, 2], "bandwidth": u16}
    motor_cmd = {"mode": b, "q": f, "dq": f, "tau": f, "kp": f, "kd": f, "reserve": t.array[u32, 3]}
    motor_state = {"mode": b, "q": f, "dq": f, "ddq": f, "tau_est": f, "q_raw": f, "dq_raw": f, "ddq_raw": f}
    motor_state |= {"temperature": b, "lost": u32, "reserve": t.array[u32, 2]}
    imu = {"quaternion": t.array[f, 4], "gyroscope": three, "accelerometer": three, "rpy": three, "temperature": b}
    bms = {"version_high": b, "version_low": b, "status": b, "soc": b, "current": t.int32, "cycle": u16}
    bms |= {"bq_ntc": t.array[b, 2], "mcu_ntc": t.array[b, 2], "cell_vol": t.array[u16, 15]}
    command = header | {
        "motor_cmd": t.array[_type("MotorCmd_", motor_cmd), 20],
        "bms_cmd": _type("BmsCmd_", {"off": b, "reserve": t.array[b, 3]}),
        "wireless_remote": t.array[b, 40],
        "led": t.array[b, 12],
        "fan": t.array[b, 2],
        "gpio": b,
        "reserve": u32,
        "crc": u32,
    }
    state = header | {
        "imu_state": _type("IMUState_", imu),
        "motor_state": t.array[_type("MotorState_", motor_state), 20],
        "bms_state": _type("BmsState_", bms),
        "foot_force": t.array[i16, 4],
        "foot_force_est": t.array[i16, 4],
        "tick": u32,
        "wireless_remote": t.array[b, 40],
        "bit_flag": b,
        "adc_reel": f,
        "temperature_ntc1": b,
        "temperature_ntc2": b,
        "power_v": f,
        "power_a": f,
        "fan_frequency": t.array[u16, 4],
        "reserve": u32,
        "crc": u32,
    }
    return _type("LowCmd_", command, as_bytes=True), _type("LowState_", state, as_bytes=True)


@cache
def service() -> tuple[Any, Any, Any, Any]:
    """Request_, Response_, ResponseHeader_ and ResponseStatus_ of the motion switcher."""
    t = cyclonedds().idl.types
    identity = _type("RequestIdentity_", {"id": t.int64, "api_id": t.int64}, room="api")
    lease = _type("RequestLease_", {"id": t.int64}, room="api")
    policy = _type("RequestPolicy_", {"priority": t.int32, "noreply": bool}, room="api")
    status = _type("ResponseStatus_", {"code": t.int32}, room="api")
    asked = _type("RequestHeader_", {"identity": identity, "lease": lease, "policy": policy}, room="api")
    answered = _type("ResponseHeader_", {"identity": identity, "status": status}, room="api")
    octets = t.sequence[t.byte]
    request = _type("Request_", {"header": asked, "parameter": str, "binary": octets}, room="api")
    response = _type("Response_", {"header": answered, "data": str, "binary": octets}, room="api")
    return request, response, answered, status
