import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftwork.errors import DataError
from shiftwork.quant import FixedPoint
from shiftwork.quant.scales import choose_exponent, to_integers

MODES = ("nearest", "convergent", "half_away", "floor", "ceiling", "zero")
REALS = st.floats(allow_nan=False, allow_infinity=False)


def exact_whole(steps: Fraction, mode: str) -> int:
    """``steps`` rounded to a whole number, by the definitions."""
    below = math.floor(steps)
    nearest = {
        "nearest": math.floor(steps + Fraction(1, 2)),
        "convergent": round(steps),
        "half_away": (1 if steps >= 0 else -1) * math.floor(abs(steps) + Fraction(1, 2)),
        "floor": below,
        "ceiling": math.ceil(steps),
        "zero": math.trunc(steps),
    }
    return nearest[mode]


def exact(value: float, kind: FixedPoint) -> int:
    """What ``value`` becomes, in rational numbers."""
    steps = (Fraction(value) - Fraction(kind.bias)) * Fraction(2) ** kind.exponent
    whole = exact_whole(steps, kind.rounding)
    if kind.overflow == "saturate":
        return min(max(whole, kind.lo), kind.hi)
    return (whole - kind.lo) % (1 << kind.bits) + kind.lo


@st.composite
def kinds(draw, **fixed):
    options = {
        "bits": st.integers(2, 16),
        "exponent": st.integers(-30, 30) | st.integers(-1000, 1000),
        "signed": st.booleans(),
        "bias": st.just(0.0) | st.floats(-1e3, 1e3) | REALS,
        "rounding": st.sampled_from(MODES),
        "overflow": st.just("saturate"),
    }
    return FixedPoint(**{k: fixed[k] if k in fixed else draw(v) for k, v in options.items()})


@st.composite
def kinds_and_values(draw):
    """Values near the type's steps and halves of steps, where rounding is decided, and others."""
    kind = draw(kinds())
    step = draw(st.integers(2 * kind.lo - 2, 2 * kind.hi + 2)) / 2
    value = float(np.ldexp(step, -kind.exponent) + kind.bias)
    with np.errstate(over="ignore"):
        near = [value, np.nextafter(value, np.inf), np.nextafter(value, -np.inf)]
    value = draw(st.sampled_from(near))
    return kind, draw(st.just(float(value)) | REALS)


@given(kinds_and_values())
def test_rounds_and_saturates_as_rational_numbers_do(case):
    kind, value = case
    if math.isfinite(value):
        assert kind.to_stored(value) == exact(value, kind)


@given(kinds_and_values())
def test_wraps_as_rational_numbers_do(case):
    kind, value = case
    kind = FixedPoint(**(vars(kind) | {"overflow": "wrap"}))
    if not math.isfinite(value):
        return
    steps = abs((Fraction(value) - Fraction(kind.bias)) * Fraction(2) ** kind.exponent)
    if steps < 2**51:
        assert kind.to_stored(value) == exact(value, kind)
    elif steps > 2**53:
        with pytest.raises(DataError, match=r"within 2\*\*52 steps"):
            kind.to_stored(value)


@given(kinds(bias=0.0))
def test_every_stored_integer_is_its_real_number(kind):
    stored = np.unique(np.linspace(kind.lo, kind.hi, 50).astype(int))
    real = kind.to_real(stored)
    assert [Fraction(v) for v in real] == [
        q * Fraction(2) ** -kind.exponent for q in stored.tolist()
    ]
    assert (kind.to_stored(real) == stored).all()
    for q in stored.tolist():
        pattern = kind.bit_pattern(q)
        assert len(pattern) == kind.bits
        assert kind.from_bit_pattern(pattern) == q


