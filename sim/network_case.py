"""A network on an array with its inputs, as the comparisons of all engines run them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import MismatchError
from shiftwork.hw import flash_image
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.core import Core
from shiftwork.hw.schedule import Schedule, make_schedule
from shiftwork.quant.program import Program
from shiftwork.sim import amaranth_engine
from shiftwork.sim.executor import Engine, judge
from shiftwork.sim.layer_image import layer_images
from shiftwork.sim.observation import ERASED, Job, Observation


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """What all engines have to agree about.

    Attributes:
        program: the network.
        shape: of the array.
        q: integer inputs ``[N, H, W, C]``.
        seed: of the random stalls on both streams.
        stall_probability: of a stall in a cycle, 0 up to, but not including, 1.
    """

    program: Program
    shape: ArrayShape
    q: NDArray[np.int32]
    seed: int = 0
    stall_probability: float = 0.25

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule.

        Raises:
            CapacityError: if the network is not for this shape.
        """
        return make_schedule(self.program, self.shape)

    @cached_property
    def job(self) -> Job:
        """What an engine is asked for."""
        payload, identity = self.schedule.payload, self.schedule.config.identity
        flash = flash_image.pack(payload, identity=identity) if payload else ERASED
        return Job(
            program=self.program,
            images=layer_images(self.program, self.schedule.layers),
            q=np.asarray(self.q, np.int32),
            cycles=self.schedule.cycles,
            seed=self.seed,
            stall_probability=self.stall_probability,
            flash=flash,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over network, shape and inputs, in hexadecimal."""
        settings = f"{self.program.digest} {self.shape} {self.seed} {self.stall_probability}"
        sha = hashlib.sha256(settings.encode())
        sha.update(np.ascontiguousarray(self.q, "<i4").tobytes())
        return sha.hexdigest()

    def core(self) -> Core:
        """The hardware; weights that a flash holds are loaded from it after reset."""
        return Core(config=self.schedule.config, images=self.schedule.images)

    def portable_core(self) -> Core:
        """The same without vendor primitives, and with all weights in memory at power-up."""
        return Core(
            config=self.schedule.config.portable(),
            images=self.schedule.images,
            preload=self.schedule.payload,
        )


def amaranth_difference(case: Case) -> str | None:
    """What differs between Amaranth's simulation, the golden model and the schedule, if anything.

    Compared are every byte of every layer, the output stream, and the cycles of every frame.
    """
    return difference("amaranth", case, amaranth_engine.run(case.portable_core(), case.job))


def difference(engine: Engine, case: Case, seen: Observation) -> str | None:
    """What differs between an engine's observation, the golden model and the schedule, if anything.

    Arguments: the engine's name, what it ran, and what its bench saw.
    """
    try:
        result = judge(engine, case.job, seen, build_seconds=0.0)
    except MismatchError as error:
        return f"{engine}: {error}"
    return None if result.passed else f"{engine}: {result.text}"
