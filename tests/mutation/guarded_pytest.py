"""Runs pytest on a mutant: ``python guarded_pytest.py MODULE FILE RESULT TEST...``.

Exits at once unless ``MODULE`` is what ``FILE`` holds, so that no test runs on another copy of the
project. Writes to ``RESULT`` how many tests passed, and the first failure.
"""

import importlib
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

TEXT_LENGTH = 120
ASSERTIONS = (AssertionError, pytest.fail.Exception)


class Outcome:
    """A plugin of pytest that remembers what the tests did."""

    def __init__(self) -> None:
        self.passed = 0
        self.test = ""
        self.text = ""
        self.asserted = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Counts the tests that pass; keeps the first failure and whether a test stated it."""
        report = yield
        self.passed += report.when == "call" and report.passed
        if report.failed and call.excinfo is not None and not self.test:
            self.test = item.nodeid
            self.text = " ".join(call.excinfo.exconly().split())[:TEXT_LENGTH]
            self.asserted = report.when == "call" and issubclass(call.excinfo.type, ASSERTIONS)
        return report


def main(module: str, file: str, result: str, *tests: str) -> int:
    """The exit code of pytest."""
    found = importlib.import_module(module).__file__
    if found is None or Path(found).resolve() != Path(file).resolve():
        sys.exit(f"{module} is {found}, not {file}")
    outcome = Outcome()
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[outcome])
    Path(result).write_text(json.dumps(vars(outcome)))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
