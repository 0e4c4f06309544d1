import pytest

from shiftwork.errors import DataError
from shiftwork.quant.options import QuantizerOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": "l2"}, "option scales must be mse or max or percentile or kl, not 'l2'"),
        ({"activations": "u8"}, "option activations must be unsigned or signed, not 'u8'"),
        ({"rounding": "up"}, "option rounding must be compensated or nearest, not 'up'"),
        (
            {"weights": "int2"},
            "option weights must be int8 or int4 or shared16 or pow2, not 'int2'",
        ),
        ({"headroom": 0.5}, r"option headroom must be a finite factor from 1, not 0\.5"),
        ({"headroom": float("nan")}, "option headroom must be a finite factor from 1, not nan"),
        ({"input_scale": 0.0}, r"option input_scale must be positive, not 0\.0"),
        ({"sums": ("conv",)}, "sums adds up values of few, which weights of int8 are not: choose"),
        ({"input_zero_point": 128}, r"option input_zero_point must be in -128\.\.127, not 128"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(DataError, match=message):
        QuantizerOptions(**options)


def test_defaults():
    assert QuantizerOptions() == QuantizerOptions(scales="mse", rounding="compensated")


def test_16_bits_are_an_alternative_to_8():
    with pytest.raises(DataError, match=r"option wide gives .* of int8, and weights are shared16"):
        QuantizerOptions(weights="shared16", wide=("conv",))
