import dataclasses
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from shiftwork.boards.report import Report, Resource
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Conv, Program, Tensor
from shiftwork.report_page import Page, render

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
    layer = {"name": "<conv>", "op": "Conv", "sqnr_db": 41.25, "shift_min": 2, "shift_max": 2}
    report = Report(
        network="digits",
        board="icebreaker",
        title="iCEBreaker",
        rows=2,
        columns=3,
        lut=Resource(used=2640, available=5280),
        ff=Resource(used=1000, available=5280),
        bram=Resource(used=29, available=30),
        dsp=Resource(used=8, available=8),
        spram=Resource(used=0, available=4),
        blocks={"array": {"lut": 1500}},
        fmax_mhz=40.0,
        seeds={1: 40.0},
        seed=1,
        target_mhz=36.0,
        critical_path="a to b",
        cycles=100,
        macs=96,
        io_bytes=(32, 48),
        rom_bytes=6,
        activation_bytes=80,
        versions={"shiftwork": "0.1.0"},
    )
    return Page(
        program=program,
        layers=[SimpleNamespace(name="<conv>", kind="Conv", cycles=20, macs=96)],
        utilization=0.8,
        evaluation={
            "samples": 200,
            "accuracy_float": 98.5,
            "accuracy_int8": 98.0,
            "agreement": 99.5,
            "layers": [layer | {"accumulator_bits": 17}],
        },
        simulation={"engine": "verilator", "inputs": 20, "layers_compared": 1, "mismatches": 0},
        verification=None,
        report=report,
        command="shiftwork build digits.onnx -o out",
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


def test_says_what_the_netlist_showed(page):
    text = " ".join("".join(read(page).text).split())
    assert "placed and routed" not in text
    found = {"engine": "netlist", "inputs": 10, "layers_compared": 0, "mismatches": 0}
    text = " ".join("".join(read(dataclasses.replace(page, verification=found)).text).split())
    assert (
        "10 samples were simulated with the netlist that was placed and routed: every value of "
        "the output was equal to the reference."
    ) in text


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
    page = dataclasses.replace(page, evaluation=evaluation | {"layers": [layer]})
    text = "".join(read(page).text)
    assert "exact" in text
    assert "not measured" in text
