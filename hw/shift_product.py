"""Products by a power of two: a shift in place of a multiplication."""

from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from shiftwork.errors import CapacityError
from shiftwork.hw.config import Products
from shiftwork.hw.multiplier import ICE40UP_PRODUCTS

MOST_EXPONENTS = 8
"""-128 is the eighth."""


class ShiftProduct(wiring.Component):
    """The product of an activation and a power of two, and a constant that depends on the weight.

    ``-x`` is ``~x + 1``: the bits are flipped here, in the lookup tables of the last shift, and
    the one is left out. The sign bit is flipped once more, which adds ``2**(bits - 1)``: the
    product is never negative, and an adder that is wider has no sign to extend. :func:`offset` is
    both together. It shifts by 1, then 2, then 4, so that the first tables are the fewest.

    Latency: 0. Flow control: none.

    Parameters:
        exponents: of the weights: 0 up to, but not including, this number, at most 8.

    Members:
        a: signed 8-bit activation.
        code: of the weight, as :func:`code_layout` has it; 0 has no product.
        p: ``a * weight + offset(weight)``.
    """

    def __init__(self, *, exponents: int):
        self.exponents = exponents
        super().__init__(
            {
                "a": In(signed(8)),
                "code": In(code_layout(exponents)),
                "p": Out(product_bits(exponents)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shifted = self.a
        for place, bit in enumerate(self.code.exponent):
            further = Signal(
                signed(min(len(shifted) + (1 << place), len(self.p))), name=f"shifted_{place}"
            )
            m.d.comb += further.eq(Mux(bit, shifted << (1 << place), shifted))
            shifted = further
        flips = Cat(self.code.negative.replicate(len(self.p) - 1), ~self.code.negative)
        m.d.comb += self.p.eq(shifted ^ flips)
        return m


def code_layout(exponents: int) -> data.StructLayout:
    """What travels down a column in place of a weight that is ``2**exponent``, its negative, or 0.

    Args:
        exponents: of the weights: 0 up to, but not including, this number.

    Raises:
        ValueError: if they are not those of signed bytes.
    """
    if not 1 <= exponents <= MOST_EXPONENTS:
        raise ValueError(f"exponents must be 1 to {MOST_EXPONENTS}, not {exponents}")
    bits = (exponents - 1).bit_length()
    return data.StructLayout({"exponent": bits, "negative": 1, "zero": 1})


def product_bits(exponents: int) -> int:
    """Width of the product of a byte and a weight with one of so many exponents."""
    return 7 + exponents


def offset(weights: NDArray[np.int8], exponents: int) -> NDArray[np.int64]:
    """What a product of each weight has more than it should.

    Args:
        weights: 0 or powers of two, or negatives of these.
        exponents: of the array's weights.
    """
    middle = 1 << (product_bits(exponents) - 1)
    return np.where(weights == 0, 0, middle - (weights < 0)).astype(np.int64)


def encoded(m: Module, weight: Value, exponents: int, *, name: str) -> data.View:
    """The code of ``weight``; of what is no such power of two that of 0.

    Args:
        m: where the lookup tables are added.
        weight: a signed byte.
        exponents: 0 up to, but not including, this number.
        name: of the code's signal.
    """
    code: data.View = Signal(code_layout(exponents), name=name)
    with m.Switch(weight):
        for exponent in range(exponents):
            for value in (1 << exponent, -(1 << exponent)):
                if -128 <= value <= 127:
                    with m.Case(value):
                        m.d.comb += [
                            code.exponent.eq(exponent),
                            code.negative.eq(int(value < 0)),
                        ]
        with m.Default():
            m.d.comb += code.zero.eq(1)
    return code


def is_shiftable(codebook: Sequence[int] | None) -> bool:
    """Whether all values are 0 or powers of two, or negatives of these, so that products shift."""
    return codebook is not None and all(abs(v) & (abs(v) - 1) == 0 for v in codebook)


def exponents_of(
    codebook: Sequence[int] | None, *, products: Products, name: str, wide: bool = False
) -> int:
    """The number of exponents that an array has to shift by; 0 for one that multiplies.

    Args:
        codebook: values of the network's weights; None for any.
        products: of the array.
        name: of the network.
        wide: whether it has feature maps of 16 bits, whose sums are scaled.

    Raises:
        CapacityError: if products are to be shifts, and a weight may be no power of two, or a
            feature map has 16 bits.
    """
    if products == "multiply":
        return 0
    if wide:
        raise CapacityError(
            f"products by shifting need feature maps of 8 bits: '{name}' has some of 16; quantize "
            "it without --wide-activations, or leave out --products shift"
        )
    if codebook is None or not is_shiftable(codebook):
        wrong = next((v for v in codebook or () if not is_shiftable([v])), None)
        why = "has no codebook" if wrong is None else f"has the weight {wrong} in its codebook"
        raise CapacityError(
            f"products by shifting need weights that are 0 or signed powers of two: '{name}' "
            f"{why}; quantize it with --weights pow2, or leave out --products shift"
        )
    return max(max(abs(value) for value in codebook).bit_length(), 1)


def multiplied(products: Products, elements: int) -> int:
    """How many of the elements of an array multiply; they are the first ones, row by row."""
    return {"multiply": elements, "shift": 0, "mixed": min(elements, ICE40UP_PRODUCTS)}[products]
