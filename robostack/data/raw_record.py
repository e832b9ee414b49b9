"""The raw record: ROS messages as they came, in MCAP, readable by Foxglove, rosbags and ROS."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hardware.errors import DatasetError, MissingExtraError
from robostack.data.durable import clear_os_errors, durable_file
from robostack.data.ros_types import definition_of

FLUSH_S = 0.5
"""The file is brought up to date this often [s]: what a kill can lose."""
CHUNK_BYTES = 1024 * 1024


class RawRecorder:
    """Writes ROS messages, already serialised, into an MCAP file.

    Messages go into compressed chunks; threads close the chunk and wait for the disk twice a second, so that a
    kill or a power cut loses less than a second. `recover_record` makes a file that was cut off whole again.
    Thread-safe.

    Args:
        path: the file; must not exist.
        flush_s: how often the file is brought up to date [s].

    Raises:
        DatasetError: the file exists, or cannot be written.
    """

    def __init__(self, path: Path, flush_s: float = FLUSH_S) -> None:
        mcap = _require_mcap()
        self.path = Path(path)
        if self.path.exists():
            raise DatasetError(f"{self.path} exists. Choose another name, or remove it.")
        with clear_os_errors("the raw record was not opened", self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        self._writer: Any = mcap.Writer(self._file, chunk_size=CHUNK_BYTES)
        self._writer.start(profile="ros2", library="robostack")
        self._channels: dict[str, tuple[int, str]] = {}
        self._schemas: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._error: OSError | None = None
        self._closing = threading.Event()
        self._flush_s = flush_s
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=f"{step.__name__} {self.path.name}", daemon=True)
            for step in (self._flush, self._sync)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """Topic -> messages written."""
        with self._lock:
            return dict(self._counts)

    def write(
        self,
        topic: str,
        type_name: str,
        data: bytes,
        log_time_ns: int,
        publish_time_ns: int | None = None,
        definition: str | None = None,
    ) -> None:
        """Record one message.

        Args:
            topic: name of the topic.
            type_name: "sensor_msgs/msg/JointState".
            data: the message in CDR, as ROS hands it out.
            log_time_ns: time of arrival, since the epoch [ns].
            publish_time_ns: time of sending [ns]; by default that of arrival.
            definition: text of the type with all it is made of; only for a type that is no standard one.

        Raises:
            DatasetError: the disk is full, the recorder is closed, or the topic has another type.
        """
        with self._lock, clear_os_errors("a message was not recorded", self.path):
            if self._error is not None:
                raise self._error
            if self._closing.is_set():
                raise DatasetError(f"{self.path} is closed")
            channel = self._channel(topic, type_name, definition)
            count = self._counts[topic]
            sent = log_time_ns if publish_time_ns is None else publish_time_ns
            self._writer.add_message(channel, log_time_ns, bytes(data), sent, sequence=count)
            self._counts[topic] = count + 1

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Record what holds for the whole file (the contract, the robot's name).

        Raises:
            DatasetError: the disk is full.
        """
        with self._lock, clear_os_errors("metadata was not recorded", self.path):
            self._writer.add_metadata(name, dict(values))

    def close(self) -> None:
        """Write the index and close the file. Idempotent.

        Raises:
            DatasetError: the disk is full; the messages up to then can be had with `recover_record`.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        for thread in self._threads:
            thread.join()
        with self._lock, clear_os_errors(f"{self.path} has no index", self.path):
            try:
                self._writer.finish()
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                with contextlib.suppress(OSError):  # after a failed write, closing tries the same bytes again
                    self._file.close()

    def __enter__(self) -> RawRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _channel(self, topic: str, type_name: str, definition: str | None) -> int:
        known = self._channels.get(topic)
        if known is not None:
            if known[1] != type_name:
                raise DatasetError(f"topic '{topic}' is recorded as {known[1]}, now it brings {type_name}")
            return known[0]
        if type_name not in self._schemas:
            text = definition_of(type_name) if definition is None else definition
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", text.encode())
        channel = int(self._writer.register_channel(topic, "cdr", self._schemas[type_name]))
        self._channels[topic] = (channel, type_name)
        self._counts[topic] = 0
        return channel

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._closing.wait(self._flush_s):
            try:
                step()
            except OSError as error:
                self._error = error
                return

    def _flush(self) -> None:
        """Hand what there is to the kernel, which keeps it if this process is killed."""
        with self._lock:
            self._writer.flush()

    def _sync(self) -> None:
        """Wait until it is on the disk; in a thread of its own, because a slow disk should hold up nothing."""
        os.fsync(self._file.fileno())


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message of a raw record."""

    topic: str
    type_name: str
    data: bytes
    """CDR, with its header."""
    log_time_ns: int
    publish_time_ns: int
    definition: str
    """Text of its type."""


