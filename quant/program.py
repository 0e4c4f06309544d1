"""The integer program: the numeric contract between quantizer, golden model and hardware.

``docs/program.md`` is its normative description. All values are integers in their true domain:
an unsigned activation is 0..255 here, whatever byte the hardware stores for it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant import program_checks, program_file
from shiftwork.quant.activation_table import Table, distinct_tables
from shiftwork.quant.graph import Layout
from shiftwork.quant.program_ops import (
    Conv,
    Op,
    Reshape,
    Tensor,
    TopScore,
    no_class,
    signed_bits,
    table_of,
)
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.softmax import Softmax


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
        codebook: in ascending order all values that weights take, if they are few enough to store
            an index in place of each; None if they may be any.
        raw_input: what the input's bytes stand for, if they are those of a sensor; None if the
            input tensor's own scale says it.
        softmax: how the host makes probabilities of the output; None if it is none of those.
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
    codebook: tuple[int, ...] | None = None
    raw_input: RawInput | None = None
    softmax: Softmax | None = None

    def __post_init__(self) -> None:
        self.verify()

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @property
    def layouts(self) -> dict[str, Layout]:
        """How the source model orders the ``input`` and the ``output``."""
        return {"input": self.input_layout, "output": self.output_layout}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name."""
        return self._by_name[name]

    def sources(self, op: Op) -> tuple[Tensor, ...]:
        """The tensors that ``op`` reads."""
        return tuple(self.tensor(name) for name in op.inputs)

    def quantize_input(self, x: NDArray) -> NDArray[np.int32]:
        """Samples in the source model's layout as integers ``[N, H, W, C]``.

        They are real numbers; with a raw input arrays of an integer type hold its bytes.

        Raises:
            DataError: if ``x`` does not hold samples of the network's input.
        """
        tensor = self.tensor(self.input)
        samples = self.input_layout.to_nhwc(np.asarray(x), tensor.shape)
        if self.raw_input is None:
            return tensor.quantize(samples)
        return np.clip(self.raw_input.to_raw(samples), tensor.lo, tensor.hi)

    def real_input(self, x: NDArray) -> NDArray:
        """Samples in the source model's layout as its real numbers: raw bytes are converted.

        Raises:
            DataError: as :meth:`quantize_input`.
        """
        x = np.asarray(x)
        if self.raw_input is None or x.dtype.kind == "f":
            return x
        raw = self.quantize_input(x)
        return self.input_layout.from_nhwc(self.raw_input.to_real(raw))

    def dequantize(self, name: str, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` of a tensor as the real numbers they stand for.

        Beside the tensor's own scale this knows the offset of a raw input, which pools and
        reshapes hand on.
        """
        return self.tensor(name).dequantize(q) + self._raw_offsets.get(name, 0.0)

    @cached_property
    def _raw_offsets(self) -> dict[str, NDArray[np.float64]]:
        """By name, what is missing in the tensors that are raw bytes: the input, and its moves."""
        if self.raw_input is None:
            return {}
        source = self.tensor(self.input)
        rest = np.array(self.raw_input.offset) + np.array(self.raw_input.scale) * source.zero_point
        found = {self.input: rest}
        for op in self.ops:
            if op.input in found and not (isinstance(op, Conv | TopScore) or table_of(op)):
                rest = found[op.input]
                if isinstance(op, Reshape) and rest.size > 1:
                    rest = np.broadcast_to(rest, self.tensor(op.input).shape)
                    rest = rest.reshape(self.tensor(op.output).shape)
                found[op.output] = rest
        return found

    def dequantize_output(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` as real numbers in the source model's layout."""
        return self.output_layout.from_nhwc(self.tensor(self.output).dequantize(q))

    @property
    def top_score(self) -> TopScore | None:
        """The last op, if it makes a class of the scores."""
        last = self.ops[-1] if self.ops else None
        return last if isinstance(last, TopScore) else None

    @property
    def scores(self) -> Tensor:
        """What the layers end with: the input of a TopScore, or the output."""
        top = self.top_score
        return self.tensor(top.input if top else self.output)

    def classes(self, q: NDArray) -> NDArray[np.int64]:
        """The class of each sample, int64 ``[N]``, for output integers ``q[N, H, W, C]``.

        It is the index of the greatest real number in the source model's layout, or what a
        TopScore says; -1 for no class.
        """
        if self.top_score is None:
            return self.dequantize_output(q).reshape(len(q), -1).argmax(axis=1).astype(np.int64)
        found = q.reshape(len(q), -1)[:, 0].astype(np.int64)
        return np.where(found == no_class(self.scores.size), -1, found)

    def probabilities(self, q: NDArray) -> NDArray[np.float64]:
        """The probabilities ``[N, classes]`` for output integers ``q[N, 1, 1, classes]``.

        Raises:
            DataError: if the output is none that probabilities are made of.
        """
        if self.softmax is None:
            raise DataError(
                f"'{self.name}' gives no probabilities; quantize the network with the option "
                "softmax"
            )
        return self.softmax.probabilities(self.output_layout.from_nhwc(q))

    def dequantize_scores(self, q: NDArray) -> NDArray[np.float64]:
        """Integers ``[N, H, W, C]`` of :attr:`scores` as real numbers in the source's layout."""
        real = self.scores.dequantize(q)
        return real.reshape(len(q), -1) if self.top_score else self.output_layout.from_nhwc(real)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, borders included."""
        return sum(
            self.tensor(op.output).size * op.macs_per_output
            for op in self.ops
            if isinstance(op, Conv)
        )

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """The tables behind the requantizer, without repetitions, in the order of their use."""
        return distinct_tables(map(table_of, self.ops))

    @property
    def wide(self) -> bool:
        """Whether any feature map has 16 bits."""
        return any(tensor.wide for tensor in self.tensors)

    def accumulator_bits(self, op: Conv) -> int:
        """Width that ``op``'s biased accumulator needs in the worst case of its actual weights."""
        lo, hi = op.accumulator_range(*self.sources(op))
        return signed_bits(int(lo.min()), int(hi.max()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that has a meaning, in hexadecimal."""
        sha = hashlib.sha256()
        header, arrays = program_file.encode(self)
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
        program_checks.verify(self)

    def save(self, path: str | Path) -> None:
        """Writes the program to ``path`` (.npz), the same bytes for the same program.

        Raises:
            OutputError: if it cannot be written; nothing is left behind.
        """
        program_file.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Program":
        """Reads and verifies a program file. Never unpickles, and unpacks 256 MiB at most.

        Raises:
            ProgramError: if the file is missing, damaged or of another format version.
        """
        return program_file.load(cls, Path(path))
