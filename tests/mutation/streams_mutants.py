"""Defects of the streams: frames that come in, answers that leave."""

from mutant_table import FRAMES, mutants_of

INPUT_LOADER = mutants_of(
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
) + mutants_of(
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

OUTPUT_SENDER = mutants_of(
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
) + mutants_of(
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

FRAME_GUARD = mutants_of(
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

TOP_SCORE = mutants_of(
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

AXI_STREAM = mutants_of(
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
