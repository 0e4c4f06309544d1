"""The defects that the tests have to notice."""

from mutation_check import Mutant

CORNERS = "tests/test_hw_core.py::test_corner"
BOTH_PORTS = "tests/test_hw_core.py::test_a_layer_of_each_kind"
STREAMS = "tests/test_hw_core.py::test_a_frame_streams_in_while_its_buffer_is_free"
FRAMES = "tests/test_hw_core_frames.py::test_frames_of_every_length"
COPIED = "tests/test_hw_core.py::test_weights_that_are_copied_layer_by_layer"


def _of(file: str, *rows: tuple[str, str, str, str], tests: str | tuple[str, ...]) -> list[Mutant]:
    """The mutants of a file: name, what is wrong, old text, new text."""
    tests = (tests,) if isinstance(tests, str) else tests
    return [
        Mutant(name=name, file=file, old=old, new=new, breaks=breaks, tests=tests)
        for name, breaks, old, new in rows
    ]


_OPERANDS = """_PRODUCT_BITS, name=f"product_{index}")
        m.d.comb += [
            a.eq(self.a[index]),
            """
ECP5_OPERANDS, GOWIN_OPERANDS = f"ECP5{_OPERANDS}", f"GOWIN{_OPERANDS}"

MULTIPLIER = _of(
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

PE = _of(
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

ARRAY = _of(
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

REQUANTIZER = _of(
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
) + _of(
    "hw/requantizer.py",
    (
        "lost stall of the tags",
        "the tags go on while the values wait",
        "with m.If(enable):",
        "with m.If(1):",
    ),
    tests="tests/test_hw_drain.py",
)

POOLING = _of(
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

ROM = _of(
    "hw/rom.py",
    ("stuck bit", "bit 0 of every word is 0", "init=contents,", "init=[w & ~1 for w in contents],"),
    (
        "RAM that does not stall",
        "the block RAM reads on while the ROM is held",
        "port.en.eq(self.enable)",
        "port.en.eq(1)",
    ),
    (
        "register that does not stall",
        "the register goes on while the ROM is held",
        "    with m.If(enable):\n        m.d.sync += late.eq(source)",
        "    with m.If(1):\n        m.d.sync += late.eq(source)",
    ),
    (
        "block selected too early",
        "the block of the next address answers",
        "for cycle in range(LATENCY):",
        "for cycle in range(LATENCY - 1):",
    ),
    tests="tests/test_hw_rom.py",
)

WEIGHT_RAM = _of(
    "hw/weight_ram.py",
    (
        "neighbouring weight written",
        "the lowest bit of the address is inverted",
        "write.addr.eq(self.write_address)",
        "write.addr.eq(self.write_address ^ 1)",
    ),
    (
        "always written",
        "a byte is written in every cycle",
        "write.en.eq(self.write_enable)",
        "write.en.eq(1)",
    ),
    tests="tests/test_hw_weight_ram.py",
)

LOOP_COUNTER = _of(
    "hw/loop_counter.py",
    ("one iteration too many", "the last iteration is seen late", "left == 1", "left == 0"),
    (
        "start that does not reset",
        "a loop that is started anew goes on with the old count",
        "Mux(self.start | last, self.limit",
        "Mux(last, self.limit",
    ),
    (
        "single iteration unnoticed",
        "a loop of one iteration is begun as a longer one",
        "last.eq(Mux(self.start, self.limit == 0,",
        "last.eq(Mux(self.start, 0,",
    ),
    tests="tests/test_hw_loop_counter.py",
)

ACTIVATION_BANK = _of(
    "hw/activation_bank.py",
    (
        "whole words written",
        "bytes beside the one that is written are lost",
        "write.en.eq(self.write_mask)",
        "write.en.eq(self.write_mask.any().replicate(self.bank_bytes))",
    ),
    (
        "wrong half of an SPRAM",
        "a byte is written into the other half of its word",
        "Cat(~address[0], address[0])",
        "Cat(address[0], ~address[0])",
    ),
    (
        "half of an SPRAM a cycle early",
        "a byte is read from the half that the next address picks",
        "word.word_select(half, 8)",
        "word.word_select(address[0], 8)",
    ),
    tests="tests/test_hw_activation_bank.py",
) + _of(
    "hw/activation_bank.py",
    (
        "contents lost",
        "the memory is empty at power-up",
        "init=self.contents,",
        "init=(),",
    ),
    tests="tests/test_hw_activation_memory.py::test_contents_at_power_up",
)

ACTIVATION_MEMORY = _of(
    "hw/activation_memory.py",
    (
        "missing wrap",
        "the end of an unaligned word comes from its own row",
        "following.eq(row + 1)",
        "following.eq(row)",
    ),
    (
        "wrong bank wraps",
        "the bank that holds the first byte reads the next row",
        "first > index",
        "first >= index",
    ),
    (
        "write turned too far",
        "a word is written a byte beside its place",
        "offset.eq(self.write_address)",
        "offset.eq(self.write_address + 1)",
    ),
    (
        "write during a read",
        "a single port writes to the address that is read",
        "self.write_enable & self.write_ready",
        "self.write_enable",
    ),
    (
        "writes come first",
        "a read of a single port gets the word at the write address",
        "Mux(self.read_enable, self.read_address, self.write_address)",
        "Mux(self.write_enable, self.write_address, self.read_address)",
    ),
    (
        "read turned back",
        "an unaligned word is turned the wrong way",
        "back, -8",
        "back, 8",
    ),
    (
        "offset a cycle late",
        "a word is turned by the offset of another request",
        "for stage in range(READ_LATENCY):",
        "for stage in range(READ_LATENCY + 1):",
    ),
    tests="tests/test_hw_activation_memory.py",
)

FETCH = _of(
    "hw/fetch.py",
    (
        "missing border mask",
        "bytes beside the line take part in windows that reach over it",
        "Mux(inside[i], self.read_data.word_select(i, 8), outside)",
        "self.read_data.word_select(i, 8)",
    ),
    (
        "border of the first segment",
        "all inputs of a layer are padded with the zero point of the first one",
        "border.eq(segment.border)",
        "border.eq(self.segments[0].border)",
    ),
    (
        "wrong last token",
        "a dot product ends with the first of its segments",
        "walker.token.last & final",
        "walker.token.last",
    ),
    (
        "wrong segment selection",
        "the last segment of a layer is never walked",
        "self.layer.segments >= index",
        "self.layer.segments > index",
    ),
    (
        "idle cycles off by one",
        "a chunk is padded by one cycle too many",
        "(pad, layer.chunk_pad - 1, padding)",
        "(pad, layer.chunk_pad, padding)",
    ),
    (
        "new pixels for every group",
        "the second group of channels works on the next pixels",
        "first_group.eq(group.last)",
        "first_group.eq(1)",
    ),
    (
        "a tile for every group",
        "the groups count as tiles: the layer ends early",
        "chunk_ended & group.last)",
        "chunk_ended)",
    ),
    (
        "row's word off by one",
        "a row gets its neighbour's word",
        "(row == r)",
        "(row == (r + 1) % self.config.shape.rows)",
    ),
    (
        "idle cycles into the next layer",
        "those of the layer before go on, and end a chunk of the next one",
        "[more_padding.eq(0), chunk_ended.eq(0)]",
        "[chunk_ended.eq(0)]",
    ),
    tests="tests/test_hw_fetch.py",
)

SCALING = _of(
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
    *_of(
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
    *_of(
        "hw/drain.py",
        (
            "low plane alone",
            "the high bytes of values of 16 bits are never written",
            "Mux(self.layer.wide, ~plane[0], following)",
            "following",
        ),
        tests="tests/test_hw_drain_timing.py::test_values_of_16_bits_take_two_steps_and_a_word_each",
    ),
    *_of(
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

WINDOW_WALKER = _of(
    "hw/window_walker.py",
    (
        "one line too many",
        "the line below the feature map counts as inside",
        "place.y < segment.height",
        "place.y <= segment.height",
    ),
    (
        "top line in the border",
        "the first line counts as outside",
        "place.y >= 0",
        "place.y > 0",
    ),
    (
        "one byte too many",
        "the byte behind the end of a line counts as inside",
        "left[:offset_bits] > i",
        "left[:offset_bits] >= i",
    ),
    (
        "byte before the line",
        "the first byte of a line that begins within a word counts as outside",
        "skipped >= width - i",
        "skipped > width - i",
    ),
    (
        "wrong phase of a stride",
        "the second phase begins at another pixel",
        "plane + segment.phase_step",
        "plane + segment.run_step",
    ),
    (
        "phase without return",
        "the phases of a block's end go on in the next block",
        '"block": block + width',
        '"block": plane + width',
    ),
    (
        "line of pixels off by one",
        "the output's line ends a pixel late",
        "column == segment.out_width",
        "column == segment.out_width + 1",
    ),
    (
        "stride of one line",
        "the lines of a strided window are checked against the border as if it were not",
        "following.y + segment.y_step",
        "following.y + 1",
    ),
    (
        "ring without broadcast",
        "further words of a broadcast window begin at another pixel",
        "with m.If(segment.broadcast):",
        "with m.If(0):",
    ),
    (
        "last token with a whole word",
        "a run whose last word is not full never ends the dot product",
        "turn == word_bytes - 1",
        "turn == shape.word_bytes - 1",
    ),
    (
        "held weight for ever",
        "an average goes on with the weight of the first block",
        "~segment.hold | taps.block_end",
        "~segment.hold",
    ),
    (
        "groups without return",
        "the first group of the next tile reads the channels behind the last one",
        "Mux(self.last_group, 0, group + segment.group_step)",
        "group + segment.group_step",
    ),
    (
        "word a cycle longer",
        "a whole word lasts a cycle too long",
        "segment.last_cycles, full - 1",
        "segment.last_cycles, full",
    ),
    (
        "word by word",
        "the words of a run lie a byte too close",
        "window.x + width",
        "window.x + width - 1",
    ),
    tests="tests/test_hw_window_walker.py",
)

DRAIN = _of(
    "hw/drain.py",
    (
        "dropped word in the waiting buffer",
        "a word that waits for the single port is overwritten by the next one",
        "stays = complete | (waiting & ~self.write_ready)",
        "stays = complete",
    ),
    (
        "lost stall",
        "the drain goes on over a word that is not written",
        "~complete | self.write_ready",
        "1",
    ),
    (
        "three byte planes",
        "the last byte of an accumulator is left out",
        "found = plane == PLANES - 2",
        "found = plane == PLANES - 3",
    ),
    (
        "parameters of the next row",
        "bias and shift run on where a row of the tile ends",
        "Mux(row_end, group_parameter, parameter + 1)",
        "parameter + 1",
    ),
    (
        "parameters of the next tile",
        "the first group of a tile takes the parameters behind the last one",
        "Mux(tile_ended, layer.parameter_base, group_parameter + group_words)",
        "group_parameter + group_words",
    ),
    (
        "short tile at the end of a line",
        "the next line begins as if the last tile had all rows",
        "Mux(before.line_end, layer.line_end_step, layer.tile_step)",
        "layer.tile_step",
    ),
    (
        "channels that do not exist",
        "the columns beyond the last channel are written",
        "Mux(group.last, layer.last_channels, full)",
        "full",
    ),
    (
        "stale byte mask",
        "a short word writes the bytes of the word before",
        "with m.If(slot == 0):",
        "with m.If(0):",
    ),
    (
        "done before the write",
        "the layer ends while its last word waits",
        "waiting & request.final & self.write_ready",
        "waiting & request.final",
    ),
    (
        "word one byte early",
        "a word is written before it is full",
        "at.place % slots == slots - 1",
        "at.place % slots == 0",
    ),
    (
        "output planes apart",
        "the byte planes of the accumulators lie in the wrong order",
        "cursor + layer.plane_step",
        "cursor - layer.plane_step",
    ),
    (
        "group beside its place",
        "the next group of a maximum begins at a distance of the columns",
        "group_step.eq(Mux(layer.pool, shape.word_bytes, shape.columns))",
        "group_step.eq(shape.columns)",
    ),
    (
        "tag of the stage before",
        "the byte of an accumulator is chosen a cycle early",
        "tags[rom.LATENCY].plane",
        "tags[rom.LATENCY - 1].plane",
    ),
    tests=("tests/test_hw_drain.py", BOTH_PORTS),
)

DRAIN_TIMING = _of(
    "hw/drain_timing.py",
    (
        "last write off by one",
        "the formula of the cycles ends a cycle early",
        "start + work.steps - 1 + len(pipeline) - 1",
        "start + work.steps - 1 + len(pipeline) - 2",
    ),
    (
        "port that is never taken",
        "the model writes the last word in a cycle with a read",
        "not any(pipeline[:-1]) and not taken",
        "not any(pipeline[:-1])",
    ),
    (
        "waiting word forgotten",
        "the model writes a word that waits while the port is taken",
        "return (completes, *stages[:-1], True), True",
        "return (completes, *stages), True",
    ),
    tests="tests/test_hw_drain_timing.py",
)

SEQUENCER = _of(
    "hw/sequencer.py",
    (
        "cycle more to load",
        "a layer begins a cycle late",
        "count == layer_words + rom.LATENCY - 1",
        "count == layer_words + rom.LATENCY",
    ),
    (
        "last layer left out",
        "a frame ends with the last layer but one",
        "self.index == self.header.layers_last",
        "self.index + 1 == self.header.layers_last",
    ),
    (
        "program not rewound",
        "the second frame begins with the header as its first layer",
        "address.eq(header_words)",
        "address.eq(0)",
    ),
    (
        "layer number not reset",
        "the second frame counts its layers on",
        "[self.index.eq(0), address",
        "[address",
    ),
    (
        "start before the weights",
        "a layer begins while its weights are still copied",
        "with m.If(self.copy_done):",
        "with m.If(1):",
    ),
    (
        "frame without waiting",
        "a frame begins before its input is complete",
        'm.State("IDLE"), m.If(self.frame_ready)',
        'm.State("IDLE"), m.If(1)',
    ),
    tests="tests/test_hw_sequencer.py",
)

FLASH_LOADER = _of(
    "hw/flash_loader.py",
    (
        "CRC not checked",
        "a damaged image is used",
        "with m.If(high & ~good):",
        "with m.If(0):",
    ),
    (
        "wrong identity accepted",
        "the image of another build is used",
        "high & (self.miso != expected)",
        "high & in_magic & (self.miso != expected)",
    ),
    (
        "wrong polynomial",
        "the CRC is another one than zlib's",
        "CRC_POLYNOMIAL, 0",
        "CRC_POLYNOMIAL ^ 1, 0",
    ),
    (
        "flash address off by one",
        "every byte is written behind its place",
        "self.write_address.eq(position[3:])",
        "self.write_address.eq(position[3:] + 1)",
    ),
    (
        "no time to wake",
        "the flash is read before it is awake",
        "self.wake_cycles // 2 + 1",
        "self.wake_cycles // 8 + 1",
    ),
    (
        "absent image called another build",
        "the status names the wrong reason",
        "with m.If(in_magic):",
        "with m.If(0):",
    ),
    (
        "least significant bit first",
        "the bits of a byte are taken in the wrong order",
        "incoming.eq(Cat(self.miso, incoming))",
        "incoming.eq(Cat(incoming[1:], self.miso))",
    ),
    tests="tests/test_hw_flash_loader.py",
)

FLASH_IMAGE = _of(
    "hw/flash_image.py",
    (
        "weights column by column",
        "the payload is not in the order in which it is copied",
        ".T.tobytes()",
        ".tobytes()",
    ),
    (
        "damaged file accepted",
        "the CRC of a file is not checked",
        '.to_bytes(CRC_BYTES, "little") != crc',
        '.to_bytes(CRC_BYTES, "little") < b""',
    ),
    (
        "CRC without the header",
        "the file's CRC is that of the payload",
        "return body + zlib.crc32(body)",
        "return body + zlib.crc32(payload)",
    ),
    tests="tests/test_hw_flash_image.py",
)

MEMORY_MAP = _of(
    "hw/memory_map.py",
    (
        "input overwritten by the output",
        "an op writes where it reads",
        "one[0] <= other[1] and other[0] <= one[1]",
        "one[0] < other[1] and other[0] < one[1]",
    ),
    (
        "tensor in too small a gap",
        "a tensor reaches into the next one",
        "if start + size <= lo:",
        "if start <= lo:",
    ),
    (
        "one output buffer",
        "both output buffers are the same",
        "base[result] + sizes[result]",
        "base[result]",
    ),
    (
        "early last reader",
        "the input is given back after its first reader",
        "    return max(\n        index",
        "    return min(\n        index",
    ),
    tests="tests/test_hw_memory_map.py",
)

INPUT_LOADER = _of(
    "hw/input_loader.py",
    (
        "buffer swapped too early",
        "a frame counts as complete a byte before its end",
        "        with m.If(transfer & frame_counts):",
        "        with m.If(transfer & count.next_last):",
    ),
    (
        "input not flipped",
        "unsigned bytes are stored as they are",
        "self.i.payload[7] ^ header.input_flip",
        "self.i.payload[7]",
    ),
    (
        "byte that memory did not take",
        "the stream goes on while memory is busy",
        "self.write_ready & accepting",
        "accepting",
    ),
    (
        "only buffer overwritten",
        "a single buffer takes bytes before it is released",
        "taken = full.any()",
        "taken = full.all()",
    ),
    (
        "second buffer in the first",
        "all frames go to the first buffer",
        "Mux(load_second, header.input_pitch, 0)",
        "0",
    ),
    (
        "wrong buffer released",
        "the buffer that is loaded is marked free",
        "full.bit_select(compute_second, 1).eq(0)",
        "full.bit_select(load_second, 1).eq(0)",
    ),
    (
        "address goes on",
        "a frame begins where the one before ended",
        "                    accepting,\n",
        "                    1,\n",
    ),
    tests="tests/test_hw_input_loader.py",
) + _of(
    "hw/input_loader.py",
    (
        "no way back",
        "a frame that is discarded goes on in its buffer",
        "frame_ends = count.last | self.discard",
        "frame_ends = count.last",
    ),
    (
        "discarded frame counts",
        "a frame whose final byte has no last is computed",
        "frame_counts = count.last & ~self.discard",
        "frame_counts = count.last",
    ),
    (
        "final byte not told",
        "the guard takes every frame for a short one",
        "self.final.eq(count.last)",
        "self.final.eq(count.next_last)",
    ),
    tests=("tests/test_hw_input_loader.py", FRAMES),
)

OUTPUT_SENDER = _of(
    "hw/output_sender.py",
    (
        "output plane order",
        "an accumulator's bytes are read side by side",
        "address + header.output_plane_step",
        "address + 1",
    ),
    (
        "one credit too many",
        "a byte more is read than the buffer can hold",
        "range(BUFFERED_BYTES + 1), init=BUFFERED_BYTES",
        "range(BUFFERED_BYTES + 3), init=BUFFERED_BYTES + 2",
    ),
    (
        "output not flipped",
        "unsigned results lack their top bit",
        "self.read_data[7] ^ header.output_flip",
        "self.read_data[7]",
    ),
    (
        "read that was not granted",
        "bytes are skipped while memory is busy",
        "self.read_enable & self.read_ready",
        "self.read_enable",
    ),
    (
        "output buffer always free",
        "a frame is overwritten before it is sent",
        "self.free.eq(~full.bit_select(compute_second, 1))",
        "self.free.eq(1)",
    ),
    (
        "frame ends with a quarter",
        "the bytes of accumulators count as values",
        "element.step.eq(granted & value_end)",
        "element.step.eq(granted)",
    ),
    (
        "same buffer again",
        "the second frame is sent from the first buffer",
        "send_second.eq(~send_second)",
        "send_second.eq(0)",
    ),
    tests="tests/test_hw_output_sender.py",
) + _of(
    "hw/output_sender.py",
    (
        "mark a byte early",
        "the last byte but one of an answer is marked",
        "byte = Cat(byte[:8], ending[-1])",
        "byte = Cat(byte[:8], ending[-2])",
    ),
    (
        "mark on every plane",
        "each byte of the last accumulator is marked",
        "ending.eq(Cat(frame_end, ending[:-1]))",
        "ending.eq(Cat(element.last, ending[:-1]))",
    ),
    tests="tests/test_hw_output_sender.py",
)

FRAME_GUARD = _of(
    "hw/frame_guard.py",
    (
        "short frames kept",
        "a frame whose last comes early is not discarded",
        "self.discard.eq(last ^ self.final)",
        "self.discard.eq(self.final & ~last)",
    ),
    (
        "long frames kept",
        "a frame whose final byte has no last is not discarded",
        "self.discard.eq(last ^ self.final)",
        "self.discard.eq(last & ~self.final)",
    ),
    (
        "surplus bytes pass",
        "what follows a long frame begins the next one",
        "self.o.valid.eq(self.i.valid & ~swallowing)",
        "self.o.valid.eq(self.i.valid)",
    ),
    (
        "surplus bytes wait",
        "a long frame blocks the stream while the loader takes nothing",
        "self.i.ready.eq(self.o.ready | swallowing)",
        "self.i.ready.eq(self.o.ready)",
    ),
    (
        "swallows a frame too many",
        "the end of a long frame is not seen",
        "swallowing.eq(~last & (",
        "swallowing.eq((",
    ),
    (
        "long frame without a transfer",
        "a byte that waits is taken for a surplus one",
        "(swallowing | (self.o.ready & self.final))",
        "(swallowing | self.final)",
    ),
    (
        "event of a byte that waits",
        "a frame is told again in every cycle that its last byte waits",
        "transfer.eq(self.o.valid & self.o.ready)",
        "transfer.eq(self.o.valid)",
    ),
    (
        "event stays",
        "a frame is told for more than one cycle",
        "m.d.sync += self.event.eq(FrameEvent.NONE)",
        "m.d.sync += self.event.eq(self.event)",
    ),
    (
        "clear loses an error",
        "a bad frame in the cycle of clear is not counted",
        "Mux(self.clear, 0, self.discarded) + 1",
        "Mux(self.clear, 0, self.discarded + 1)",
    ),
    (
        "errors not cleared",
        "clear forgets the number alone",
        "m.d.sync += [self.errors.eq(0), self.discarded.eq(0)]",
        "m.d.sync += self.discarded.eq(0)",
    ),
    (
        "kinds swapped",
        "a long frame is told as a short one",
        "self.event.eq(FrameEvent.LONG_FRAME), self.errors.long_frame.eq(1)",
        "self.event.eq(FrameEvent.SHORT_FRAME), self.errors.short_frame.eq(1)",
    ),
    tests="tests/test_hw_frame_guard.py",
)

TOP_SCORE = _of(
    "hw/top_score.py",
    (
        "last of equal scores",
        "of equal scores the last one wins",
        'start=0, name="best"',
        'start=1, name="best"',
    ),
    (
        "sign of the scores",
        "signed scores compare as unsigned ones",
        "flip = (score_end & ~self.unsigned) << 7",
        "flip = (score_end & self.unsigned) << 7",
    ),
    (
        "sign in every byte",
        "lower bytes of a score compare with their top bit flipped",
        "flip = (score_end & ~self.unsigned) << 7",
        "flip = (~self.unsigned) << 7",
    ),
    (
        "earlier bytes forgotten",
        "only the last byte of a score counts",
        "before.eq(Mux(end, start, exceeds))",
        "before.eq(start)",
    ),
    (
        "best of the frame before",
        "the first score of a frame competes with the best of the last frame",
        "new_best.eq(taken & score_end & (first | wins))",
        "new_best.eq(taken & score_end & wins)",
    ),
    (
        "score at the threshold",
        "a score that equals the threshold makes no class",
        'start=1, name="least"',
        'start=0, name="least"',
    ),
    (
        "class and no class",
        "a score below the threshold makes a class, one that reaches it none",
        "(~reached).replicate",
        "(reached).replicate",
    ),
    (
        "index goes on",
        "the second frame's classes are counted on from the first one's",
        "[index.eq(0), sending.eq(1)]",
        "[sending.eq(1)]",
    ),
    (
        "byte taken while sending",
        "scores that come while an answer leaves are lost",
        "self.i.ready.eq(~sending)",
        "self.i.ready.eq(1)",
    ),
    (
        "score not turned",
        "all bytes of the score that is sent are its first one",
        "with m.If(taken | (sent & in_score)):",
        "with m.If(taken):",
    ),
    tests="tests/test_hw_top_score.py",
)

WEIGHT_CHECK = _of(
    "hw/weight_check.py",
    (
        "last byte unchecked",
        "the walk ends a byte before the ROM",
        "self.address == self.depth - 1",
        "self.address == self.depth - 2",
    ),
    (
        "factor a cycle early",
        "the factors do not belong to their weights",
        "m.d.sync += started.eq(Cat(1, started))",
        "m.d.sync += started.eq(~0)",
    ),
    (
        "even factors",
        "the top bit of a weight may be lost",
        "self.a.eq(Cat(1, factor[1:8]))",
        "self.a.eq(factor[:8])",
    ),
    (
        "last column unchecked",
        "the drain chain is left a step early",
        "with m.If(column == span - 1)",
        "with m.If(column == span - 2)",
    ),
    (
        "passes always",
        "the result does not depend on the sum",
        "self.result.eq(CheckResult.FAILED)",
        "self.result.eq(CheckResult.PASSED)",
    ),
    (
        "chain stands",
        "all columns are taken for the first one",
        "m.d.comb += self.shift.eq(1)",
        "m.d.comb += self.shift.eq(0)",
    ),
    tests="tests/test_hw_weight_check.py",
)

AXI_STREAM = _of(
    "hw/axi_stream.py",
    (
        "reset active high",
        "the accelerator is in reset while aresetn is high",
        "ResetSignal(DOMAIN).eq(~self.aresetn)",
        "ResetSignal(DOMAIN).eq(self.aresetn)",
    ),
    (
        "no reset",
        "aresetn does nothing",
        "ResetSignal(DOMAIN).eq(~self.aresetn)",
        "ResetSignal(DOMAIN).eq(0)",
    ),
    (
        "tlast lost",
        "the input frames have no end",
        "i.last.eq(self.s_axis.tlast)",
        "i.last.eq(0)",
    ),
    (
        "tlast of the answer",
        "every byte of an answer is its last one",
        "self.m_axis.tlast.eq(o.last)",
        "self.m_axis.tlast.eq(o.last | core.o.valid)",
    ),
    (
        "tready stuck",
        "bytes are taken for granted while the accelerator takes none",
        "self.s_axis.tready.eq(core.i.ready)",
        "self.s_axis.tready.eq(1)",
    ),
    (
        "clear not connected",
        "inputs that are passed on do not arrive",
        "inner.eq(outer)",
        "inner.eq(0)",
    ),
    tests="tests/test_hw_axi_stream.py",
)

WEIGHT_COPIER = _of(
    "hw/weight_copier.py",
    (
        "block rotation",
        "the blocks of columns get their words in the wrong order",
        "block.rotate_left(1)",
        "block.rotate_right(1)",
    ),
    (
        "last word not copied",
        "the copier ends a word early",
        "following == self.words",
        "following + 1 == self.words",
    ),
    (
        "column address too early",
        "the address moves on after the first block",
        "m.Elif(block[-1])",
        "m.Elif(block[0])",
    ),
    (
        "done a cycle late",
        "a layer begins later than the schedule says",
        "arriving[-2] & ~arriving[-3]",
        "arriving[-1] & ~arriving[-2]",
    ),
    (
        "second source",
        "the source is a word behind its place",
        "self.source[offset_bits:], row",
        "self.source[offset_bits:] + 1, row",
    ),
    tests="tests/test_hw_weight_copier.py",
)

LAYOUTS = _of(
    "hw/layouts.py",
    (
        "stuck bit of a descriptor",
        "the lowest bit of every field is 0",
        "((1 << width) - 1)) << position",
        "((1 << width) - 2)) << position",
    ),
    (
        "words in the wrong order",
        "the last word of a descriptor stands first",
        "for i in range(descriptor_words(fields)))",
        "for i in reversed(range(descriptor_words(fields))))",
    ),
    tests="tests/test_hw_layouts.py",
)

SEGMENTS = _of(
    "hw/segments.py",
    (
        "border not flipped",
        "unsigned maps are padded with another value than their zero point",
        "(value - source.stored_offset) & 0xFF",
        "value & 0xFF",
    ),
    (
        "border that wins",
        "a maximum over the border is never negative",
        "LEAST_BYTE = 0x80",
        "LEAST_BYTE = 0x00",
    ),
    (
        "phases and lines swapped",
        "the weights of a strided depthwise layer lie in another order",
        "transpose(0, 1, 4, 2, 3)",
        "transpose(0, 1, 2, 4, 3)",
    ),
    (
        "weights of all blocks",
        "a channel's weight meets the words of other channels",
        "rows[:, :, None, :] * own[None, :, :, None]",
        "rows[:, :, None, :] * np.ones_like(own)[None, :, :, None]",
    ),
    (
        "rows without their turn",
        "a short word ends before all rows have fetched theirs",
        "max(self.shape.rows, self.last_bytes)",
        "self.last_bytes",
    ),
    (
        "digits swapped",
        "the digits of a weight of 16 bits are multiplied in the wrong order",
        "(DIGIT_BITS, high), (0, low)",
        "(DIGIT_BITS, low), (0, high)",
    ),
    (
        "residual scaled twice",
        "what a residual is multiplied with counts the scaling of the accumulator once more",
        "+ plane.power - power)",
        "+ plane.power)",
    ),
    tests="tests/test_hw_segments.py",
) + _of(
    "hw/segments.py",
    (
        "right pad on the left",
        "a window begins as far outside as it ends",
        "-segment.padding[1] * channels,",
        "-segment.padding[3] * channels,",
    ),
    (
        "line step without the stride",
        "the lines of a strided window are read one by one",
        "stride[0] * row_bytes",
        "row_bytes",
    ),
    (
        "channels of the same lane",
        "the columns hold the weights in the order of the channels",
        "[shape.channel(column) for column in range(shape.columns)]",
        "list(range(shape.columns))",
    ),
    tests=("tests/test_hw_segments.py", CORNERS),
)

IMAGES = _of(
    "hw/images.py",
    (
        "round half down",
        "the rounding constant is one too small",
        "return (np.int64(1) << shift) >> 1",
        "return ((np.int64(1) << shift) - 1) >> 1",
    ),
    (
        "offset of unsigned bytes",
        "the bias makes good for the missing 128 with the wrong sign",
        "bias += segment.source.stored_offset * sums",
        "bias -= segment.source.stored_offset * sums",
    ),
    (
        "offset of first digits",
        "the bias makes good for the missing 128 as if no digit of a weight were scaled",
        "sums << segment.power",
        "sums",
    ),
    (
        "lanes swapped",
        "a lane gets the bias and the shift of another one",
        "lane << (q * lane_bits)",
        "lane << ((shape.lanes - 1 - q) * lane_bits)",
    ),
    (
        "range without the rounding constant",
        "an accumulator that is as wide as the sum alone",
        "return int((lo + half).min()), int((hi + half).max())",
        "return int(lo.min()), int(hi.max())",
    ),
    tests="tests/test_hw_images.py",
)

SCHEDULE = (
    _of(
        "hw/schedule.py",
        (
            "cycle formula off by one",
            "a layer takes a cycle more than the schedule says",
            "+ end + 1 + DONE_LATENCY",
            "+ end + DONE_LATENCY",
        ),
        tests=("tests/test_hw_schedule.py::test_a_dense_layer", BOTH_PORTS, CORNERS),
    )
    + _of(
        "hw/drain_plan.py",
        (
            "drain pad one too few",
            "a chunk ends before the one before it is drained",
            "longest + lead - work.cycles",
            "longest + lead - work.cycles - 1",
        ),
        (
            "lead without the skew",
            "the first element takes its next sum before the chain is empty",
            "max(CHUNK_GAP, 0 if work.pool else shape.skew)",
            "CHUNK_GAP",
        ),
        (
            "first drain step off by one",
            "the model of the drain begins a cycle early",
            "work.last_token + fetch.TOKEN_LATENCY + 1",
            "work.last_token + fetch.TOKEN_LATENCY",
        ),
        tests=("tests/test_hw_drain_plan.py", BOTH_PORTS, CORNERS),
    )
    + _of(
        "hw/layer_work.py",
        (
            "rows of the last tile",
            "the last tile of a line has one row too many or too few",
            "(line - 1) % rows + 1",
            "line % rows + 1",
        ),
        tests=CORNERS,
    )
    + _of(
        "hw/array_config.py",
        (
            "narrow accumulator",
            "the accumulators are a bit too narrow",
            "max(signed_bits(lo, hi) for lo, hi in ranges)",
            "max(signed_bits(lo, hi) for lo, hi in ranges) - 1",
        ),
        tests=CORNERS,
    )
    + _of(
        "hw/descriptors.py",
        (
            "window above the map",
            "a padded layer begins as far above the map as it ends below",
            'top = walk.segment.padding[0] * fields["row_bytes"]',
            'top = walk.segment.padding[2] * fields["row_bytes"]',
        ),
        (
            "signed results flipped",
            "signed results are stored as unsigned ones",
            "int(work.wide or not (copies or raw or target.signed or tabled))",
            "int(work.wide or not (copies or raw or tabled))",
        ),
        (
            "second segment's address",
            "all inputs of a layer are read from the first one",
            "name, fields = walk.segment.source.name, walk.fields()",
            "name, fields = work.op.inputs[0], walk.fields()",
        ),
        tests=CORNERS,
    )
    + _of(
        "hw/descriptors.py",
        (
            "weights one upon the other",
            "the copied weights of the layers are taken from overlapping places",
            "copied += words * shape.word_bytes",
            "copied += words",
        ),
        tests=COPIED,
    )
)

CONFIG = _of(
    "hw/config.py",
    (
        "channels lane by lane",
        "a lane drains channels that are not neighbours of the next lane's",
        "place * self.lanes + lane",
        "lane * (self.columns // self.lanes) + place",
    ),
    (
        "skew off by one",
        "the last row and column count as a cycle earlier",
        "self.rows + self.stages - 2",
        "self.rows + self.stages - 3",
    ),
    tests="tests/test_hw_config.py",
)

CORE = (
    _of(
        "hw/core.py",
        (
            "input of the first buffer",
            "the second frame is computed from the first one's bytes",
            "Mux(second_input, header.input_pitch, 0)",
            "0",
        ),
        (
            "input freed by every layer",
            "the input buffer is given back before its last reader",
            "sequencer.layer_ended & layer.frees_input",
            "sequencer.layer_ended",
        ),
        (
            "weights without a layer's base",
            "every layer begins with the weights of the first one",
            "Mux(fetch.token.start, layer.weight_base, following)",
            "Mux(fetch.token.start, 0, following)",
        ),
        (
            "weight held for ever",
            "the weight address moves on with the held weight too",
            "current + fetch.token.advance",
            "current + 1",
        ),
        (
            "array works beside the pool",
            "the words of a maximum are summed up as well",
            "token.valid & ~layer.pool",
            "token.valid",
        ),
        (
            "loader disturbs the drain",
            "the input takes the write port from the drain",
            "Mux(drain.write_enable, drain.write_data, loader.write_data)",
            "Mux(loader.write_enable, loader.write_data, drain.write_data)",
        ),
        (
            "pooling token a cycle late",
            "the words of a maximum meet the token of the next one",
            "for cycle in range(rom.LATENCY):",
            "for cycle in range(rom.LATENCY + 1):",
        ),
        tests=(BOTH_PORTS, STREAMS, CORNERS),
    )
    + _of(
        "hw/core.py",
        (
            "loader disturbs the sender",
            "with a single port an input byte is lost while a result is read",
            "~(reading | drain.write_enable | sender.read_enable)",
            "~(reading | drain.write_enable)",
        ),
        (
            "write while reading",
            "with a single port the drain writes in cycles of a read",
            "drain_may_write = ~fetch.read_enable",
            "drain_may_write = 1",
        ),
        tests=(BOTH_PORTS, CORNERS),
    )
    + _of(
        "hw/core.py",
        (
            "frames before the check",
            "the stream is open while the weights are checked",
            "sequencer.header_valid & (check.result == CheckResult.PASSED)",
            "sequencer.header_valid & (check.result != CheckResult.FAILED)",
        ),
        (
            "drain sees the check",
            "the sums of the check are taken for those of a layer",
            "drain.captured.eq(0),",
            "drain.captured.eq(check.captured),",
        ),
        tests="tests/test_hw_weight_check.py",
    )
    + _of(
        "hw/core.py",
        (
            "output buffer not awaited",
            "a frame begins while its output buffer is still sent",
            "loader.full & sender.free",
            "loader.full",
        ),
        tests="tests/test_hw_core_frames.py",
    )
)

CODED_ROM = _of(
    "hw/coded_rom.py",
    (
        "one index for all columns",
        "every column takes the weights of the first",
        "word_select(index, CODE_BITS)",
        "word_select(0, CODE_BITS)",
    ),
    (
        "sign of a decoded weight",
        "the lookup tables hold the negative values",
        "self.data[index].eq(value)",
        "self.data[index].eq(-value)",
    ),
    (
        "coded ROM that goes on",
        "a coded ROM reads on while the array stands",
        "self._rom.enable.eq(self.enable)",
        "self._rom.enable.eq(1)",
    ),
    (
        "columns of a coded word",
        "the first column's index comes last",
        "zip(*columns, strict=True)",
        "zip(*reversed(columns), strict=True)",
    ),
    tests="tests/test_hw_coded_rom.py",
)

TIMELINE = _of(
    "hw/timeline.py",
    (
        "waiting once too often",
        "the idle cycles behind the last chunk count as waiting",
        "waiting=(chunks - 1) * layer.chunk_pad,",
        "waiting=chunks * layer.chunk_pad,",
    ),
    (
        "copies forgotten",
        "the copy of a layer's weights counts as draining",
        'if layer.descriptor.get("copies"):',
        "if False:",
    ),
    tests="tests/test_hw_timeline.py",
)

MEMORY_USE = _of(
    "hw/memory_use.py",
    (
        "freed too late",
        "the input counts as in use up to the end of the frame",
        "Use.KEPT if index <= freed else Use.STREAM",
        "Use.KEPT",
    ),
    (
        "written before it is",
        "the output counts as written by the layer before",
        "Use.WRITTEN if index == writer else Use.KEPT",
        "Use.WRITTEN if index == writer - 1 else Use.KEPT",
    ),
    tests="tests/test_hw_memory_use.py",
)

ENGINE = _of(
    "hw/engine.py",
    (
        "shifts count from the greatest least shift",
        "an engine cannot shift as little as one of its networks asks",
        "shift_base=min(config.shift_base for config in configs)",
        "shift_base=max(config.shift_base for config in configs)",
    ),
    (
        "narrow fields pass",
        "a network runs on an engine whose fields are too narrow for it",
        "        if width > widths[name]:",
        "        if width > widths[name] + 1:",
    ),
    (
        "head room takes shifts away",
        "the greatest shift of the networks given is out of an engine's reach",
        "shift_bits=(top - base).bit_length(),",
        "shift_bits=config.shift_bits,",
    ),
    (
        "no room for addresses of weights",
        "spare block RAM is out of reach of a layer's weight address",
        "ceil_log2(config.weight_depth) + BASE_ROOM",
        "ceil_log2(config.weight_depth)",
    ),
    tests=(
        "tests/test_hw_engine.py::test_shifts_count_from_the_least_of_all_networks",
        "tests/test_hw_engine.py::test_head_room_narrows_nothing",
        "tests/test_hw_engine.py::test_a_field_that_is_a_bit_too_narrow",
    ),
)

ACTIVATION_TABLE = _of(
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
) + _of(
    "hw/drain.py",
    (
        "tags do not wait for tables",
        "bytes are written to where the ones two steps later belong",
        "depth = write_latency(self.config) - 1",
        "depth = WRITE_LATENCY - 1",
    ),
    tests="tests/test_hw_activation_table.py",
)

SHIFT_PRODUCT = _of(
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

SHIFT_PE = _of(
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

SHIFT_ARRAY = _of(
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

SHIFT_OFFSETS = _of(
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

MUTANTS = (
    *MULTIPLIER,
    *PE,
    *SHIFT_PRODUCT,
    *SHIFT_PE,
    *SHIFT_ARRAY,
    *SHIFT_OFFSETS,
    *ARRAY,
    *REQUANTIZER,
    *ACTIVATION_TABLE,
    *POOLING,
    *ROM,
    *CODED_ROM,
    *WEIGHT_RAM,
    *LOOP_COUNTER,
    *ACTIVATION_BANK,
    *ACTIVATION_MEMORY,
    *FETCH,
    *SCALING,
    *SIXTEEN_BITS,
    *WINDOW_WALKER,
    *DRAIN,
    *DRAIN_TIMING,
    *SEQUENCER,
    *FLASH_LOADER,
    *FLASH_IMAGE,
    *MEMORY_MAP,
    *INPUT_LOADER,
    *OUTPUT_SENDER,
    *FRAME_GUARD,
    *TOP_SCORE,
    *WEIGHT_CHECK,
    *AXI_STREAM,
    *WEIGHT_COPIER,
    *LAYOUTS,
    *SEGMENTS,
    *IMAGES,
    *SCHEDULE,
    *CONFIG,
    *CORE,
    *TIMELINE,
    *MEMORY_USE,
    *ENGINE,
)
