"""Memory: locked, or a reason; never an error."""

from __future__ import annotations

import ctypes
import errno
import subprocess
import sys

import pytest

from controllers import memory_lock

CHILD = """
import mmap, sys, tempfile
from controllers.memory_lock import lock_memory

def figures():
    rows = (line.split() for line in open("/proc/self/status"))
    return {row[0]: int(row[1]) for row in rows if row[0] in ("VmLck:", "RssFile:")}

with tempfile.TemporaryFile() as file:
    file.truncate(1 << 25)
    mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    before = figures()
    reason = lock_memory()
    after = figures()
print(after["VmLck:"] > 0, reason == "", after["RssFile:"] - before["RssFile:"])
"""


class Library:
    """A C library whose mlockall answers `result`."""

    def __init__(self, number):
        self.number, self.asked, self.read = number, [], []

    def madvise(self, begin, length, advice):
        self.read.append((begin.value, length.value, advice))
        return -1  # an older kernel

    def mlockall(self, flags):
        self.asked.append(flags)
        ctypes.set_errno(self.number)
        return -1 if self.number else 0


def test_a_process_is_in_memory_or_is_told_why_not():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    locked, granted, grown_kib = done.stdout.split()
    assert locked == granted
    if granted == "True":
        assert int(grown_kib) > 0.9 * (1 << 15)  # a file that nobody had read is now there


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, ""), (errno.ENOMEM, "ulimit -l"), (errno.EPERM, "CAP_IPC_LOCK"), (errno.EAGAIN, "not locked")],
)
def test_refusals_say_what_to_do(monkeypatch, tmp_path, number, words):
    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f10 r-xp 00000000 fe:00 123 /usr/lib/libc.so\n"
        "7f10-7f20 rw-p 00000000 fe:00 123 /usr/lib/libc.so\n"
        "7f20-7f30 rw-p 00000000 00:00 0 [heap]\n"
        "7f30-7f40 rw-s 00000000 00:01 77 /dev/shm/fastrtps\n"
        "7f40-7f50 ---p 00000000 fe:00 123 /usr/lib/libc.so\n"
    )
    library = Library(number)
    monkeypatch.setattr(memory_lock, "MAPS", maps)
    monkeypatch.setattr(memory_lock.ctypes, "CDLL", lambda *_, **__: library)
    reason = memory_lock.lock_memory()
    assert words in reason and bool(reason) == bool(number)
    # Private mappings of files, and nothing else, are read; what comes later is locked as well.
    assert library.read == [(0x7F00, 0x10, 22), (0x7F10, 0x10, 22)] and library.asked == [7]


def test_a_system_without_it_is_no_error(monkeypatch):
    monkeypatch.setattr(memory_lock, "MAPS", memory_lock.Path("/nowhere/maps"))
    assert "cannot keep a process in memory" in memory_lock.lock_memory()
