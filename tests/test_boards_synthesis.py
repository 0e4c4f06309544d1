import json
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from shiftwork.boards import accelerator, yowasp
from shiftwork.boards.flow import FLOWS
from shiftwork.boards.registry import BoardError
from shiftwork.boards.routing import HEADROOM, MOST_SEEDS
from shiftwork.boards.synthesis import FLASH_PORTS, PORTS, synthesize, top_text
from shiftwork.errors import CapacityError, OutputError, TimingError, ToolError
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.onnx_import import load
from shiftwork.quant.quantizer import quantize

VERILOG = """\
module counter(input clk, input en, input [7:0] d, output reg [15:0] q);
  always @(posedge clk) if (en) q <= q + d;
endmodule
module shiftwork_core(input clk, rst, input [7:0] i_payload, input i_valid, output i_ready,
    output [7:0] o_payload, output o_valid, input o_ready, output busy, output trace_valid);
  wire [15:0] q;
  counter counter (.clk(clk), .en(i_valid & ~rst), .d(i_payload), .q(q));
  assign o_payload = q[15:8], o_valid = q[0], i_ready = o_ready, busy = q[1], trace_valid = q[2];
endmodule
"""


class Accelerator:
    """Stands in for a generated accelerator: the same interface, a small Verilog text."""

    def __init__(self, family="generic", payload_bytes=0):
        self.program = SimpleNamespace(
            digest="0" * 64,
            name="net",
            input="x",
            output="y",
            top_score=None,
            tensor=lambda name: SimpleNamespace(bytes={"x": 784, "y": 10}[name]),
        )
        self.config = SimpleNamespace(
            shape=SimpleNamespace(rows=2, columns=8, family=family), payload_bytes=payload_bytes
        )
        self.schedule = SimpleNamespace(
            cycles=1000, macs=9, rom_bytes=5, activation_bytes=7, input_held_cycles=400
        )

    def write_verilog(self, folder):
        (folder / "core.v").write_text(VERILOG)


class Tools:
    """Stands in for yosys and nextpnr, and remembers what they were asked."""

    def __init__(self, *, cells=None, fmax=(40.0,), routing_error=None):
        self.cells = cells or {"SB_LUT4": 3, "SB_DFF": 2}
        self.fmax = fmax
        self.routing_error = routing_error
        self.calls = []
        self.script = ""
        self.files = {}

    def run(self, tool, arguments, *, folder, log, limit_s, progress):
        assert limit_s > 0
        progress(f"running {tool}")
        self.calls.append((tool, list(arguments)))
        if tool == "yosys":
            self.script = (folder / "synth.ys").read_text()
            self.files = {path.name: path.read_text() for path in folder.glob("*.v")}
            log.write_text("")
            (folder / "design.il").write_text("")
            (folder / "netlist.json").write_text(json.dumps(self.netlist()))
            return
        if self.routing_error:
            log.write_text(self.routing_error)
            raise ToolError("nextpnr failed")
        fmax = self.fmax[int(arguments[arguments.index("--seed") + 1]) - 1]
        record = {
            "fmax": {"clk": {"achieved": fmax, "constraint": 36.0}},
            "utilization": {"ICESTORM_LC": {"used": 5, "available": 5280}},
            "critical_paths": [PATH],
        }
        (folder / "nextpnr.json").write_text(json.dumps(record))

    def netlist(self):
        cells = {
            f"core.array.{kind}.{index}": {"type": kind, "attributes": {}, "connections": {}}
            for kind, count in self.cells.items()
            for index in range(count)
        }
        scopes = {"core.array": {"type": "$scopeinfo", "attributes": {"module_src": SOURCE}}}
        return {"modules": {"shiftwork_top": {"cells": scopes | cells}}}


SOURCE = "core.v:1.1-9.10"
A, B = "core.fetch.word_SB_DFFESR_Q_7_D_SB_LUT4_O_LC", "busy"
PATH = {
    "from": "posedge clk",
    "to": "posedge clk",
    "path": [
        {"type": "clk-to-q", "delay": 1.5, "from": {"cell": A}, "to": {"cell": A}},
        {"type": "routing", "delay": 2.0, "from": {"cell": A}, "to": {"cell": B}},
        {"type": "setup", "delay": 0.5, "from": {"cell": B}, "to": {"cell": B}},
    ],
}


