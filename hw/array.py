"""The systolic array with its weight ROMs."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import Token
from shiftwork.hw.multiplier import MultiplierBank
from shiftwork.hw.pe import PE
from shiftwork.hw.rom import Rom

OPERAND_LATENCY = 2
"""Cycles from a weight address to that weight in the operand register of column 0."""

SUM_LATENCY = OPERAND_LATENCY + 2
"""Cycles from the last address of a dot product to the sum in the drain register of (0, 0)."""


class SystolicArray(wiring.Component):
    """``rows`` x ``columns`` processing elements, each column with its weight ROM.

    Activations enter at the left and move right; weights come from the ROM above each column and
    move down with their token. The ROM address and the token travel along the columns, so column
    c and row r lag (0, 0) by r + c cycles. Every lane drains ``columns / lanes`` neighbouring
    columns, row by row; column ``q * (columns / lanes) + j`` works on channel ``j * lanes + q``
    of its group, so that the lanes deliver neighbouring channels.

    Latency: the sums of a dot product are complete ``SUM_LATENCY + rows + columns - 2`` cycles
    after its last address. Flow control: none; ``drain_shift`` moves the drain chains by one.

    Parameters:
        config: the array's configuration.
        weights: for every column the bytes of its ROM, as unsigned integers.

    Members:
        address, token: weight address and token for column 0.
        a: for each row its activation, one cycle after the address of row 0, ``r`` later for row r.
        drain_shift: move the drain chains.
        sums: the heads of the drain chains, one for each lane.
        captured: all sums of a dot product are in the drain registers from the next cycle on.
    """

    def __init__(self, *, config: ArrayConfig, weights: Sequence[Sequence[int]]):
        self.config = config
        self.weights = weights
        shape = config.shape
        self._roms = [Rom(width=8, contents=column) for column in weights]
        super().__init__(
            {
                "address": In(len(self._roms[0].address)),
                "token": In(Token),
                "a": In(signed(8)).array(shape.rows),
                "drain_shift": In(1),
                "sums": Out(signed(config.accumulator_bits)).array(shape.lanes),
                "captured": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.config.shape
        bank = MultiplierBank(count=shape.elements, family=shape.family)
        m.submodules.multipliers = bank
        pes = [
            [PE(accumulator_bits=self.config.accumulator_bits) for _ in range(shape.columns)]
            for _ in range(shape.rows)
        ]
        for r, row in enumerate(pes):
            for c, pe in enumerate(row):
                m.submodules[f"pe_{r}_{c}"] = pe
                index = r * shape.columns + c
                m.d.comb += [
                    pe.a_i.eq(self.a[r] if c == 0 else row[c - 1].a_o),
                    bank.a[index].eq(pe.a_o),
                    bank.b[index].eq(pe.w_o),
                    pe.product.eq(bank.p[index]),
                    pe.shift.eq(self.drain_shift),
                ]
                if r:
                    m.d.comb += [
                        pe.w_i.eq(pes[r - 1][c].w_o),
                        pe.token_i.eq(pes[r - 1][c].token_o),
                    ]
        self._feed_columns(m, pes[0])
        self._chain_drains(m, pes)
        m.d.comb += self.captured.eq(pes[-1][-1].captured)
        return m

    def _feed_columns(self, m: Module, top_row: list[PE]) -> None:
        """Address and token travel along the columns; the ROM's latency delays the token."""
        address, token = self.address, self.token
        for c, (pe, rom) in enumerate(zip(top_row, self._roms, strict=True)):
            m.submodules[f"weight_rom_{c}"] = rom
            fetched = Signal(Token, name=f"fetched_{c}")
            m.d.sync += fetched.eq(token)
            m.d.comb += [
                rom.address.eq(address),
                rom.enable.eq(1),
                pe.w_i.eq(rom.data.as_signed()),
                pe.token_i.eq(fetched),
            ]
            if c + 1 < len(top_row):
                next_address = Signal.like(self.address, name=f"address_{c + 1}", reset_less=True)
                next_token = Signal(Token, name=f"token_{c + 1}")
                m.d.sync += [next_address.eq(address), next_token.eq(token)]
                address, token = next_address, next_token

    def _chain_drains(self, m: Module, pes: list[list[PE]]) -> None:
        lanes = self.config.shape.lanes
        span = self.config.shape.columns // lanes
        for q in range(lanes):
            chain = [pe for row in pes for pe in row[q * span : (q + 1) * span]]
            for pe, behind in pairwise(chain):
                m.d.comb += pe.drain_i.eq(behind.drain_o)
            m.d.comb += self.sums[q].eq(chain[0].drain_o)
