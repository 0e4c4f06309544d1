"""The multipliers of the array; the only place that knows a family's multiplier."""

from amaranth import Cat, ClockSignal, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import Family

LATENCY = 1
ICE40UP_PRODUCTS = 16
"""Products of 8x8 bits that the 8 SB_MAC16 of an UP5K make, two each."""


class MultiplierBank(wiring.Component):
    """``count`` independent signed 8x8 multipliers with a register at the output.

    On ``ice40up`` two products share one SB_MAC16 in 8x8 mode, up to the chip's 16; the ones
    beyond are made of LUTs. Elsewhere synthesis infers the multiplier.

    Latency: 1 cycle. Flow control: none; a product follows its operands in every cycle.

    Parameters:
        count: number of multipliers.
        family: whose multipliers are instantiated.

    Members:
        a, b: signed 8-bit operands, one pair for each multiplier.
        p: signed 16-bit products of the operands one cycle before.
    """

    def __init__(self, *, count: int, family: Family):
        self.count = count
        self.family = family
        super().__init__(
            {
                "a": In(signed(8)).array(count),
                "b": In(signed(8)).array(count),
                "p": Out(signed(16)).array(count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        hard = min(self.count, ICE40UP_PRODUCTS) if self.family == "ice40up" else 0
        for index in range(0, hard, 2):
            self._add_pair(m, index, paired=index + 1 < hard)
        for index in range(hard, self.count):
            m.d.sync += self.p[index].eq(self.a[index] * self.b[index])
        return m

    def _add_pair(self, m: Module, index: int, *, paired: bool) -> None:
        product = Signal(32, name=f"product_{index}")
        high = index + 1 if paired else index
        m.submodules[f"mac16_{index // 2}"] = Instance(
            "SB_MAC16",
            p_A_SIGNED=1,
            p_B_SIGNED=1,
            p_MODE_8x8=1,
            p_TOP_8x8_MULT_REG=1,
            p_BOT_8x8_MULT_REG=1,
            p_TOPOUTPUT_SELECT=2,
            p_BOTOUTPUT_SELECT=2,
            i_CLK=ClockSignal(),
            i_CE=1,
            i_A=Cat(self.a[index], self.a[high]),
            i_B=Cat(self.b[index], self.b[high]),
            i_C=0,
            i_D=0,
            **{f"i_{port}": 0 for port in _UNUSED_INPUTS},
            o_O=product,
        )
        m.d.comb += self.p[index].eq(product[:16])
        if paired:
            m.d.comb += self.p[high].eq(product[16:])


_UNUSED_INPUTS = (
    *("AHOLD", "BHOLD", "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT"),
    *("IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT"),
    *("ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN"),
)
