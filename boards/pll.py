"""The PLL that makes a design's clock from the board's oscillator.

The settings are those that icepll, ecppll and gowin_pll find for the same frequency: their order of
search and their limits. Unlike them, a setting here is never faster than what was asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from amaranth import Const, Instance, Module, Signal, Value
from amaranth.hdl import IOPort

from shiftwork.boards.board import Board
from shiftwork.boards.registry import BoardError

MHZ = 1_000_000
ICE40_PFD_MHZ = (10, 133)
ICE40_VCO_MHZ = (533, 1066)
ICE40_FILTER_RANGES = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5), (133, 6))
"""Below which frequency of the phase detector, in MHz, which setting of the loop filter holds."""
ECP5_PFD_MHZ = (Fraction(25, 8), 400)
ECP5_VCO_MHZ = (400, 800)
ECP5_BEST_VCO_MHZ = 600
GOWIN_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)
GOWIN_PFD_MHZ = {"GW1N-9C": (3, 400), "GW2A-18C": (3, 500)}
GOWIN_VCO_MHZ = {"GW1N-9C": (400, 1200), "GW2A-18C": (500, 1250)}
GOWIN_OUTPUT_MHZ = {
    "GW1N-9C": (Fraction(25, 8), 600),
    "GW2A-18C": (Fraction(125, 32), 625),
}


@dataclass(frozen=True, kw_only=True)
class PllSetting:
    """How a PLL is set.

    Attributes:
        mhz: of its output, exactly.
        parameters: of the family's primitive, by name.
    """

    mhz: Fraction
    parameters: dict[str, int]

    @property
    def hertz(self) -> int:
        """Of its output, rounded."""
        return round(self.mhz * MHZ)


def pll_setting(board: Board, mhz: float) -> PllSetting:
    """The fastest clock of at most ``mhz`` that the board's PLL makes.

    Raises:
        BoardError: if there is none, with the slowest that there is.
    """
    source = Fraction(board.oscillator_mhz).limit_denominator(MHZ)
    asked = Fraction(mhz).limit_denominator(MHZ)
    settings = list(_SETTINGS[board.family](board, source))
    possible = [setting for setting in settings if setting.mhz <= asked]
    if not possible:
        slowest = min(setting.mhz for setting in settings)
        raise BoardError(
            f"the PLL of {board.name} makes no clock of {mhz:g} MHz from its {source} MHz "
            f"oscillator; its slowest is {float(slowest):.4g} MHz (--clock)"
        )
    return max(possible, key=lambda setting: setting.mhz)


def _within(value: Fraction, bounds: tuple[Fraction | int, Fraction | int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _ice40(_: Board, source: Fraction) -> Iterator[PllSetting]:
    for divr in range(16):
        detector = source / (divr + 1)
        if not _within(detector, ICE40_PFD_MHZ):
            continue
        for divf in range(128):
            vco = detector * (divf + 1)
            if not _within(vco, ICE40_VCO_MHZ):
                continue
            for divq in range(1, 7):
                filter_range = next(s for top, s in ICE40_FILTER_RANGES if detector <= top)
                yield PllSetting(
                    mhz=vco / 2**divq,
                    parameters={
                        "DIVR": divr,
                        "DIVF": divf,
                        "DIVQ": divq,
                        "FILTER_RANGE": filter_range,
                    },
                )


def _ecp5(_: Board, source: Fraction) -> Iterator[PllSetting]:
    found: dict[Fraction, tuple[Fraction, PllSetting]] = {}
    for divider in range(1, 129):
        detector = source / divider
        if not _within(detector, ECP5_PFD_MHZ):
            continue
        for feedback in range(1, 81):
            mhz = detector * feedback
            for output in range(1, 129):
                if not _within(mhz * output, ECP5_VCO_MHZ):
                    continue
                distance = abs(mhz * output - ECP5_BEST_VCO_MHZ)
                if mhz in found and found[mhz][0] <= distance:
                    continue
                found[mhz] = (
                    distance,
                    PllSetting(
                        mhz=mhz,
                        parameters={
                            "CLKI_DIV": divider,
                            "CLKFB_DIV": feedback,
                            "CLKOP_DIV": output,
                        },
                    ),
                )
    return (setting for _, setting in found.values())


def _gowin(board: Board, source: Fraction) -> Iterator[PllSetting]:
    for divider in range(64):
        if not _within(source / (divider + 1), GOWIN_PFD_MHZ[board.device]):
            continue
        for feedback in range(64):
            mhz = source * (feedback + 1) / (divider + 1)
            if not _within(mhz, GOWIN_OUTPUT_MHZ[board.device]):
                continue
            for output in GOWIN_DIVIDERS:
                if _within(mhz * output, GOWIN_VCO_MHZ[board.device]):
                    yield PllSetting(
                        mhz=mhz,
                        parameters={
                            "IDIV_SEL": divider,
                            "FBDIV_SEL": feedback,
                            "ODIV_SEL": output,
                        },
                    )


_SETTINGS: dict[str, Callable[[Board, Fraction], Iterator[PllSetting]]] = {
    "ice40up": _ice40,
    "ice40hx": _ice40,
    "ecp5": _ecp5,
    "gowin": _gowin,
}


def add_pll(
    m: Module,
    *,
    board: Board,
    setting: PllSetting,
    source: Value | IOPort,
    clock: Signal,
    locked: Signal,
) -> None:
    """Adds the family's PLL to a module.

    Args:
        source: the oscillator; the pin itself where ``board.clock_on_pll_pad``.
        clock, locked: are driven; ``locked`` is asynchronous.
    """
    add = {"ice40up": _add_ice40, "ice40hx": _add_ice40, "ecp5": _add_ecp5, "gowin": _add_gowin}
    m.submodules.pll = add[board.family](board, setting, source, clock, locked)


def _parameters(setting: PllSetting) -> dict[str, Any]:
    return {f"p_{name}": value for name, value in setting.parameters.items()}


def _add_ice40(
    board: Board, setting: PllSetting, source: Value | IOPort, clock: Signal, locked: Signal
) -> Instance:
    pad = board.clock_on_pll_pad
    return Instance(
        "SB_PLL40_PAD" if pad else "SB_PLL40_CORE",
        p_FEEDBACK_PATH="SIMPLE",
        p_PLLOUT_SELECT="GENCLK",
        **_parameters(setting),
        **{"i_PACKAGEPIN" if pad else "i_REFERENCECLK": source},
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )


def _add_ecp5(
    board: Board, setting: PllSetting, source: Value | IOPort, clock: Signal, locked: Signal
) -> Instance:
    output = setting.parameters["CLKOP_DIV"]
    attributes = {
        "FREQUENCY_PIN_CLKI": f"{board.oscillator_mhz:g}",
        "FREQUENCY_PIN_CLKOP": f"{float(setting.mhz):g}",
        "ICP_CURRENT": "12",
        "LPF_RESISTOR": "8",
        "MFG_ENABLE_FILTEROPAMP": "1",
        "MFG_GMCREF_SEL": "2",
    }
    switched_off = ("PLLRST_ENA", "INTFB_WAKE", "STDBY_ENABLE", "DPHASE_SOURCE")
    return Instance(
        "EHXPLLL",
        **{f"a_{name}": value for name, value in attributes.items()},
        **{f"p_{name}": "DISABLED" for name in switched_off},
        p_CLKOP_ENABLE="ENABLED",
        p_FEEDBK_PATH="CLKOP",
        # Half of the output's period, as of ecppll.
        p_CLKOP_CPHASE=output // 2,
        p_CLKOP_FPHASE=0,
        **_parameters(setting),
        i_CLKI=source,
        i_CLKFB=clock,
        i_RST=Const(0),
        i_STDBY=Const(0),
        **{f"i_{name}": Const(0) for name in ("PHASESEL0", "PHASESEL1", "PLLWAKESYNC", "ENCLKOP")},
        **{f"i_{name}": Const(1) for name in ("PHASEDIR", "PHASESTEP", "PHASELOADREG")},
        o_CLKOP=clock,
        o_LOCK=locked,
    )


def _add_gowin(
    board: Board, setting: PllSetting, source: Value | IOPort, clock: Signal, locked: Signal
) -> Instance:
    return Instance(
        "rPLL",
        p_FCLKIN=f"{board.oscillator_mhz:g}",
        p_DEVICE=board.device,
        **_parameters(setting),
        i_CLKIN=source,
        i_CLKFB=Const(0),
        i_RESET=Const(0),
        i_RESET_P=Const(0),
        **{f"i_{name}": Const(0, 6) for name in ("FBDSEL", "IDSEL", "ODSEL")},
        **{f"i_{name}": Const(0, 4) for name in ("PSDA", "DUTYDA", "FDLY")},
        o_CLKOUT=clock,
        o_LOCK=locked,
    )
