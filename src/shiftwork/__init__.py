"""Shiftwork: a trained network becomes a shift-only int8 accelerator for small FPGAs.

The public interface: ``load`` a model, ``quantize`` it to a ``Program``, compute ``golden``
results, build an ``Accelerator``, ``simulate`` and ``synthesize`` it, ``connect`` to a board that
holds it. An ``Engine`` is placed and routed once (``make_engine``) for several networks: another
one is an ``exchange`` of contents. ``analyze`` shows what scales do to a network's tensors,
``compare`` where a program makes its error. Names are imported when they are first used, so that
quantizing does not load the hardware's libraries.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shiftwork.boards.accelerator import Accelerator
    from shiftwork.boards.engine import Engine
    from shiftwork.boards.exchange import exchange
    from shiftwork.boards.routed_engine import make_engine
    from shiftwork.boards.synthesis import synthesize
    from shiftwork.errors import ShiftworkError
    from shiftwork.link import connect
    from shiftwork.quant.analysis import AnalysisOptions, analyze
    from shiftwork.quant.importer import load
    from shiftwork.quant.program import Program
    from shiftwork.quant.quantizer import quantize
    from shiftwork.quant.raw_input import RawInput
    from shiftwork.quant.top_score import with_top_score
    from shiftwork.sim.comparison import compare
    from shiftwork.sim.evaluation import evaluate
    from shiftwork.sim.executor import simulate
    from shiftwork.sim.golden import predict as golden

__all__ = [
    "Accelerator",
    "AnalysisOptions",
    "Engine",
    "Program",
    "RawInput",
    "ShiftworkError",
    "analyze",
    "compare",
    "connect",
    "evaluate",
    "exchange",
    "golden",
    "load",
    "make_engine",
    "quantize",
    "simulate",
    "synthesize",
    "with_top_score",
]

_HOMES = {
    "Accelerator": ("shiftwork.boards.accelerator", "Accelerator"),
    "Engine": ("shiftwork.boards.engine", "Engine"),
    "AnalysisOptions": ("shiftwork.quant.analysis", "AnalysisOptions"),
    "Program": ("shiftwork.quant.program", "Program"),
    "RawInput": ("shiftwork.quant.raw_input", "RawInput"),
    "ShiftworkError": ("shiftwork.errors", "ShiftworkError"),
    "analyze": ("shiftwork.quant.analysis", "analyze"),
    "compare": ("shiftwork.sim.comparison", "compare"),
    "connect": ("shiftwork.link", "connect"),
    "exchange": ("shiftwork.boards.exchange", "exchange"),
    "make_engine": ("shiftwork.boards.routed_engine", "make_engine"),
    "evaluate": ("shiftwork.sim.evaluation", "evaluate"),
    "golden": ("shiftwork.sim.golden", "predict"),
    "load": ("shiftwork.quant.importer", "load"),
    "quantize": ("shiftwork.quant.quantizer", "quantize"),
    "simulate": ("shiftwork.sim.executor", "simulate"),
    "synthesize": ("shiftwork.boards.synthesis", "synthesize"),
    "with_top_score": ("shiftwork.quant.top_score", "with_top_score"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'shiftwork' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
