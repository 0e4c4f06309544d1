import numpy as np
import pytest

from shiftwork.quant import scales


@pytest.mark.parametrize(
    ("values", "lo", "hi", "expected"),
    [
        ([1.0], -128, 127, 6),
        ([127.49], -128, 127, 0),
        ([127.5], -128, 127, -1),
        ([-128.5], -128, 127, 0),
        ([-128.51], -128, 127, -1),
        ([255.4], 0, 255, 0),
        ([255.5], 0, 255, -1),
        ([0.0], -128, 127, 0),
        ([1e-30], -128, 127, 106),
        ([1e30], -128, 127, -93),
        ([1e-45], -128, 127, 156),
    ],
)
def test_largest_exponent_saturates_nothing_and_the_next_one_does(values, lo, hi, expected):
    values = np.array(values)
    exponent = scales.largest_exponent(values, lo, hi)
    assert exponent == expected
    for step, fits in ((0, True), (1, not values.any())):
        rounded = scales.to_integers(values, exponent + step, -np.inf, np.inf)
        assert ((rounded >= lo) & (rounded <= hi)).all() == fits


def test_rounding_is_half_up():
    assert scales.to_integers(np.array([-1.5, -0.5, 0.5, 1.5]), 0, -9, 9).tolist() == [-1, 0, 1, 2]
    assert scales.half_up(-np.inf) == -np.inf


def test_mse_saturates_an_outlier_and_max_does_not():
    values = np.random.default_rng(0).normal(size=10_000)
    values[0] = 8.1
    assert scales.choose_exponent(values, -128, 127, "max") == 3
    assert scales.choose_exponent(values, -128, 127, "mse") == 4


@pytest.mark.parametrize("seed", range(10))
def test_mse_is_the_least_of_its_candidates(seed):
    values = np.random.default_rng(seed).standard_t(3, size=500)
    first = scales.choose_exponent(values, -128, 127, "max")
    errors = [scales.squared_error(values, first + step, -128, 127) for step in range(3)]
    chosen = scales.choose_exponent(values, -128, 127, "mse")
    assert chosen - first == np.argmin(errors)


def test_the_extremes_of_a_large_tensor_are_never_thinned_out(monkeypatch):
    monkeypatch.setattr(scales, "MAX_STATISTICS", 10)
    values = np.full(1000, 0.01)
    values[777] = 50.0
    assert scales.choose_exponent(values, -128, 127, "max") == 1


def test_headroom_is_left_above_the_values():
    values = np.linspace(0, 1, 1000)
    assert scales.choose_exponent(values, 0, 255, "max", 1.9) == 7
    assert scales.choose_exponent(values, 0, 255, "max", 2.1) == 6


def test_rows_of_zeros_take_the_finest_exponent():
    rows = np.array([[1.0, 0.5], [0.0, 0.0], [0.01, -0.02]])
    assert scales.row_peaks(rows).tolist() == [6, 12, 12]
    assert scales.row_peaks(np.zeros((2, 3))).tolist() == [0, 0]


def test_thresholds_cut_off_what_is_rare():
    rng = np.random.default_rng(8)
    values = np.append(rng.normal(size=100_000), [50.0, -60.0])
    exponents = {
        method: scales.choose_exponent(values, -128, 127, method)
        for method in ("max", "percentile", "kl")
    }
    assert exponents["max"] == 1
    for method in ("percentile", "kl"):
        # 99.99 % lie within 3.9 standard deviations; a step of 2**-4 reaches 7.9, 2**-5 3.98.
        assert exponents[method] in (4, 5)
    assert exponents["percentile"] == 5


def test_a_threshold_has_headroom_too():
    values = np.random.default_rng(8).normal(size=1000)
    for method in ("percentile", "kl"):
        plain = scales.choose_exponent(values, -128, 127, method)
        assert scales.choose_exponent(values, -128, 127, method, headroom=2.0) == plain - 1


@pytest.mark.parametrize("method", ["percentile", "kl"])
def test_thresholds_of_nothing_but_zeros(method):
    assert scales.choose_exponent(np.zeros(4), -128, 127, method) == 0


def test_a_threshold_is_never_coarser_than_the_maximum():
    assert scales.reaching(1.0, 7, -128, 127) == 7  # -1.0 fits where +1.0 does not
    assert scales.reaching(0.0, 7, -128, 127) == 7
    assert scales.reaching(1e-9, 7, -128, 127) == 7 + scales.FINER_STEPS
    assert scales.reaching(1.0, 7, 0, 255) == 7
