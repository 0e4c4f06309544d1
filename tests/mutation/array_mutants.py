"""Defects of the array: elements, products, requantization, tables and pooling."""

from mutant_table import CORNERS, mutants_of

_OPERANDS = """_PRODUCT_BITS, name=f"product_{index}")
        m.d.comb += [
            a.eq(self.a[index]),
            """
ECP5_OPERANDS, GOWIN_OPERANDS = f"ECP5{_OPERANDS}", f"GOWIN{_OPERANDS}"

MULTIPLIER = mutants_of(
    "hw/multiplier.py",
    (
        "unsigned weight",
        "a negative weight counts as a large one",
        "self.p[index].eq(a * b)",
        "self.p[index].eq(a * b.as_unsigned())",
    ),
    (
        "unregistered multiplier",
        "the product comes a cycle early",
        "m.d.sync += [a.eq(self.a[index]), b.eq(self.b[index]), ",
        "m.d.comb += [a.eq(self.a[index]), b.eq(self.b[index])]\n        m.d.sync += [",
    ),
    (
        "halves of a DSP",
        "both products of an SB_MAC16 are its lower one",
        "self.p[high].eq(product[16:])",
        "self.p[high].eq(product[:16])",
    ),
    (
        "sign of an ECP5 operand",
        "the weight is not extended to the width of a MULT18X18D",
        ECP5_OPERANDS + "b.eq(self.b[index]),\n",
        ECP5_OPERANDS + "b.eq(self.b[index].as_unsigned()),\n",
    ),
    (
        "sign of a Gowin operand",
        "the weight is not extended to the width of a MULT9X9",
        GOWIN_OPERANDS + "b.eq(self.b[index]),\n",
        GOWIN_OPERANDS + "b.eq(self.b[index].as_unsigned()),\n",
    ),
    tests="tests/test_hw_multiplier.py",
)

PE = mutants_of(
    "hw/pe.py",
    (
        "accumulator goes on",
        "the next dot product begins with the last product of this one",
        "[accumulator.eq(0), drain",
        "[accumulator.eq(self.product), drain",
    ),
    (
        "last product lost",
        "the drained sum lacks the last product",
        "drain.eq(total)]",
        "drain.eq(accumulator)]",
    ),
    (
        "product subtracted",
        "the sign of every product is swapped",
        "accumulator) + self.product",
        "accumulator) - self.product",
    ),
    (
        "idle cycles count",
        "products of cycles without a valid token are added",
        "        with m.If(valid):\n            m.d.sync += accumulator",
        "        with m.If(1):\n            m.d.sync += accumulator",
    ),
    (
        "captured with every product",
        "the drain is told of a sum that is not complete",
        "self.captured.eq(last)",
        "self.captured.eq(valid)",
    ),
    (
        "scaled by a digit less",
        "the first digits of weights count half",
        "accumulator << DIGIT_BITS",
        "accumulator << (DIGIT_BITS - 1)",
    ),
    (
        "scaled a cycle early",
        "the last first digit of a dot product is not scaled",
        "m.d.sync += product_scale.eq(scale)",
        "m.d.comb += product_scale.eq(scale)",
    ),
    tests="tests/test_hw_pe.py",
)

ARRAY = mutants_of(
    "hw/array.py",
    (
        "address without skew",
        "all columns read the weight of column 0's cycle",
        "store.address.eq(addresses[c // shape.stage_columns])",
        "store.address.eq(addresses[0])",
    ),
    (
        "broadcast lane off by one",
        "a depthwise column works on its neighbour's channel",
        "shape.channel(column) % shape.word_bytes",
        "(shape.channel(column) + 1) % shape.word_bytes",
    ),
    (
        "drain chain's wrong end",
        "the drain reads the last element of a chain first",
        "chain[0].drain_o",
        "chain[-1].drain_o",
    ),
    (
        "weights skip a row",
        "all rows below the first see the weight at the same time",
        "zip(rows[-1], row, strict=True)",
        "zip(rows[0], row, strict=True)",
    ),
    (
        "captured by the first element",
        "the drain begins before the last row and column are done",
        "pes[-1][-1].captured",
        "pes[0][0].captured",
    ),
    (
        "broadcast without skew",
        "all columns see the broadcast word of column 0's cycle",
        "m.d.sync += word.eq(words[-1])",
        "m.d.comb += word.eq(words[-1])",
    ),
    (
        "copied byte of the first column",
        "all columns of a block are written with the same weight",
        "self.load_data.word_select(byte, 8)",
        "self.load_data.word_select(0, 8)",
    ),
    (
        "every block is written",
        "the words of the first block go to all blocks of columns",
        "self.load_enable[block]",
        "self.load_enable[0]",
    ),
    tests="tests/test_hw_array.py",
)

