"""The command ``utilization``."""

from typing import Annotated

import typer

from shiftwork.cli_options import (
    AsJson,
    Columns,
    Elements,
    Folder,
    Net,
    ProductsChoice,
    Rows,
    array_size,
)
from shiftwork.cli_views import facts_table, progress_printer, show_result


def utilization(
    net: Net,
    output: Folder,
    series: Annotated[str, typer.Option(help="Of FPGAs: xilinx7.")] = "xilinx7",
    rows: Rows = None,
    columns: Columns = None,
    elements: Elements = None,
    products: ProductsChoice = "auto",
    as_json: AsJson = False,
) -> None:
    """Count what a portable accelerator takes of another maker's FPGA, to compare; not placed.

    yosys synthesizes it; no board can be built, and no clock is known.
    """
    size = array_size(rows, columns, elements, None, products)
    from shiftwork.boards.utilization import TITLES
    from shiftwork.boards.utilization import utilization as count
    from shiftwork.quant.program import Program
    from shiftwork.steps import accelerate, describe

    if series not in TITLES:
        raise typer.BadParameter(f"unknown series '{series}'; there is {', '.join(TITLES)}")
    progress = progress_printer()
    accelerator = accelerate(Program.load(net), None, **size)
    progress(f"synthesizing for {TITLES[series]}: {describe(accelerator)}")
    found = count(accelerator, series, folder=output, progress=progress)
    shown = {
        "array": f"{found.rows} x {found.columns}",
        "cycles": found.cycles,
        "lookup tables (6 inputs)": found.lut,
        "flip-flops": found.ff,
        "block RAMs (18 kbit)": found.bram,
        "DSP48E1": found.dsp,
        "Fmax": found.state,
    }
    title = f"{found.network} on {TITLES[series]}: {found.state}"
    show_result(found.as_dict(), as_json, facts_table(title, shown))
