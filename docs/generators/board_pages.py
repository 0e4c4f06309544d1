"""A page for each board, from what the package knows of it."""

import re
from pathlib import Path

from amaranth.build import Platform
from generators import bundled

import shiftwork as sw
from shiftwork.boards.board import Board
from shiftwork.boards.board_top import platform_of
from shiftwork.boards.pll import pll_setting
from shiftwork.boards.programmer import INSTALL
from shiftwork.errors import CapacityError

SUFFIXES = {"ice40up": "bin", "ice40hx": "bin", "ecp5": "bit", "gowin": "fs"}
TABLE_HEAD = "| board | array | LUT | block RAM | DSP | clock | Fmax | latency |"
BENCH_PAGE = Path(__file__).parents[1] / "boards.md"


def board_page(board: Board) -> str:
    """The page as Markdown."""
    platform = platform_of(board)
    parts = [
        f"# {board.title}",
        f"`--board {board.name}`. This page is made of `boards/{_module(board)}.py` and of the "
        "pins of its platform; [boards.md](../boards.md) compares the boards.",
        _table(_chip(board) + _wiring(board, platform)),
        "## Before the cable" if board.note else "",
        f"To know: {board.note}." if board.note else "",
        "## From a network to the board",
        _commands(board),
        _ports(board),
        "## What the bundled network takes",
        _bundled(board),
        _measured(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _module(board: Board) -> str:
    return board.name.replace("-", "_")


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(
        ["| of the board | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def _chip(board: Board) -> list[tuple[str, str]]:
    spram = f"; {board.spram_bytes // 1024} KiB single-port RAM" if board.spram_bytes else ""
    multipliers = (
        f"{board.dsp} blocks, {board.products} products of 8 x 8 bits a cycle"
        if board.products
        else "none: products are made of lookup tables"
    )
    reached = pll_setting(board, board.bitstream_mhz or board.target_mhz).mhz
    return [
        ("family, device", f"`{board.family}`, {board.device} {board.package}"),
        ("lookup tables, flip-flops", f"{board.lut:,}, {board.ff:,}"),
        ("block RAM", f"{board.bram} of {board.bram_bits // 1024} Kibit, {_kib(board)}{spram}"),
        ("multipliers", multipliers),
        ("array by default", _default_array(board)),
        (
            "clock",
            f"{float(reached):g} MHz by the PLL from {board.oscillator_mhz:g} MHz; "
            "`--clock MHZ` asks for another one",
        ),
    ]


def _default_array(board: Board) -> str:
    text = f"at most {board.max_elements} processing elements"
    return f"{text}; {board.shift_elements} that shift" if board.shift_elements else text


def _kib(board: Board) -> str:
    return f"{board.bram_bytes / 1024:g} KiB"


def _wiring(board: Board, platform: Platform) -> list[tuple[str, str]]:
    rows = [("oscillator", _pin(platform, board.clock))]
    uart = _pins(platform, board.uart)
    rows.append(("UART", f"rx at {uart['rx']}, tx at {uart['tx']} (seen from the FPGA)"))
    if board.uart_beside_flash:
        uart = _pins(platform, board.uart_beside_flash)
        rows.append(
            ("UART of designs that read the flash", f"rx at {uart['rx']}, tx at {uart['tx']}")
        )
    for resource, meaning in zip(
        board.leds, ("a frame is computed", "a request failed"), strict=False
    ):
        rows.append((f"LED: {meaning}", f"`{resource}` at {_pin(platform, resource)}"))
    reset = f"`{board.reset}` at {_pin(platform, board.reset)}" if board.reset else "no button"
    rows.append(("reset", reset))
    from_flash = bool(board.flash and board.spram_bytes)
    rows.append(("weights", "block RAM" + ", or loaded from the SPI flash" * from_flash))
    return rows


def _pins(platform: Platform, resource: str) -> dict[str, str]:
    """The pins of a resource by subsignal; those of a connector by their place there."""
    name, number, *_ = resource.split()
    found = {}
    for io in platform.lookup(name, int(number)).ios:
        names = io.ios[0].names if hasattr(io, "ios") else io.names
        found[io.name if hasattr(io, "ios") else ""] = ", ".join(map(_readable, names))
    return found


def _readable(pin: str) -> str:
    connector = re.fullmatch(r"\w+:(\w+)", pin)
    return f"header pin {connector[1]}" if connector else f"pin {pin}"


def _pin(platform: Platform, resource: str) -> str:
    pins = _pins(platform, resource)
    *_, last = resource.split()
    return pins[last] if last in pins else pins[""]


def _commands(board: Board) -> str:
    install = "pip install 'shiftwork[gowin]'                                 # once\n"
    tool = board.load.split()[0]
    file = f"bit/bitstream.{SUFFIXES[board.family]}"
    flash = ""
    if board.load_flash:
        command = board.load_flash.format(file="bit/flash.bin")
        flash = f", and writes `bit/flash.bin`, if there is one, with `{command}` first"
    return (
        "```sh\n"
        + (install if board.family == "gowin" else "")
        + f"shiftwork bitstream net.npz --board {board.name} -o bit\n"
        f"shiftwork flash bit --board {board.name}\n"
        "shiftwork run net.npz samples.npz --port /dev/ttyUSB1 --compare\n"
        "```\n\n"
        f"`shiftwork flash` calls `{board.load.format(file=file)}`{flash}. "
        f"It needs `{tool}` ({INSTALL[tool]})."
    )


def _ports(board: Board) -> str:
    return (
        "`python -m serial.tools.list_ports -v` lists the serial ports; where a board has two, one "
        "is for loading, and the other one, mostly the second, is the UART. On Linux the user must "
        "be in the group that owns the port (`dialout` on Debian). Before there is a board at "
        "all,\n\n"
        "```sh\n"
        f"shiftwork run net.npz samples.npz --port sim --board {board.name} --limit 5\n"
        "```\n\n"
        "runs the same design, serial line included, in simulation."
    )


def _bundled(board: Board) -> str:
    try:
        accelerator = sw.Accelerator(bundled.program(), board=board)
    except CapacityError as error:
        return (
            "With weights of 8 bits it does not fit, and `shiftwork generate` says so:\n\n"
            f"```\nerror: {error}\n```\n\n{_coded(board)}"
        )
    return f"By default, without place and route: {_facts(accelerator)}."


def _coded(board: Board) -> str:
    accelerator = sw.Accelerator(bundled.coded_program(), board=board)
    return (
        "With weights of 4 bits, `shiftwork quantize --weights shared16` "
        f"([compression.md](../compression.md)), it does: {_facts(accelerator)}. That design was "
        "not placed and routed."
    )


def _facts(accelerator: sw.Accelerator) -> str:
    shape, schedule = accelerator.config.shape, accelerator.schedule
    return (
        f"an array of {shape.rows} x {shape.columns}, {schedule.cycles:,} cycles a frame, busy for "
        f"{schedule.utilization:.0%} of them"
    )


def _measured(board: Board) -> str:
    """The row of the bench's table in boards.md."""
    rows = [
        line
        for line in BENCH_PAGE.read_text().splitlines()
        if line.startswith(f"| {board.title} |")
    ]
    if not rows:
        return "So the bench of [boards.md](../boards.md) has no row for this board."
    (row,) = rows
    rule = "|" + " --- |" * (TABLE_HEAD.count("|") - 1)
    return (
        "With at most 8 processing elements, serial link and PLL included, `shiftwork bench "
        f"boards` found (seed 1):\n\n{TABLE_HEAD}\n{rule}\n{row}\n\nNothing of this has run on a "
        "board so far: the figures are those of nextpnr."
    )
