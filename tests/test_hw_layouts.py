"""Descriptors: packed in Python, read in hardware."""

import numpy as np
import pytest
from amaranth import Shape

from shiftwork.hw.layouts import (
    MOVE_BITS,
    PROGRAM_WORD_BITS,
    Move,
    descriptor_layout,
    descriptor_words,
    pack_descriptor,
)

FIELDS = [
    (("a", 0, False), ("b", 3, False), ("c", 0, False)),
    (("a", 1, False),),
    (("a", 32, True),),
    (("a", 20, False), ("b", 13, True)),
    (("a", 5, True), ("b", 31, False), ("c", 27, True), ("d", 1, False), ("e", 1, True)),
]
WORDS = [1, 1, 1, 2, 3]


def _random_values(fields, rng):
    return {
        name: int(
            rng.integers(-(1 << width - 1), 1 << width - 1) if sign else rng.integers(1 << width)
        )
        for name, width, sign in fields
    }


@pytest.mark.parametrize(("fields", "words"), list(zip(FIELDS, WORDS, strict=True)))
def test_size(fields, words):
    assert descriptor_words(fields) == words
    assert Shape.cast(descriptor_layout(fields)).width == words * PROGRAM_WORD_BITS


@pytest.mark.parametrize("fields", FIELDS)
def test_layout_reads_what_pack_writes(fields):
    rng = np.random.default_rng(len(fields))
    layout = descriptor_layout(fields)
    for _ in range(50):
        values = _random_values(fields, rng)
        words = pack_descriptor(fields, values)
        assert len(words) == descriptor_words(fields)
        assert all(0 <= word < 1 << PROGRAM_WORD_BITS for word in words)
        bits = sum(word << (PROGRAM_WORD_BITS * index) for index, word in enumerate(words))
        descriptor = layout.from_bits(bits)
        assert {name: descriptor[name] for name in values} == values


def test_first_field_is_in_the_lowest_bits():
    fields = (("low", 4, False), ("high", 30, True))
    assert pack_descriptor(fields, {"low": 5, "high": -1}) == (0xFFFFFFF5, 0x3)


def test_every_move_has_a_number_of_its_own():
    assert sorted(Move) == list(range(len(Move)))
    assert max(Move) < 1 << MOVE_BITS
