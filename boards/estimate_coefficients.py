"""Coefficients of the estimates, by family: written by "shiftwork bench estimates".

Lookup tables and flip-flops for each block and term, nanoseconds of the clock's period for
each term. docs/estimates.md explains them.
"""

from typing import Any

COEFFICIENTS: dict[str, dict[str, Any]] = {
    "ecp5": {
        "lut": {
            "array": {
                "accumulators' bits": 2.048,
                "broadcast operands": 1.927,
                "elements": 0.2087,
                "parts of weight ROMs": 0.0,
                "products of lookup tables": 0.0,
            },
            "core": {
                "address": 1.383,
                "segments' origins": 1.079,
                "unit": 25.59,
                "word": 0.09942,
            },
            "drain": {
                "accumulators' bits": 2.313,
                "address": 8.142,
                "lanes": 52.98,
                "loops": 3.333,
                "parts of the ROM": 0.0,
                "shifters": 0.8894,
                "unit": 136.2,
                "word": 1.398,
            },
            "fetch": {
                "descriptors": 0.0,
                "masks": 27.0,
                "positions": 2.979,
                "rows' positions": 0.0,
                "rows' words": 0.6241,
                "segments": 100.3,
                "unit": 0.0,
                "window offsets": 0.0,
                "word": 2.593,
            },
            "loader": {
                "address": 3.854,
                "unit": 42.99,
            },
            "memory": {
                "banks of a byte": 1.593,
                "banks' rows": 1.479,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.1107,
                "turned words": 3.204,
                "unit": 0.0,
                "word": 1.593,
            },
            "pooling": {
                "lanes' bits": 4.07,
            },
            "sender": {
                "address": 7.437,
                "unit": 90.56,
            },
            "sequencer": {
                "descriptors": 0.08917,
                "unit": 34.33,
            },
        },
        "ff": {
            "array": {
                "accumulators' bits": 0.9497,
                "broadcast operands": 0.2344,
                "elements": 19.38,
                "operands that move": 0.7044,
                "parts of weight ROMs": 0.0,
                "products of lookup tables": 0.0,
                "tokens": 27.09,
            },
            "core": {
                "address": 2.233,
                "segments' origins": 1.141,
                "unit": 17.98,
                "word": 0.0,
            },
            "drain": {
                "accumulators' bits": 2.175,
                "address": 4.615,
                "lanes": 48.37,
                "loops": 1.955,
                "parts of the ROM": 0.0,
                "shifters": 0.9154,
                "unit": 74.26,
                "word": 0.7567,
            },
            "fetch": {
                "descriptors": 0.4342,
                "masks": 8.619,
                "positions": 1.474,
                "rows' positions": 1.529,
                "rows' words": 0.7101,
                "segments": 43.25,
                "unit": 22.51,
                "window offsets": 3.923,
                "word": 0.5678,
            },
            "loader": {
                "address": 1.214,
                "unit": 11.76,
            },
            "memory": {
                "banks of a byte": 0.5678,
                "banks' rows": 0.1858,
                "lookup table RAM": 0.0,
                "parts of the banks": 1.239,
                "turned words": 0.08848,
                "unit": 22.51,
                "word": 0.5678,
            },
            "pooling": {
                "lanes' bits": 1.942,
            },
            "sender": {
                "address": 2.126,
                "unit": 24.96,
            },
            "sequencer": {
                "descriptors": 0.6514,
                "unit": 155.0,
            },
        },
        "period_ns": {
            "adder": 0.04316,
            "memory parts": 0.5107,
            "size": 0.01868,
            "unit": 6.853,
        },
    },
    "ice40up": {
        "lut": {
            "array": {
                "accumulators' bits": 2.333,
                "broadcast operands": 1.567,
                "elements": 7.416,
                "operands that move": 2.239,
                "parts of weight ROMs": 1.243,
                "products of lookup tables": 0.0,
                "tokens": 30.29,
            },
            "copier": {
                "address": 1.18,
                "unit": 21.04,
            },
            "core": {
                "address": 3.105,
                "segments' origins": 2.773,
                "unit": 20.78,
                "word": 0.5453,
            },
            "drain": {
                "accumulators' bits": 4.753,
                "address": 9.634,
                "lanes": 94.04,
                "loops": 3.513,
                "parts of the ROM": 0.561,
                "shifters": 2.744,
                "unit": 94.04,
                "word": 2.144,
            },
            "fetch": {
                "descriptors": 0.398,
                "masks": 9.147,
                "positions": 4.28,
                "rows' positions": 1.611,
                "rows' words": 1.358,
                "segments": 133.7,
                "unit": 30.9,
                "window offsets": 3.858,
                "word": 1.831,
            },
            "flash": {
                "address": 5.12,
                "unit": 82.37,
            },
            "loader": {
                "address": 3.102,
                "unit": 36.04,
            },
            "memory": {
                "banks of a byte": 0.06142,
                "banks' rows": 1.745,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.0,
                "turned words": 1.82,
                "unit": 30.9,
                "word": 0.831,
            },
            "pooling": {
                "lanes' bits": 3.954,
            },
            "sender": {
                "address": 6.499,
                "unit": 99.12,
            },
            "sequencer": {
                "descriptors": 0.7703,
                "unit": 120.0,
            },
        },
        "ff": {
            "array": {
                "accumulators' bits": 0.7891,
                "broadcast operands": 0.6615,
                "elements": 16.42,
                "operands that move": 1.726,
                "parts of weight ROMs": 0.5052,
                "products of lookup tables": 0.0,
                "tokens": 47.29,
            },
            "copier": {
                "address": 1.149,
                "unit": 19.5,
            },
            "core": {
                "address": 1.554,
                "segments' origins": 1.385,
                "unit": 12.28,
                "word": 0.1378,
            },
            "drain": {
                "accumulators' bits": 2.986,
                "address": 4.475,
                "lanes": 57.71,
                "loops": 1.398,
                "parts of the ROM": 0.0,
                "shifters": 1.126,
                "unit": 57.71,
                "word": 1.721,
            },
            "fetch": {
                "descriptors": 0.2583,
                "masks": 6.494,
                "positions": 0.8266,
                "rows' positions": 1.283,
                "rows' words": 1.111,
                "segments": 38.57,
                "unit": 33.16,
                "window offsets": 3.039,
                "word": 0.6875,
            },
            "flash": {
                "address": 2.77,
                "unit": 46.49,
            },
            "loader": {
                "address": 1.344,
                "unit": 9.801,
            },
            "memory": {
                "banks of a byte": 0.8248,
                "banks' rows": 0.0,
                "lookup table RAM": 0.0,
                "parts of the banks": 0.0,
                "turned words": 0.2387,
                "unit": 33.16,
                "word": 0.6875,
            },
            "pooling": {
                "lanes' bits": 1.942,
            },
            "sender": {
                "address": 2.947,
                "unit": 54.03,
            },
            "sequencer": {
                "descriptors": 0.7113,
                "unit": 106.5,
            },
        },
        "period_ns": {
            "adder": 0.3034,
            "crowding": 8.213,
            "size": 0.1717,
            "unit": 8.461,
        },
    },
}
WORST_LUT_ERROR: dict[str, float] = {
    "ecp5": 0.136,
    "ice40up": 0.04141,
}
"""Greatest relative error of the lookup tables over all designs that were measured."""
