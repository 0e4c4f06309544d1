"""The wheel, the licence, the import rule, and what README and CI promise."""

import ast
import itertools
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "shiftwork": "src/shiftwork",
    "shiftwork.boards": "boards",
    "shiftwork.examples": "examples",
    "shiftwork.hw": "hw",
    "shiftwork.quant": "quant",
    "shiftwork.sim": "sim",
}
DATA = {
    "shiftwork": ["py.typed", "explore_page.js"],
    "shiftwork.sim": ["bench.v", "link_bridge.cpp"],
    "shiftwork.examples": [],
}
OWN = {
    "shiftwork.quant": ("shiftwork.quant",),
    "shiftwork.hw": ("shiftwork.hw", "shiftwork.quant"),
    "shiftwork.sim.golden": ("shiftwork.quant",),
    "shiftwork.sim": ("shiftwork.sim", "shiftwork.quant", "shiftwork.hw", "shiftwork.boards"),
    "shiftwork.boards": (
        "shiftwork.boards",
        "shiftwork.sim",
        "shiftwork.hw",
        "shiftwork.quant",
        "shiftwork.workspace",
    ),
}
PRINTERS = {"src/shiftwork/__main__.py"}
SOURCES = [
    (package, path)
    for package, folder in FOLDERS.items()
    if package != "shiftwork.examples"
    for path in sorted((ROOT / folder).glob("*.py"))
]
MARKDOWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.fixture(scope="session")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "shiftwork"}


def rule(package: str, path: Path) -> tuple[str, ...] | None:
    return OWN.get(f"{package}.{path.stem}", OWN.get(package))


@pytest.mark.parametrize(("package", "path"), SOURCES, ids=lambda value: Path(str(value)).stem)
def test_imports_go_one_way(package, path):
    allowed = rule(package, path)
    if allowed is None:
        return
    wrong = [
        name
        for name in imported(path)
        if not name.startswith("shiftwork.errors")
        and not any(name == own or name.startswith(f"{own}.") for own in allowed)
    ]
    assert not wrong, f"{path.name} must not import {wrong}"


@pytest.mark.parametrize(("package", "path"), SOURCES, ids=lambda value: Path(str(value)).stem)
def test_only_the_command_line_prints(package, path):
    if str(path.relative_to(ROOT)) in PRINTERS:
        return
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "input")
    ]
    assert not calls, f"{package}: {path.name} prints in line {calls}"


def test_every_folder_is_packaged(project):
    setuptools = project["tool"]["setuptools"]
    assert set(setuptools["packages"]) == set(FOLDERS)
    assert setuptools["package-dir"] == FOLDERS
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/__init__.py")}
    assert folders == set(FOLDERS.values()) - {"src/shiftwork"}


def test_no_folder_shadows_the_package():
    assert not (ROOT / "shiftwork").exists()


@pytest.mark.slow
def test_wheel(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("shiftwork-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in FOLDERS.items():
        inside = package.replace(".", "/")
        expected = {f"{inside}/{path.name}" for path in (ROOT / folder).glob("*.py")}
        expected |= {f"{inside}/{name}" for name in DATA.get(package, [])}
        assert expected <= names
    for example in ("mnist_cnn.onnx", "mnist_samples.npz", "mnist_calibration.npz", "MNIST.md"):
        assert f"shiftwork/examples/{example}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_licence(project):
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert project["project"]["license"] == "Apache-2.0"


def test_every_dependency_has_its_reason(project):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    extras = project["project"]["optional-dependencies"].values()
    needs = {*project["project"]["dependencies"], *itertools.chain(*extras)} - {"shiftwork[docs]"}
    for need in needs:
        name = need.split(">")[0]
        assert f"`{name}`" in text, f"CONTRIBUTING.md does not say why {name} is needed"


def set_up_commands() -> list[str]:
    lines = (ROOT / "README.md").read_text().splitlines()
    return [line for line in lines if "pip install" in line]


def test_readme_has_two_set_up_commands():
    demo, test = set_up_commands()
    assert demo.endswith("shiftwork demo")
    assert test.endswith("pytest -n 2")


def test_ci_runs_the_readme_command():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == set_up_commands()[1]
    assert "set -euo pipefail" in lines


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    targets = [part.split(")")[0] for part in path.read_text().split("](")[1:]]
    missing = [
        target
        for target in targets
        if "://" not in target and not (path.parent / target.split("#")[0]).exists()
    ]
    assert not missing
