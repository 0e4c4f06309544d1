"""What a simulation is asked for, and what its bench saw: common to all simulators of the RTL."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from shiftwork.quant.program import Program
from shiftwork.sim.layer_image import LayerImage

IDLE_MARGIN = 4096
UNKNOWN_BYTE = -1

FLASH_ADDRESS = 0x100000
ERASED = b"\xff"


class Kind(IntEnum):
    """What a difference is; the numbers are those of ``bench.v``."""

    WRONG_VALUE = 1
    WRITTEN_TWICE = 2
    NEVER_WRITTEN = 3
    OUTSIDE = 4
    UNSTABLE = 5
    EXTRA_FRAME = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """What an engine has to run.

    Attributes:
        program: the network.
        images: the outputs of the hardware's layers.
        q: integer inputs ``[N, H, W, C]``.
        cycles: that the schedule predicts for a frame.
        seed: of the random stalls.
        stall_probability: that the bench offers no input byte, or takes no output byte, in a cycle.
        flash: what the flash holds from ``flash_address`` on; for cores that load it.
        flash_address: where that lies in the flash.
    """

    program: Program
    images: tuple[LayerImage, ...]
    q: NDArray[np.int32]
    cycles: int
    seed: int
    stall_probability: float
    flash: bytes = ERASED
    flash_address: int = FLASH_ADDRESS

    @property
    def input_bytes(self) -> int:
        """Bytes of a frame on the input stream."""
        return self.program.tensor(self.program.input).bytes

    @property
    def output_bytes(self) -> int:
        """Bytes of a frame on the output stream."""
        return self.program.tensor(self.program.output).bytes

    @property
    def image_bytes(self) -> int:
        """Bytes of all layers' outputs of a frame."""
        return sum(image.bytes for image in self.images)

    @property
    def patience(self) -> int:
        """Cycles without any progress after which the hardware counts as hung."""
        return 2 * self.cycles + IDLE_MARGIN


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first thing that was not as expected.

    Attributes:
        kind: what it is.
        frame: number of the input, from 0.
        layer: the hardware's layer index; None if it is unknown.
        offset: byte number from the first that the layer writes of its output, or in the output
            stream for ``UNSTABLE``.
        expected, got: bytes as stored.
    """

    kind: Kind
    frame: int
    layer: int | None
    offset: int | None
    expected: int | None
    got: int | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation:
    """What the bench saw.

    Attributes:
        mismatches: number of differing, missing or superfluous bytes of all layers.
        layer_mismatches: the same by layer.
        first: the first of them in time.
        hung: the core stopped before all frames were through.
        status: why the core did not load what is in its flash, 0 if it did; None if it is X.
        frames_started, frames_finished: rises and falls of ``busy``.
        input_count: bytes the core accepted.
        output: bytes of the output stream, int16; ``UNKNOWN_BYTE`` where a simulator saw an X.
        cycles_min, cycles_max: of a frame.
        clock_cycles: of the whole run.
        seconds: that the simulator needed for it.
    """

    mismatches: int
    layer_mismatches: tuple[int, ...]
    first: Difference | None
    hung: bool
    frames_started: int
    frames_finished: int
    input_count: int
    output: NDArray[np.int16]
    cycles_min: int
    cycles_max: int
    clock_cycles: int
    seconds: float
    status: int | None = 0
