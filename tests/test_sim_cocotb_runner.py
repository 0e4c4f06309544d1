import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shiftwork.errors import OutputError, ToolError
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Tensor
from shiftwork.sim import cocotb_runner
from shiftwork.sim.layer_image import layer_images
from shiftwork.sim.observation import Job

# A frame is one byte, and its result the inverted byte: one clock cycle of work.
INVERTER = """
module shiftwork_core (
    input clk, input rst,
    input [7:0] i_payload, input i_valid, output i_ready,
    output [7:0] o_payload, output o_valid, input o_ready,
    output busy,
    output trace_valid, output [7:0] trace_layer, output [23:0] trace_offset,
    output [15:0] trace_data, output [1:0] trace_mask
);
    reg [7:0] value;
    reg [1:0] state;
    assign i_ready = state == 0;
    assign busy = state == 1;
    assign o_valid = state == 2;
    assign o_payload = ~value;
    assign trace_valid = busy;
    assign trace_layer = 0;
    assign trace_offset = 0;
    assign trace_data = {8'hxx, ~value};
    assign trace_mask = 1;
    always @(posedge clk)
        if (rst) state <= 0;
        else if (i_ready ? i_valid : o_valid ? o_ready : 1'b1) begin
            state <= state == 2 ? 0 : state + 1;
            if (i_ready) value <= i_payload;
        end
endmodule
"""

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not installed"
)


def inverter_job() -> Job:
    shape = (1, 1, 1)
    program = Program(
        name="inverter",
        tensors=(Tensor(name="x", shape=shape), Tensor(name="y", shape=shape)),
        ops=(
            Conv(
                name="invert",
                input="x",
                output="y",
                weights=np.full((1, 1, 1, 1), -1, np.int8),
                bias=np.array([-1]),
                shift=np.array([0]),
            ),
        ),
        input="x",
        output="y",
        input_layout=Layout.identity(shape),
        output_layout=Layout.identity(shape),
    )
    return Job(
        program=program,
        images=layer_images(
            program, [SimpleNamespace(name="invert", output="y", first_channel=0, channels=1)]
        ),
        q=np.arange(-8, 8, dtype=np.int32).reshape(16, *shape),
        cycles=1,
        seed=0,
        stall_probability=0.25,
    )


@needs_icarus
def test_a_simulator_is_built_once(tmp_path: Path) -> None:
    first = cocotb_runner.build("icarus", INVERTER, inverter_job(), folder=tmp_path)
    again = cocotb_runner.build("icarus", INVERTER, inverter_job(), folder=tmp_path)
    assert first.seconds > 0
    assert again.seconds == 0
    assert again.folder == first.folder
    assert list(tmp_path.iterdir()) == [first.folder], "no log, no partial folder remains"


@needs_icarus
def test_another_design_is_another_simulator(tmp_path: Path) -> None:
    job = inverter_job()
    plain = cocotb_runner.build("icarus", INVERTER, job, folder=tmp_path)
    changed = cocotb_runner.build("icarus", INVERTER + "// changed", job, folder=tmp_path)
    with_waves = cocotb_runner.build("icarus", INVERTER, job, folder=tmp_path, waves=True)
    assert len({plain.folder, changed.folder, with_waves.folder}) == 3


@needs_icarus
def test_a_run_reports_what_it_saw(tmp_path: Path) -> None:
    job = inverter_job()
    simulator = cocotb_runner.build("icarus", INVERTER, job, folder=tmp_path)
    seen = cocotb_runner.run(simulator, job)
    assert (seen.mismatches, seen.first, seen.layer_mismatches) == (0, None, (0,))
    assert (seen.frames_started, seen.frames_finished, seen.input_count) == (16, 16, 16)
    assert (seen.cycles_min, seen.cycles_max) == (1, 1)
    np.testing.assert_array_equal(seen.output.astype(np.uint8).view(np.int8), ~job.q.ravel())


def without_trace(verilog: str) -> str:
    return re.sub(r",?[^;,]*?trace_\w+( = [^;]*;)?", "", verilog)


@needs_icarus
@pytest.mark.parametrize(("payload", "wrong"), [("~value", 0), ("~value ^ value[3]", 8)])
def test_a_design_without_trace_ports(tmp_path: Path, payload: str, wrong: int) -> None:
    job = replace(inverter_job(), images=())
    text = without_trace(INVERTER).replace("o_payload = ~value", f"o_payload = {payload}")
    assert "trace" not in text
    simulator = cocotb_runner.build("icarus", text, job, folder=tmp_path)
    seen = cocotb_runner.run(simulator, job)
    assert (seen.mismatches, seen.layer_mismatches, seen.hung) == (0, (), False)
    assert (seen.cycles_min, seen.cycles_max) == (1, 1)
    output = seen.output.astype(np.uint8).view(np.int8)
    assert int((output != ~job.q.ravel()).sum()) == wrong


@needs_icarus
@pytest.mark.parametrize(("suffix", "start"), [(".vcd", b"$date"), (".fst", b"\0")])
def test_icarus_writes_waves(tmp_path: Path, suffix: str, start: bytes) -> None:
    job = inverter_job()
    simulator = cocotb_runner.build("icarus", INVERTER, job, folder=tmp_path / "s", waves=True)
    waves = tmp_path / f"out{suffix}"
    cocotb_runner.run(simulator, job, waves=waves)
    assert waves.read_bytes().startswith(start)
    with pytest.raises(OutputError, match=r"cannot write .*none/x.* No such file"):
        cocotb_runner.run(simulator, job, waves=tmp_path / "none" / f"x{suffix}")


@pytest.mark.slow
def test_verilator_writes_waves(tmp_path: Path) -> None:
    job = inverter_job()
    simulator = cocotb_runner.build("verilator", INVERTER, job, waves=True)
    cocotb_runner.run(simulator, job, waves=tmp_path / "out.vcd")
    assert "trace_valid" in (tmp_path / "out.vcd").read_text()


@pytest.mark.parametrize("engine", ["verilator", pytest.param("icarus", marks=needs_icarus)])
def test_verilog_that_does_not_compile(tmp_path: Path, engine: str) -> None:
    broken = INVERTER.replace("reg [1:0] state;", "")
    with pytest.raises(
        ToolError, match=r"failed with status \d+: .*state.*; its output is in "
    ) as caught:
        cocotb_runner.build(engine, broken, inverter_job(), folder=tmp_path)
    (log,) = tmp_path.iterdir()
    assert str(caught.value).endswith(f"its output is in {log}")


def test_a_module_without_trace(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="has no output 'trace_data'"):
        cocotb_runner.build("verilator", "module x; endmodule", inverter_job(), folder=tmp_path)


@needs_icarus
def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shiftwork.sim.runners.run_logged", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cocotb_runner.build("icarus", INVERTER, inverter_job(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


@needs_icarus
def test_a_simulator_that_ends_without_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = inverter_job()
    simulator = cocotb_runner.build("icarus", INVERTER, job, folder=tmp_path)
    monkeypatch.setattr("shiftwork.sim.runners.run_logged", lambda *_, **__: None)
    with pytest.raises(ToolError, match="Icarus Verilog ended without a result; its output is in "):
        cocotb_runner.run(simulator, job)


def test_icarus_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"not installed .* apt install iverilog.* --engine veri"):
        cocotb_runner.build("icarus", INVERTER, inverter_job(), folder=tmp_path)


def test_a_python_without_a_shared_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(ToolError, match=r"without a shared library .* --engine amaranth"):
        cocotb_runner.build("icarus", INVERTER, inverter_job(), folder=tmp_path)