REQUANTIZER = mutants_of(
    "hw/requantizer.py",
    (
        "low bound replaced by the high one",
        "what is below the range becomes its upper end",
        "Mux(low, self.lo,",
        "Mux(low, self.hi,",
    ),
    (
        "high bound off by one",
        "hi + 1 is not clipped",
        "shifted > self.hi",
        "shifted > self.hi + 1",
    ),
    (
        "clip of nine bits",
        "the comparison with the upper bound looks at the low bits only",
        "high.eq(shifted > self.hi)",
        "high.eq(shifted[:9].as_signed() > self.hi)",
    ),
    (
        "missing flip",
        "unsigned results are stored with their top bit as it is",
        "clipped[7] ^ self.flip",
        "clipped[7]",
    ),
    (
        "byte planes swapped",
        "the bytes of an accumulator are taken in another order",
        "word.word_select(self.plane, 8)",
        "word.word_select(self.plane ^ 1, 8)",
    ),
    (
        "logical shift",
        "zeros are shifted into negative sums",
        "(accumulator >> base) >> shift",
        "(accumulator.as_unsigned() >> base) >> shift",
    ),
    (
        "shift of one cycle before",
        "a channel is shifted as its neighbour",
        "(accumulator >> base) >> shift",
        "(accumulator >> base) >> self.shift",
    ),
    (
        "no bias",
        "neither bias nor rounding constant is added",
        "totals[-1] + self.bias",
        "totals[-1]",
    ),
    tests="tests/test_hw_requantizer.py",
) + mutants_of(
    "hw/requantizer.py",
    (
        "lost stall of the tags",
        "the tags go on while the values wait",
        "with m.If(enable):",
        "with m.If(1):",
    ),
    tests="tests/test_hw_drain.py",
)

POOLING = mutants_of(
    "hw/pooling.py",
    ("minimum", "the least byte of a window wins", "byte > value", "byte < value"),
    (
        "window without a beginning",
        "the maximum of the window before goes on",
        "self.token.first | (byte > value)",
        "(byte > value)",
    ),
    (
        "drain by one channel",
        "the drain register moves by one channel, not by the lanes",
        "drain[index + shape.lanes])",
        "drain[index + 1])",
    ),
    (
        "maximum without the base shift",
        "the requantizer shifts the result to almost nothing",
        "drain[lane] << self.config.shift_base",
        "drain[lane]",
    ),
    tests="tests/test_hw_pooling.py",
)

SCALING = mutants_of(
    "hw/window_walker.py",
    (
        "scaled with every product",
        "the accumulator is scaled again and again in the second digits' window",
        "self.token.scale.eq(first & segment.scale)",
        "self.token.scale.eq(segment.scale)",
    ),
    tests=f"{CORNERS}[weights of 16 bits-3x4]",
)

SIXTEEN_BITS = (
    *mutants_of(
        "hw/requantizer.py",
        (
            "high byte a bit too low",
            "the upper half of a value of 16 bits is not that of its clipped value",
            "clipped[8:16]",
            "clipped[7:15]",
        ),
        (
            "plane too early",
            "the byte that is taken is that of another step",
            "PLANE_LEAD = 2",
            "PLANE_LEAD = 1",
        ),
        tests="tests/test_hw_requantizer.py::test_16_bits_leave_in_two_planes",
    ),
    *mutants_of(
        "hw/drain.py",
        (
            "low plane alone",
            "the high bytes of values of 16 bits are never written",
            "Mux(self.layer.wide, ~plane[0], following)",
            "following",
        ),
        tests="tests/test_hw_drain_timing.py::test_values_of_16_bits_take_two_steps_and_a_word_each",
    ),
    *mutants_of(
        "hw/segments.py",
        (
            "low plane twice",
            "a map of 16 bits is read without its high bytes",
            "offset=source.size, power=DIGIT_BITS",
            "power=DIGIT_BITS",
        ),
        (
            "border of the low plane",
            "both planes of a map of 16 bits are padded with the low byte",
            "pad_value >> self.power & 0xFF",
            "pad_value & 0xFF",
        ),
        tests="tests/test_hw_segments.py::test_a_map_of_16_bits_is_read_plane_by_plane",
    ),
)

