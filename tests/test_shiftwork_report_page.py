import dataclasses
from html.parser import HTMLParser

import browser
import numpy as np
import pytest
from page_examples import example_report, layer_error

from shiftwork.boards.accelerator import memory_binding
from shiftwork.commands import PageCommands
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.schedule import make_schedule
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Tensor
from shiftwork.quant.softmax import Softmax
from shiftwork.report_page import Page, render
from shiftwork.sim.example_programs import residual_net
from shiftwork.sim.program_builder import ProgramBuilder

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Collects the text, the links out, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page():
    conv = Conv(
        name="<conv>",
        input="x",
        output="y",
        weights=np.ones((3, 1, 1, 2), np.int8),
        bias=np.zeros(3, np.int64),
        shift=np.full(3, 2, np.int64),
    )
    tensors = (Tensor(name="x", shape=(4, 4, 2)), Tensor(name="y", shape=(4, 4, 3)))
    program = Program(
        name="digits",
        tensors=tensors,
        ops=(conv,),
        input="x",
        output="y",
        input_layout=Layout.identity((4, 4, 2)),
        output_layout=Layout.identity((4, 4, 3)),
        dropped=("Softmax",),
    )
    schedule = make_schedule(program, ArrayShape(rows=2, columns=3))
    layer = {"name": "<conv>", "op": "Conv", "sqnr_db": 41.25, "shift_min": 2, "shift_max": 2}
    return Page(
        schedule=schedule,
        places=memory_binding(schedule),
        evaluation={
            "samples": 200,
            "accuracy_float": 98.5,
            "accuracy_int8": 98.0,
            "agreement": 99.5,
            "sqnr_db": 41.25,
            "evaluated_on": "t.npz",
            "layers": [layer | {"accumulator_bits": 17}],
        },
        errors=[layer_error("<conv>", 38.5)],
        blame="<conv> costs most: with its error alone the output would have 38.5 dB",
        simulation={"engine": "verilator", "inputs": 20, "layers_compared": 1, "mismatches": 0},
        verification=None,
        report=example_report(),
        commands=PageCommands(
            build="shiftwork build digits.onnx -o out",
            quantize="shiftwork quantize digits.onnx -o net.npz",
            compare="shiftwork compare digits.onnx net.npz --test t.npz",
            generate="shiftwork generate net.npz --json",
            simulate="shiftwork simulate net.npz t.npz",
            verify=None,
            synth="shiftwork synth net.npz --seeds 1",
            weights="python -c pass",
        ),
    )


def read(page):
    reader = Reader()
    reader.feed(render(page))
    assert reader.open == []
    return reader


def test_says_what_matters(page):
    text = " ".join("".join(read(page).text).split())
    for part in ("digits on iCEBreaker", "98.50 %", "98.00 %", "41.2 dB", "17 bit", "40.0 MHz"):
        assert part in text
    assert "every value of every layer was equal to the reference" in text
    assert "Softmax at the end is left to the host" in text
    assert "shiftwork build digits.onnx -o out" in text
    assert "from 4 x 4 x 2 inputs to 4 x 4 x 3 outputs" in text


def test_says_how_probabilities_are_made(page):
    builder = ProgramBuilder("digits", (1, 1, 2)).dense(3).table(range(256), unsigned=True)
    ending = dataclasses.replace(builder.build(), softmax=Softmax(power=8, reference=1.0))
    schedule = make_schedule(ending, ArrayShape(rows=2, columns=3))
    off = {"probabilities": {"mean": 0.1234, "greatest": 5.0}}
    changed = dataclasses.replace(
        page, schedule=schedule, errors=[], evaluation=page.evaluation | off | {"layers": []}
    )
    text = " ".join("".join(read(changed).text).split())
    assert "raises each output to the power of 8 and divides it by their sum" in text
    assert "0.12 % mean error of the probabilities" in text or "0.12 %mean error" in text


