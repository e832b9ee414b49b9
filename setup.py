"""What pyproject.toml cannot say: the optional compiled kernel, and a form that colcon can read."""

from __future__ import annotations

from typing import Any

from setuptools import Distribution, Extension, setup

# A plain shared library without an initialisation function: robostack/learning/kernel.py loads it with ctypes. Where it
# cannot be built, installing goes on without it and the learner computes in numpy.
KERNEL = Extension(
    "robostack.learning._avg_kernel",
    sources=["robostack/learning/avg_kernel.c"],
    extra_compile_args=["-O3", "-fno-math-errno", "-fopenmp-simd"],
    libraries=["m"],
    optional=True,
    py_limited_api=True,
)


class ReadableDistribution(Distribution):
    """What colcon can read: it evaluates the printed form of these attributes, and a set of specifiers has none."""

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        """Read pyproject.toml, then turn the one attribute that is no plain value into text."""
        super().parse_config_files(*args, **kwargs)
        self.python_requires = self.metadata.python_requires = str(self.python_requires)


setup(distclass=ReadableDistribution, ext_modules=[KERNEL])
