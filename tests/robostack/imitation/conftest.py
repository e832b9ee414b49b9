"""Demonstrations of a point that passes an obstacle on either side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from point_demonstrations import point_contract, point_demonstration

from robostack.learning.imitation.windows import Demonstration


@pytest.fixture(scope="session")
def contract():
    return point_contract()


@pytest.fixture(scope="session")
def demonstrations():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    return [Demonstration(*point_demonstration(1.0 if index % 2 else -1.0, rng)) for index in range(30)]