@dataclass(slots=True)
class RecordEnd:
    """How reading a raw record ended."""

    whole: bool = False
    """Whether the file has its end; else it was cut off."""


def read_record(path: Path, end: RecordEnd | None = None) -> Iterator[RawMessage]:
    """Messages of an MCAP file in the order in which they were written, also of one that was cut off.

    Args:
        path: the file.
        end: is told whether the file was whole.

    Raises:
        DatasetError: the file is missing or no MCAP file.
    """
    end = end or RecordEnd()
    for record, schema, channel in _records(path, end):
        if schema is not None:
            yield RawMessage(
                topic=channel.topic,
                type_name=schema.name,
                data=record.data,
                log_time_ns=record.log_time,
                publish_time_ns=record.publish_time,
                definition=schema.data.decode(errors="replace"),
            )


def read_metadata(path: Path) -> dict[str, dict[str, str]]:
    """What `add_metadata` recorded.

    Raises:
        DatasetError: the file is missing or no MCAP file.
    """
    return {
        record.name: dict(record.metadata)
        for record, _, channel in _records(path, RecordEnd())
        if channel is None and hasattr(record, "metadata")
    }


def _records(path: Path, end: RecordEnd) -> Iterator[tuple[Any, Any, Any]]:
    """Messages with schema and channel; metadata with None for both."""
    _require_mcap()
    import mcap.exceptions
    import mcap.records
    import mcap.stream_reader
    import zstandard

    damage = (mcap.exceptions.McapError, zstandard.ZstdError, struct.error, zlib.error, ValueError, OverflowError)
    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    try:
        with path.open("rb") as file:
            for record in mcap.stream_reader.StreamReader(file, validate_crcs=True).records:
                if isinstance(record, mcap.records.Schema):
                    schemas[record.id] = record
                elif isinstance(record, mcap.records.Channel):
                    channels[record.id] = record
                elif isinstance(record, mcap.records.Message):
                    channel = channels[record.channel_id]
                    yield record, schemas.get(channel.schema_id), channel
                elif isinstance(record, mcap.records.Metadata):
                    yield record, None, None
                elif isinstance(record, mcap.records.Footer):
                    end.whole = True
    except mcap.exceptions.InvalidMagic as error:
        if not channels:
            raise DatasetError(f"{path} is not an MCAP file") from error
    except damage:
        return  # cut off: what came before is good, each chunk has its own checksum
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def recover_record(path: Path, target: Path) -> int:
    """Copy the messages of a file, cut off or whole, into a new one with an index; returns how many.

    Args:
        path: the file.
        target: the file to write; may be the same, and is replaced at one instant.

    Raises:
        DatasetError: no MCAP file, or it cannot be written.
    """
    with clear_os_errors(f"{target} was not written", target.parent), durable_file(target) as temporary:
        metadata = read_metadata(path)
        with RawRecorder(temporary, flush_s=60.0) as recorder:
            for name, values in metadata.items():
                recorder.add_metadata(name, values)
            for message in read_record(path):
                recorder.write(
                    message.topic,
                    message.type_name,
                    message.data,
                    message.log_time_ns,
                    message.publish_time_ns,
                    message.definition,
                )
        return sum(recorder.counts.values())


def _require_mcap() -> Any:
    try:
        import mcap.writer
    except ImportError as error:
        raise MissingExtraError("mcap", "data", "the raw record") from error
    return mcap.writer