@pytest.fixture
def use(monkeypatch):
    def replace(tools):
        monkeypatch.setattr(yowasp, "run", tools.run)
        return tools

    return replace


def test_report(use, tmp_path):
    use(Tools())
    report = synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert (report.rows, report.columns, report.board) == (2, 8, "icebreaker")
    assert (report.lut.used, report.lut.available) == (5, 5280)
    assert (report.ff.used, report.bram.available, report.dsp.available) == (2, 30, 8)
    assert report.blocks["array"]["lut"] == 3
    assert (report.fmax_mhz, report.target_mhz, report.latency_us) == (40.0, 36.0, 25.0)
    assert report.latency_with_io_us == 1794 / 40
    assert report.inferences_per_second == 40e6 / (400 + 784)
    assert report.critical_path == "fetch.word to busy: 2.0 ns logic, 2.0 ns routing"
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(
        json.dumps(report.as_dict())
    )


def test_the_best_seed_counts(use, tmp_path):
    use(Tools(fmax=(38.0, 45.0, 40.0)))
    report = synthesize(Accelerator(), board="icebreaker", folder=tmp_path, seeds=3)
    assert (report.seed, report.fmax_mhz) == (2, 45.0)
    assert report.seeds == {1: 38.0, 2: 45.0, 3: 40.0}


def test_arguments_of_nextpnr(use, tmp_path):
    tools = use(Tools())
    synthesize(Accelerator(), board="icebreaker", folder=tmp_path, clock_mhz=24.0)
    tool, arguments = tools.calls[-1]
    assert tool == "nextpnr-ice40"
    assert arguments[:3] == ["--up5k", "--package", "sg48"]
    assert arguments[arguments.index("--freq") + 1] == f"{24 * HEADROOM:g}"


@pytest.mark.parametrize("flash", [False, True])
def test_the_top_has_every_port_but_the_trace(flash):
    text = top_text(flash=flash)
    for name, kind in PORTS.items():
        assert f"    {kind} {name}" in text
        assert f".{name}({name})" in text
    for name in FLASH_PORTS:
        assert (f".{name}({name})" in text) == flash
    assert "output [1:0] status" in text or not flash
    assert "trace_" not in text.replace("trace ports", "")


@pytest.mark.parametrize("payload_bytes", [0, 8])
def test_a_design_with_a_flash_has_its_pins(use, tmp_path, payload_bytes):
    tools = use(Tools())
    synthesize(Accelerator(payload_bytes=payload_bytes), board="icebreaker", folder=tmp_path)
    assert tools.files["top.v"] == top_text(flash=payload_bytes > 0)
    assert tools.files["core.v"] == VERILOG


@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-85f"])
def test_the_script_of_yosys(use, tmp_path, board):
    tools = use(Tools(cells={"LUT4": 1}))
    synthesize(Accelerator(), board=board, folder=tmp_path, clock_mhz=10)
    flow = FLOWS["ice40up" if board == "icebreaker" else "ecp5"]
    assert tools.script.splitlines() == [
        "read_verilog core.v",
        "read_verilog top.v",
        "write_rtlil design.il",
        "design -reset",
        "read_rtlil design.il",
        f"{flow.synth} -top shiftwork_top -json netlist.json",
    ]
    assert not list(tmp_path.rglob("design.il"))


def test_a_rerun_reuses_what_is_there(use, tmp_path):
    tools = use(Tools(fmax=(38.0, 45.0)))
    first = synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    again = synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert first == again
    assert [tool for tool, _ in tools.calls] == ["yosys", "nextpnr-ice40"]
    synthesize(Accelerator(), board="icebreaker", folder=tmp_path, seeds=2)
    assert [tool for tool, _ in tools.calls] == ["yosys", "nextpnr-ice40", "nextpnr-ice40"]


