"""The keys of an actor and its learner: one folder per side, made once, without which there is no connection.

    FOLDER/learner/learner.secret       stays on the learner's machine
    FOLDER/learner/robots/robot.public  who may connect; one file per robot
    FOLDER/robot/robot.secret           is copied to the robot
    FOLDER/robot/learner.public         whom the robot speaks to

Each file is JSON with CURVE keys in Z85 (ZeroMQ RFC 32); secret files can be read by their owner only.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hardware.errors import ConfigError

LENGTH = 40
"""Characters of a key in Z85."""
MAKE = "robostack learn keys FOLDER"


@dataclass(frozen=True)
class KeyPair:
    """A key of one's own."""

    public: bytes
    """Z85."""
    secret: bytes
    """Z85."""


@dataclass(frozen=True)
class LearnerKeys:
    """What the learner's side holds."""

    own: KeyPair
    """The learner's."""
    robots: dict[bytes, str]
    """Public key -> name of each robot that may connect."""


@dataclass(frozen=True)
class RobotKeys:
    """What a robot's side holds."""

    own: KeyPair
    """The robot's."""
    learner: bytes
    """The learner's public key."""


def make_keys(folder: Path, robot: str = "robot") -> list[Path]:
    """Make the learner's keys, unless they exist, and those of one robot; returns the files made.

    Raises:
        ConfigError: that robot has keys already, or its name cannot be a file's.
    """
    from robostack.remote.backend import zmq

    if not robot or robot == "learner" or not robot.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"robot '{robot}': use letters, digits, - and _ (and not 'learner')")
    learner, side, made = folder / "learner", folder / robot, []
    secret, known = learner / "learner.secret", learner / "robots" / f"{robot}.public"
    if known.exists() or side.exists():
        raise ConfigError(f"{folder} already holds keys of '{robot}'. Choose another folder or another --robot.")
    if secret.exists():
        own = _pair(secret)
    else:
        own = KeyPair(*zmq.curve_keypair())
        made.append(_write(secret, {"public": own.public.decode(), "secret": own.secret.decode()}, 0o600))
    pair = KeyPair(*zmq.curve_keypair())
    made.append(
        _write(side / f"{robot}.secret", {"public": pair.public.decode(), "secret": pair.secret.decode()}, 0o600)
    )
    made.append(_write(side / "learner.public", {"public": own.public.decode()}, 0o644))
    made.append(_write(known, {"public": pair.public.decode()}, 0o644))
    return made


def learner_keys(folder: Path) -> LearnerKeys:
    """The learner's side of a folder of keys, or of its part `learner`.

    Raises:
        ConfigError: a file is missing, readable by others, or no key.
    """
    folder = folder / "learner" if (folder / "learner").is_dir() else folder
    own = _pair(folder / "learner.secret")
    robots = {_public(path): path.stem for path in sorted((folder / "robots").glob("*.public"))}
    if not robots:
        raise ConfigError(f"{folder / 'robots'} names no robot that may connect. Make keys with: {MAKE}")
    return LearnerKeys(own, robots)


def robot_keys(folder: Path) -> RobotKeys:
    """A robot's side of a folder of keys: the part that was copied to it, or the whole where there is one robot.

    Raises:
        ConfigError: a file is missing, readable by others, or no key.
    """
    if not (folder / "learner.public").is_file():
        sides = sorted(path.parent for path in folder.glob("*/learner.public"))
        if len(sides) != 1:
            raise ConfigError(f"{folder} holds the keys of {len(sides)} robots; one is needed. Make keys with: {MAKE}")
        folder = sides[0]
    secrets = sorted(folder.glob("*.secret"))
    if len(secrets) != 1:
        raise ConfigError(f"{folder} holds {len(secrets)} secret keys; one is needed. Make keys with: {MAKE}")
    return RobotKeys(_pair(secrets[0]), _public(folder / "learner.public"))


def _write(path: Path, keys: dict[str, str], mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(keys) + "\n")
    return path


def _pair(path: Path) -> KeyPair:
    keys = _read(path, "public", "secret")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path} can be read by others, so it is no secret. chmod 600 it, or make new keys: {MAKE}")
    return KeyPair(keys["public"], keys["secret"])


def _public(path: Path) -> bytes:
    return _read(path, "public")["public"]


def _read(path: Path, *names: str) -> dict[str, bytes]:
    try:
        found = json.loads(path.read_text())
        keys = {name: str(found[name]).encode("ascii") for name in names}
    except OSError as error:
        raise ConfigError(f"no key in {path} ({error.strerror}). Make keys with: {MAKE}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no key file. Make keys with: {MAKE}") from error
    if any(len(key) != LENGTH for key in keys.values()):
        raise ConfigError(f"{path} is no key file: a key has {LENGTH} characters. Make keys with: {MAKE}")
    return keys
