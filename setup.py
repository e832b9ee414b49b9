"""For colcon, which looks for this file; everything is said in pyproject.toml."""

from setuptools import setup

setup()
