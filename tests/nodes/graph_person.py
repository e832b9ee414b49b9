"""The policy node at the fake robot with a person beside it, whose device obeys the lines of standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from graph_operator import Puppet

from robostack.nodes.policy_node import main
from robostack.teleoperation import device_operator


@dataclass(frozen=True)
class PuppetConfig:
    """No settings."""


class PuppetEntry:
    """Stands in the registry for a device."""

    def config_type(self) -> type[PuppetConfig]:
        return PuppetConfig

    def open(self, config: PuppetConfig) -> Puppet:
        return Puppet()


if __name__ == "__main__":
    device_operator.TELEOPERATORS.load = lambda name: PuppetEntry()
    sys.exit(main())
