"""A core description for FuseSoC (CAPI2), so that a design can depend on an accelerator."""

import re

from shiftwork.hw import verilog

FILE = f"{verilog.AXI_STREAM_TOP}.core"


def core_file(*, network: str, description: str) -> str:
    """The description of the accelerator with AXI4-Stream ports.

    Its name is ``shiftwork:accelerator:NETWORK``, with an underscore for each character of the
    network's name that FuseSoC does not allow.

    Args:
        network: the network's name.
        description: a line of text.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", network) or "network"
    quoted = description.replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
CAPI=2:
name: shiftwork:accelerator:{name}:0
description: "{quoted}"
filesets:
  rtl:
    files:
      - {verilog.AXI_STREAM_FILE}
    file_type: verilogSource
targets:
  default:
    filesets: [rtl]
    toplevel: {verilog.AXI_STREAM_TOP}
"""
