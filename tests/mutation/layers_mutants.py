"""Defects of what runs a layer: sequencer, fetch unit, drain, and the core around them."""

from mutant_table import BOTH_PORTS, CORNERS, STREAMS, mutants_of

LOOP_COUNTER = mutants_of(
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

FETCH = mutants_of(
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

WINDOW_WALKER = mutants_of(
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

DRAIN = mutants_of(
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

DRAIN_TIMING = mutants_of(
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

SEQUENCER = mutants_of(
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

CORE = (
    mutants_of(
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
    + mutants_of(
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
    + mutants_of(
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
    + mutants_of(
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
