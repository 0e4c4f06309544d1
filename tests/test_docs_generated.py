"""The generated drawings and pages are up to date, and say what the design and the boards say."""

import re
from itertools import pairwise
from typing import Any

import pytest
from docs_pages import DOCS
from generators import bundled, content
from generators.board_pages import board_page
from generators.core_drawing import core_drawing
from generators.design import Design, read_design
from generators.recording import record

from shiftwork.boards.registry import BOARDS, find

OUTDATED = "{} is not what its generator makes: cd docs && python -m generators"


@pytest.fixture(scope="module")
def drawings() -> dict[str, str]:
    return content.drawings()


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    return read_design(bundled.accelerator().core(), tmp_path_factory.mktemp("design"))


@pytest.mark.parametrize("name", ["core", "frame", "tile"])
def test_drawings_are_up_to_date(drawings: dict[str, str], name: str) -> None:
    path = f"drawings/{name}.svg"
    assert (DOCS / path).read_text() == drawings[path], OUTDATED.format(path)


def test_drawings_are_shown_somewhere() -> None:
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    for path in (DOCS / "drawings").glob("*.svg"):
        assert f"](drawings/{path.name})" in text


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_board_pages_are_up_to_date(board: Any) -> None:
    path = f"boards/{board.name}.md"
    assert (DOCS / path).read_text() == board_page(board), OUTDATED.format(path)


def test_every_board_has_a_page_and_no_other() -> None:
    assert {path.stem for path in (DOCS / "boards").glob("*.md")} == {b.name for b in BOARDS}


def test_a_board_page_has_pins_and_commands() -> None:
    page = board_page(find("upduino3"))
    assert "| UART | rx at pin 15, tx at pin 14 (seen from the FPGA) |" in page
    assert "| UART of designs that read the flash | rx at pin 38, tx at pin 28 |" in page
    assert "iceprog -o 1M bit/flash.bin" in page
    assert "solder jumper OSC" in page
    assert "`led 7` at pin B5" in board_page(find("ice40-hx8k"))
    assert "header pin 0" in board_page(find("orangecrab"))


def test_the_design_has_the_blocks_of_the_core(design: Design) -> None:
    assert set(design.blocks) == {
        *("array", "drain", "fetch", "loader", "memory", "pooling", "sender", "sequencer")
    }
    assert sum(name.startswith("pe_") for name in design.blocks["array"]) == 16
    assert design.links["memory", "fetch"] == {"read_data": 64}
    assert design.links["array", "drain"]["sum"] == bundled.accelerator().config.accumulator_bits


def test_the_drawing_has_every_block_and_width(drawings: dict[str, str]) -> None:
    svg = drawings["drawings/core.svg"]
    for title in ("input loader", "activation memory", "systolic array", "sequencer"):
        assert f">{title}</text>" in svg
    assert len(re.findall(r">\d,\d</text>", svg)) == 16
    assert ">read data 64</text>" in svg
    assert ">a 2 x 8</text>" in svg


def test_a_block_without_a_place_is_an_error(design: Design) -> None:
    more = Design(design.blocks | {"argmax": ()}, design.links)
    with pytest.raises(KeyError, match=r"blocks of the design without a place: \['argmax'\]"):
        core_drawing(bundled.accelerator(), more)
    links = design.links | {("pooling", "sender"): {"word": 64}}
    with pytest.raises(KeyError, match="links of the design without a place"):
        core_drawing(bundled.accelerator(), Design(design.blocks, links))


def test_a_link_passes_through_what_a_multiplexer_passes(design: Design) -> None:
    """The address of the memory's reads comes from both readers; who selects is no source."""
    assert "read_address" in design.links["fetch", "memory"]
    assert "read_address" in design.links["sender", "memory"]
    assert "read_address" not in design.links["drain", "memory"]


def test_the_recording_keeps_the_schedule() -> None:
    accelerator = bundled.accelerator()
    plan = accelerator.schedule.layers[0]
    size = accelerator.program.tensor(accelerator.program.input).size
    cycles = record(accelerator, bytes(size), 12 * plan.chunk_cycles)
    captured = [at for at, cycle in enumerate(cycles) if cycle.captured]
    assert len(captured) > 9
    gaps = {after - before for before, after in pairwise(captured)}
    assert gaps == {plan.chunk_cycles}
    between = cycles[captured[3] : captured[4]]
    assert sum(cycle.reads for cycle in between) == 6
    assert sum(cycle.shifts for cycle in between) == 16
