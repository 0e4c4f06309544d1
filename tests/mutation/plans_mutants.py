"""Defects of what is computed ahead: descriptors, images, cycles, memory, engines."""

from mutant_table import BOTH_PORTS, COPIED, CORNERS, mutants_of

LAYOUTS = mutants_of(
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

SEGMENTS = mutants_of(
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
) + mutants_of(
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

IMAGES = mutants_of(
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
    mutants_of(
        "hw/schedule.py",
        (
            "cycle formula off by one",
            "a layer takes a cycle more than the schedule says",
            "+ end + 1 + DONE_LATENCY",
            "+ end + DONE_LATENCY",
        ),
        tests=("tests/test_hw_schedule.py::test_a_dense_layer", BOTH_PORTS, CORNERS),
    )
    + mutants_of(
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
    + mutants_of(
        "hw/layer_work.py",
        (
            "rows of the last tile",
            "the last tile of a line has one row too many or too few",
            "(line - 1) % rows + 1",
            "line % rows + 1",
        ),
        tests=CORNERS,
    )
    + mutants_of(
        "hw/widths.py",
        (
            "narrow accumulator",
            "the accumulators are a bit too narrow",
            "max(signed_bits(lo, hi) for lo, hi in ranges)",
            "max(signed_bits(lo, hi) for lo, hi in ranges) - 1",
        ),
        tests=CORNERS,
    )
    + mutants_of(
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
    + mutants_of(
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

CONFIG = mutants_of(
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

TIMELINE = mutants_of(
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

MEMORY_USE = mutants_of(
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

ENGINE = mutants_of(
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
