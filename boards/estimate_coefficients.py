"""Coefficients of the estimates, by family: written by "shiftwork bench estimates".

Lookup tables and flip-flops for each block and term, nanoseconds of the clock's period for
each term. docs/estimates.md explains them.
"""

from typing import Any

COEFFICIENTS: dict[str, dict[str, Any]] = {
    "ecp5": {
        "lut": {
            "array": {
                "accumulators' bits": 2.031,
                "broadcast operands": 1.714,
                "elements": 1.072,
                "parts of weight ROMs": 0.9552,
                "products of lookup tables": 0.0,
            },
            "core": {
                "address": 1.302,
                "segments' origins": 1.082,
                "unit": 29.84,
                "word": 0.09702,
            },
            "drain": {
                "accumulators' bits": 1.89,
                "address": 10.19,
                "lanes": 37.53,
                "loops": 0.0,
                "parts of the ROM": 0.0,
                "shifters": 1.724,
                "unit": 187.9,
                "word": 0.4782,
            },
            "fetch": {
                "descriptors": 0.0,
                "masks": 25.89,
                "positions": 2.721,
                "rows' positions": 0.0,
                "rows' words": 0.6955,
                "segments": 128.9,
                "unit": 0.0,
                "window offsets": 0.0,
                "word": 2.104,
            },
            "loader": {
                "address": 3.833,
                "unit": 43.66,
            },
            "memory": {
                "banks of a byte": 1.104,
                "banks' rows": 1.346,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.0,
                "turned words": 3.6,
                "unit": 0.0,
                "word": 1.104,
            },
            "pooling": {
                "lanes' bits": 4.109,
            },
            "sender": {
                "address": 7.124,
                "unit": 100.6,
            },
            "sequencer": {
                "descriptors": 0.09417,
                "unit": 45.61,
            },
        },
        "ff": {
            "array": {
                "accumulators' bits": 0.961,
                "broadcast operands": 0.2384,
                "elements": 19.58,
                "operands that move": 0.7564,
                "parts of weight ROMs": 1.302,
                "products of lookup tables": 0.0,
                "tokens": 34.78,
            },
            "core": {
                "address": 2.171,
                "segments' origins": 1.065,
                "unit": 20.28,
                "word": 0.0,
            },
            "drain": {
                "accumulators' bits": 2.34,
                "address": 5.733,
                "lanes": 51.98,
                "loops": 1.304,
                "parts of the ROM": 0.0,
                "shifters": 0.5606,
                "unit": 88.55,
                "word": 1.095,
            },
            "fetch": {
                "descriptors": 0.4173,
                "masks": 8.272,
                "positions": 1.655,
                "rows' positions": 1.265,
                "rows' words": 0.754,
                "segments": 40.99,
                "unit": 37.15,
                "window offsets": 4.873,
                "word": 0.4318,
            },
            "loader": {
                "address": 1.238,
                "unit": 12.71,
            },
            "memory": {
                "banks of a byte": 0.4318,
                "banks' rows": 0.3101,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.2793,
                "turned words": 0.0,
                "unit": 37.15,
                "word": 0.4318,
            },
            "pooling": {
                "lanes' bits": 1.942,
            },
            "sender": {
                "address": 2.154,
                "unit": 25.86,
            },
            "sequencer": {
                "descriptors": 0.7049,
                "unit": 142.1,
            },
        },
        "period_ns": {
            "adder": 0.003756,
            "memory parts": 0.2283,
            "size": 0.0293,
            "unit": 5.865,
        },
    },
    "ice40up": {
        "lut": {
            "array": {
                "accumulators' bits": 2.431,
                "broadcast operands": 1.45,
                "elements": 7.938,
                "operands that move": 2.266,
                "parts of weight ROMs": 1.1,
                "products of lookup tables": 0.0,
                "tokens": 5.14,
            },
            "copier": {
                "address": 2.23,
                "unit": 34.65,
            },
            "core": {
                "address": 3.203,
                "segments' origins": 2.679,
                "unit": 26.76,
                "word": 0.4835,
            },
            "drain": {
                "accumulators' bits": 4.963,
                "address": 9.63,
                "lanes": 106.7,
                "loops": 3.518,
                "parts of the ROM": 0.9371,
                "shifters": 1.79,
                "unit": 106.7,
                "word": 2.297,
            },
            "fetch": {
                "descriptors": 0.4543,
                "masks": 11.38,
                "positions": 4.616,
                "rows' positions": 1.336,
                "rows' words": 1.088,
                "segments": 141.8,
                "unit": 26.71,
                "window offsets": 4.111,
                "word": 1.906,
            },
            "flash": {
                "address": 5.018,
                "unit": 82.14,
            },
            "loader": {
                "address": 2.851,
                "unit": 37.08,
            },
            "memory": {
                "banks of a byte": 0.0,
                "banks' rows": 1.931,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.0,
                "turned words": 1.881,
                "unit": 26.71,
                "word": 0.9063,
            },
            "pooling": {
                "lanes' bits": 4.586,
            },
            "sender": {
                "address": 6.91,
                "unit": 100.7,
            },
            "sequencer": {
                "descriptors": 0.7361,
                "unit": 126.6,
            },
        },
        "ff": {
            "array": {
                "accumulators' bits": 0.8856,
                "broadcast operands": 0.5345,
                "elements": 16.87,
                "operands that move": 1.873,
                "parts of weight ROMs": 0.3589,
                "products of lookup tables": 0.0,
                "tokens": 12.74,
            },
            "copier": {
                "address": 1.243,
                "unit": 21.03,
            },
            "core": {
                "address": 1.568,
                "segments' origins": 1.211,
                "unit": 16.59,
                "word": 0.1109,
            },
            "drain": {
                "accumulators' bits": 3.004,
                "address": 4.813,
                "lanes": 64.04,
                "loops": 1.667,
                "parts of the ROM": 0.03539,
                "shifters": 0.765,
                "unit": 64.04,
                "word": 1.839,
            },
            "fetch": {
                "descriptors": 0.4352,
                "masks": 9.816,
                "positions": 1.496,
                "rows' positions": 0.9939,
                "rows' words": 0.7502,
                "segments": 56.53,
                "unit": 27.41,
                "window offsets": 4.087,
                "word": 0.6875,
            },
            "flash": {
                "address": 2.747,
                "unit": 46.54,
            },
            "loader": {
                "address": 1.4,
                "unit": 10.28,
            },
            "memory": {
                "banks of a byte": 0.4498,
                "banks' rows": 0.1187,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.0,
                "turned words": 0.2582,
                "unit": 27.41,
                "word": 0.6875,
            },
            "pooling": {
                "lanes' bits": 1.942,
            },
            "sender": {
                "address": 2.991,
                "unit": 54.5,
            },
            "sequencer": {
                "descriptors": 0.7085,
                "unit": 110.5,
            },
        },
        "period_ns": {
            "adder": 0.203,
            "crowding": 5.191,
            "size": 0.1606,
            "unit": 8.081,
        },
    },
}
WORST_LUT_ERROR: dict[str, float] = {
    "ecp5": 0.09151,
    "ice40up": 0.02649,
}
"""Greatest relative error of the lookup tables over all designs that were measured."""
