"""Products of a value and what is computed of it: one function of one variable.

``x * sigmoid(x)``, for example, is two nodes in a model, and one table in the hardware.
"""

from collections.abc import Sequence

from shiftwork.quant.graph import Affine, Clip, Node, Unary
from shiftwork.quant.unary_functions import MOST_TERMS, Function, X, affine, clip, product


def elementwise(node: Node | None) -> Function | None:
    """What ``node`` does to every element alike; None if it does anything else."""
    match node:
        case Unary():
            return node.function
        case Clip():
            return clip(node.lo, node.hi)
        case Affine() if (node.scale == node.scale.flat[0]).all() and (
            node.offset == node.offset.flat[0]
        ).all():
            return affine(float(node.scale.flat[0]), float(node.offset.flat[0]))
        case _:
            return None


def common_product(nodes: Sequence[Node], first: str, second: str) -> tuple[str, Function] | None:
    """The product of two values as a function of one: the value and the function.

    None if they are not both computed, element by element, of one value; or by too many steps.
    """
    origins = dict(_origins(nodes, first))
    for value, function in _origins(nodes, second):
        if value in origins:
            found = product(origins[value], function)
            return (value, found) if found.terms <= MOST_TERMS else None
    return None


def _origins(nodes: Sequence[Node], value: str) -> list[tuple[str, Function]]:
    """The values that ``value`` is a function of, itself first, and the function of each."""
    producers = {node.output: node for node in nodes}
    found = [(value, X)]
    while (node := producers.get(value)) is not None and (step := elementwise(node)) is not None:
        value = node.input
        found.append((value, found[-1][1].of(step)))
        if found[-1][1].terms > MOST_TERMS:
            break
    return found
