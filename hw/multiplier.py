"""The multipliers of the array; the only place that knows a family's multiplier."""

from amaranth import Cat, ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from shiftwork.hw.config import Family

LATENCY = 2
ICE40UP_PRODUCTS = 16
"""Products of 8x8 bits that the 8 SB_MAC16 of an UP5K make, two each."""
MULTIPLIER_REGISTERS = {
    **{
        f"REG_{place}_{port}": f"{port}0"
        for place in ("INPUTA", "INPUTB", "OUTPUT")
        for port in ("CLK", "CE", "RST")
    },
    "REG_PIPELINE_CLK": "NONE",
}
"""Parameters of MULT18X18D: registers at the operands and at the product."""
ECP5_OPERAND_BITS = 18
ECP5_PRODUCT_BITS = 36
GOWIN_OPERAND_BITS = 9
GOWIN_PRODUCT_BITS = 18


class MultiplierBank(wiring.Component):
    """``count`` independent signed 8x8 multipliers with registers at inputs and output.

    On ``ice40up`` two products share one SB_MAC16 in 8x8 mode, up to the chip's 16; the ones
    beyond are made of LUTs. On ``ecp5`` each is a MULT18X18D, on ``gowin`` a MULT9X9. All of them
    with their own registers. ``ice40hx`` has no multipliers: all products are made of LUTs.

    Latency: 2 cycles. Flow control: none; a product follows its operands in every cycle.

    Parameters:
        count: number of multipliers.
        family: whose multipliers are instantiated.

    Members:
        a, b: signed 8-bit operands, one pair for each multiplier.
        p: signed 16-bit products of the operands two cycles before.
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
            if self.family == "ecp5":
                self._add_mult18(m, index)
            elif self.family == "gowin":
                self._add_mult9(m, index)
            else:
                self._add_inferred(m, index)
        return m

    def _add_inferred(self, m: Module, index: int) -> None:
        a = Signal(signed(8), name=f"a_{index}", reset_less=True)
        b = Signal(signed(8), name=f"b_{index}", reset_less=True)
        m.d.sync += [a.eq(self.a[index]), b.eq(self.b[index]), self.p[index].eq(a * b)]

    def _add_pair(self, m: Module, index: int, *, paired: bool) -> None:
        product = Signal(32, name=f"product_{index}")
        high = index + 1 if paired else index
        m.submodules[f"mac16_{index // 2}"] = Instance(
            "SB_MAC16",
            p_A_REG=1,
            p_B_REG=1,
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
            **{f"i_{port}": 0 for port in _SB_MAC16_UNUSED},
            o_O=product,
        )
        m.d.comb += self.p[index].eq(product[:16])
        if paired:
            m.d.comb += self.p[high].eq(product[16:])

    def _add_mult18(self, m: Module, index: int) -> None:
        a = Signal(signed(ECP5_OPERAND_BITS), name=f"a_{index}")
        b = Signal(signed(ECP5_OPERAND_BITS), name=f"b_{index}")
        product = Signal(ECP5_PRODUCT_BITS, name=f"product_{index}")
        m.d.comb += [
            a.eq(self.a[index]),
            b.eq(self.b[index]),
            self.p[index].eq(product[:16].as_signed()),
        ]
        bits: dict[str, object] = {
            f"i_{operand}{bit}": signal[bit]
            for operand, signal in (("A", a), ("B", b))
            for bit in range(ECP5_OPERAND_BITS)
        }
        bits |= {f"o_P{bit}": product[bit] for bit in range(ECP5_PRODUCT_BITS)}
        m.submodules[f"mult18_{index}"] = Instance(
            "MULT18X18D",
            **{f"p_{name}": value for name, value in MULTIPLIER_REGISTERS.items()},
            i_CLK0=ClockSignal(),
            i_CE0=Const(1),
            i_RST0=Const(0),
            i_SIGNEDA=Const(1),
            i_SIGNEDB=Const(1),
            i_SOURCEA=Const(0),
            i_SOURCEB=Const(0),
            **bits,
        )

    def _add_mult9(self, m: Module, index: int) -> None:
        a = Signal(signed(GOWIN_OPERAND_BITS), name=f"a_{index}")
        b = Signal(signed(GOWIN_OPERAND_BITS), name=f"b_{index}")
        product = Signal(GOWIN_PRODUCT_BITS, name=f"product_{index}")
        m.d.comb += [
            a.eq(self.a[index]),
            b.eq(self.b[index]),
            self.p[index].eq(product[:16].as_signed()),
        ]
        m.submodules[f"mult9_{index}"] = Instance(
            "MULT9X9",
            **{f"p_{register}": Const(1, 1) for register in ("AREG", "BREG", "OUT_REG")},
            i_CLK=ClockSignal(),
            i_CE=Const(1),
            i_RESET=Const(0),
            i_A=a,
            i_B=b,
            **{f"i_{sign}": Const(1) for sign in ("ASIGN", "BSIGN")},
            **{f"i_{cascade}": Const(0, GOWIN_OPERAND_BITS) for cascade in ("SIA", "SIB")},
            **{f"i_{select}": Const(0) for select in ("ASEL", "BSEL")},
            o_DOUT=product,
        )


_SB_MAC16_UNUSED = (
    *("AHOLD", "BHOLD", "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT"),
    *("IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT"),
    *("ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN"),
)
