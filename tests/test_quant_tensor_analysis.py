import numpy as np
import pytest

from shiftwork.errors import DataError
from shiftwork.quant.scales import choose_exponent, squared_error, to_integers
from shiftwork.quant.tensor_analysis import (
    AnalysisOptions,
    TensorAnalyzer,
    analyze_tensor,
    squared_errors,
)
from shiftwork.quant.value_statistics import chunks


def analyze(values, *, kind="weights", **options):
    x = np.asarray(values, np.float32)
    analyzer = TensorAnalyzer(
        name="t", kind=kind, shape=x.shape, options=AnalysisOptions(**options)
    )
    return analyze_tensor(analyzer, list(chunks(x)))


@pytest.fixture
def heavy_tailed():
    return np.random.default_rng(5).standard_t(3, size=(40, 5000)).astype(np.float32)


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_every_scale_is_measured_exactly(heavy_tailed, bits):
    tensor = analyze(heavy_tailed, bits=bits)
    x = heavy_tailed.astype(np.float64).reshape(-1)
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    assert (tensor.lo, tensor.hi, tensor.count) == (lo, hi, x.size)
    for scale in tensor.scales:
        whole = to_integers(x, scale.exponent, -np.inf, np.inf)
        error = np.abs(np.ldexp(np.clip(whole, lo, hi), -scale.exponent) - x)
        steps = np.ldexp(np.abs(x), scale.exponent)
        assert scale.out_of_range == ((whole < lo) | (whole > hi)).mean()
        assert scale.below_precision == ((steps < 0.5) & (x != 0)).mean()
        assert scale.largest_error == pytest.approx(error.max(), rel=1e-5)
        noise = squared_error(x, scale.exponent, lo, hi)
        assert scale.sqnr_db == pytest.approx(10 * np.log10((x @ x) / noise), abs=1e-3)
        assert sum(n for _, n in scale.errors) <= x.size
        binades = dict(scale.errors)
        top = max(binades)
        assert binades[top] == pytest.approx((error >= 2.0**top).sum(), abs=2)


def test_scales_are_those_that_the_quantizer_chooses(heavy_tailed):
    tensor = analyze(heavy_tailed)
    x = heavy_tailed.astype(np.float64)
    assert tensor.recommended["max"].exponent == choose_exponent(x, -128, 127, "max")
    errors = {e: squared_error(x, e, -128, 127) for e in range(-10, 20)}
    assert tensor.recommended["mse"].exponent == min(errors, key=errors.get)
    for method in ("percentile", "kl"):
        assert tensor.recommended[method].exponent == choose_exponent(x, -128, 127, method)
    assert tensor.recommended["max"].threshold == pytest.approx(np.abs(x).max())


def test_percentile_holds_its_share(heavy_tailed):
    tensor = analyze(heavy_tailed, percentile=99.0)
    chosen = tensor.scale(tensor.recommended["percentile"].exponent)
    finer = tensor.scale(chosen.exponent + 1)
    assert chosen.out_of_range <= 0.01 < finer.out_of_range
    threshold = np.quantile(np.abs(heavy_tailed), 0.99)
    assert tensor.recommended["percentile"].threshold == pytest.approx(threshold, rel=1e-3)


def test_what_is_never_negative_is_unsigned_but_for_weights():
    x = np.abs(np.random.default_rng(6).normal(size=500))
    assert (analyze(x, kind="activation").lo, analyze(x).lo) == (0, -128)
    assert analyze(x, kind="activation").hi == 255


def test_symmetry():
    x = np.random.default_rng(6).uniform(-1, 1, size=2000)
    assert analyze(x).symmetric
    assert analyze(x).zero_point_bits == pytest.approx(0, abs=0.01)
    skewed = analyze(np.append(x, 3.0))
    assert not skewed.symmetric
    assert skewed.zero_point_bits == pytest.approx(np.log2(6 / 4), abs=0.01)
    assert analyze(np.abs(x)).zero_point_bits == 1.0


def test_counts():
    tensor = analyze([[0.0, 0.0, -1.5], [2.0, 2.0, 0.25]])
    assert (tensor.zeros, tensor.negatives, tensor.unique) == (2 / 6, 1 / 6, 4)
    assert tensor.binades == ((-2, 1), (0, 1), (1, 2))
    assert (tensor.least, tensor.greatest, tensor.mean) == (-1.5, 2.0, 2.75 / 6)


def test_exact_scales_have_no_noise():
    tensor = analyze(np.arange(-128, 128))
    chosen = tensor.scale(tensor.recommended["mse"].exponent)
    assert (chosen.exponent, chosen.sqnr_db, chosen.errors) == (0, None, ())


def test_nothing_but_zeros():
    tensor = analyze(np.zeros(5))
    assert {found.exponent for found in tensor.recommended.values()} == {0}
    assert [scale.sqnr_db for scale in tensor.scales] == [None]


@pytest.mark.parametrize("peak", [1e-37, 3e38])
def test_the_ends_of_float32(peak):
    tensor = analyze(np.linspace(-peak, peak, 100))
    assert tensor.scale(tensor.recommended["mse"].exponent).sqnr_db > 40


def test_a_threshold_of_zero_cuts_off_nothing():
    x = np.zeros(100_000)
    x[0] = 1.0
    tensor = analyze(x, kind="activation")
    chosen = tensor.recommended["percentile"]
    assert (chosen.threshold, chosen.exponent) == (0.0, tensor.recommended["max"].exponent)


def test_impossible_options():
    with pytest.raises(DataError, match=r"bits must be in 2\.\.16, not 17"):
        AnalysisOptions(bits=17)
    with pytest.raises(DataError, match=r"percentile must be in 50\.\.100, not 101"):
        AnalysisOptions(percentile=101)


def test_squared_errors_of_a_histogram_are_those_of_the_values():
    x = np.random.default_rng(4).normal(size=500)
    found = squared_errors(x, np.full(500, 2), range(3, 8), -128, 127)
    expected = [2 * squared_error(x, exponent, -128, 127) for exponent in range(3, 8)]
    np.testing.assert_allclose(found, expected)
