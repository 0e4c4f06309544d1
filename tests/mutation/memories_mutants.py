"""Defects of memories: ROMs, activation memory, and what loads them from a flash."""

from mutant_table import mutants_of

ROM = mutants_of(
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

CODED_ROM = mutants_of(
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

WEIGHT_RAM = mutants_of(
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

ACTIVATION_BANK = mutants_of(
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
) + mutants_of(
    "hw/activation_bank.py",
    (
        "contents lost",
        "the memory is empty at power-up",
        "init=self.contents,",
        "init=(),",
    ),
    tests="tests/test_hw_activation_memory.py::test_contents_at_power_up",
)

ACTIVATION_MEMORY = mutants_of(
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

MEMORY_MAP = mutants_of(
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

FLASH_LOADER = mutants_of(
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

FLASH_IMAGE = mutants_of(
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

WEIGHT_CHECK = mutants_of(
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

WEIGHT_COPIER = mutants_of(
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
