"""The Fast DDS profile: which file, how a process is told to use it, and whether it really does.

Fast DDS only logs a line when the file is missing and then comes up with its defaults, bound to every interface and
with a shared-memory segment smaller than one camera frame. So the sockets are looked at once the node exists.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from hardware.errors import UnknownNameError

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Jazzy reads only the first, Kilted the second; both are set."""
LAN_ADDRESS_VARIABLE = "ROBOSTACK_LAN_ADDRESS"
"""Address of this machine on the robot's network, put into `robot_lan.xml` by Fast DDS itself."""
_FOLDER = Path(__file__).parent / "profiles"


def profile_path(name: str) -> Path:
    """Path of the profile called `name`: "loopback" or "robot_lan".

    Raises:
        UnknownNameError: there is no such profile.
    """
    path = _FOLDER / f"{name}.xml"
    if not path.is_file():
        raise UnknownNameError("Fast DDS profile", name, (file.stem for file in _FOLDER.glob("*.xml")))
    return path


def profile_environment(lan_address: str = "") -> dict[str, str]:
    """Environment variables that put a process on loopback, or on the network of `lan_address` if one is given."""
    path = str(profile_path("robot_lan" if lan_address else "loopback"))
    environment = dict.fromkeys(PROFILE_VARIABLES, path)
    # LOCALHOST would still bind data sockets to every interface; the profile's list of addresses does not.
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    if lan_address:
        environment[LAN_ADDRESS_VARIABLE] = lan_address
    return environment


def profile_in_use(environment: Mapping[str, str], bound: list[str]) -> str:
    """What is wrong with the profile, "" if nothing is.

    Args:
        environment: of the process.
        bound: local addresses of the UDP sockets of the process (`udp_addresses()`).
    """
    chosen = next((environment[name] for name in PROFILE_VARIABLES if environment.get(name)), "")
    if not chosen:
        return ""
    if not Path(chosen).is_file():
        return f"{PROFILE_VARIABLES[0]} names {chosen}, which does not exist"
    if "0.0.0.0" in bound:
        return f"{chosen} was not applied: this process listens on every network interface"
    return ""


def udp_addresses() -> list[str]:
    """Local IPv4 addresses of the UDP sockets of this process (Linux)."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)  # noqa: PTH115  (Path.readlink cannot express "socket:[1]" as a path)
        except OSError:  # closed since the folder was listed
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    addresses = []
    for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            addresses.append(socket.inet_ntoa(struct.pack("<I", int(fields[1].split(":")[0], 16))))
    return addresses
