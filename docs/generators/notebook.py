"""The notebook of the documentation: it is kept executed."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[1] / "notebook.ipynb"
LIMIT_S = 600


def executed() -> NotebookNode:
    """The notebook with the outputs of a run in a new kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook,
        timeout=LIMIT_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute()
    # The version of Python and the like would change with each machine.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def text_outputs(notebook: NotebookNode) -> list[tuple[str, str]]:
    """What each cell with code prints or returns as text, pictures left out: source and text."""
    return [
        (cell.source, "".join(map(_text, cell.outputs)))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return "" if any(kind.startswith("image/") for kind in data) else data.get("text/plain", "")
