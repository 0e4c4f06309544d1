"""Values to put on pages, for the tests."""

from typing import Any

from shiftwork.boards.report import Report, Resource


def example_report(**fields: Any) -> Report:
    """A design of 2 x 3 elements that takes half of an iCEBreaker, or as ``fields`` say."""
    defaults: dict[str, Any] = {
        "network": "digits",
        "board": "icebreaker",
        "title": "iCEBreaker",
        "rows": 2,
        "columns": 3,
        "lut": Resource(used=2640, available=5280),
        "ff": Resource(used=1000, available=5280),
        "bram": Resource(used=29, available=30),
        "dsp": Resource(used=8, available=8),
        "spram": Resource(used=0, available=4),
        "blocks": {"array": {"lut": 1500}},
        "fmax_mhz": 40.0,
        "seeds": {1: 40.0},
        "seed": 1,
        "target_mhz": 36.0,
        "critical_path": "a to b",
        "cycles": 100,
        "macs": 96,
        "io_bytes": (32, 48),
        "rom_bytes": 6,
        "activation_bytes": 80,
        "versions": {"shiftwork": "0.1.0"},
    }
    return Report(**(defaults | fields))


def layer_error(name: str, effect_db: float | None) -> dict[str, Any]:
    """A layer's own error, as ``compare --json`` prints it."""
    return {
        "name": name,
        "alone_db": 39.5,
        "effect_db": effect_db,
        "saturated": 1,
        "values": 50,
        "worst_channel": 2,
        "worst_channel_db": 30.5,
    }
