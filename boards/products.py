"""How a board makes the products of a network: by multiplying, or by shifting."""

from typing import Literal

from shiftwork.hw.config import Family, Products
from shiftwork.hw.multiplier import ICE40UP_PRODUCTS
from shiftwork.hw.shift_product import exponents_of, is_shiftable
from shiftwork.quant.program import Program

ProductChoice = Literal["auto", "multiply", "shift"]
"""What is asked for: shifts wherever the board has no multiplier blocks and the weights allow it,
never, or wherever it has none or does not need them."""
SHIFT_BY_DEFAULT: frozenset[Family] = frozenset({"ice40hx", "ice40up"})
"""Families that have no multiplier blocks, or few."""


def products_of(
    choice: ProductChoice, family: Family, program: Program, *, elements: int
) -> Products:
    """How an array of so many elements makes its products.

    The multiplier blocks of an UP5K make the first ones whatever the choice is: they cost nothing.

    Raises:
        CapacityError: if shifts are asked for, and a weight may be no power of two, or a feature
            map has 16 bits.
    """
    if choice == "multiply":
        return "multiply"
    possible = is_shiftable(program.codebook) and not program.wide
    if choice == "auto" and not (family in SHIFT_BY_DEFAULT and possible):
        return "multiply"
    exponents_of(program.codebook, products="shift", name=program.name, wide=program.wide)
    if family != "ice40up":
        return "shift"
    return "mixed" if elements > ICE40UP_PRODUCTS else "multiply"
