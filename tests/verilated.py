"""Runs a bench of ``vectors/`` in Verilator with cocotb, for the tests."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from shiftwork.sim import cocotb_runner, simulator_cache

VECTORS = Path(__file__).parent / "vectors"


def run_bench(folder: Path, name: str, sources: dict[str, str], job: dict[str, Any]) -> Any:
    """Builds ``NAME_bench.v`` with the sources in ``folder``, and runs ``NAME_testbench.py``.

    The testbench finds ``job`` in ``job.json``; what it writes to ``result.json`` is returned.
    """
    bench, testbench = f"{name}_bench.v", f"{name}_testbench"
    for file in (bench, f"{testbench}.py"):
        shutil.copy(VECTORS / file, folder / file)
    for file, text in sources.items():
        (folder / file).write_text(text)
    (folder / "job.json").write_text(json.dumps(job))
    kept = simulator_cache.default_folder()
    simulator_cache.prepare(kept)
    runner = cocotb_runner.builder("verilator", kept)
    runner.build(
        sources=[folder / file for file in (bench, *sources)],
        hdl_toplevel=cocotb_runner.TOP,
        build_args=runner.build_arguments,
        build_dir=folder,
        timescale=cocotb_runner.TIMESCALE,
        log_file=folder / "build.log",
    )
    runner.finish_build()
    with contextlib.suppress(SystemExit):  # a failure: result.json is missing then
        runner.test(
            test_module=testbench,
            hdl_toplevel=cocotb_runner.TOP,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            seed=job.get("seed", 0),
            log_file=folder / "run.log",
        )
    result = folder / "result.json"
    assert result.exists(), (folder / "run.log").read_text()
    return json.loads(result.read_text())
