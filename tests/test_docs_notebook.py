"""The notebook of the documentation: a new run prints what the kept one shows."""

import nbformat
import pytest
from generators.notebook import NOTEBOOK, executed, text_outputs


@pytest.fixture(scope="module")
def kept() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_a_run_prints_what_the_notebook_shows(kept: nbformat.NotebookNode) -> None:
    assert text_outputs(executed()) == text_outputs(kept)


def test_the_notebook_is_kept_executed(kept: nbformat.NotebookNode) -> None:
    nbformat.validate(kept)
    cells = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells)
    assert not any(out.output_type == "error" for cell in cells for out in cell.outputs)


def test_the_notebook_shows_figures_and_pictures(kept: nbformat.NotebookNode) -> None:
    text = "".join(text for _, text in text_outputs(kept))
    for kind in ("int8", "int4", "shared16"):
        assert f"{kind} " in text
    assert "20,786 cycles a frame" in text
    pictures = [
        output
        for cell in kept.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
