"""Proves what a harness claims: Amaranth, yosys, yosys-smtbmc and an SMT solver, all from PyPI."""

import ast
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from amaranth import Module, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.back import rtlil
from amaranth.hdl import ShapeLike
from vcd.reader import TokenKind, tokenize

from shiftwork.boards import yowasp
from shiftwork.errors import ToolError
from shiftwork.workspace import silent

SOLVER = "yices"
LIMIT_S = 600.0
ELABORATION_LIMIT_S = 300.0
OPTIONS = ("--presat", "--noprogress", "--dump-vcd", "trace.vcd")
TOP = "top"
CYCLE_TIME = 10
"""Of a cycle in the solver's traces."""
HIDDEN = ("clk", "smt_clock", "smt_step")


class Method(Enum):
    """How a harness is examined.

    ``BMC`` looks at every behaviour of the first ``depth`` cycles. ``INDUCTION`` adds the step:
    ``depth`` cycles from any state that keep the assertions are followed by another that does;
    together they hold for ever. ``COVER`` wants a behaviour for every cover statement: a harness
    whose assumptions exclude what it is about proves nothing.
    """

    BMC = "bmc"
    INDUCTION = "induction"
    COVER = "cover"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the solver said.

    Attributes:
        holds: every assertion holds, or every cover statement is reached. If the step of an
            induction fails, nothing is known: its trace need not begin at a reset.
        text: the solver's log, and the harness' signals cycle by cycle where a trace shows them.
    """

    holds: bool
    text: str


class Harness:
    """A component with free inputs, and what is claimed of it.

    ``build`` adds the component as the submodule ``dut``, the claims and, for an induction, the
    lemmas: what the inner registers hold. All registers of the sync domain share a reset that is
    free as well: what is proved holds for a reset in any cycle.

    Attributes:
        inductive: lemmas are wanted. Otherwise a harness looks at ports alone, so that a mutant is
            refuted by what it does, not by how it does it.
    """

    def __init__(self) -> None:
        self.inductive = True
        self._probes: dict[str, Signal] = {}

    def build(self, m: Module) -> None:
        """Adds the component and the statements."""
        raise NotImplementedError

    @property
    def probes(self) -> dict[str, Signal]:
        """Signals of the harness by the path of the inner signal that drives them."""
        return dict(self._probes)

    def probe(self, path: str, shape: ShapeLike) -> Signal:
        """What the inner signal ``path`` carries, ``dut.accumulator`` for example.

        ``dut.storage[2]`` is a word of a memory. Ports are not meant: where one has the same name,
        it is the signal inside.
        """
        signal = Signal(shape, name="probe_" + re.sub(r"\W", "_", path))
        self._probes[path] = signal
        return signal


def free(m: Module, shape: ShapeLike, name: str) -> Signal:
    """A signal with any value in every cycle."""
    signal = Signal(shape, name=name)
    m.d.comb += signal.eq(AnySeq(signal.shape()))
    return signal


def constant(m: Module, shape: ShapeLike, name: str) -> Signal:
    """A signal with any value that never changes."""
    signal = Signal(shape, name=name)
    m.d.comb += signal.eq(AnyConst(signal.shape()))
    return signal


def mutated(module: ModuleType, old: str, new: str) -> ModuleType:
    """A copy of ``module`` with ``new`` in place of ``old``, which its source has exactly once."""
    source = inspect.getsource(module)
    if source.count(old) != 1:
        pytest.fail(f"{module.__name__} has {source.count(old)} times, not once, the text: {old}")
    return _copy(module, ast.parse(source.replace(old, new)))


def with_names(module: ModuleType) -> ModuleType:
    """A copy of ``module`` that assigns its signals one by one, so that lemmas can name them.

    Which signals of ``a, b = Signal(), Signal()`` get their names depends on Python's version.
    """
    tree = _OneByOne().visit(ast.parse(inspect.getsource(module)))
    return _copy(module, ast.fix_missing_locations(tree))


class _OneByOne(ast.NodeTransformer):
    """Makes one assignment for each signal of ``a, b = ...``."""

    def visit_Assign(self, node: ast.Assign) -> list[ast.Assign]:
        (target, *others), value = node.targets, node.value
        if others or not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
            return [node]
        pairs = zip(target.elts, value.elts, strict=True)
        return [ast.copy_location(ast.Assign([name], signal), node) for name, signal in pairs]


def _copy(module: ModuleType, tree: ast.Module) -> ModuleType:
    copy = ModuleType(module.__name__)
    # Of the project's own source.
    exec(compile(tree, f"<copy of {module.__name__}>", "exec"), copy.__dict__)
    return copy


def examine(
    harness: Harness, *, depth: int, method: Method = Method.INDUCTION, limit_s: float = LIMIT_S
) -> Verdict:
    """Examines a harness by ``method`` over ``depth`` cycles.

    Raises:
        ToolError: if a tool is missing or takes longer than ``limit_s`` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
        folder = Path(name)
        harness.inductive = method is Method.INDUCTION
        _write_smt2(harness, folder)
        if method is Method.COVER:
            return _solve(folder, ["-c", "-t", str(depth)], limit_s=limit_s)
        base = _solve(folder, ["-t", str(depth)], limit_s=limit_s)
        if method is Method.BMC or not base.holds:
            return base
        return _solve(folder, ["-i", "-t", str(depth)], limit_s=limit_s)


