"""The bench must find every fault: a bench that cannot fail proves nothing."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil

from shiftwork.boards import yowasp
from shiftwork.errors import MismatchError
from shiftwork.hw import verilog
from shiftwork.hw.flash_image import pack
from shiftwork.hw.flash_loader import FlashLoader
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Reshape, Tensor
from shiftwork.sim import cocotb_runner, golden
from shiftwork.sim.executor import SimulationResult, judge
from shiftwork.sim.layer_image import layer_images
from shiftwork.sim.observation import Job

CYCLES = 32
FRAMES = 5
VERILOG = (Path(__file__).parent / "vectors" / "standin_core.v").read_text()

IDENTITY = "fedcba9876543210" * 4
PAYLOAD = np.random.default_rng(0).integers(0, 256, 300).astype(np.uint8).tobytes()
FLASH_IMAGE = pack(PAYLOAD, identity=IDENTITY)

# The stand-in, which is held in reset until a flash loader is done.
LOADED_CORE = """
module shiftwork_core (
    input clk, input rst,
    input [7:0] i_payload, input i_valid, output i_ready,
    output [7:0] o_payload, output o_valid, input o_ready,
    output busy,
    output trace_valid, output [7:0] trace_layer, output [23:0] trace_offset,
    output [31:0] trace_data, output [3:0] trace_mask,
    output flash_cs_n, output flash_sck, output flash_mosi, input flash_miso,
    output [1:0] status
);
    wire done, ready;
    assign i_ready = ready && done;
    standin_core core (
        .clk(clk), .rst(rst | !done),
        .i_payload(i_payload), .i_valid(i_valid && done), .i_ready(ready),
        .o_payload(o_payload), .o_valid(o_valid), .o_ready(o_ready),
        .busy(busy),
        .trace_valid(trace_valid), .trace_layer(trace_layer), .trace_offset(trace_offset),
        .trace_data(trace_data), .trace_mask(trace_mask)
    );
    flash_loader loader (
        .clk(clk), .rst(rst),
        .cs_n(flash_cs_n), .sck(flash_sck), .mosi(flash_mosi), .miso(flash_miso),
        .write_enable(), .write_address(), .write_data(),
        .done(done), .error(status)
    );
endmodule
"""

Run = Callable[..., SimulationResult]


def standin_program() -> Program:
    """The network that ``vectors/standin_core.v`` computes."""
    number = np.arange(16)[None, :] + np.arange(3)[:, None] - 8
    return Program(
        name="standin",
        tensors=(
            Tensor(name="x", shape=(4, 4, 1), lo=0, hi=255, signed=False),
            Tensor(name="y", shape=(4, 4, 1), lo=0, hi=255, signed=False),
            Tensor(name="flat", shape=(1, 1, 16), lo=0, hi=255, signed=False),
            Tensor(name="acc", shape=(1, 1, 3), lo=-(1 << 31), hi=(1 << 31) - 1, bits=32),
        ),
        ops=(
            Conv(
                name="pixels",
                input="x",
                output="y",
                weights=np.full((1, 1, 1, 1), 3, np.int8),
                bias=np.array([-5]),
                shift=np.array([1]),
                lo=0,
                hi=255,
            ),
            Reshape(name="flatten", input="y", output="flat"),
            Conv(
                name="sums",
                input="flat",
                output="acc",
                weights=number.astype(np.int8).reshape(3, 1, 1, 16),
                bias=100 * np.arange(3) - 50,
                shift=np.zeros(3, np.int64),
                accumulators=True,
            ),
        ),
        input="x",
        output="acc",
        input_layout=Layout.identity((4, 4, 1)),
        output_layout=Layout.identity((1, 1, 3)),
    )


def standin_job(
    *, frames: int = FRAMES, seed: int = 3, stall_probability: float = 0.25, sums: int = 3
) -> Job:
    """Random frames for the stand-in, whose second layer should write so many channels."""
    program = standin_program()
    layers = [
        SimpleNamespace(name="pixels", output="y", first_channel=0, channels=1),
        SimpleNamespace(name="sums", output="acc", first_channel=0, channels=sums),
    ]
    return Job(
        program=program,
        images=layer_images(program, layers),
        q=np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 1), dtype=np.int32),
        cycles=CYCLES,
        seed=seed,
        stall_probability=stall_probability,
    )


@pytest.fixture(scope="session", params=["verilator", "icarus"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs the stand-in with one of its faults (0: none) on a simulator that is built once."""
    engine = request.param
    if engine == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    simulator = cocotb_runner.build(engine, VERILOG, standin_job())

    def run_fault(fault: int = 0, **job: Any) -> SimulationResult:
        settings = standin_job(**job)
        seen = cocotb_runner.run(simulator, settings, plusargs=[f"+fault={fault}"])
        return judge(engine, settings, seen, build_seconds=simulator.seconds)

    return run_fault


@pytest.mark.parametrize("stall_probability", [0, 0.25, 0.9])
def test_a_faultless_core_passes(run: Run, stall_probability: float) -> None:
    result = run(frames=20, stall_probability=stall_probability)
    assert result.passed, result.text
    assert (result.mismatches, result.first_mismatch) == (0, None)
    assert result.cycles_predicted == result.cycles_measured == CYCLES
    job = standin_job(frames=20, stall_probability=stall_probability)
    np.testing.assert_array_equal(result, golden.run(job.program, job.q))


