"""Every block of code in README and docs is run by a test, or stands here with the reason why not.

Commands of Shiftwork are parsed by the real command line, options and values included.
"""

import ast
import importlib.resources
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from docs_pages import ROOT, Block, blocks, commands, pages, spans

import shiftwork as sw
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.report import Report
from shiftwork.cli import app
from shiftwork.sim.example_programs import dense_net, random_inputs, small_cnn
from shiftwork.sim.link_simulator import SimulatedBoard

PYTHON = {
    "README.md": "below",
    "docs/activations.md": "test_docs_activations.py",
    "docs/adding_a_board.md": "test_docs_adding_a_board.py",
    "docs/adding_an_op.md": "test_docs_adding_an_op.py",
    "docs/embedding.md": "test_docs_embedding.py",
    "docs/exchange.md": "below",
    "docs/explore.md": "below",
    "docs/fixed_point.md": "test_docs_fixed_point.py",
    "docs/host_link.md": "below",
    "docs/processing.md": "test_docs_processing.py",
    "docs/program.md": "test_docs_program.py",
    "docs/schedule.md": "test_docs_schedule.py",
    "docs/tutorial.md": "test_docs_tutorial.py",
    "docs/verification.md": "below",
    "docs/workbench.md": "test_docs_workbench.py",
}
"""Which test runs a page's Python."""
OTHER_LANGUAGES = {"verilog": "test_docs_embedding.py", "yaml": "test_docs_embedding.py"}
RUN_COMMANDS = {
    "docs/adding_a_board.md": "test_docs_adding_a_board.py",
    "docs/embedding.md": "test_docs_embedding.py",
    "docs/processing.md": "test_docs_processing.py",
    "docs/tutorial.md": "test_docs_tutorial.py",
    "docs/workbench.md": "test_docs_workbench.py",
}
"""Which test runs a page's commands; those of the others are only parsed: they need a board, place
and route, or data that is not part of the repository."""
PROGRAMS = {
    ".": "makes a virtual environment the current one",
    ".venv/bin/pip": ".ci/run installs in the same way",
    ".venv/bin/python": "runs the tests themselves",
    ".venv/bin/shiftwork": "parsed as shiftwork",
    "cd": "changes the folder",
    "dask": "test_shiftwork_explore_runners.py starts both",
    "fusesoc": "test_docs_embedding.py runs it",
    "pip": "installs an extra",
    "python": "runs the tests or the generators: see below",
    "python3": "makes a virtual environment",
    "shiftwork": "parsed",
}
"""The programs that commands may call, and what checks them."""


MEASURED = "/usr/bin/time -v "

Check = Callable[..., None]


def without_callbacks(command: Any) -> Any:
    """The command, its subcommands included, parses its arguments and does nothing."""
    command.callback = None
    for part in getattr(command, "commands", {}).values():
        without_callbacks(part)
    return command


@pytest.fixture(scope="module")
def command_line() -> Any:
    """The real command line, which only parses."""
    return without_callbacks(typer.main.get_command(app))


@pytest.fixture
def check(command_line: Any, capsys: pytest.CaptureFixture[str]) -> Check:
    """A function that fails if a command line is wrong: its program, an option, or a value.

    Its arguments: the line; and whether it is ``complete``, else arguments may be missing.
    """

    def check(line: str, *, complete: bool = True) -> None:
        program, *arguments = shlex.split(line.removeprefix(MEASURED))
        assert program in PROGRAMS, f"no test knows the program {program}"
        if not program.endswith("shiftwork"):
            return
        with pytest.raises(SystemExit) as stop:
            command_line.main(arguments, prog_name="shiftwork")
        message = " ".join(capsys.readouterr().err.split())
        missing = any(words in message for words in ("Missing", "requires an argument"))
        missing |= message.startswith("Usage: shiftwork bench [OPTIONS]")
        assert stop.value.code == 0 or (not complete and missing), message

    return check


SHELL = [line for block in blocks(language="sh") for line in commands(block.code)]


@pytest.mark.parametrize("line", sorted(set(SHELL)))
def test_commands_are_those_of_the_command_line(check: Check, line: str) -> None:
    check(line)


