"""Our models of Gowin's block RAMs and multiplier against descriptions of a few lines."""

import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest

STEPS = 200
NEAR = 15
"""Words of most steps, so that the ports often meet."""

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not installed"
)


def simulate(folder, model, bench):
    """What a bench prints, a line a word."""
    (folder / "bench.v").write_text(f"`timescale 1ns / 1ps\n{bench}")
    source = resources.files("shiftwork.sim").joinpath(model)
    (folder / model).write_text(source.read_text())
    compile_ = ["iverilog", "-g2012", "-o", "bench", "bench.v", model]
    subprocess.run(compile_, cwd=folder, check=True, timeout=60)
    run = subprocess.run(["vvp", "-n", "bench"], cwd=folder, capture_output=True, timeout=60)
    return run.stdout.decode().split("\n")[:-1]


def contents(rng, bits):
    """Random contents as parameters, and as one number."""
    words = [int.from_bytes(rng.bytes(bits // 8)) for _ in range(64)]
    values = ", ".join(f".INIT_RAM_{i:02X}({bits}'h{word:x})" for i, word in enumerate(words))
    return values, sum(word << bits * index for index, word in enumerate(words))


@pytest.mark.parametrize(
    ("cell", "width", "bits", "data"),
    [("DPX9B", 9, 288, 18), *(("DPB", width, 256, 16) for width in (1, 2, 4, 8))],
)
def test_one_port_writes_and_one_reads(tmp_path, cell, width, bits, data):
    rng = np.random.default_rng(width)
    values, number = contents(rng, bits)
    shift = min(width, 8).bit_length() - 1
    held, shown, steps, expected = {}, None, [], []
    for _ in range(STEPS):
        write, read = (int(value) for value in rng.integers(0, NEAR, 2))
        value, writing, reading = int(rng.integers(1 << width)), *map(int, rng.integers(0, 2, 2))
        steps.append(
            f"ada = {write << shift}; adb = {read << shift}; di = {value}; "
            f'wre = {writing}; ceb = {reading}; #5 clk = 1; #5 clk = 0; $display("%0d", out);'
        )
        if reading:
            old = held.get(read, number >> width * read & (1 << width) - 1)
            clash = writing and read == write
            shown = old ^ (1 << width) - 1 if clash else old
        if writing:
            held[write] = value
        expected.append("x" if shown is None else str(shown))
    bench = f"""module bench;
    reg clk = 0, wre, ceb; reg [13:0] ada, adb; reg [{data - 1}:0] di; wire [{data - 1}:0] dob;
    wire [{width - 1}:0] out = dob[{width - 1}:0];
    {cell} #(.WRITE_MODE0(2'd1), .BIT_WIDTH_0({width}), .BIT_WIDTH_1({width}), {values}) ram (
        .CLKA(clk), .CEA(1'b1), .OCEA(1'b1), .RESETA(1'b0), .WREA(wre), .ADA(ada), .BLKSELA(3'b0),
        .DIA(di), .DOA(), .CLKB(clk), .CEB(ceb), .OCEB(1'b1), .RESETB(1'b0), .WREB(1'b0),
        .ADB(adb), .BLKSELB(3'b0), .DIB({data}'b0), .DOB(dob));
    initial begin
        {" ".join(steps)}
        $finish;
    end
endmodule
"""
    found = simulate(tmp_path, f"{cell.lower()}.v", bench)
    assert found == expected


@pytest.mark.parametrize("width", [9, 18, 36])
def test_a_rom(tmp_path, width):
    rng = np.random.default_rng(width)
    values, number = contents(rng, 288)
    places = [int(place) for place in rng.integers(0, 18432 // width, STEPS)]
    shift = {9: 3, 18: 4, 36: 5}[width]
    steps = " ".join(
        f'ad = {place << shift}; #5 clk = 1; #5 clk = 0; $display("%0d", out);' for place in places
    )
    bench = f"""module bench;
    reg clk = 0; reg [13:0] ad; wire [35:0] out;
    SPX9 #(.BIT_WIDTH({width}), {values}) rom (.CLK(clk), .CE(1'b1), .OCE(1'b1), .RESET(1'b0),
        .WRE(1'b0), .AD(ad), .BLKSEL(3'b0), .DI(36'b0), .DO(out));
    initial begin
        {steps}
        $finish;
    end
endmodule
"""
    expected = [str(number >> width * place & (1 << width) - 1) for place in places]
    assert simulate(tmp_path, "spx9.v", bench) == expected


MULTIPLIER = """module bench;
    reg clk = 0; reg [8:0] a, b; wire signed [17:0] p;
    MULT9X9 #(.AREG(1'b1), .BREG(1'b1), .OUT_REG(1'b1)) product (.CLK(clk), .CE(1'b1),
        .RESET(1'b0), .A(a), .B(b), .SIA(9'b0), .SIB(9'b0), .ASIGN(SIGN), .BSIGN(1'b1),
        .ASEL(1'b0), .BSEL(1'b0), .DOUT(p), .SOA(), .SOB());
    initial begin
        STEPS
        $finish;
    end
endmodule
"""


def test_products_of_two_cycles_before(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [(-256, -256), (255, -256), *rng.integers(-256, 256, (STEPS, 2)).tolist()]
    steps = " ".join(f'a = {a}; b = {b}; #5 clk = 1; #5 clk = 0; $display("%0d", p);'
                     for a, b in pairs)  # fmt: skip
    bench = MULTIPLIER.replace("SIGN)", "1'b1)", 1).replace("STEPS", steps)
    found = simulate(tmp_path, "mult9x9.v", bench)
    assert found[1:] == [str(a * b) for a, b in pairs[:-1]]


def test_another_use_stops_the_simulation(tmp_path):
    bench = MULTIPLIER.replace("SIGN)", "1'b0)", 1).replace("STEPS", "#5 clk = 1; #5 $display(1);")
    assert simulate(tmp_path, "mult9x9.v", bench)[0] == "MULT9X9: this use is not modelled"
