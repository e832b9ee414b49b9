from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from hardware.arrays import frozen, namespace


def test_numpy_arrays_are_answered_with_numpy_itself():
    assert namespace(np.zeros(3)) is np


def test_other_libraries_are_answered_with_their_array_api_namespace():
    array = array_api_strict.asarray([1.0, 2.0])
    xp = namespace(array)
    assert float(xp.sum(array)) == 3.0
    assert isinstance(xp.zeros(2), type(array))


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError):
        namespace([1.0, 2.0])


def test_frozen_is_a_read_only_float64_copy():
    source = np.array([1, 2], dtype=np.int32)
    array = frozen(source)
    source[0] = 9
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0.0