def test_too_large_before_placement(use, tmp_path):
    tools = use(Tools(cells={"SB_RAM40_4K": 34, "SB_MAC16": 9}))
    with pytest.raises(CapacityError) as caught:
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert str(caught.value) == (
        "the design does not fit icebreaker: it needs 34 of 30 block RAM (4 too many), "
        "9 of 8 DSP (1 too many); use fewer processing elements (--rows, --columns), "
        "a smaller network, or a larger board"
    )
    assert [tool for tool, _ in tools.calls] == ["yosys"]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            "Info: \t ICESTORM_LC:  5400/ 5280   102%\nERROR: x",
            r"5400 of 5280 LUT \(120 too many\)",
        ),
        ("ERROR: Unable to place cell 'a', no BELs remaining", "Unable to place cell 'a'"),
    ],
)
def test_too_large_after_packing(use, tmp_path, log, message):
    use(Tools(routing_error=log))
    with pytest.raises(CapacityError, match=message):
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path)


def test_a_failing_tool(use, tmp_path):
    use(Tools(routing_error="ERROR: assertion"))
    with pytest.raises(ToolError, match="nextpnr failed"):
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert not (tmp_path / "route-1").exists()
    assert not (tmp_path / "report.json").exists()


def test_starts_until_the_clock_is_met(use, tmp_path):
    use(Tools(fmax=(30.0, 38.0, 45.0)))
    report = synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert report.seeds == {1: 30.0, 2: 38.0}
    assert report.fmax_mhz == 38.0


def test_a_missed_clock(use, tmp_path):
    use(Tools(fmax=(30.0, *range(29, 29 - MOST_SEEDS, -1))))
    with pytest.raises(TimingError) as caught:
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path)
    assert str(caught.value) == (
        "net reaches 30.0 MHz on icebreaker, 6.0 MHz less than the 36.0 MHz asked for; try more "
        "seeds (--seeds), fewer processing elements (--rows, --columns), or a slower clock "
        "(--clock 29)"
    )
    assert json.loads((tmp_path / "report.json").read_text())["met"] is False


def test_another_family(tmp_path):
    with pytest.raises(BoardError, match="made for the family 'ecp5', but icebreaker is of the"):
        synthesize(Accelerator("ecp5"), board="icebreaker", folder=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"clock_mhz": 0.0}, "the clock must be more than 0 MHz, not 0.0"),
        ({"clock_mhz": float("nan")}, "the clock must be more than 0 MHz, not nan"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ToolError, match=message):
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path, **arguments)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        synthesize(Accelerator(), board="icebreaker", folder=tmp_path / "file" / "out")


@pytest.mark.slow
@pytest.mark.parametrize(("board", "least"), [("icebreaker", 36.0), ("ulx3s-85f", 50.0)])
def test_with_the_real_tools(tmp_path, board, least):
    report = synthesize(Accelerator(), board=board, folder=tmp_path)
    assert report.fmax_mhz > least
    assert report.blocks["counter"]["ff"] == 16
    assert report.ff.used == 16
    assert report.lut.used >= 16


@pytest.mark.heavy
def test_mnist_8_on_icebreaker(shared, tmp_path):
    x = np.load(shared / "data" / "mnist" / "mnist_train.npz")["x"][:100]
    graph = load(shared / "models" / "onnx_mnist8" / "mnist-8.onnx")
    program = quantize(graph, x.reshape(-1, 1, 28, 28).astype(np.float32))
    design = accelerator.Accelerator(program, board="icebreaker")
    assert design.config.shape.elements == 16
    assert design.schedule.cycles <= 56_500
    report = synthesize(design, board="icebreaker", folder=tmp_path)
    assert report.fmax_mhz >= 36.0
    assert report.lut.used <= report.lut.available


@pytest.mark.heavy
def test_two_layer_network_on_ulx3s(tmp_path):
    examples = resources.files("shiftwork.examples")
    samples = read_samples(str(examples / "mnist_calibration.npz"))
    program = quantize(load(str(examples / "mnist_mlp.onnx")), samples.x)
    design = accelerator.Accelerator(program, board="ulx3s-85f", rows=1, columns=20)
    assert design.schedule.cycles <= 1.15 * program.macs / 20
    report = synthesize(design, board="ulx3s-85f", folder=tmp_path)
    assert report.fmax_mhz >= report.target_mhz
