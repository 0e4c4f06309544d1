"""ONNX tensors as views of the graph's values; the ops that only rearrange elements.

The graph's values are NHWC, ONNX's tensors NCHW, flattened, squeezed or transposed. A view says for
each element of an ONNX tensor which element of a value it is, so that rearranging ops become numpy
operations on an array of indices, and none of them moves any data in the hardware.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class View:
    """An ONNX tensor as a rearrangement of a value.

    Attributes:
        value: name of the value in the graph.
        order: of the tensor's shape, batch included. An element's entry is
            ``sample * size + index``, with ``index`` its place in the sample's NHWC order and
            ``size`` the number of elements of a sample.
    """

    value: str
    order: Indices


def batched(order: Indices, batch: int) -> Indices:
    """The order of a whole batch from the order of one sample."""
    first = np.arange(batch, dtype=np.int64) * order.size
    return first.reshape(batch, *(1,) * order.ndim) + order


def is_batched(order: Indices, batch: int) -> bool:
    """Whether the first axis counts the samples, and each sample is ordered alike."""
    if order.ndim < 1 or len(order) != batch:
        return False
    return bool(np.array_equal(order, batched(order[0], batch)))


def reshape(order: Indices, target: Sequence[int], *, allow_zero: bool) -> Indices:
    """ONNX's Reshape: 0 keeps a dimension (unless ``allow_zero``), -1 takes what is left."""
    dims = [
        order.shape[axis] if dim == 0 and not allow_zero else int(dim)
        for axis, dim in enumerate(target)
    ]
    return order.reshape(dims)


def flatten(order: Indices, axis: int) -> Indices:
    """ONNX's Flatten: two dimensions, split before ``axis``."""
    if axis < 0:
        axis += order.ndim
    return order.reshape(int(np.prod(order.shape[:axis])), int(np.prod(order.shape[axis:])))


def squeeze(order: Indices, axes: Sequence[int] | None) -> Indices:
    """Without the dimensions ``axes``, which must be 1; without all that are 1 if it is None."""
    return np.squeeze(order, None if axes is None else tuple(axes))


def unsqueeze(order: Indices, axes: Sequence[int]) -> Indices:
    """With dimensions of 1 at ``axes`` of the result."""
    return np.expand_dims(order, tuple(axes))


def transpose(order: Indices, axes: Sequence[int] | None) -> Indices:
    """With permuted axes; reversed if ``axes`` is None."""
    return order.transpose(axes)
