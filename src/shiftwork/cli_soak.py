"""The command ``shiftwork soak``."""

from pathlib import Path
from typing import Annotated

import typer

from shiftwork.cli_options import AsJson, Folder
from shiftwork.cli_views import facts_table, progress_printer, show_result


def soak(
    output: Folder = Path("shiftwork-soak"),
    networks: Annotated[int, typer.Option(min=1, help="How many in the end.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Which networks.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run random networks in all engines: every value and every cycle must agree.

    The log, a summary, and the networks that differ go to the output folder; a rerun goes on.
    """
    from shiftwork.errors import MismatchError, ToolError

    try:
        from shiftwork.soak import soak as run
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the Python package {error.name} is missing, which draws random networks; "
            "install it: pip install 'shiftwork[test]'"
        ) from error
    found = run(output, networks=networks, seed=seed, progress=progress_printer())
    failures = sum(len(batch.failures) for batch in found.batches)
    record = {"networks": found.networks, "differences": failures, "folder": str(output)}
    show_result(record, as_json, facts_table("random networks", record))
    if failures:
        raise MismatchError(
            f"{failures} of {found.networks} random networks differ; they are in {output}"
        )
