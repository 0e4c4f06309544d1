"""The commands on a report page are complete: run as they stand, they give the page's numbers."""

import contextlib
import html
import io
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from page_examples import example_report

from shiftwork import __main__
from shiftwork.build import Job, build
from shiftwork.commands import command_line, page_commands


def test_words_are_quoted():
    text = command_line("run", Path("my net.npz"), "--compare", latency_us=2.5, board=None)
    assert text == "shiftwork run 'my net.npz' --compare --latency-us 2.5"


def test_commands_of_a_page():
    job = Job(
        model=Path("a net.onnx"),
        calibration=Path("c.npz"),
        test=Path("t.npz"),
        board="icebreaker",
        options={"weights": "int4", "per_channel": False, "softmax": True},
        clock_mhz=30.0,
        verify="netlist",
    )
    net = Path("out/quantize/net.npz")
    shifting = page_commands(
        replace(job, products="shift"), Path("out"), net, rows=2, columns=8, seeds=3
    )
    for command in (shifting.build, shifting.generate, shifting.simulate, shifting.synth):
        assert " --products shift" in command
    commands = page_commands(job, Path("out"), net, rows=2, columns=8, seeds=3)
    assert commands.quantize == (
        "shiftwork quantize 'a net.onnx' --per-tensor --softmax --calibration c.npz --test t.npz "
        "--weights int4 --output net.npz"
    )
    assert commands.verify == (
        "shiftwork simulate out/quantize/net.npz t.npz --board icebreaker --rows 2 --columns 8 "
        "--engine netlist --limit 10"
    )
    assert commands.synth == (
        "shiftwork synth out/quantize/net.npz --json --board icebreaker --rows 2 --columns 8 "
        "--seeds 3 --clock 30.0 --output synth"
    )


@pytest.fixture
def page(write_onnx, tmp_path, monkeypatch):
    """The page of a build in the current folder, whose synthesis is stood in for."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="dense"),
    ]
    write_onnx(
        nodes, [1, 2, 5, 5], {"w": (3, 2, 3, 3), "b": (3,), "v": (12, 5)}, name="my net.onnx"
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2, 5, 5)).astype(np.float32)
    np.savez("labelled samples.npz", x=x, y=rng.integers(5, size=20))
    job = Job(
        model=Path("my net.onnx"),
        calibration=Path("labelled samples.npz"),
        board="icebreaker",
        rows=2,
        columns=3,
        options={"rounding": "nearest"},
        engine="golden",
    )
    monkeypatch.setattr("shiftwork.build.synthesize", lambda accelerator, **_: report(accelerator))
    return build(job, "out folder").page.read_text()


def report(accelerator):
    return example_report(cycles=accelerator.schedule.cycles, macs=accelerator.schedule.macs)


def commands_of(page):
    """What stands below the figures, without its markup, by the subcommand."""
    lines = re.findall(r"<code>(.*?)</code>", page)
    words = [shlex.split(html.unescape(re.sub(r"<.*?>", "", line))) for line in lines]
    return {line[1]: line for line in words}


def run(words):
    assert words[0] == "shiftwork"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert __main__.run(words[1:]) == 0
    return output.getvalue()


def test_the_commands_on_the_page_give_its_numbers(page):
    commands = commands_of(page)
    assert set(commands) == {"simulate", "quantize", "compare", "generate", "synth", "-c"}
    quality = json.loads(run([*commands["quantize"], "--json"]))
    for layer in quality["layers"]:
        assert f"{layer['sqnr_db']:.1f} dB" in page
    assert f"{quality['accuracy_int8']:.2f} %" in page
    result = json.loads(run([*commands["compare"], "--json"]))["results"][1]
    assert result["blame"] in html.unescape(page)
    for error in result["layers"]:
        assert error["effect_db"] is None or f"{error['effect_db']:.1f} dB" in page
    generated = json.loads(run(commands["generate"]))
    for layer in generated["timeline"]:
        assert f"from {layer['begin']:,}</title>" in page
    for region in generated["memory"]:
        assert f"{region['bytes']:,} bytes at {region['address']:,}</title>" in page
    assert "mismatches" in run(commands["simulate"])
    counted = subprocess.run(
        [sys.executable, *commands["-c"][1:]], capture_output=True, text=True, check=True
    )
    assert counted.stdout.startswith("conv [")
    assert "dense [" in counted.stdout
