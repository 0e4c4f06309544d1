"""The strategy, told by a model of a network what each recipe is worth."""

from dataclasses import replace

import pytest

from shiftwork.errors import CapacityError, ModelError
from shiftwork.quant.options import QuantizerOptions
from shiftwork.quant.search import as_record, described, difference, search
from shiftwork.quant.search_bounds import Bounds, Quality, Trial

LAYERS = {"first": 100, "second": 800, "third": 2000}
WEIGHTS = 4000
"""1,100 of them are in layers that can have no sums."""
WIDENABLE = LAYERS | {"depthwise": 1100}
NOISE = {"first": 0.2, "second": 0.6, "third": 0.1}
"""Of a layer with single values; that of one with sums is a hundredth."""
GAINS = {"first": 4.0, "second": 12.0}
"""In dB, of outputs of 16 bits."""
KINDS = {"int8": 40.0, "int4": 18.0, "shared16": 21.0, "pow2": 15.0}
WORTH = {
    "scales": {"mse": 1.0, "kl": -3.0},
    "headroom": {1.5: 0.5},
    "equalization": {False: 0.7},
    "rounding": {"compensated": 2.0},
}


class Network:
    """Quality by a formula, with a count of what was asked."""

    def __init__(
        self,
        *,
        exact: tuple[str, ...] = (*KINDS, "wide"),
        widenable: bool = False,
        wide_outputs: tuple[str, ...] = (),
    ) -> None:
        self.exact = exact
        self.widenable = widenable
        self.wide_outputs = wide_outputs
        self.asked: list[QuantizerOptions] = []

    def noise(self, options: QuantizerOptions) -> dict[str, float]:
        finer = [*options.sums, *options.wide, *options.wide_activations]
        return {name: NOISE[name] * 0.01 ** finer.count(name) for name in LAYERS}

    def __call__(self, options: QuantizerOptions) -> Trial:
        if options.weights not in self.exact:
            raise ModelError("quantized already")
        self.asked.append(options)
        gain = 0.0
        if options.sums or options.wide:
            gain = 10.0 * (1.0 - sum(self.noise(options).values()) / 0.9)
        gain += sum(table.get(getattr(options, key), 0.0) for key, table in WORTH.items())
        gain += sum(GAINS[name] for name in options.wide_activations)
        sqnr = KINDS[options.weights] + gain
        if options.wide and "wide" not in self.exact:
            raise ModelError("quantized already")
        extra = sum(LAYERS[name] for name in options.sums)
        finer = sum(WIDENABLE[name] for name in options.wide)
        return Trial(
            options=options,
            quality=Quality(samples=50, sqnr_db=sqnr, agreement=100.0 - 100.0 / sqnr),
            weight_bytes=WEIGHTS + finer if options.weights == "int8" else (WEIGHTS + extra) // 2,
        )

    def search(self, base: QuantizerOptions | None = None, **bounds):
        return search(
            self,
            base or QuantizerOptions(),
            Bounds(**bounds),
            layers=LAYERS,
            effects=self.noise,
            widenable=WIDENABLE if self.widenable else None,
            wide_outputs=self.wide_outputs,
        )


def test_without_a_bound_the_greatest_sqnr():
    network = Network()
    found = network.search()
    assert found.choice.options == QuantizerOptions(headroom=1.5, equalization=False)
    assert found.choice.quality.sqnr_db == max(t.quality.sqnr_db for t in found.trials)
    assert {options.weights for options in network.asked} == {"int8"}


def test_no_recipe_is_tried_twice_and_they_are_few():
    network = Network()
    found = network.search(weight_bytes=3000)
    assert len(network.asked) == len(set(network.asked)) == len(found.trials)
    assert len(network.asked) < 40
    assert [trial.options for trial in found.trials] == network.asked


def test_equal_searches_find_the_same():
    first, second = (Network().search(max_loss=4.0) for _ in range(2))
    assert first == second


def test_a_bound_of_bytes_that_int8_keeps():
    found = Network().search(weight_bytes=WEIGHTS)
    assert found.choice.options.weights == "int8"
    assert "the greatest SQNR of the recipes tried with at most 4,000 bytes" in found.reason


