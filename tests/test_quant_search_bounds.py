import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.quantizer import quantize
from shiftwork.quant.search_bounds import Bounds, Quality, Trial, stored_bytes


def trial(**quality) -> Trial:
    values = {"samples": 10, "sqnr_db": 30.0, "agreement": 99.0} | quality
    return Trial(options=QuantizerOptions(), quality=Quality(**values), weight_bytes=100)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({"weight_bytes": 0}, "bound of weight bytes must be at least 1, not 0"),
        ({"max_loss": -0.5}, r"bound of the loss must be 0 to 100 points, not -0\.5"),
        ({"max_loss": np.nan}, "bound of the loss must be 0 to 100 points, not nan"),
        ({"min_sqnr_db": np.inf}, "bound of the SQNR must be a number of dB, not inf"),
    ],
)
def test_bounds_that_cannot_be(bound, message):
    with pytest.raises(DataError, match=message):
        Bounds(**bound)


def test_loss_is_of_accuracy_or_of_agreement():
    assert trial().quality.loss == 1.0
    assert trial(accuracy_float=90.0, accuracy=88.0).quality.loss == 2.0


@pytest.mark.parametrize(
    ("bounds", "met", "text"),
    [
        ({}, True, "no bound"),
        ({"weight_bytes": 100}, True, "at most 100 bytes of weights"),
        ({"weight_bytes": 99}, False, "at most 99 bytes of weights"),
        ({"max_loss": 1.0}, True, "a loss of at most 1 points"),
        ({"max_loss": 0.5}, False, "a loss of at most 0.5 points"),
        ({"min_sqnr_db": 30.0}, True, "an SQNR of at least 30 dB"),
        (
            {"weight_bytes": 1000, "min_sqnr_db": 31.0},
            False,
            "at most 1,000 bytes of weights and an SQNR of at least 31 dB",
        ),
    ],
)
def test_what_is_met(bounds, met, text):
    found = Bounds(**bounds)
    assert found.met(trial()) == met
    assert found.text == text
    assert found.of_quality == bool(bounds.keys() - {"weight_bytes"})


def test_stored_bytes(float_network):
    """Shortcuts count; a codebook halves the bytes, and sums double them again."""
    net = float_network((4, 4, 2))
    wide = net.conv("x", 3, padding=(1, 1, 1, 1))
    net.add(wide, net.conv("x", 3, (1, 1)))
    weights, name = 3 * 18 + 3 * 2, net.nodes[0].name
    for options, expected in (
        (QuantizerOptions(), weights),
        (QuantizerOptions(weights="int4"), weights // 2),
        (QuantizerOptions(weights="int4", sums=(name,)), weights),
    ):
        assert stored_bytes(quantize(net.build(), net.samples(6), options)) == expected
