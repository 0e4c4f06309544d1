"""Readable, reproducible Verilog of a core."""

import re

from amaranth.back import rtlil

from shiftwork.hw.core import FLASH_PORTS, Core

TOP = "shiftwork_core"
RTLIL_FILE = "core.il"
VERILOG_FILE = "core.v"

REMOVED = " ".join(
    f"-remove {name}"
    for name in ("generator", "top", "cells_not_processed", "full_case", "init", "src")
)

YOSYS_COMMANDS = (
    f"read_rtlil {RTLIL_FILE}",
    f"hierarchy -top {TOP}",
    "proc",
    "opt_clean",
    "opt_dff",
    "pmuxtree",
    "opt_clean",
    "memory_collect",
    "opt_clean",
    f"attrmap -modattr {REMOVED}",
    f"attrmap {REMOVED}",
    f"write_verilog {VERILOG_FILE}",
)
"""Turn the file of :func:`to_rtlil` into Verilog that is right from time 0 in every simulator."""

_BANNER = re.compile(r"\A(/\*.*?\*/\s*)+", re.DOTALL)


def to_rtlil(core: Core) -> str:
    """The core as RTLIL, with flat port names and no source paths."""
    ports = {
        "i_payload": core.i.payload,
        "i_valid": core.i.valid,
        "i_ready": core.i.ready,
        "o_payload": core.o.payload,
        "o_valid": core.o.valid,
        "o_ready": core.o.ready,
        "busy": core.busy,
        "trace_valid": core.trace_valid,
        "trace_layer": core.trace_layer,
        "trace_offset": core.trace_offset,
        "trace_data": core.trace_data,
        "trace_mask": core.trace_mask,
    }
    if core.has_flash:
        ports |= {name: getattr(core, name) for name in FLASH_PORTS}
    named = {name: (signal, None) for name, signal in ports.items()}
    return rtlil.convert(core, name=TOP, ports=named, emit_src=False)


def clean(verilog: str, *, heading: str) -> str:
    """The tool's banner replaced by ``heading``, a comment of ours that does not change."""
    lines = "".join(f"// {line}\n" for line in heading.splitlines())
    return f"{lines}\n{_BANNER.sub('', verilog)}"
