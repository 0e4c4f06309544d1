"""Rules for nodes that apply a function of one variable: each becomes the table of one layer."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from shiftwork.quant.graph import Affine, Clip, Conv, Graph, MaxPool, Node, Reshape, Unary
from shiftwork.quant.passes import Rule, replaced, sole_producer, swapped
from shiftwork.quant.unary_expressions import elementwise
from shiftwork.quant.unary_functions import MOST_TERMS, Function


def _plain(graph: Graph, node: Node) -> Graph | None:
    """A function that is made of constants and bounds alone needs no table."""
    if not isinstance(node, Unary) or (steps := _plain_steps(node.function)) is None:
        return None
    made, shapes, value = list[Node](), dict(graph.shapes), node.input
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        output = node.output if last else f"{node.output}_{number}"
        while not last and output in shapes:
            output += "_"
        shapes[output] = shapes[node.input]
        made.append(_plain_node(step, f"{node.name}_{number}", value, output))
        value = output
    return replaced(graph, [node], made, shapes=shapes)


def _plain_steps(function: Function) -> list[Function] | None:
    steps = list[Function]()
    while function.name in ("affine", "clip"):
        steps.insert(0, function)
        (function,) = function.arguments
    return steps if steps and function.name == "x" else None


def _plain_node(step: Function, name: str, value: str, output: str) -> Node:
    first, second = step.parameters
    if step.name == "clip":
        return Clip(name=name, input=value, output=output, lo=first, hi=second)
    scale, offset = np.full(1, first, np.float32), np.full(1, second, np.float32)
    return Affine(name=name, input=value, output=output, scale=scale, offset=offset)


def _compose_behind(graph: Graph, node: Node) -> Graph | None:
    """What is done to every element alike behind a function becomes part of it."""
    previous, step = sole_producer(graph, node), elementwise(node)
    if not isinstance(previous, Unary) or step is None:
        return None
    composed = step.of(previous.function)
    if composed.terms > MOST_TERMS:
        return None
    merged = replace(previous, output=node.output, function=composed)
    return replaced(graph, [previous, node], [merged])


def _compose_before(graph: Graph, node: Node) -> Graph | None:
    """What is done to every element alike before a function, where no convolution does it."""
    previous = sole_producer(graph, node)
    step = elementwise(previous)
    if not isinstance(node, Unary) or previous is None or step is None:
        return None
    if isinstance(previous, Affine) and isinstance(sole_producer(graph, previous), Conv):
        return None
    composed = node.function.of(step)
    if composed.terms > MOST_TERMS:
        return None
    merged = replace(node, input=previous.input, function=composed)
    return replaced(graph, [previous, node], [merged])


def _swap(graph: Graph, node: Node) -> Graph | None:
    """A function behind a reshape, or one that never falls behind a maximum, moves in front."""
    previous = sole_producer(graph, node)
    if not isinstance(node, Unary) or not isinstance(previous, MaxPool | Reshape):
        return None
    if isinstance(previous, MaxPool) and not node.function.monotone:
        return None
    return swapped(graph, previous, node)


def unscaled_values(graph: Graph) -> Iterator[str]:
    """The values that no factor may be put on: the network's own, and those of functions."""
    yield from (graph.input, graph.output)
    for node in graph.nodes:
        if isinstance(node, Unary):
            yield from (node.input, node.output)


UNARY_RULES: tuple[Rule, ...] = (_plain, _compose_behind, _compose_before, _swap)
