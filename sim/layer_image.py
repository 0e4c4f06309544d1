"""What the hardware stores of every layer's output, byte by byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.program import Program, Tensor
from shiftwork.sim import golden

CHUNK_BYTES = 1 << 24


class PlannedLayer(Protocol):
    """What is needed of a layer of the schedule."""

    @property
    def name(self) -> str: ...

    @property
    def output(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class LayerImage:
    """The place of a hardware layer's output in the image of a frame.

    Attributes:
        index: of the layer, in hardware order.
        name: of the op.
        tensor: its output.
        base: number of the first of its ``tensor.bytes`` bytes.
    """

    index: int
    name: str
    tensor: Tensor
    base: int

    def locate(self, byte: int) -> tuple[tuple[int, int, int], int]:
        """The element ``(h, w, c)`` that byte number ``byte`` belongs to, and its byte plane."""
        plane, element = divmod(byte, self.tensor.size)
        h, w, c = np.unravel_index(element, self.tensor.shape)
        return (int(h), int(w), int(c)), plane


def layer_images(program: Program, layers: Iterable[PlannedLayer]) -> tuple[LayerImage, ...]:
    """The outputs of ``layers``, one behind the other."""
    images: list[LayerImage] = []
    base = 0
    for index, layer in enumerate(layers):
        tensor = program.tensor(layer.output)
        images.append(LayerImage(index=index, name=layer.name, tensor=tensor, base=base))
        base += tensor.bytes
    return tuple(images)


def stored_bytes(tensor: Tensor, values: NDArray) -> NDArray[np.uint8]:
    """The bytes that activation memory holds of ``values[N, H, W, C]``: uint8 ``[N, bytes]``.

    Signed values as they are, unsigned ones with the top bit flipped; accumulators as four planes,
    the least significant bytes of all elements first.
    """
    flat = values.reshape(len(values), -1)
    if tensor.bits == 8:
        return ((flat - tensor.stored_offset) & 0xFF).astype(np.uint8)
    planes = np.ascontiguousarray(flat, "<i4").view(np.uint8).reshape(len(flat), -1, 4)
    return planes.transpose(0, 2, 1).reshape(len(flat), -1)


def stream_bytes(tensor: Tensor, values: NDArray) -> NDArray[np.uint8]:
    """The bytes that ``values[N, H, W, C]`` are on the streams: uint8 ``[N, bytes]``.

    In the true domain and in NHWC order; accumulators as little-endian 32-bit words.
    """
    flat = values.reshape(len(values), -1)
    if tensor.bits == 8:
        return (flat & 0xFF).astype(np.uint8)
    return np.ascontiguousarray(flat, "<i4").view(np.uint8)


def stream_values(tensor: Tensor, data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The inverse of :func:`stream_bytes`: int32 ``[N, H, W, C]`` of uint8 ``[N, bytes]``."""
    if tensor.bits == 8:
        values = data.view(np.int8) if tensor.signed else data
    else:
        values = np.ascontiguousarray(data).view("<i4")
    return values.reshape(len(data), *tensor.shape).astype(np.int32)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExpectedFrames:
    """Some frames as the streams and the memory should show them.

    Attributes:
        inputs: bytes of the input stream, ``[N, input bytes]``.
        images: what is stored of every layer, ``[N, image bytes]``.
        outputs: bytes of the output stream, ``[N, output bytes]``.
    """

    inputs: NDArray[np.uint8]
    images: NDArray[np.uint8]
    outputs: NDArray[np.uint8]


def expected_frames(
    program: Program, images: tuple[LayerImage, ...], q: NDArray[np.int32]
) -> Iterator[ExpectedFrames]:
    """The golden model's frames for ``q[N, H, W, C]``, in pieces that fit into memory."""
    frame_bytes = sum(image.tensor.bytes for image in images)
    step = max(1, CHUNK_BYTES // max(frame_bytes, 1))
    for start in range(0, len(q), step):
        part = q[start : start + step]
        trace = golden.trace(program, part)
        stored = [stored_bytes(image.tensor, trace[image.tensor.name]) for image in images]
        yield ExpectedFrames(
            inputs=stream_bytes(program.tensor(program.input), part),
            images=np.concatenate(stored, axis=1),
            outputs=stream_bytes(program.tensor(program.output), trace[program.output]),
        )
