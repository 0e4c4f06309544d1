"""The systolic array with its weight memories."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from shiftwork.hw import rom
from shiftwork.hw.coded_rom import CodedRom, stages
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.layouts import token_layout
from shiftwork.hw.multiplier import MultiplierBank
from shiftwork.hw.pe import PE
from shiftwork.hw.rom import Rom
from shiftwork.hw.shift_pe import ShiftPE
from shiftwork.hw.shift_product import code_layout, encoded, multiplied
from shiftwork.hw.weight_ram import WeightRam

OPERAND_LATENCY = rom.LATENCY
"""Cycles from a weight address to that weight at the multipliers of column 0."""

SUM_LATENCY = OPERAND_LATENCY + 3
"""Cycles from the last address of a dot product to the sum in the drain register of (0, 0)."""


def _coded_roms(config: ArrayConfig, weights: Sequence[Sequence[int]]) -> list[CodedRom]:
    """A ROM for each stage of columns."""
    return [
        CodedRom(columns=columns, codebook=config.codebook, family=config.shape.family)
        for columns in stages(weights, config.stage_widths)
    ]


class SystolicArray(wiring.Component):
    """``rows`` x ``columns`` processing elements, each column with its weight memory.

    Activations enter at the left and move right, ``stage_columns`` columns a cycle; weights come
    from the memory above each column and move down with their token, a row a cycle. The weight
    address and the token travel along the columns as the activations do, so row r and column c lag
    (0, 0) by ``r + c // stage_columns`` cycles. Every lane drains ``columns / lanes`` neighbouring
    columns, row by row; column ``q * (columns / lanes) + j`` works on channel ``j * lanes + q``
    of its group, so that the lanes deliver neighbouring channels.

    With a broadcast token all rows of a column take their activation from the broadcast word: the
    byte of the column's channel. Row r sees the word r cycles after row 0 saw it with the same
    weight, which is what neighbouring windows of a depthwise convolution need.

    Where elements shift in place of multiplying, codes of the weights move down to them. If all
    do, a sum has the offsets of the weights in its dot product (:class:`ShiftPE`).

    Latency: the sums of a dot product are complete ``SUM_LATENCY + skew`` cycles after its last
    address, ``skew`` being that of the last row and column. Flow control: none; ``drain_shift``
    moves the drain chains by one.

    Parameters:
        config: the array's configuration.
        weights: for every column the bytes of its ROM, as unsigned integers; None for memories
            that are written at run time. With a codebook the columns of a stage share a ROM.

    Members:
        address, token: weight address and token for column 0.
        a: for each row its activation, ``OPERAND_LATENCY`` cycles after the address of row 0, ``r``
            later for row r.
        word: the broadcast word, ``OPERAND_LATENCY`` cycles after the address of row 0.
        drain_shift: move the drain chains.
        sums: the heads of the drain chains, one for each lane.
        captured: all sums of a dot product are in the drain registers from the next cycle on.
        load_enable, load_address, load_data: weights to write at run time: a bit for each block of
            ``word_bytes`` columns, the address within the column, and the block's bytes.
    """

    def __init__(self, *, config: ArrayConfig, weights: Sequence[Sequence[int]] | None):
        self.config = config
        self.weights = weights
        self._token = token_layout(scaled=config.scaled)
        shape = config.shape
        self._stores: list[Rom | WeightRam] = []
        self._coded: list[CodedRom] = []
        if weights is not None and config.codebook:
            self._coded = _coded_roms(config, weights)
        else:
            self._stores = [
                WeightRam(depth=config.weight_depth, family=shape.family)
                if weights is None
                else Rom(width=8, contents=weights[column], family=shape.family)
                for column in range(shape.columns)
            ]
        address_bits = len((self._coded or self._stores)[0].address)
        super().__init__(
            {
                "address": In(address_bits),
                "token": In(self._token),
                "a": In(signed(8)).array(shape.rows),
                "word": In(8 * shape.word_bytes),
                "drain_shift": In(1),
                "sums": Out(signed(config.accumulator_bits)).array(shape.lanes),
                "captured": Out(1),
                "load_enable": In(config.weight_blocks),
                "load_address": In(address_bits),
                "load_data": In(8 * shape.word_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.config.shape
        if self._multiplied:
            bank = MultiplierBank(count=self._multiplied, family=shape.family)
            m.submodules.multipliers = bank
        pes = [
            [self._element(r * shape.columns + c) for c in range(shape.columns)]
            for r in range(shape.rows)
        ]
        addresses, top_tokens = self._travel(m)
        tokens = self._descend(m, top_tokens)
        weights = self._add_stores(m, addresses)
        activations = self._activations(m)
        channels = self._broadcast(m) if self.config.depthwise else None
        for r, row in enumerate(pes):
            for c, pe in enumerate(row):
                m.submodules[f"pe_{r}_{c}"] = pe
                index, stage = r * shape.columns + c, c // shape.stage_columns
                token, a = tokens[r][stage], activations[r][stage]
                operand = Mux(token.broadcast, channels[c], a) if channels is not None else a
                if isinstance(pe, ShiftPE):
                    m.d.comb += [pe.a.eq(operand), pe.code.eq(weights[r][c])]
                else:
                    m.d.comb += [
                        bank.a[index].eq(operand),
                        bank.b[index].eq(weights[r][c]),
                        pe.product.eq(bank.p[index]),
                    ]
                m.d.comb += [pe.token.eq(token), pe.shift.eq(self.drain_shift)]
        self._chain_drains(m, pes)
        m.d.comb += self.captured.eq(pes[-1][-1].captured)
        return m

    @property
    def _multiplied(self) -> int:
        return multiplied(self.config.shape.products, self.config.shape.elements)

    def _element(self, index: int) -> PE | ShiftPE:
        config = self.config
        if index < self._multiplied:
            return PE(accumulator_bits=config.accumulator_bits, scaled=config.scaled)
        return ShiftPE(
            accumulator_bits=config.accumulator_bits,
            exponents=config.exponents,
            exact=self._multiplied > 0,
        )

    def _travel(self, m: Module) -> tuple[list[Signal], list[Signal]]:
        """Address and token of each stage of columns."""
        addresses, tokens = [self.address], [self.token]
        for stage in range(1, self.config.shape.stages):
            address = Signal.like(self.address, name=f"address_{stage}", reset_less=True)
            token = Signal(self._token, name=f"token_{stage}")
            m.d.sync += [address.eq(addresses[-1]), token.eq(tokens[-1])]
            addresses.append(address)
            tokens.append(token)
        return addresses, tokens

    def _descend(self, m: Module, tokens: list[Signal]) -> list[list[Signal]]:
        """For each row and stage the token that comes with the operands."""
        rows = []
        for cycle in range(1, OPERAND_LATENCY):
            late = [Signal(self._token, name=f"token_{s}_late_{cycle}") for s in range(len(tokens))]
            m.d.sync += [after.eq(before) for before, after in zip(tokens, late, strict=True)]
            tokens = late
        for row in range(self.config.shape.rows):
            late = [
                Signal(self._token, name=f"token_{row}_{stage}") for stage in range(len(tokens))
            ]
            m.d.sync += [after.eq(before) for before, after in zip(tokens, late, strict=True)]
            rows.append(late)
            tokens = late
        return rows

    def _add_stores(self, m: Module, addresses: list[Signal]) -> list[list[Signal | View]]:
        """For each row and column the weight or its code; it moves down a row a cycle."""
        shape = self.config.shape
        top = self._add_coded(m, addresses)
        for c, store in enumerate(self._stores):
            m.submodules[f"weights_{c}"] = store
            weight = Signal(signed(8), name=f"weight_0_{c}")
            m.d.comb += [
                store.address.eq(addresses[c // shape.stage_columns]),
                store.enable.eq(1),
                weight.eq(store.data.as_signed()),
            ]
            if isinstance(store, WeightRam):
                block, byte = divmod(c, shape.word_bytes)
                m.d.comb += [
                    store.write_enable.eq(self.load_enable[block]),
                    store.write_address.eq(self.load_address),
                    store.write_data.eq(self.load_data.word_select(byte, 8)),
                ]
            top.append(weight)
        if self.config.exponents:
            return self._descend_codes(m, top)
        rows = [top]
        for r in range(1, shape.rows):
            row = [
                Signal(signed(8), name=f"weight_{r}_{c}", reset_less=True)
                for c in range(shape.columns)
            ]
            m.d.sync += [after.eq(before) for before, after in zip(rows[-1], row, strict=True)]
            rows.append(row)
        return rows

    def _descend_codes(self, m: Module, top: list[Signal]) -> list[list[Signal | View]]:
        """For each row and column the weight as far down as elements multiply, then its code."""
        shape, layout = self.config.shape, code_layout(self.config.exponents)
        rows: list[list[Signal | View]] = []
        for r in range(shape.rows):
            row: list[Signal | View] = []
            for c, above in enumerate(rows[-1] if rows else top):
                here: Signal | View = above
                if r * shape.columns + c >= self._multiplied:
                    here = Signal(layout, name=f"code_{r}_{c}", reset_less=True)
                    if isinstance(above, Signal):
                        above = encoded(m, above, self.config.exponents, name=f"encoded_{c}")
                elif r:
                    here = Signal(signed(8), name=f"weight_{r}_{c}", reset_less=True)
                if here is not above:
                    m.d["sync" if r else "comb"] += here.eq(above)
                row.append(here)
            rows.append(row)
        return rows

    def _add_coded(self, m: Module, addresses: list[Signal]) -> list[Signal]:
        """For each column the weight, from the ROMs that the columns of a stage share."""
        top: list[Signal] = []
        for stage, (rom_, address) in enumerate(zip(self._coded, addresses, strict=False)):
            m.submodules[f"weights_{stage}"] = rom_
            m.d.comb += [rom_.address.eq(address), rom_.enable.eq(1)]
            for data in rom_.data:
                weight = Signal(signed(8), name=f"weight_0_{len(top)}")
                m.d.comb += weight.eq(data)
                top.append(weight)
        return top

    def _activations(self, m: Module) -> list[list[Signal]]:
        """For each row and stage the activation."""
        rows = []
        for r, first in enumerate(self.a):
            stages = [first]
            for stage in range(1, self.config.shape.stages):
                a = Signal(signed(8), name=f"a_{r}_{stage}", reset_less=True)
                m.d.sync += a.eq(stages[-1])
                stages.append(a)
            rows.append(stages)
        return rows

    def _broadcast(self, m: Module) -> list[Signal]:
        """For each column its channel's byte of the broadcast word."""
        shape = self.config.shape
        words = [self.word]
        for stage in range(1, shape.stages):
            word = Signal.like(self.word, name=f"word_{stage}", reset_less=True)
            m.d.sync += word.eq(words[-1])
            words.append(word)
        return [
            words[column // shape.stage_columns]
            .word_select(shape.channel(column) % shape.word_bytes, 8)
            .as_signed()
            for column in range(shape.columns)
        ]

    def _chain_drains(self, m: Module, pes: list[list[PE]]) -> None:
        lanes = self.config.shape.lanes
        span = self.config.shape.columns // lanes
        for q in range(lanes):
            chain = [pe for row in pes for pe in row[q * span : (q + 1) * span]]
            for pe, behind in pairwise(chain):
                m.d.comb += pe.drain_i.eq(behind.drain_o)
            m.d.comb += self.sums[q].eq(chain[0].drain_o)
