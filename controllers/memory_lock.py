"""Keeps a process in memory: a control loop must not wait for a disk.

The system drops pages of programs and libraries that were not used for a while, and reads them again when they are; the
code that stops a robot is such code. Pages of the process's own data that nothing has touched yet are not made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from pathlib import Path

MAPS = Path("/proc/self/maps")
_ROW = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r..p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9][0-9]* ")
"""A readable private mapping of a file: address range, permissions, offset, device, inode."""
_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4
"""MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT of mlockall(2)."""
_POPULATE_READ = 22
"""MADV_POPULATE_READ of madvise(2), Linux 5.14 and later."""


def lock_memory() -> str:
    """Read what is mapped of programs and libraries, and keep it and everything used from now on in memory.

    Returns:
        Why it had no effect, in words that say what to do; empty where it had. It never raises.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        ranges = [(int(begin, 16), int(end, 16)) for begin, end in _ROW.findall(MAPS.read_text())]
        for begin, end in ranges:
            # Where the kernel is older, pages come in when they are first used, and then stay.
            library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _POPULATE_READ)
        if library.mlockall(_CURRENT | _FUTURE | _ON_FAULT) == 0:
            return ""
        number = ctypes.get_errno()
    except (OSError, AttributeError, ValueError) as error:
        return f"this operating system cannot keep a process in memory ({error})"
    if number in (errno.EPERM, errno.ENOMEM):
        return (
            "memory is not locked; allow it with 'ulimit -l unlimited', a memlock line in /etc/security/limits.conf, "
            "or CAP_IPC_LOCK"
        )
    return f"memory is not locked: {os.strerror(number)}"