def test_says_what_the_netlist_showed(page):
    text = " ".join("".join(read(page).text).split())
    assert "placed and routed" not in text
    commands = dataclasses.replace(page.commands, verify="shiftwork simulate --engine netlist")
    page = dataclasses.replace(page, commands=commands)
    found = {"engine": "netlist", "inputs": 10, "layers_compared": 0, "mismatches": 0}
    text = " ".join("".join(read(dataclasses.replace(page, verification=found)).text).split())
    assert (
        "10 samples were simulated with the netlist that was placed and routed: every value of "
        "the output was equal to the reference."
    ) in text


def test_every_figure_says_how_to_reproduce_it(page):
    parts = render(page).split("<h2>")[1:]
    assert all("Reproduce with:" in part or part.startswith("How to") for part in parts)
    text = "".join(read(page).text)
    for command in dataclasses.astuple(page.commands):
        assert command is None or command in text


def test_has_all_parts(page):
    text = "".join(read(page).text)
    for part in (
        "Accuracy before and after",
        "Error of each layer",
        "Timeline of one inference",
        f"{page.schedule.cycles:,} cycles, ",
        "Memory map",
        f"{page.schedule.activation_bytes:,} bytes",
        "What it takes of the FPGA",
        "2,640 of 5,280 (50 %)",
        "Clock",
        "The weights",
    ):
        assert part in text


def test_is_self_contained(page):
    assert all(link.startswith("#") for link in read(page).links)
    assert "<script" not in render(page)


def test_names_are_escaped(page):
    assert "<conv>" not in render(page)
    assert "&lt;conv&gt;" in render(page)


def test_is_deterministic(page):
    assert render(page) == render(page)


def test_fits_a_phone(page):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in render(page)


def test_without_labels_and_noise(page):
    layer = page.evaluation["layers"][0] | {"sqnr_db": None}
    evaluation = page.evaluation | {"accuracy_float": None, "accuracy_int8": None}
    page = dataclasses.replace(page, evaluation=evaluation | {"layers": [layer]}, errors=[])
    text = "".join(read(page).text)
    assert "exact" in text
    assert "not measured" in text


@pytest.fixture
def long_page(page):
    """With residual blocks, weights from a flash, and names that are much too long."""
    shape = ArrayShape(rows=2, columns=4, single_port=True, column_bytes=512)
    schedule = make_schedule(residual_net(), shape)
    names = [
        f"model/stage_{i}/a_block_with_a_name_too_long_for_any_phone/{op.name}"
        for i, op in enumerate(schedule.ops)
    ]
    layers = [page.evaluation["layers"][0] | {"name": name} for name in names]
    return dataclasses.replace(
        page,
        schedule=schedule,
        evaluation=page.evaluation | {"layers": layers},
        errors=[layer_error(name, 40.0 + i) for i, name in enumerate(names)],
        report=dataclasses.replace(page.report, seeds={1: 40.0, 2: 35.0, 3: 38.0}),
        commands=dataclasses.replace(page.commands, build="shiftwork build " + "a" * 300),
    )


@pytest.mark.parametrize("width", [390, 1100])
def test_in_a_browser(long_page, width):
    seen = browser.show(render(long_page), width=width)
    assert seen.console == ()
    assert seen.scroll_width == seen.width <= width
    assert seen.too_wide == ()
    assert seen.least_svg_text >= 9.0
    for words in (
        "Timeline of one inference",
        "weights of stem",
        "median is 38.0 MHz",
        "costs most",
    ):
        assert words in seen.text


def test_the_browser_would_show_errors():
    seen = browser.show("<script>fail()</script><div style='width:600px'>wide</div>", width=390)
    assert len(seen.console) == 1
    assert "fail is not defined" in seen.console[0]
    assert seen.scroll_width > 600 > seen.width
    assert len(seen.too_wide) == 1


def test_in_print(long_page):
    assert browser.print_pages(render(long_page)).startswith(b"%PDF")
