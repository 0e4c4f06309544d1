"""What the hardware stores of every layer's output, byte by byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Tensor
from shiftwork.sim import golden

CHUNK_BYTES = 1 << 24


class PlannedLayer(Protocol):
    """What is needed of a layer of the schedule."""

    @property
    def name(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def first_channel(self) -> int: ...

    @property
    def channels(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class LayerImage:
    """The place of a hardware layer's output in the image of a frame.

    A layer that is a pass over some of an op's channels writes only these of its output. Bytes are
    counted from the first one that the layer writes.

    Attributes:
        index: of the layer, in hardware order.
        name: of the op.
        tensor: its output.
        base: number of the layer's first byte in the image.
        first_channel, channels: what of the tensor the layer computes.
    """

    index: int
    name: str
    tensor: Tensor
    base: int
    first_channel: int
    channels: int

    @property
    def reach(self) -> int:
        """Number of bytes up to the tensor's end, those of other passes included."""
        return self.tensor.bytes - self.first_channel

    @property
    def pitch(self) -> int:
        """Bytes from a pixel to the next one."""
        return self.tensor.shape[2]

    @property
    def bytes(self) -> int:
        """Number of bytes that the layer writes."""
        return self.tensor.bytes // self.pitch * self.channels

    def owns(self, byte: int) -> bool:
        """Whether byte number ``byte`` is one that the layer writes."""
        return 0 <= byte < self.reach and byte % self.pitch < self.channels

    def locate(self, byte: int) -> tuple[tuple[int, int, int], int]:
        """The element ``(h, w, c)`` that byte number ``byte`` belongs to, and its byte plane."""
        plane, element = divmod(self.first_channel + byte, self.tensor.size)
        h, w, c = np.unravel_index(element, self.tensor.shape)
        return (int(h), int(w), int(c)), plane


def layer_images(program: Program, layers: Iterable[PlannedLayer]) -> tuple[LayerImage, ...]:
    """The outputs of ``layers``, one behind the other; passes over an op share its output."""
    images: list[LayerImage] = []
    bases: dict[str, int] = {}
    end = 0
    for index, layer in enumerate(layers):
        tensor = program.tensor(layer.output)
        if tensor.name not in bases:
            bases[tensor.name] = end
            end += tensor.bytes
        images.append(
            LayerImage(
                index=index,
                name=layer.name,
                tensor=tensor,
                base=bases[tensor.name] + layer.first_channel,
                first_channel=layer.first_channel,
                channels=layer.channels,
            )
        )
    return tuple(images)


def written_tensors(images: Iterable[LayerImage]) -> tuple[Tensor, ...]:
    """The tensors that the layers write, each once, in the order of the image."""
    return tuple({image.tensor.name: image.tensor for image in images}.values())


def stored_bytes(tensor: Tensor, values: NDArray) -> NDArray[np.uint8]:
    """The bytes that activation memory holds of ``values[N, H, W, C]``: uint8 ``[N, bytes]``.

    Signed values as they are, unsigned ones with the top bit flipped; accumulators as four planes,
    the least significant bytes of all elements first; 16 bits as two planes, the low one first and
    stored as what is unsigned.
    """
    flat = values.reshape(len(values), -1)
    if tensor.bits == 8:
        return ((flat - tensor.stored_offset) & 0xFF).astype(np.uint8)
    if tensor.wide:
        both = np.concatenate([flat & 0xFF ^ 0x80, flat >> 8 & 0xFF], axis=1)
        return both.astype(np.uint8)
    planes = np.ascontiguousarray(flat, "<i4").view(np.uint8).reshape(len(flat), -1, 4)
    return planes.transpose(0, 2, 1).reshape(len(flat), -1)


def stream_bytes(tensor: Tensor, values: NDArray) -> NDArray[np.uint8]:
    """The bytes that ``values[N, H, W, C]`` are on the streams: uint8 ``[N, bytes]``.

    In the true domain and in NHWC order; accumulators as little-endian 32-bit words, class and
    score of a TopScore in the bytes of ``tensor.widths``, little endian.
    """
    flat = values.reshape(len(values), -1)
    if tensor.widths:
        words = np.ascontiguousarray(flat, "<i4").view(np.uint8).reshape(len(flat), -1, 4)
        parts = [words[:, index, :width] for index, width in enumerate(tensor.widths)]
        return np.concatenate(parts, axis=1)
    if tensor.bits == 8:
        return (flat & 0xFF).astype(np.uint8)
    return np.ascontiguousarray(flat, "<i4").view(np.uint8)


def stream_values(tensor: Tensor, data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The inverse of :func:`stream_bytes`: int32 ``[N, H, W, C]`` of uint8 ``[N, bytes]``."""
    if tensor.widths:
        return _widened(tensor, tensor.widths, data).reshape(len(data), *tensor.shape)
    if tensor.bits == 8:
        values = data.view(np.int8) if tensor.signed else data
    else:
        values = np.ascontiguousarray(data).view("<i4")
    return values.reshape(len(data), *tensor.shape).astype(np.int32)


def stream_element(tensor: Tensor, byte: int) -> int:
    """The number of the element that byte number ``byte`` of a frame on the stream belongs to."""
    if not tensor.widths:
        return byte * 8 // tensor.bits
    return int(np.searchsorted(np.cumsum(tensor.widths), byte, side="right"))


def _widened(tensor: Tensor, widths: tuple[int, ...], data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The values of elements of different widths; only the last one has the tensor's sign."""
    values, start = [], 0
    for index, width in enumerate(widths):
        part = data[:, start : start + width].astype(np.int64)
        value = (part << 8 * np.arange(width)).sum(axis=1)
        if index == len(widths) - 1 and tensor.signed:
            value -= (value >> 8 * width - 1) << 8 * width
        values.append(value)
        start += width
    return np.stack(values, axis=1).astype(np.int32)


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
    frame_bytes = sum(tensor.bytes for tensor in program.tensors)
    step = max(1, CHUNK_BYTES // frame_bytes)
    for start in range(0, len(q), step):
        part = q[start : start + step]
        trace = golden.trace(program, part)
        stored = [np.empty((len(part), 0), np.uint8)]
        stored += [stored_bytes(tensor, trace[tensor.name]) for tensor in written_tensors(images)]
        yield ExpectedFrames(
            inputs=stream_bytes(program.tensor(program.input), part),
            images=np.concatenate(stored, axis=1),
            outputs=stream_bytes(program.tensor(program.output), trace[program.output]),
        )
