"""What a design takes of its FPGA and how fast it is, on a page."""

import html
import statistics

from shiftwork.boards.report import LABELS, Report
from shiftwork.page_parts import reproduce, table
from shiftwork.strips import Piece, Strip, strips

USED, TOO_MUCH, TARGET = "#1f5fa8", "#b3372f", "#1b1f24"
BLOCK_FILLS = ("#1f5fa8", "#86b8e6")
TARGET_WIDTH = 0.006
"""Of the line that marks the clock, as a share of the axis."""


def resource_section(report: Report, *, command: str) -> str:
    """Resources against the chip, in all and by block, as HTML."""
    names = list(report.resources)
    return "\n".join(
        [
            "<h2>What it takes of the FPGA</h2>",
            strips(
                f"Used of {report.title}",
                [_resource(report, name) for name in names],
                total=100,
                axis=("0", "the whole chip"),
            ),
            strips(
                f"{LABELS['lut']} by block, of {report.lut.available:,}",
                _blocks(report),
                total=report.lut.available,
                axis=("0", "the whole chip"),
            ),
            "<p>By block, as cells of the netlist before packing, and their share of the chip:</p>",
            table(
                ["block", *(LABELS[name] for name in names)],
                [_block_row(report, block) for block in report.blocks],
            ),
            f"<p>The network takes {report.rom_bytes:,} bytes of ROM, its feature maps "
            f"{report.activation_bytes:,} bytes of RAM.</p>",
            reproduce(command),
        ]
    )


def _resource(report: Report, name: str) -> Strip:
    resource = report.resources[name]
    alarm = resource.percent > 100
    piece = Piece(start=0, length=min(resource.percent, 100.0), fill=TOO_MUCH if alarm else USED)
    text = f"{resource.used:,} of {resource.available:,} ({resource.percent:.0f} %)"
    return Strip(label=LABELS[name], text=text, pieces=[piece], strong=alarm)


def _blocks(report: Report) -> list[Strip]:
    """One behind the other, so that together they reach as far as all of them do."""
    found, at = [], 0
    for index, (block, cells) in enumerate(report.blocks.items()):
        count = cells.get("lut", 0)
        if not count:
            continue
        fill = BLOCK_FILLS[index % len(BLOCK_FILLS)]
        text = f"{count:,} ({100 * count / report.lut.available:.1f} %)"
        found.append(
            Strip(label=block, text=text, pieces=[Piece(start=at, length=count, fill=fill)])
        )
        at += count
    return found


def _block_row(report: Report, block: str) -> list[str]:
    cells = report.blocks[block]
    counts = [(cells.get(name, 0), resource) for name, resource in report.resources.items()]
    return [
        block,
        *(
            f"{count:,} ({100 * count / resource.available:.1f} %)" if count else "0"
            for count, resource in counts
        ),
    ]


def clock_section(report: Report, *, command: str) -> str:
    """The greatest clock for each start of the placer, as HTML."""
    end = 1.1 * max([report.target_mhz, *report.seeds.values()])
    return "\n".join(
        [
            "<h2>Clock</h2>",
            f"<p>{_spread(report)} Slowest path: {html.escape(report.critical_path)}.</p>",
            strips(
                "Greatest clock for each start of the placer",
                [_seed(report, seed, end) for seed in report.seeds],
                total=end,
                legend={f"{report.target_mhz:g} MHz, which were asked for": TARGET},
                axis=("0", f"{end:.0f} MHz"),
            ),
            reproduce(command),
        ]
    )


def _spread(report: Report) -> str:
    """What another start would give, as far as it is known."""
    clocks = sorted(report.seeds.values())
    if len(clocks) == 1:
        return (
            "The placer was started once, as the clock was met at once or no more was asked for. "
            "Other starts give other clocks, several percent more or less: --seeds 8 shows the "
            "spread."
        )
    return (
        f"Of {len(clocks)} starts of the placer the slowest gives {clocks[0]:.1f} MHz, the median "
        f"is {statistics.median(clocks):.1f} MHz, and the fastest, {clocks[-1]:.1f} MHz, is what "
        f"counts here: {100 * (clocks[-1] / clocks[0] - 1):.1f} % more than the slowest."
    )


def _seed(report: Report, seed: int, end: float) -> Strip:
    mhz, width = report.seeds[seed], TARGET_WIDTH * end
    fill = USED if mhz >= report.target_mhz else TOO_MUCH
    marker = Piece(
        start=report.target_mhz - width / 2, length=width, fill=TARGET, title="asked for"
    )
    return Strip(
        label=f"seed {seed}" + (", counts" if seed == report.seed else ""),
        text=f"{mhz:.1f} MHz",
        pieces=[Piece(start=0, length=mhz, fill=fill), marker],
    )
