"""The integer program: the numeric contract between quantizer, golden model and hardware.

``docs/program.md`` is its normative description. All values are integers in their true domain:
an unsigned activation is 0..255 here, whatever byte the hardware stores for it.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import OutputError, ProgramError
from shiftwork.quant.graph import Layout, Padding, Pair, Shape, output_shape

FORMAT_VERSION = 1
MAX_SHIFT = 31
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    AttributeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
MAX_ACCUMULATOR_BITS = 32


def signed_bits(lo: int, hi: int) -> int:
    """Width in bits of the narrowest two's complement type that holds ``lo`` and ``hi``."""
    return max(int(hi).bit_length(), (-int(lo) - 1).bit_length() if lo < 0 else 0) + 1


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A feature map: integers ``q`` in NHWC order that stand for real numbers.

    ``real = (q - zero_point) * gain * 2.0 ** -exponent``.

    Attributes:
        name: unique within the program.
        shape: ``(H, W, C)``.
        lo, hi: the values it can take, inside -128..127 (signed) or 0..255 (unsigned), or the
            accumulator's range where ``bits`` is 32.
        signed: how 8-bit values are stored; an unsigned one is stored with its top bit flipped.
        bits: 8, or 32 for the accumulators of the last layer.
        exponent: of the power of two. None where channels differ (32-bit accumulators).
        gain: real factor beside the power of two: the scale of the network's own input, or what
            a shift-only average leaves.
        zero_point: nonzero only for the network's input.
        channel_exponents: one exponent a channel, for 32-bit accumulators.
    """

    name: str
    shape: Shape
    lo: int = -128
    hi: int = 127
    signed: bool = True
    bits: int = 8
    exponent: int = 0
    gain: float = 1.0
    zero_point: int = 0
    channel_exponents: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def bytes(self) -> int:
        """Bytes in memory."""
        return self.size * self.bits // 8

    @property
    def stored_offset(self) -> int:
        """What is subtracted from a value to give the signed byte that is stored."""
        return 0 if self.signed else 128

    @property
    def scales(self) -> NDArray[np.float64]:
        """The real step of each channel, ``[C]``."""
        exponents = self.channel_exponents or (self.exponent,) * self.shape[2]
        return self.gain * np.exp2(-np.asarray(exponents, dtype=np.float64))

    def quantize(self, x: NDArray) -> NDArray[np.int32]:
        """Real numbers ``[..., H, W, C]`` to integers, rounded half up and clipped."""
        q = np.floor(np.asarray(x, dtype=np.float64) / self.scales + 0.5) + self.zero_point
        return np.clip(q, self.lo, self.hi).astype(np.int32)

    def dequantize(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[..., H, W, C]`` to the real numbers they stand for."""
        return (np.asarray(q, dtype=np.float64) - self.zero_point) * self.scales


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """An operation of the program: reads one tensor, writes one tensor."""

    name: str
    input: str
    output: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Op):
    """The dot product: a convolution, or a dense layer as a 1x1 convolution on ``(1, 1, N)``.

    ``acc[o] = bias[o] + sum(x * weights[o])``, ``x = pad_value`` outside the feature map;
    ``y = clip((acc + (1 << (s - 1))) >> s, lo, hi)``, ``s = shift[o]`` (``s = 0`` adds nothing).
    With ``accumulators`` the output is ``acc`` itself, 32 bit, and shift, lo and hi do not count.

    Attributes:
        weights: int8 ``[O, kh, kw, I]``.
        bias: int64 ``[O]``, at the accumulator's exponent.
        shift: int64 ``[O]``, 0..31.
        pad_value: the input tensor's zero point, in its true domain.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]
    lo: int = -128
    hi: int = 127
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    pad_value: int = 0
    accumulators: bool = False

    @property
    def kernel(self) -> Pair:
        """Height and width of the window."""
        return self.weights.shape[1], self.weights.shape[2]

    def accumulator_range(self, tensor: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Least and greatest ``acc`` a channel can reach over all inputs in ``tensor``'s range."""
        w = self.weights.reshape(len(self.weights), -1).astype(np.int64)
        lo, hi = min(tensor.lo, self.pad_value), max(tensor.hi, self.pad_value)
        positive, negative = np.maximum(w, 0).sum(1), np.minimum(w, 0).sum(1)
        return (
            self.bias + positive * lo + negative * hi,
            self.bias + positive * hi + negative * lo,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """Maximum over a window; positions outside the feature map never win."""

    kernel: Pair
    stride: Pair
    padding: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool(Op):
    """``y = clip((sum + (1 << (shift - 1))) >> shift, lo, hi)`` over a window of n positions.

    With ``k = ceil(log2 n)`` the output's exponent is the input's plus ``k - shift``, and its gain
    the input's times ``2**k / n``. Positions outside the feature map count as ``pad_value``.
    """

    kernel: Pair
    stride: Pair
    shift: int
    padding: Padding = (0, 0, 0, 0)
    pad_value: int = 0
    lo: int = -128
    hi: int = 127


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Op):
    """Another shape for the same bytes; moves no data."""


