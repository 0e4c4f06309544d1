"""Networks on one routed engine: what the bitstream's block RAMs hold, in the routed netlist."""

from pathlib import Path

import numpy as np
import pytest

from shiftwork.boards.block_rams import BLOCK_RAMS
from shiftwork.boards.engine import Engine
from shiftwork.boards.exchange import exchange, exchanged_core
from shiftwork.boards.exchanged_netlist import ExchangedNetlist, host_wrapper, open_pads
from shiftwork.boards.registry import find
from shiftwork.boards.rom_places import exchange as exchange_contents
from shiftwork.boards.routed_engine import load_engine, make_engine
from shiftwork.errors import DataError
from shiftwork.exchange_check import unpacked, verify_exchange
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.program import Program
from shiftwork.quant.quantizer import quantize
from shiftwork.sim.example_programs import dense_net, random_inputs, small_cnn
from shiftwork.sim.program_builder import ProgramBuilder

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CYCLES_A_BIT = 8


def other_cnn() -> Program:
    """Other kernels, strides and shifts than those of ``small_cnn``, and bytes as output."""
    builder = ProgramBuilder("other_cnn", (9, 7, 1), np.random.default_rng(5), signed=False)
    return (
        builder.conv(5, (2, 3), stride=(2, 1), unsigned=True)
        .max_pool()
        .conv(4, (1, 1), unsigned=True)
        .dense(3)
        .build()
    )


def bundled_cnn() -> Program:
    samples = read_samples(EXAMPLES / "mnist_calibration.npz")
    return quantize(load(EXAMPLES / "mnist_cnn.onnx"), samples.x)


def made_engine(folder: Path, board: str, *programs: Program, rows: int, columns: int) -> Path:
    """An engine with a fast line, so that its simulation is short."""
    engine = Engine(programs, board=board, rows=rows, columns=columns)
    clock_hz = 1e6 * (engine.board.bitstream_mhz or engine.board.target_mhz)
    make_engine(engine, folder=folder, baud=round(clock_hz / CYCLES_A_BIT))
    return folder


def check_contents(program: Program, engine: Path, text: str) -> None:
    """The bitstream's block RAMs hold the network's contents, and so does nothing else."""
    found, routed = load_engine(engine)
    rams = BLOCK_RAMS[find(found.board).family]
    schedule = make_schedule(program, found.config.shape, found.config)
    expected = exchange_contents(routed, exchanged_core(found, schedule).roms, found.places, rams)
    blocks, there = rams.read(expected), rams.read(text)
    for place, bits in blocks.items():
        np.testing.assert_array_equal(there[place], bits)


def check(program: Program, x: np.ndarray, engine: Path, folder: Path) -> None:
    """Exchanges contents, and compares what is in the bitstream: contents, outputs, cycles."""
    made = exchange(program, engine=engine, folder=folder)
    check_contents(program, engine, unpacked(folder / made.file))
    found = verify_exchange(program, x, made, engine=engine, folder=folder)
    assert (found["compared"], found["mismatches"]) == (len(x), 0), found["first_mismatch"]
    assert found["cycles_measured"] == [engine_cycles(program, engine)] * len(x)


def engine_cycles(program: Program, engine: Path) -> int:
    config = load_engine(engine)[0].config
    return make_schedule(program, config.shape, config).cycles


def samples(program: Program, count: int = 2) -> np.ndarray:
    return random_inputs(program, np.random.default_rng(1), count).astype(np.float64)


@pytest.mark.heavy
def test_a_network_that_the_engine_was_not_routed_for(tmp_path: Path) -> None:
    engine = made_engine(tmp_path / "engine", "icebreaker", small_cnn(), rows=1, columns=1)
    program = dense_net()
    check(program, samples(program), engine, tmp_path / "bit")


@pytest.mark.heavy
@pytest.mark.parametrize("board", ["icebreaker", "ulx3s-25f"])
def test_three_networks_on_one_routed_engine(board: str, tmp_path: Path) -> None:
    engine = made_engine(tmp_path / "engine", board, small_cnn(), rows=1, columns=2)
    for program in (small_cnn(), dense_net(), other_cnn()):
        check(program, samples(program), engine, tmp_path / program.name)


@pytest.mark.heavy
def test_the_bundled_network_and_smaller_ones_on_its_engine(tmp_path: Path) -> None:
    bundled = bundled_cnn()
    engine = made_engine(tmp_path / "engine", "icebreaker", bundled, rows=1, columns=2)
    images = read_samples(EXAMPLES / "mnist_samples.npz").x[:2]
    inputs = {bundled.name: images}
    for program in (bundled, small_cnn(), dense_net()):
        x = inputs.get(program.name, samples(program))
        check(program, x, engine, tmp_path / program.name)


def test_pads_and_pll_become_ports() -> None:
    def port(bit: int) -> dict:
        return {"direction": "inout", "bits": [bit]}

    def pad(**connections: int) -> dict:
        wires = {name: [bit] for name, bit in connections.items()}
        return {"type": "SB_IO", "connections": wires}

    pll = {"PACKAGEPIN": [4], "PLLOUTGLOBAL": [14], "LOCK": [15], "PLLOUTCORE": []}
    module = {
        "ports": {"rx": port(2), "tx": port(3), "clk": port(4)},
        "netnames": {},
        "cells": {
            "rx": pad(PACKAGE_PIN=2, D_IN_0=12),
            "tx": pad(PACKAGE_PIN=3, D_OUT_0=13, OUTPUT_ENABLE=1),
            "pll": {"type": "SB_PLL40_PAD", "connections": pll},
            "logic": {"type": "SB_LUT4", "connections": {"I0": [12], "O": [13]}},
        },
    }
    open_pads(module)
    assert list(module["cells"]) == ["logic"]
    assert module["ports"] == {
        "rx": {"direction": "input", "bits": [12]},
        "tx": {"direction": "output", "bits": [13]},
        "clk": {"direction": "inout", "bits": [4]},
        "pll_clock": {"direction": "input", "bits": [14]},
        "pll_locked": {"direction": "input", "bits": [15]},
    }


def test_the_wrapper_is_a_host_shell() -> None:
    names = ("uart_0__rx__io", "uart_0__tx__io", "led_1__io", "led_0__io", "button_0__io")
    ports = dict.fromkeys((*names, "clk12_0__io", "pll_clock", "pll_locked"))
    text = host_wrapper(ports, find("icebreaker"))
    assert "module shiftwork_host (input clk, input rst, input rx, output tx" in text
    assert ".uart_0__rx__io(rx), .uart_0__tx__io(tx), .led_1__io(busy_pin)" in text
    assert ".button_0__io(1'b1)" in text
    assert ".pll_clock(clk), .pll_locked(1'b1)" in text
    assert "assign busy = ~busy_pin;" in text
    assert "clk12" not in text


def test_no_engine(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no engine in"):
        ExchangedNetlist(engine=tmp_path, routed="")
