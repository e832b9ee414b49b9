"""Between numpy arrays and the columns of a parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError
from robostack.data.features import Feature
from robostack.data.layout import require_arrow

if TYPE_CHECKING:
    import pyarrow as pa


def data_table(columns: Mapping[str, Any], features: Mapping[str, Feature]) -> pa.Table:
    """The rows of a data file: every column but the videos.

    Args:
        columns: column -> array (rows,) or (rows, *shape), list of strings, or list of PNG files (bytes).
        features: every column.
    """
    arrow = require_arrow()
    stored = {name: feature for name, feature in features.items() if feature.dtype != "video"}
    arrays = [to_arrow(columns[name], feature) for name, feature in stored.items()]
    return arrow.table(arrays, schema=arrow.schema([(name, arrow_type(item)) for name, item in stored.items()]))


def arrow_type(feature: Feature) -> Any:
    """The type of a column: a number, a list of fixed size, nested lists, a string, or a struct for a picture."""
    arrow = require_arrow()
    if feature.dtype == "string":
        return arrow.string()
    if feature.dtype == "image":
        return arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kind = arrow.bool_() if feature.dtype == "bool" else arrow.from_numpy_dtype(np.dtype(feature.dtype))
    if feature.is_scalar:
        return kind
    if len(feature.shape) == 1:
        return arrow.list_(kind, feature.shape[0])
    for _ in feature.shape:
        kind = arrow.list_(kind)
    return kind


def to_arrow(values: Any, feature: Feature) -> Any:
    """One column."""
    arrow = require_arrow()
    kind = arrow_type(feature)
    if feature.dtype == "string":
        return arrow.array(list(values), kind)
    if feature.dtype == "image":
        return arrow.array([{"bytes": png, "path": f"frame-{k:06d}.png"} for k, png in enumerate(values)], kind)
    flat = arrow.array(np.ascontiguousarray(values, dtype=feature.dtype).reshape(-1))
    if feature.is_scalar:
        return flat
    if len(feature.shape) == 1:
        return arrow.FixedSizeListArray.from_arrays(flat, type=kind)
    found = flat
    for size in reversed(feature.shape):
        offsets = arrow.array(np.arange(0, len(found) + 1, size, dtype=np.int32))
        found = arrow.ListArray.from_arrays(offsets, found)
    return found


def to_numpy(column: Any, feature: Feature, name: str) -> NDArray[Any]:
    """A column as (rows,) or (rows, *shape); strings as an array of objects.

    Raises:
        DatasetError: values are missing, or not as many as the feature says.
    """
    arrow = require_arrow()
    found = column.combine_chunks()
    if isinstance(found, arrow.ChunkedArray):  # of no chunk
        found = arrow.concat_arrays(found.chunks) if found.num_chunks else arrow.array([], found.type)
    rows = len(found)
    if feature.dtype == "string":
        return np.array(found.to_pylist(), dtype=object)
    if isinstance(found, arrow.ExtensionArray):
        found = found.storage
    while arrow.types.is_list(found.type) or arrow.types.is_fixed_size_list(found.type):
        found = found.flatten()
    if found.null_count:
        raise DatasetError(f"column '{name}' has {found.null_count} missing values")
    values = found.to_numpy(zero_copy_only=False).astype(feature.dtype)
    shape = (rows,) if feature.is_scalar else (rows, *feature.shape)
    if values.size != int(np.prod(shape)):
        raise DatasetError(f"column '{name}' has {values.size} values in {rows} rows of shape {feature.shape}")
    return values.reshape(shape)