def test_a_bound_of_bytes_in_between_is_filled_with_the_layers_that_gain_most_a_byte():
    """The second layer gains most in all, but does not fit beside the first one."""
    assert Network().search(weight_bytes=2050).choice.options.sums == ("first",)
    assert Network().search(weight_bytes=2449).choice.options.sums == ("first",)
    found = Network().search(weight_bytes=2450)
    assert found.choice.options.sums == ("first", "second")
    assert found.choice.options.headroom == 1.5
    assert found.choice.weight_bytes == 2450


def test_a_bound_of_bytes_with_no_room_for_sums():
    found = Network().search(weight_bytes=2049)
    assert found.choice.options.weights == "shared16"
    assert not any(trial.options.sums for trial in found.trials)


def test_too_few_bytes():
    with pytest.raises(CapacityError, match=r"take 2,000 bytes at 4 bits .* only 1,999 are all"):
        Network().search(weight_bytes=1999)


@pytest.mark.parametrize(
    ("least", "weights", "sums"),
    [
        (25.0, "shared16", ()),
        (26.0, "shared16", ("first",)),
        (30.0, "shared16", ("first", "second")),
        (34.5, "shared16", ("first", "second", "third")),
        (36.0, "int8", ()),
    ],
)
def test_a_bound_of_quality_takes_the_fewest_bytes_that_keep_it(least, weights, sums):
    found = Network().search(min_sqnr_db=least)
    assert (found.choice.options.weights, found.choice.options.sums) == (weights, sums)
    assert found.choice.quality.sqnr_db >= least
    assert f"an SQNR of at least {least:g} dB" in found.reason
    fewer = [t for t in found.trials if t.weight_bytes < found.choice.weight_bytes]
    assert all(trial.quality.sqnr_db < least for trial in fewer)


def test_int8_is_improved_only_if_it_must_be():
    assert Network().search(min_sqnr_db=43.0).choice.options.headroom == 1.5
    base = QuantizerOptions(rounding="nearest")
    assert Network().search(base, min_sqnr_db=44.0).choice.options.rounding == "compensated"


def test_bounds_that_exclude_each_other():
    with pytest.raises(CapacityError) as caught:
        Network().search(min_sqnr_db=40.0, weight_bytes=2500)
    text = str(caught.value)
    assert text.startswith("no recipe that was tried keeps at most 2,500 bytes of weights and an ")
    assert "the nearest, shared16 weights of 2,450 bytes, has" in text
    assert text.endswith("relax a bound, or give more calibration samples")


def test_a_quality_that_nothing_reaches():
    with pytest.raises(CapacityError, match=r"an SQNR of at least 50 dB; the nearest, int8"):
        Network().search(min_sqnr_db=50.0)


def test_a_network_that_is_quantized_already():
    found = Network(exact=("int8",)).search(min_sqnr_db=20.0)
    assert found.choice.options.weights == "int8"
    with pytest.raises(CapacityError, match="no recipe that was tried keeps at most 3,000 bytes"):
        Network(exact=("int8",)).search(weight_bytes=3000)


def test_a_network_that_is_trained_with_4_bits():
    found = Network(exact=("int8", "int4")).search(weight_bytes=3000)
    assert (found.choice.options.weights, found.choice.options.sums) == ("int4", ())


def test_gains_are_against_the_best_other_value():
    found = Network().search(weight_bytes=2450)
    gains = {gain.name: (gain.value, gain.other, round(gain.gain_db, 6)) for gain in found.gains}
    assert gains["rounding"] == ("compensated", "nearest", 2.0)
    assert gains["equalization"] == (False, True, 0.7)
    assert gains["headroom"][0::2] == (1.5, 0.5)
    assert gains["scales"][::2] == ("mse", 1.0)
    assert gains["bias correction"] == (True, False, 0.0)
    assert [gain.gain_db for gain in found.gains] == sorted(
        (gain.gain_db for gain in found.gains), reverse=True
    )


def test_words():
    base = QuantizerOptions()
    assert difference(base, base) == "int8"
    other = replace(base, weights="shared16", sums=("a", "b"), headroom=2.0, range_fill=False)
    assert difference(other, base) == "shared16, sums in 2 layers, headroom 2, no range filling"
    assert difference(replace(other, sums=("a",)), other) == "shared16, sums in 1 layer"
    assert described("scales", "kl") == "scales kl"
    assert described("equalization", True) == "equalization"