@given(st.data())
def test_conversion_is_exact_arithmetic_on_integers(data):
    bias = data.draw(st.sampled_from([0.0, 0.1, -7.25]))
    source, target = data.draw(kinds(bias=bias)), data.draw(kinds(bias=bias))
    q = data.draw(st.integers(source.lo, source.hi))
    steps = q * Fraction(2) ** (target.exponent - source.exponent)
    whole = exact_whole(steps, target.rounding)
    assert source.convert(q, target) == min(max(whole, target.lo), target.hi)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    st.integers(2, 16),
    st.booleans(),
    st.sampled_from(MODES),
)
def test_best_precision_is_the_finest_without_overflow(values, bits, signed, mode):
    if not signed:
        values = np.abs(values)
    kind = FixedPoint.best_precision(values, bits=bits, signed=signed, rounding=mode)
    assert not kind.overflows(values).any()
    finer = FixedPoint(**(vars(kind) | {"exponent": min(kind.exponent + 1, 1000)}))
    assert finer.overflows(values).any() or not np.any(values) or kind.exponent == 1000


def test_0_0269_in_8_bits():
    kind = FixedPoint.best_precision(0.0269, bits=8)
    assert (kind.exponent, int(kind.to_stored(0.0269))) == (12, 110)
    assert kind.bit_pattern(110) == "01101110"
    assert str(kind) == "signed 8 bit, q * 2**-12"


def test_agrees_with_the_quantizer():
    values = np.random.default_rng(1).normal(size=5000)
    kind = FixedPoint.best_precision(values)
    assert kind.exponent == choose_exponent(values, -128, 127, "max")
    expected = to_integers(values, kind.exponent, -128, 127)
    np.testing.assert_array_equal(kind.to_stored(values), expected)


def test_just_below_a_half_is_rounded_down():
    assert FixedPoint().to_stored(np.nextafter(0.5, 0)) == 0


def test_vectorized():
    values = np.random.default_rng(2).normal(size=(3, 4, 5)) * 3
    kind = FixedPoint(bits=6, exponent=3, bias=0.3, rounding="half_away")
    stored = kind.to_stored(values)
    assert (stored.shape, stored.dtype) == (values.shape, np.int32)
    np.testing.assert_array_equal(stored.reshape(-1), [exact(v, kind) for v in values.reshape(-1)])
    assert (np.abs(kind.error(values)[~kind.overflows(values)]) <= kind.resolution / 2).all()


def test_infinities_saturate():
    kind = FixedPoint(bits=4, exponent=1, bias=2.0)
    assert kind.to_stored([np.inf, -np.inf]).tolist() == [7, -8]


def test_nothing_to_scale():
    assert FixedPoint.best_precision([]).exponent == 0
    assert FixedPoint.best_precision(np.full(3, 1.5), bias=1.5).exponent == 0
    assert FixedPoint.best_precision(5e-324).exponent == 1000


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FixedPoint(bits=1), r"bits must be in 2\.\.16, not 1"),
        (lambda: FixedPoint(bits=17), r"bits must be in 2\.\.16, not 17"),
        (lambda: FixedPoint(exponent=1001), r"exponent must be in -1000\.\.1000, not 1001"),
        (lambda: FixedPoint(bias=math.nan), "bias must be finite, not nan"),
        (lambda: FixedPoint(rounding="up"), "rounding must be one of nearest, .*, not 'up'"),
        (lambda: FixedPoint(overflow="trap"), "overflow must be one of saturate, wrap, not 'trap'"),
        (lambda: FixedPoint().to_stored([1.0, math.nan]), "values must be numbers, but 1 are NaN"),
        (lambda: FixedPoint().to_real(128), r"must lie in -128\.\.127, not 128\.\.128"),
        (lambda: FixedPoint().to_real(1.0), "must be integers, not float64"),
        (lambda: FixedPoint().from_bit_pattern("0101"), "must be 8 digits 0 or 1, not '0101'"),
        (lambda: FixedPoint.best_precision([math.inf]), "must be finite, but 1 are not"),
        (
            lambda: FixedPoint.best_precision([-1.0], signed=False),
            "values of an unsigned type must be at least its bias 0, not -1; use a signed one",
        ),
        (lambda: FixedPoint.best_precision(1e307), "values must be below"),
    ],
)
def test_errors(make, text):
    with pytest.raises(DataError, match=text):
        make()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_every_eighth_of_a_step(mode, bias, overflow):
    kind = FixedPoint(bits=5, exponent=-2, bias=bias, rounding=mode, overflow=overflow)
    values = np.arange(-160, 161) / 2
    assert kind.to_stored(values).tolist() == [exact(value, kind) for value in values]