OPS: dict[str, type[Op]] = {cls.__name__: cls for cls in (Conv, MaxPool, AveragePool, Reshape)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """A network in integers, complete and verified.

    Attributes:
        name: of the network.
        tensors: every feature map; the input's first.
        ops: in execution order.
        input, output: names of the network's input and output tensors.
        input_layout, output_layout: how the source model orders these two.
        dropped: ops at the end that are left to the host, such as ``Softmax``.
        info: free text facts, such as how it was quantized.
    """

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    input: str
    output: str
    input_layout: Layout
    output_layout: Layout
    dropped: tuple[str, ...] = ()
    info: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.verify()

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self._by_name[name]

    def quantize_input(self, x: NDArray) -> NDArray[np.int32]:
        """Real samples in the source model's layout as integers ``[N, H, W, C]``."""
        tensor = self.tensor(self.input)
        return tensor.quantize(self.input_layout.to_nhwc(np.asarray(x), tensor.shape))

    def dequantize_output(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` as real numbers in the source model's layout."""
        return self.output_layout.from_nhwc(self.tensor(self.output).dequantize(q))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, borders included."""
        return sum(
            self.tensor(op.output).size * op.weights[0].size
            for op in self.ops
            if isinstance(op, Conv)
        )

    def accumulator_bits(self, op: Conv) -> int:
        """Width that ``op``'s biased accumulator needs in the worst case of its actual weights."""
        lo, hi = op.accumulator_range(self.tensor(op.input))
        return signed_bits(int(lo.min()), int(hi.max()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that has a meaning, in hexadecimal."""
        sha = hashlib.sha256()
        header, arrays = _encode(self)
        sha.update(json.dumps(header, sort_keys=True).encode())
        for key in sorted(arrays):
            sha.update(f"{key}{arrays[key].dtype.str}{arrays[key].shape}".encode())
            sha.update(np.ascontiguousarray(arrays[key]).tobytes())
        return sha.hexdigest()

    def verify(self) -> None:
        """Checks every rule of ``docs/program.md``.

        Raises:
            ProgramError: naming the op or tensor, the rule and the value.
        """
        if len(self._by_name) != len(self.tensors):
            raise ProgramError("tensor names must be unique")
        for tensor in self.tensors:
            _verify_tensor(tensor)
        for name in (self.input, self.output):
            self._require(name, "the program")
        written = {self.input}
        for index, op in enumerate(self.ops):
            self._require(op.input, f"op '{op.name}'")
            self._require(op.output, f"op '{op.name}'")
            if op.input not in written:
                raise ProgramError(f"op '{op.name}' reads '{op.input}' before it is written")
            if op.input == self.output:
                raise ProgramError(f"op '{op.name}' reads the program's output '{op.input}'")
            if op.output in written:
                raise ProgramError(f"op '{op.name}' writes '{op.output}' a second time")
            self._verify_op(op, last=index == len(self.ops) - 1)
            written.add(op.output)
        if self.output not in written:
            raise ProgramError(f"the output '{self.output}' is written by no op")

    def _require(self, name: str, who: str) -> None:
        if name not in self._by_name:
            raise ProgramError(f"{who} names the tensor '{name}', which does not exist")

    def _verify_op(self, op: Op, *, last: bool) -> None:
        source, target = self.tensor(op.input), self.tensor(op.output)
        if source.bits != 8:
            raise ProgramError(f"op '{op.name}' reads '{source.name}', which holds accumulators")
        match op:
            case Conv():
                self._verify_conv(op, source, target, last=last)
            case MaxPool():
                _verify_shape(op, target.shape, _window_shape(op, source))
                _verify_windows(op, source, target)
                if (source.lo, source.hi, source.signed) != (target.lo, target.hi, target.signed):
                    raise ProgramError(f"op '{op.name}' must keep the range of its input")
            case AveragePool():
                _verify_shape(op, target.shape, _window_shape(op, source))
                _verify_shifts(op.name, np.array([op.shift]))
                _verify_bounds(op.name, op.lo, op.hi, target)
                _verify_pad(op.name, op.pad_value, source)
            case Reshape():
                if source.size != target.size or (source.signed, source.lo, source.hi) != (
                    target.signed,
                    target.lo,
                    target.hi,
                ):
                    raise ProgramError(f"op '{op.name}' must keep size and range of its input")
            case _:
                raise ProgramError(f"op '{op.name}' is of the unknown kind {type(op).__name__}")

    def _verify_conv(self, op: Conv, source: Tensor, target: Tensor, *, last: bool) -> None:
        if op.weights.dtype != np.int8 or op.weights.ndim != 4:
            raise ProgramError(f"op '{op.name}': weights must be int8 [O, kh, kw, I]")
        if op.weights.shape[3] != source.shape[2]:
            raise ProgramError(
                f"op '{op.name}' has weights for {op.weights.shape[3]} input channels, but "
                f"'{source.name}' has {source.shape[2]}"
            )
        for label, array in (("bias", op.bias), ("shift", op.shift)):
            if array.shape != (len(op.weights),) or array.dtype != np.int64:
                raise ProgramError(
                    f"op '{op.name}': {label} must be int64 of shape ({len(op.weights)},), not "
                    f"{array.dtype} {array.shape}"
                )
        _verify_shape(
            op,
            target.shape,
            output_shape(
                source.shape, len(op.weights), op.kernel, op.stride, op.padding, op.dilation
            ),
        )
        _verify_shifts(op.name, op.shift)
        _verify_pad(op.name, op.pad_value, source)
        bits = self.accumulator_bits(op)
        if bits > MAX_ACCUMULATOR_BITS:
            raise ProgramError(
                f"op '{op.name}' needs {bits} accumulator bits; at most {MAX_ACCUMULATOR_BITS}"
            )
        if op.accumulators != (target.bits == 32) or (op.accumulators and not last):
            raise ProgramError(
                f"op '{op.name}': only the last op may return its accumulators, in a 32-bit tensor"
            )
        if not op.accumulators:
            _verify_bounds(op.name, op.lo, op.hi, target)

    def save(self, path: str | Path) -> None:
        """Writes the program to ``path`` (.npz), the same bytes for the same program.

        Raises:
            OutputError: if it cannot be written; nothing is left behind.
        """
        header, arrays = _encode(self)
        text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as stream:
                _write_npz(stream, {"program": text, **arrays})
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path) -> "Program":
        """Reads and verifies a program file. Never unpickles.

        Raises:
            ProgramError: if the file is missing, damaged or of another format version.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            header = json.loads(arrays.pop("program").tobytes())
        except FileNotFoundError:
            raise ProgramError(f"{path}: no such file") from None
        except _UNREADABLE as error:
            raise ProgramError(
                f"{path} is not a program file, or is damaged ({error}); "
                "'shiftwork quantize' makes one"
            ) from error
        version = header.get("version") if isinstance(header, dict) else None
        if version != FORMAT_VERSION:
            raise ProgramError(
                f"{path} has the format version {version}; this Shiftwork reads {FORMAT_VERSION}"
            )
        try:
            return _decode(header, arrays)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ProgramError(f"{path} is damaged: {error!r}") from error


def _window_shape(op: MaxPool | AveragePool, source: Tensor) -> Shape:
    return output_shape(source.shape, source.shape[2], op.kernel, op.stride, op.padding)


def _verify_windows(op: MaxPool, source: Tensor, target: Tensor) -> None:
    """A maximum over padding alone has no value."""
    for axis in range(2):
        first = op.kernel[axis] - op.padding[axis]
        last = (target.shape[axis] - 1) * op.stride[axis] - op.padding[axis]
        if first < 1 or last >= source.shape[axis]:
            raise ProgramError(f"op '{op.name}' has a window that lies wholly in the padding")


def _verify_tensor(tensor: Tensor) -> None:
    lo, hi = (0, 255) if not tensor.signed else (-128, 127)
    if tensor.bits == 32:
        lo, hi = -(1 << 31), (1 << 31) - 1
    elif tensor.bits != 8:
        raise ProgramError(f"tensor '{tensor.name}': bits must be 8 or 32, not {tensor.bits}")
    if not lo <= tensor.lo <= tensor.hi <= hi:
        raise ProgramError(
            f"tensor '{tensor.name}': its range must lie in {lo}..{hi}, "
            f"not {tensor.lo}..{tensor.hi}"
        )
    if len(tensor.shape) != 3 or min(tensor.shape) < 1:
        raise ProgramError(f"tensor '{tensor.name}': the shape {tensor.shape} is not (H, W, C)")
    if tensor.channel_exponents and len(tensor.channel_exponents) != tensor.shape[2]:
        raise ProgramError(f"tensor '{tensor.name}' needs one exponent for each channel")


def _verify_shape(op: Op, got: Shape, expected: Shape) -> None:
    if tuple(got) != tuple(expected):
        raise ProgramError(f"op '{op.name}' makes the shape {expected}, not {tuple(got)}")


def _verify_shifts(name: str, shift: NDArray) -> None:
    if shift.min() < 0 or shift.max() > MAX_SHIFT:
        raise ProgramError(
            f"op '{name}': shifts must be 0..{MAX_SHIFT}, not {shift.min()}..{shift.max()}"
        )


def _verify_bounds(name: str, lo: int, hi: int, target: Tensor) -> None:
    if not target.lo <= lo <= hi <= target.hi:
        raise ProgramError(
            f"op '{name}' clips to {lo}..{hi}, outside of '{target.name}' "
            f"({target.lo}..{target.hi})"
        )


def _verify_pad(name: str, pad_value: int, source: Tensor) -> None:
    least = -source.stored_offset + (128 if not source.signed else -128)
    if not least <= pad_value <= least + 255:
        raise ProgramError(f"op '{name}': pad_value {pad_value} does not fit '{source.name}'")


def _encode(program: Program) -> tuple[dict[str, Any], dict[str, NDArray]]:
    arrays: dict[str, NDArray] = {}
    ops = []
    for index, op in enumerate(program.ops):
        record: dict[str, Any] = {"kind": type(op).__name__}
        for key, value in vars(op).items():
            if isinstance(value, np.ndarray):
                arrays[f"op{index}_{key}"] = value
            else:
                record[key] = value
        ops.append(record)
    for label, layout in _layouts(program):
        arrays[f"{label}_order"] = layout.order
    header = {
        "version": FORMAT_VERSION,
        "name": program.name,
        "tensors": [asdict(tensor) for tensor in program.tensors],
        "ops": ops,
        "input": program.input,
        "output": program.output,
        "layouts": {label: layout.shape for label, layout in _layouts(program)},
        "dropped": program.dropped,
        "info": program.info,
    }
    return header, arrays


def _layouts(program: Program) -> Iterator[tuple[str, Layout]]:
    yield "input", program.input_layout
    yield "output", program.output_layout


def _decode(header: dict[str, Any], arrays: dict[str, NDArray]) -> Program:
    tensors = tuple(Tensor(**_tuples(record)) for record in header["tensors"])
    ops = []
    for index, record in enumerate(header["ops"]):
        fields = _tuples(record)
        kind = OPS[fields.pop("kind")]
        prefix = f"op{index}_"
        fields |= {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        ops.append(kind(**fields))
    layouts = {
        label: Layout(tuple(shape), arrays[f"{label}_order"])
        for label, shape in header["layouts"].items()
    }
    return Program(
        name=header["name"],
        tensors=tensors,
        ops=tuple(ops),
        input=header["input"],
        output=header["output"],
        input_layout=layouts["input"],
        output_layout=layouts["output"],
        dropped=tuple(header["dropped"]),
        info=dict(header["info"]),
    )


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}


def _write_npz(stream: Any, arrays: dict[str, NDArray]) -> None:
    """As numpy.savez_compressed, but with a fixed time stamp: reproducible bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
