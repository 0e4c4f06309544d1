"""Readable, reproducible Verilog of a core."""

import re

from amaranth.back import rtlil

from shiftwork.hw.axi_stream import AxiStream
from shiftwork.hw.core import CHECK_PORTS, FLASH_PORTS, Core

TOP = "shiftwork_core"
AXI_STREAM_TOP = "shiftwork_axi_stream"
RTLIL_FILE = "core.il"
VERILOG_FILE = "core.v"
AXI_STREAM_FILE = "axi_stream.v"

REMOVED = " ".join(
    f"-remove {name}"
    for name in ("generator", "top", "cells_not_processed", "full_case", "init", "src")
)


def yosys_commands(top: str) -> tuple[str, ...]:
    """Turn RTLIL with the module ``top`` into Verilog that is right from time 0 everywhere."""
    return (
        f"read_rtlil {RTLIL_FILE}",
        f"hierarchy -top {top}",
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


YOSYS_COMMANDS = yosys_commands(TOP)
"""For the file of :func:`to_rtlil`."""

_BANNER = re.compile(r"\A(/\*.*?\*/\s*)+", re.DOTALL)


def to_rtlil(core: Core) -> str:
    """The core, one that is not framed, as RTLIL with flat port names and no source paths."""
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
    if core.checksum:
        ports |= {name: getattr(core, name) for name in CHECK_PORTS}
    named = {name: (signal, None) for name, signal in ports.items()}
    return rtlil.convert(core, name=TOP, ports=named, emit_src=False)


def axi_stream_to_rtlil(component: AxiStream) -> str:
    """A framed core with AXI4-Stream ports as RTLIL, with their names and no source paths."""
    named = {name: (signal, None) for name, signal in component.ports.items()}
    return rtlil.convert(component, name=AXI_STREAM_TOP, ports=named, emit_src=False)


def clean(verilog: str, *, heading: str) -> str:
    """The tool's banner replaced by ``heading``, a comment of ours that does not change."""
    lines = "".join(f"// {line}\n" for line in heading.splitlines())
    return f"{lines}\n{_BANNER.sub('', verilog)}"
