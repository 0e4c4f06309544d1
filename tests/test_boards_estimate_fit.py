import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shiftwork.boards import estimate_fit
from shiftwork.boards.estimate import NS_PER_US
from shiftwork.boards.estimate_coefficients import COEFFICIENTS
from shiftwork.boards.estimate_fit import Measurement, calibrate, fit, fmax_error, lut_error, source

STORE = Path(__file__).parent / "vectors" / "estimates.json"
MEASURED = [Measurement.from_dict(d) for d in json.loads(STORE.read_text())["designs"]]


def test_the_fit_finds_what_made_the_values() -> None:
    rng = np.random.default_rng(0)
    truth = {"a": 2.0, "b": 0.0, "c": 7.5}
    rows = [{name: float(rng.uniform(1, 9)) for name in truth} for _ in range(20)]
    values = [sum(truth[name] * row[name] for name in truth) for row in rows]
    found = fit(rows, values, weights=[1.0] * 20, pull=0.0, prior={})
    assert found == pytest.approx(truth, abs=1e-6)


def test_no_coefficient_becomes_negative() -> None:
    rows = [{"a": float(i), "b": 1.0} for i in range(1, 6)]
    found = fit(rows, [10.0 - i for i in range(5)], weights=[1.0] * 5, pull=0.0, prior={})
    assert found["a"] == 0.0
    assert found["b"] == pytest.approx(8.0)


def test_without_measurements_that_tell_the_prior_stays() -> None:
    rows = [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}]
    found = fit(rows, [5.0, 10.0], weights=[1.0, 1.0], pull=0.01, prior={"a": 4.0, "b": 1.0})
    assert found == pytest.approx({"a": 4.0, "b": 1.0})


def test_the_published_coefficients_are_those_of_the_stored_designs() -> None:
    found = calibrate(MEASURED)
    scope: dict[str, dict[str, object]] = {}
    exec(source(found, MEASURED), scope)
    assert scope["COEFFICIENTS"] == COEFFICIENTS


def test_the_designs_for_checking_have_no_part_in_the_fit() -> None:
    changed = [
        replace(m, blocks={b: {n: 9 * v for n, v in c.items()} for b, c in m.blocks.items()})
        if m.check
        else m
        for m in MEASURED
    ]
    assert calibrate(changed) == calibrate(MEASURED)


def test_errors_are_relative_and_positive_for_too_much() -> None:
    coefficients, m = calibrate(MEASURED), MEASURED[0]
    halved = replace(m, cells={**m.cells, "lut": m.cells["lut"] // 2})
    assert lut_error(halved, coefficients) > 0.5
    assert fmax_error(replace(m, fmax_mhz=None), coefficients) is None
    slow = fmax_error(replace(m, fmax_mhz=1.0), coefficients)
    assert slow is not None and slow > 1


def test_without_routed_designs_the_clock_is_that_of_the_prior() -> None:
    found = calibrate([replace(m, fmax_mhz=None) for m in MEASURED])
    for family, coefficients in found.items():
        assert coefficients.period_ns == estimate_fit.PERIOD_PRIOR_NS[family]
        assert 0 < sum(coefficients.period_ns.values()) < NS_PER_US


def test_a_measurement_survives_its_record() -> None:
    for m in MEASURED:
        assert Measurement.from_dict(json.loads(json.dumps(m.as_dict()))) == m
