"""A program with one thing changed, verified as any other."""

from dataclasses import replace


def changed_op(program, index, **changes):
    ops = list(program.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(program, ops=tuple(ops))


def changed_tensor(program, index, **changes):
    tensors = list(program.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(program, tensors=tuple(tensors))
