"""Our model of ECP5's block RAM against a description of it bit by bit."""

import itertools
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

WIDTHS = (1, 2, 4, 9, 18, 36)
PAIRS = tuple(itertools.product(WIDTHS, WIDTHS))
STEPS = 300
NEAR = 0x7F
"""Addresses of most steps, so that the ports often meet."""

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not installed"
)


def bits_of(address: int, width: int) -> list[int]:
    """The bits of a word, as 9 * cell + place, the lowest first."""
    if width < 9:
        first = address & -width
        return [9 * (bit // 8) + bit % 8 for bit in range(first, first + width)]
    cells = width // 9
    first = (address >> 3) & -cells
    return list(range(9 * first, 9 * (first + cells)))


class Ram:
    """What the RAM holds and shows.

    ``words`` has what the ports read last, A's first. A writes in place of reading.
    """

    def __init__(self, contents: np.ndarray, width_a: int, width_b: int) -> None:
        self.bits = contents.copy()
        self.width_a, self.width_b = width_a, width_b
        self.words = [0, 0]

    def step(self, a: int, b: int, data: int, *, read_a: bool, write: bool, read_b: bool) -> None:
        """One edge of both clocks."""
        place_a, place_b = bits_of(a, self.width_a), bits_of(b, self.width_b)
        new = {
            bit: data >> index & 1
            for index, bit in enumerate(place_a)
            if write and (self.width_a < 18 or a >> (index // 9) & 1)
        }
        cells = {bit // 9 for bit in new}
        if read_b:
            shown = [int(self.bits[bit]) ^ (bit // 9 in cells) for bit in place_b]
            self.words[1] = sum(bit << index for index, bit in enumerate(shown))
        if read_a and not write:
            self.words[0] = sum(int(self.bits[bit]) << i for i, bit in enumerate(place_a))
        for bit, value in new.items():
            self.bits[bit] = value

    @property
    def outputs(self) -> tuple[int, int]:
        """DOA and DOB."""
        if self.width_b == 36:
            return self.words[1] & 0x3FFFF, self.words[1] >> 18
        return self.words[0] & 0x3FFFF, self.words[1]


def instance(name: str, width_a: int, width_b: int, contents: np.ndarray) -> str:
    """A RAM with its outputs in ``<name>_a`` and ``<name>_b``."""
    settings = {"DATA_WIDTH_A": width_a, "DATA_WIDTH_B": width_b}
    rows = contents.reshape(64, 16, 18)
    for index, row in enumerate(rows):
        value = sum(int(bit) << (20 * w + b) for (w, b), bit in np.ndenumerate(row))
        settings[f"INITVAL_{index:02X}"] = f"320'h{value:x}"
    ports = {}
    for port in "ab":
        upper = port.upper()
        ports |= {f"AD{upper}{bit}": f"ad{port}[{bit}]" for bit in range(14)}
        ports |= {f"DI{upper}{bit}": f"di{port}[{bit}]" for bit in range(18)}
        ports |= {f"DO{upper}{bit}": f"{name}_{port}[{bit}]" for bit in range(18)}
        ports |= {f"CLK{upper}": "clk", f"OCE{upper}": "1'b1", f"RST{upper}": "1'b0"}
        ports |= {f"CS{upper}{bit}": "1'b0" for bit in range(3)}
    ports |= {"CEA": "cea", "CEB": "ceb", "WEA": "wea", "WEB": "1'b0"}
    lines = ", ".join(f".{key}({value})" for key, value in settings.items())
    connections = ", ".join(f".{key}({value})" for key, value in ports.items())
    return f"wire [17:0] {name}_a, {name}_b;\nDP16KD #({lines}) {name} ({connections});\n"


def bench(body: str, shown: str) -> str:
    """Drives what ``steps.hex`` says, and prints ``shown`` after each step."""
    return f"""`timescale 1ns / 1ps
module bench;
    reg clk = 0;
    reg [66:0] steps [0:{STEPS - 1}];
    reg [66:0] step = 0;
    integer index;
    wire [13:0] ada = step[13:0], adb = step[27:14];
    wire [17:0] dia = step[45:28], dib = step[63:46];
    wire cea = step[64], wea = step[65], ceb = step[66];
{body}
    initial begin
        $readmemh("steps.hex", steps);
        for (index = 0; index < {STEPS}; index = index + 1) begin
            step = steps[index];
            #1 clk = 1;
            #1 clk = 0;
            {shown}
        end
        $finish;
    end
endmodule
"""


def run(folder: Path, text: str) -> list[str]:
    """What the bench prints."""
    (folder / "bench.v").write_text(text)
    model = resources.files("shiftwork.sim").joinpath("dp16kd.v").read_text()
    (folder / "dp16kd.v").write_text(model)
    command = ["iverilog", "-g2012", "-o", "sim", "bench.v", "dp16kd.v"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(["vvp", "sim"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_every_pair_of_widths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents = rng.integers(0, 2, 9 * 2048)
    addresses = rng.integers(0, 1 << 14, (STEPS, 2))
    addresses[50:] &= NEAR
    data = rng.integers(0, 1 << 36, STEPS)
    controls = rng.random((STEPS, 3)) < (0.9, 0.5, 0.9)
    words = [
        int(a) | int(b) << 14 | int(d) << 28 | sum(int(c) << 64 + i for i, c in enumerate(control))
        for (a, b), d, control in zip(addresses, data, controls, strict=True)
    ]
    (tmp_path / "steps.hex").write_text("".join(f"{word:x}\n" for word in words))
    names = [f"ram_{a}_{b}" for a, b in PAIRS]
    body = "".join(instance(name, *pair, contents) for name, pair in zip(names, PAIRS, strict=True))
    shown = ", ".join(f"{name}_a, {name}_b" for name in names)
    lines = run(tmp_path, bench(body, f'$display("{"%h " * 2 * len(names)}", {shown});'))
    rams = [Ram(contents, *pair) for pair in PAIRS]
    for line, (a, b), d, (cea, wea, ceb) in zip(lines, addresses, data, controls, strict=True):
        for ram in rams:
            ram.step(int(a), int(b), int(d), read_a=cea, write=cea and wea, read_b=ceb)
        got = [int(word, 16) for word in line.split()]
        assert got == [word for ram in rams for word in ram.outputs]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("DATA_WIDTH_A(9)", 'DATA_WIDTH_A(9), .REGMODE_B("OUTREG")'), "these settings are not"),
        (("DATA_WIDTH_A(9)", 'DATA_WIDTH_A(9), .WRITEMODE_A("WRITETHROUGH")'), "these settings"),
        ((".WEB(1'b0)", ".WEB(1'b1)"), "this use is not modelled"),
        ((".CSB1(1'b0)", ".CSB1(1'b1)"), "this use is not modelled"),
    ],
)
def test_other_uses_stop_the_simulation(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "steps.hex").write_text("70000000000000000\n" * STEPS)
    body = instance("ram", 9, 9, np.zeros(9 * 2048, int)).replace(*change)
    lines = run(tmp_path, bench(body, '$display("went on");'))
    assert any(message in line for line in lines)
    assert lines.count("went on") < 2