def test_record_has_no_time_in_it():
    trial = Network()(QuantizerOptions())
    record = as_record(replace(trial, seconds=3.0))
    assert record == as_record(trial)
    assert record["weight_bytes"] == WEIGHTS
    assert record["options"]["weights"] == "int8"
    assert record["loss"] == 100.0 - record["agreement"]


@pytest.mark.parametrize(
    ("least", "wide"),
    [
        (44.0, ()),
        (46.0, ("first",)),
        (51.0, ("first", "second")),
        (53.5, ("first", "second", "third")),
    ],
)
def test_layers_get_16_bits_where_nothing_else_keeps_the_bound(least, wide):
    """In the order of what a byte is worth, and no more of them than needed."""
    network = Network(widenable=True)
    found = network.search(min_sqnr_db=least)
    assert found.choice.options.weights == "int8"
    assert found.choice.options.wide == wide
    assert found.choice.weight_bytes == WEIGHTS + sum(LAYERS[name] for name in wide)
    if not wide:
        assert not any(options.wide for options in network.asked)


def test_layers_of_16_bits_keep_a_bound_of_bytes_too():
    network = Network(widenable=True)
    assert network.search(min_sqnr_db=51.0, weight_bytes=4900).choice.weight_bytes == 4900
    with pytest.raises(
        CapacityError, match=r"nearest, int8 weights \(1 layer of 16 bits\) of 4,100"
    ):
        Network(widenable=True).search(min_sqnr_db=51.0, weight_bytes=4899)


@pytest.mark.parametrize(
    ("widenable", "least", "weight_bytes", "wide", "outputs"),
    [
        (False, 46.0, None, (), ("second",)),
        (False, 57.0, None, (), ("first", "second")),
        (True, 53.5, None, ("first", "second", "third"), ()),
        (True, 58.0, None, (), ("first", "second")),
        (True, 65.0, None, tuple(WIDENABLE), ("second",)),
        (True, 69.0, None, tuple(WIDENABLE), ("first", "second")),
        (True, 55.0, WEIGHTS + 100, (), ("second",)),
    ],
)
def test_outputs_of_16_bits_where_such_weights_do_not_do(
    widenable, least, weight_bytes, wide, outputs
):
    """Weights alone, outputs alone, then both; no more outputs than needed."""
    network = Network(widenable=widenable, wide_outputs=("first", "second"))
    found = network.search(min_sqnr_db=least, weight_bytes=weight_bytes)
    assert found.choice.options.wide == wide
    assert found.choice.options.wide_activations == outputs
    assert found.choice.weight_bytes == WEIGHTS + sum(WIDENABLE[name] for name in wide)


def test_a_bound_that_outputs_of_16_bits_do_not_keep_either():
    network = Network(widenable=True, wide_outputs=("first", "second"))
    with pytest.raises(
        CapacityError,
        match=r"\(4 layers of 16 bits\) and outputs of 16 bits in 2 layers of 8,000 bytes",
    ):
        network.search(min_sqnr_db=90.0)


def test_a_bound_that_16_bits_everywhere_do_not_keep():
    with pytest.raises(CapacityError, match=r"int8 weights \(4 layers of 16 bits\) of 8,000 bytes"):
        Network(widenable=True).search(min_sqnr_db=90.0)


def test_a_network_that_is_quantized_already_gets_no_16_bits():
    with pytest.raises(CapacityError, match="the nearest, int8 weights of 4,000 bytes"):
        Network(exact=("int8",), widenable=True).search(min_sqnr_db=90.0)


def test_layers_of_16_bits_in_words():
    options = QuantizerOptions(wide=("a", "b"), headroom=2.0)
    assert difference(options, QuantizerOptions()) == "int8, 16 bits in 2 layers, headroom 2"
    outputs = replace(options, wide_activations=("a",))
    assert difference(outputs, QuantizerOptions(headroom=2.0)) == (
        "int8, 16 bits in 2 layers, outputs of 16 bits in 1 layer"
    )
