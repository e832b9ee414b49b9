"""For colcon, which looks for this file; everything is said in pyproject.toml."""

from __future__ import annotations

from typing import Any

from setuptools import Distribution, setup


class ReadableDistribution(Distribution):
    """What colcon can read: it evaluates the printed form of these attributes, and a set of specifiers has none."""

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        """Read pyproject.toml, then turn the one attribute that is no plain value into text."""
        super().parse_config_files(*args, **kwargs)
        self.python_requires = self.metadata.python_requires = str(self.python_requires)


setup(distclass=ReadableDistribution)
