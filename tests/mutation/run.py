"""Reports how many defects of the hardware the tests find: ``python tests/mutation/run.py``.

Works on a copy of the project; each defect goes into one file of it, and the tests that ought to
notice are run. What is known from an interrupted or earlier run is kept as long as the code, the
defect and its tests are the same. The results are ``results.json`` and ``results.md`` in the run's
folder.
"""

import argparse
import sys
from pathlib import Path

from mutants import MUTANTS
from mutation_check import Copy, MutantError, Result, run_all, summary, table

PROJECT = Path(__file__).parents[2]


def main() -> int:
    """Tries the mutants; 1 if one of them is not found, or cannot be tried."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/mutation"), help="of the run")
    parser.add_argument("--only", default="", help="part of a mutant's name or file")
    parser.add_argument("--limit", type=float, default=180.0, help="CPU seconds for a mutant")
    options = parser.parse_args()
    mutants = [m for m in MUTANTS if options.only in m.name or options.only in m.file]
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        results = run_all(
            mutants,
            copy=Copy(project=PROJECT, folder=options.folder / "copy"),
            results=options.folder / "results.json",
            limit_s=options.limit,
            progress=_show,
        )
    except MutantError as error:
        sys.exit(str(error))
    (options.folder / "results.md").write_text(table(mutants, results) + "\n")
    print(summary(mutants, results))
    pairs = zip(mutants, results, strict=True)
    return int(any(not mutant.equivalent and not result.found for mutant, result in pairs))


def _show(result: Result) -> None:
    what = f"{result.test} {result.text}".strip()
    print(f"{result.mutant}: {result.verdict.value}, {result.seconds} s {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