def assert_holds(harness: Harness, *, depth: int, method: Method = Method.INDUCTION) -> None:
    """Fails, and shows why, unless all assertions hold or all cover statements are reached."""
    verdict = examine(harness, depth=depth, method=method)
    assert verdict.holds, verdict.text


def assert_refuted(harness: Harness, *, depth: int) -> None:
    """Fails unless some behaviour of the first ``depth`` cycles breaks a claim."""
    verdict = examine(harness, depth=depth, method=Method.BMC)
    assert not verdict.holds, "the claims hold for the mutant:\n" + verdict.text


def _write_smt2(harness: Harness, folder: Path) -> None:
    module = Module()
    harness.build(module)
    probes = list(harness.probes.values())
    # The places of the statements in the source are the names of what fails.
    text = rtlil.convert(module, name=TOP, ports=probes, emit_src=True)
    (folder / "top.il").write_text(text)
    connections = {signal.name: _flat_name(text, path) for path, signal in harness.probes.items()}
    (folder / "top.ys").write_text("\n".join(_script(connections)) + "\n")
    yowasp.run(
        "yosys",
        ["-q", "top.ys"],
        folder=folder,
        log=folder / "yosys.log",
        limit_s=ELABORATION_LIMIT_S,
        progress=silent,
    )


def _flat_name(text: str, path: str) -> str:
    """The name of an inner signal once the hierarchy is flat; a suffix may tell it from a port."""
    if path.endswith("]"):
        return path
    scope, _, name = path.rpartition(".")
    (module,) = re.findall(rf"^module \\{TOP}\.{scope}\n(.*?)^end$", text, re.M | re.S)
    wires = re.findall(r"^  wire (.*)\\(\S+)$", module, re.M)
    inner = [wire for kind, wire in wires if not re.search("input|output", kind)]
    found = [wire for wire in inner if re.fullmatch(rf"{re.escape(name)}(\$\d+)?", wire)]
    if len(found) != 1:
        pytest.fail(f"{scope} has {len(found)} inner signals, not one, of the name {name}")
    return f"{scope}.{found[0]}"


def _script(connections: dict[str, str]) -> Iterator[str]:
    yield "read_rtlil top.il"
    yield f"hierarchy -check -top {TOP}"
    yield "proc; flatten; memory_dff; memory_collect; memory_map"
    for probe, source in connections.items():
        yield f"select -assert-count 1 w:{source}"
        yield f"delete -input w:{probe}"
        yield f"connect -nounset -set {probe} {source}"
    yield "chformal -lower; opt -keepdc -fast; async2sync; dffunmap; opt_clean"
    yield "write_smt2 -wires top.smt2"


def _solve(folder: Path, mode: list[str], *, limit_s: float) -> Verdict:
    log, trace = folder / "smtbmc.log", folder / "trace.vcd"
    trace.unlink(missing_ok=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            # The solver is a program beside this Python, which need not be on PATH.
            own = str(Path(sys.executable).parent)
            patch.setenv("PATH", f"{own}{os.pathsep}{os.environ['PATH']}")
            yowasp.run(
                "yosys-smtbmc",
                ["-s", SOLVER, *OPTIONS, *mode, "top.smt2"],
                folder=folder,
                log=log,
                limit_s=limit_s,
                progress=silent,
            )
    except ToolError:
        text = log.read_text()
        if "Status: FAILED" not in text:
            raise
        shown = _table(trace) if trace.exists() else ""
        return Verdict(holds=False, text=f"{text}\n{shown}")
    return Verdict(holds=True, text=log.read_text())


def _table(trace: Path) -> str:
    """The harness' own signals, a line each, with a column for every cycle."""
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    cycles: list[dict[str, str]] = []
    depth = 0
    for token in tokenize(BytesIO(trace.read_bytes())):
        match token.kind:
            case TokenKind.SCOPE:
                depth += 1
            case TokenKind.UPSCOPE:
                depth -= 1
            case TokenKind.VAR if depth == 1 and "$" not in token.var.reference:
                names[token.var.id_code] = token.var.reference
            case TokenKind.CHANGE_TIME if token.time_change % CYCLE_TIME == 0 and values:
                cycles.append(dict(values))
            case TokenKind.CHANGE_SCALAR | TokenKind.CHANGE_VECTOR:
                values[token.data.id_code] = str(token.data.value)
    width = max((len(name) for name in names.values()), default=0)
    return "\n".join(
        f"{name:{width}} " + " ".join(f"{cycle.get(code, '?'):>6}" for cycle in cycles)
        for code, name in names.items()
        if name not in HIDDEN
    )
