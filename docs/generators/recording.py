"""What an accelerator does, cycle by cycle, as Amaranth's simulator sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.sim import Simulator, SimulatorContext

from shiftwork.boards.accelerator import Accelerator

PERIOD = 1e-6


@dataclass(frozen=True)
class Cycle:
    """One clock cycle of a frame.

    Attributes:
        reads: the fetch unit reads a word of activation memory.
        token: the array gets a weight address and a token that is valid.
        address: that weight address.
        rows: the activation that enters the array, for each row, as it is stored.
        captured: the sums of a tile and group move to the drain registers.
        shifts: the drain chains move.
        writes: the drain writes a word.
    """

    reads: bool
    token: bool
    address: int
    rows: tuple[int, ...]
    captured: bool
    shifts: bool
    writes: bool


def record(accelerator: Accelerator, frame: Sequence[int], cycles: int) -> list[Cycle]:
    """The first cycles of a frame, from ``busy`` on.

    Args:
        accelerator: its portable core is simulated.
        frame: the bytes of the input.
        cycles: how many.
    """
    core = accelerator.portable()
    # Elaborated here, so that its parts are at hand; Amaranth warns of a core that it does not see.
    core._MustUse__used = True
    module = core.elaborate(None)
    parts = module.submodules
    found: list[Cycle] = []

    def sample(ctx: SimulatorContext) -> Cycle:
        return Cycle(
            reads=bool(ctx.get(parts.fetch.read_enable)),
            token=bool(ctx.get(parts.array.token.valid)),
            address=ctx.get(parts.array.address),
            rows=tuple(ctx.get(row) for row in parts.array.a),
            captured=bool(ctx.get(parts.array.captured)),
            shifts=bool(ctx.get(parts.drain.shift)),
            writes=bool(ctx.get(parts.drain.write_enable & parts.drain.write_ready)),
        )

    async def bench(ctx: SimulatorContext) -> None:
        for byte in frame:
            await core_put(ctx, byte)
        while not ctx.get(core.busy):
            await ctx.tick()
        for _ in range(cycles):
            found.append(sample(ctx))
            await ctx.tick()

    async def core_put(ctx: SimulatorContext, byte: int) -> None:
        ctx.set(core.i.payload, byte)
        ctx.set(core.i.valid, 1)
        await ctx.tick().until(core.i.ready)
        ctx.set(core.i.valid, 0)

    simulator = Simulator(module)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()
    return found