@pytest.mark.parametrize("span", sorted(set(spans())))
def test_commands_in_sentences_are_those_of_the_command_line(check: Check, span: str) -> None:
    check(span.replace(" ...", ""), complete=False)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("shiftwork quantise net.onnx", "No such command"),
        ("shiftwork quantize net.onnx --calibrate x.npz", "No such option"),
        ("shiftwork quantize net.onnx --calibration x.npz --weights int3", "int3"),
        ("shiftwork generate net.npz", "Missing option"),
        ("shiftwork boards icebreaker", "nexpected extra argument"),
        ("shiftwork bench everything", "No such command"),
    ],
)
def test_a_wrong_command_is_found(check: Check, line: str, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        check(line)


def test_python_programs_that_commands_call_exist() -> None:
    for line in SHELL:
        program, *arguments = shlex.split(line)
        if program != "python":
            continue
        assert arguments[:2] in (["-m", "pytest"], ["-m", "generators"]), line
        paths = [word for word in arguments[2:] if "/" in word]
        assert all((ROOT / path).exists() for path in paths), line


def test_every_language_has_a_test() -> None:
    known = {"", "python", "sh", "text", *OTHER_LANGUAGES}
    assert {block.language for block in blocks()} <= known
    for block in blocks():
        if block.language in OTHER_LANGUAGES:
            assert block.page == "docs/embedding.md"
        if block.language in ("", "text"):
            assert "$ " not in block.code and not block.code.startswith("shiftwork ")


@pytest.mark.parametrize("block", blocks(language="python"), ids=lambda block: block.page)
def test_python_is_run_by_a_test(block: Block) -> None:
    ast.parse(block.code)
    assert block.page in PYTHON, f"no test runs the Python of {block.page}"


@pytest.mark.parametrize(("page", "test"), [*PYTHON.items(), *RUN_COMMANDS.items()])
def test_the_tests_are_there(page: str, test: str) -> None:
    assert page in pages()
    if test != "below":
        text = (Path(__file__).parent / test).read_text()
        assert Path(page).name in text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_of_the_readme(folder: Path) -> None:
    """All but place and route, whose arguments and results are checked against the real ones."""
    (block,) = blocks("README.md", "python")
    before, mark, after = block.code.partition("report = ")
    assert mark
    examples = importlib.resources.files("shiftwork.examples")
    (folder / "net.onnx").write_bytes((examples / "mnist_cnn.onnx").read_bytes())
    with np.load(str(examples / "mnist_samples.npz")) as samples:
        np.savez(folder / "inputs.npz", x=samples["x"][:30])
    before = before.replace("limit=20", 'limit=1, engine="golden"')
    assert 'engine="golden"' in before
    names: dict[str, Any] = {}
    exec(before, names)
    assert names["result"].passed
    assert (folder / "verilog" / "core.v").is_file()
    call = ast.parse(after.splitlines()[0]).body[0]
    assert isinstance(call, ast.Expr) and isinstance(call.value, ast.Call)
    assert ast.unparse(call.value.func) == "sw.synthesize"
    keywords = {str(keyword.arg): None for keyword in call.value.keywords}
    inspect.signature(sw.synthesize).bind(*call.value.args, **keywords)
    assert re.findall(r"report\.(\w+)", after) == ["lut", "bram", "fmax_mhz", "latency_us"]
    assert all(
        name in Report.__dataclass_fields__ or isinstance(getattr(Report, name), property)
        for name in ("lut", "bram", "fmax_mhz", "latency_us")
    )


def test_python_of_explore(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("docs/explore.md", "python")
    dense_net().save(folder / "net.npz")
    names: dict[str, Any] = {}
    exec(block.code, names)
    front = names["found"].front
    assert len(front) == len(capsys.readouterr().out.splitlines()) > 0


def test_python_of_exchange() -> None:
    """The engine; of place and route the arguments are checked against the real ones."""
    (block,) = blocks("docs/exchange.md", "python")
    first, mark, rest = block.code.partition("sw.make_engine")
    assert mark
    names: dict[str, Any] = {"a": dense_net(), "b": small_cnn()}
    exec(first, names)
    assert names["engine"].networks == (dense_net().name, small_cnn().name)
    for statement in ast.parse(mark + rest).body:
        call = statement.value
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        keywords = {str(keyword.arg): None for keyword in call.keywords}
        inspect.signature(getattr(sw, call.func.attr)).bind(*call.args, **keywords)


@pytest.mark.slow
def test_python_of_the_host_link(folder: Path) -> None:
    """With a simulated board at the port."""
    (block,) = blocks("docs/host_link.md", "python")
    program = dense_net()
    program.save(folder / "net.npz")
    q = random_inputs(program, np.random.default_rng(5), 2)
    tensor = program.tensor(program.input)
    x = program.input_layout.from_nhwc(tensor.dequantize(q))
    with SimulatedBoard(Accelerator(program, rows=1, columns=4)) as board:
        code = block.code.replace("/dev/ttyUSB1", board.port)
        assert code != block.code
        names: dict[str, Any] = {"x": x}
        exec(code, names)
    np.testing.assert_array_equal(names["result"].outputs, sw.golden(program, x))


def test_python_of_the_verification(capsys: pytest.CaptureFixture[str]) -> None:
    """With a network that once differed: it does not any more."""
    (block,) = blocks("docs/verification.md", "python")
    (case, *_) = sorted((ROOT / "tests" / "vectors" / "networks").glob("*.py"))
    code = re.sub(r'"soak/failures/\w+\.py"', repr(str(case)), block.code)
    assert code != block.code
    exec(code, {})
    assert capsys.readouterr().out.strip() == "None"