ACTIVATION_TABLE = mutants_of(
    "hw/activation_table.py",
    (
        "table without its number",
        "every layer looks up in the first table",
        "Cat(self.index, self.number)",
        "self.index",
    ),
    (
        "table for all layers",
        "layers without a table look up in one too",
        "Mux(self.used, self._rom.data, passing)",
        "self._rom.data",
    ),
    (
        "no table for any layer",
        "the index is stored in place of the function's value",
        "Mux(self.used, self._rom.data, passing)",
        "passing",
    ),
    (
        "passing bytes go on",
        "bytes without a table go on while the drain waits",
        "            with m.If(self.enable):\n                m.d.sync += late.eq(passing)",
        "            m.d.sync += late.eq(passing)",
    ),
    (
        "table goes on",
        "the ROM reads on while the drain waits",
        "self._rom.enable.eq(self.enable)",
        "self._rom.enable.eq(1)",
    ),
    (
        "tables by their values alone",
        "unsigned values are stored with their top bit as it is",
        "table.stored(program.tensor(op.output).stored_offset)",
        "table.stored(0)",
    ),
    (
        "a passing byte too early",
        "bytes without a table come a cycle before their place in memory",
        "for cycle in range(LATENCY)",
        "for cycle in range(LATENCY - 1)",
    ),
    tests="tests/test_hw_activation_table.py",
) + mutants_of(
    "hw/drain.py",
    (
        "tags do not wait for tables",
        "bytes are written to where the ones two steps later belong",
        "depth = write_latency(self.config) - 1",
        "depth = WRITE_LATENCY - 1",
    ),
    tests="tests/test_hw_activation_table.py",
)

SHIFT_PRODUCT = mutants_of(
    "hw/shift_product.py",
    (
        "shift by the place",
        "the second table shifts by 1 and the third by 2",
        "Mux(bit, shifted << (1 << place), shifted)",
        "Mux(bit, shifted << max(place, 1), shifted)",
    ),
    (
        "sign lost",
        "a negative weight counts as a positive one",
        "shifted ^ flips",
        "shifted",
    ),
    (
        "product a bit too narrow",
        "the greatest products lose their sign",
        "return 7 + exponents",
        "return 6 + exponents",
    ),
    (
        "no code for 0",
        "a weight of 0 counts as 1",
        "code.zero.eq(1)",
        "code.zero.eq(0)",
    ),
    (
        "-128 is no power of two",
        "the least weight counts as 0",
        "if -128 <= value <= 127:",
        "if -128 < value <= 127:",
    ),
    (
        "any codebook is shifted",
        "a weight of 3 is accepted, and computed as 0",
        "abs(v) & (abs(v) - 1) == 0",
        "abs(v) & (abs(v) - 1) >= 0",
    ),
    tests="tests/test_hw_shift_product.py",
)

SHIFT_PE = mutants_of(
    "hw/shift_pe.py",
    (
        "sum begins with the last one",
        "the first product is added to the sum before",
        "Mux(begins, product.p, accumulator + product.p)",
        "accumulator + product.p",
    ),
    (
        "0 does not begin a sum",
        "a sum whose first weight is 0 goes on with the one before",
        "valid & (begins | ~code.zero)",
        "valid & ~code.zero",
    ),
    (
        "0 is added as 1",
        "a weight of 0 adds the activation",
        "valid & (begins | ~code.zero)",
        "valid",
    ),
    (
        "missing carry",
        "an exact sum lacks the ones of its negative weights",
        "Cat(product.code.negative, signed_product)",
        "Cat(0, signed_product)",
    ),
    (
        "drained a cycle early",
        "the drained sum lacks its last product",
        "with m.If(finished):",
        "with m.If(last):",
    ),
    tests="tests/test_hw_shift_pe.py",
)

SHIFT_ARRAY = mutants_of(
    "hw/array.py",
    (
        "codes fall down at once",
        "all rows below the first see a code at the same time",
        'm.d["sync" if r else "comb"] += here.eq(above)',
        "m.d.comb += here.eq(above)",
    ),
    (
        "offsets beside multipliers",
        "elements that shift have offsets, and those that multiply none",
        "exact=self._multiplied > 0",
        "exact=False",
    ),
    tests="tests/test_hw_array.py",
)

SHIFT_OFFSETS = mutants_of(
    "hw/images.py",
    (
        "offsets stay",
        "a sum has those of its weights, and no constant makes them good",
        "stored_bias(program, op, least) - offsets(program, op, least, config)",
        "stored_bias(program, op, least)",
    ),
    (
        "offsets of a multiplying array",
        "those of elements that are exact are made good as well",
        "if multiplied(config.shape.products, config.shape.elements) or isinstance",
        'if config.shape.products == "multiply" or isinstance',
    ),
    tests="tests/test_boards_products.py::test_whole_networks_are_exact",
)
