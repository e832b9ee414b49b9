"""The Go2's messages as cyclonedds types, made when first needed: the package is optional.

Eight-bit fields are octets (`types.byte`), never `types.uint8`. The bytes on the network are the same, but cyclonedds
11 announces uint8 as a kind of type that Cyclone DDS 0.10 does not know; such a peer, and the Go2 is one, then crashes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from hardware.errors import MissingExtraError
from hardware.go2.fields import LOW_CMD, LOW_STATE, Message


class Types(NamedTuple):
    """The four types on the network; of the low-level ones each sample is its serialised bytes, `payload`."""

    low_cmd: Any
    low_state: Any
    request: Any
    response: Any


class Serialised:
    """A sample whose bytes are made and read elsewhere: cyclonedds's own conversion takes 50 times as long."""

    payload = b""

    def serialize(self, buffer: Any = None, endianness: Any = None, use_version_2: bool | None = None) -> bytes:
        """What cyclonedds calls to write."""
        return self.payload

    @classmethod
    def deserialize(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Serialised:
        """What cyclonedds calls to read."""
        sample = cls()
        sample.payload = data
        return sample

    @classmethod
    def deserialize_key(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Serialised:
        """What cyclonedds calls when a writer has gone."""
        return cls()


def require_cyclonedds() -> Any:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import cyclonedds.idl
        import cyclonedds.idl.annotations
        import cyclonedds.idl.types
    except ImportError as error:
        raise MissingExtraError("cyclonedds", "go2", "a Go2") from error
    return cyclonedds


@cache
def types() -> Types:
    """All types.

    Raises:
        MissingExtraError: cyclonedds is not installed.
    """
    t = require_cyclonedds().idl.types
    identity = {"id": t.int64, "api_id": t.int64}
    request_header = {
        "identity": _struct("api", "RequestIdentity_", identity),
        "lease": _struct("api", "RequestLease_", {"id": t.int64}),
        "policy": _struct("api", "RequestPolicy_", {"priority": t.int32, "noreply": bool}),
    }
    response_header = {
        "identity": _struct("api", "RequestIdentity_", identity),
        "status": _struct("api", "ResponseStatus_", {"code": t.int32}),
    }
    header, answer = (
        _struct("api", "RequestHeader_", request_header),
        _struct("api", "ResponseHeader_", response_header),
    )
    return Types(
        idl_type(LOW_CMD, serialised=True),
        idl_type(LOW_STATE, serialised=True),
        _struct("api", "Request_", {"header": header, "parameter": str, "binary": t.sequence[t.byte]}),
        _struct("api", "Response_", {"header": answer, "data": str, "binary": t.sequence[t.byte]}),
    )


def idl_type(message: Message, *, serialised: bool = False) -> Any:
    """`message` as a cyclonedds type: of its serialised bytes, or a dataclass of its fields."""
    t = require_cyclonedds().idl.types
    codes = {"b": t.byte, "h": t.int16, "H": t.uint16, "i": t.int32, "I": t.uint32, "f": t.float32}
    fields = {}
    for name, kind, count in message.fields:
        one = codes[kind] if isinstance(kind, str) else idl_type(kind)
        fields[name] = t.array[one, count] if count > 1 else one
    return _struct("go", message.name, fields, serialised=serialised)


def domain_settings(interface: str) -> str:
    """Cyclone DDS's configuration: this interface and no other; on loopback, without multicast, peers by address."""
    loopback = "<Peers><Peer Address='127.0.0.1'/></Peers>"
    return (
        "<CycloneDDS><Domain Id='any'>"
        f"<General><Interfaces><NetworkInterface name={quoteattr(interface)}/></Interfaces>"
        f"{'<AllowMulticast>false</AllowMulticast>' if interface == 'lo' else ''}</General>"
        f"<Discovery><ParticipantIndex>auto</ParticipantIndex>{loopback if interface == 'lo' else ''}</Discovery>"
        "</Domain></CycloneDDS>"
    )


def _struct(room: str, name: str, fields: dict[str, Any], *, serialised: bool = False) -> Any:
    idl = require_cyclonedds().idl
    made = idl.make_idl_struct(
        name,
        f"unitree_{room}.msg.dds_.{name}",
        fields,
        dataclassify=not serialised,
    )
    if serialised:  # copied, not inherited: a base class would become part of the type on the network
        for attribute in ("payload", "serialize", "deserialize", "deserialize_key"):
            setattr(made, attribute, vars(Serialised)[attribute])
    return idl.annotations.final(idl.annotations.autoid("sequential")(made))