@dataclass(frozen=True)
class Fault:
    """A fault of the stand-in, and what the bench must say."""

    number: int
    mismatches: int
    layer: str
    index: tuple[int, int, int] | None
    text: str


FAULTS = {
    "wrong value": Fault(1, 1, "pixels", (1, 1, 0), "input 2, layer pixels, index (1, 1, 0): exp"),
    "never written": Fault(2, 1, "pixels", (1, 1, 0), "never written; expected"),
    "written twice": Fault(3, 4 * FRAMES, "pixels", (2, 0, 0), "written a second time; expected"),
    "wrong output": Fault(4, 1, "output stream", (0, 0, 1), "output stream (acc), index (0, 0, 1)"),
    "outside": Fault(7, FRAMES, "sums", None, "byte 12 of layer sums, which is outside"),
    "unstable": Fault(8, 1, "output stream", None, "changed or withdrew byte"),
    "extra output": Fault(9, FRAMES, "output stream", (0, 0, 0), "input 1, output stream"),
    "no such layer": Fault(10, 8 * FRAMES, "", None, "layer number 2, which does not exist"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found_and_named(run: Run, fault: Fault) -> None:
    result = run(fault.number)
    first = result.first_mismatch
    assert first is not None
    assert not result.passed
    assert fault.text in result.text
    assert (first["layer"], first["index"]) == (fault.layer, fault.index)
    assert result.mismatches >= fault.mismatches


def test_a_pass_that_writes_a_channel_of_another_is_found(run: Run) -> None:
    """The stand-in writes all four bytes of the third accumulator."""
    result = run(sums=2)
    assert result.mismatches == 4 * FRAMES
    assert "byte 2 of layer sums, which is outside of its output" in result.text


def test_a_wrong_value_is_shown_in_its_true_domain(run: Run) -> None:
    first = run(1).first_mismatch
    job = standin_job()
    expected = golden.trace(job.program, job.q)["y"][2, 1, 1, 0]
    assert first is not None
    assert first["input"] == 2
    assert first["expected"] == expected
    assert first["got"] == expected ^ 1


def test_a_wrong_cycle_count_is_found(run: Run) -> None:
    result = run(5)
    assert result.mismatches == 0
    assert not result.passed
    assert result.text == "an inference took 33 cycles; the schedule says 32"


def test_a_hang_is_an_error(run: Run) -> None:
    with pytest.raises(
        MismatchError, match=r"hung: nothing moved for 4160 cycles .* finished 1 of 5"
    ):
        run(6)


def test_missing_output_is_an_error(run: Run) -> None:
    with pytest.raises(MismatchError, match="finished 5 of 5 inferences and sent 55 of 60 output"):
        run(11, stall_probability=0.0)


def loader_verilog(folder: Path, **settings: Any) -> str:
    """The flash loader as the module ``flash_loader``."""
    config = SimpleNamespace(address_bits=10)
    loader = FlashLoader(config=config, payload_bytes=len(PAYLOAD), identity=IDENTITY, **settings)
    text = rtlil.convert(loader, name=verilog.TOP, emit_src=False)
    (folder / verilog.RTLIL_FILE).write_text(text)
    yowasp.run(
        "yosys",
        ["-q", "-p", "; ".join(verilog.YOSYS_COMMANDS)],
        folder=folder,
        log=folder / "yosys.log",
        limit_s=300,
        progress=lambda _: None,
    )
    return (folder / verilog.VERILOG_FILE).read_text().replace(verilog.TOP, "flash_loader")


@pytest.fixture(scope="session", params=["verilator", "icarus"])
def run_loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the stand-in behind a flash loader, from power-up, with what is in the flash."""
    engine = request.param
    if engine == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")

    def run(image: bytes = FLASH_IMAGE, **settings: Any) -> SimulationResult:
        loader = loader_verilog(tmp_path_factory.mktemp("loader"), **settings)
        text = loader + VERILOG.replace("shiftwork_core", "standin_core") + LOADED_CORE
        job = replace(standin_job(), flash=image)
        simulator = cocotb_runner.build(engine, text, job)
        seen = cocotb_runner.run(simulator, job)
        return judge(engine, job, seen, build_seconds=simulator.seconds)

    return run


def test_a_core_with_a_flash_runs_from_power_up(run_loaded: Run) -> None:
    result = run_loaded()
    assert result.passed, result.text
    assert result.cycles_measured == CYCLES


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"\xff" * len(FLASH_IMAGE), "flash holds no image at its address (status 1)"),
        (pack(PAYLOAD, identity="0" * 64), "is of another build (status 2)"),
        (FLASH_IMAGE[:-1] + bytes([FLASH_IMAGE[-1] ^ 1]), "is damaged (status 3)"),
    ],
)
def test_a_wrong_flash_image_is_named(run_loaded: Run, image: bytes, message: str) -> None:
    with pytest.raises(MismatchError, match=re.escape(message)):
        run_loaded(image)


def test_the_flash_needs_time_to_wake(run_loaded: Run) -> None:
    with pytest.raises(MismatchError, match="holds no image"):
        run_loaded(wake_cycles=700)


def test_the_flash_has_an_address(run_loaded: Run) -> None:
    with pytest.raises(MismatchError, match="no image"):
        run_loaded(flash_address=0x100001)
