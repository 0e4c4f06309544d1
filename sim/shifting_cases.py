"""Cases whose weights are powers of two and whose elements shift, made of those that multiply."""

from dataclasses import replace

from shiftwork.errors import CapacityError
from shiftwork.hw.config import Products
from shiftwork.hw.multiplier import ICE40UP_PRODUCTS
from shiftwork.quant.levels import POWERS
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.network_case import Case


def shifting(case: Case, *, most_cycles: int) -> Case:
    """The case with the powers of two next to its weights, on elements that shift.

    Nothing is drawn: what a seed stands for does not change otherwise. Large arrays are mixed, and
    every third case knows -128.

    Args:
        case: with any weights.
        most_cycles: of a frame; a case that would take more stays as it is.
    """
    codebook = POWERS if case.seed % 3 else (-128, *POWERS)
    products: Products = "mixed" if case.shape.elements > ICE40UP_PRODUCTS else "shift"
    made = replace(
        case,
        program=coded(case.program, codebook),
        shape=replace(case.shape, products=products),
    )
    try:
        return made if made.schedule.cycles <= most_cycles else case
    except CapacityError:
        return case
