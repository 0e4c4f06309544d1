import numpy as np
import pytest

from shiftwork.bench_quality import (
    Measure,
    Outputs,
    accuracy,
    agreement,
    outputs,
    score_error,
    scores,
    sqnr_db,
)
from shiftwork.quant.graph import Conv, Graph, Layout
from shiftwork.quant.quantizer import quantize


def test_a_measure_keeps_its_bounds():
    assert Measure(name="a", value=20.0, unit="dB", least=20.0).met
    assert not Measure(name="a", value=19.9, unit="dB", least=20.0).met
    assert Measure(name="a", value=-3.0, unit="points", most=0.5).met
    assert not Measure(name="a", value=0.6, unit="points", most=0.5).met
    assert Measure(name="a", value=0.6, unit="%").met


def test_a_measure_in_words():
    assert Measure(name="SQNR", value=24.814, unit="dB", least=20).text == (
        "SQNR 24.81 dB (at least 20)"
    )
    assert Measure(name="accuracy", value=90.0, unit="%").text == "accuracy 90.00 %"


def test_the_signal_to_noise_ratio():
    real = np.array([[3.0, 4.0]])
    assert sqnr_db(Outputs(real, 1.1 * real)) == pytest.approx(20.0)
    assert np.isfinite(sqnr_db(Outputs(real, real)))


def test_answers_are_compared_by_their_greatest_output():
    found = Outputs(np.eye(4), np.roll(np.eye(4), 1, axis=1) * [[1], [1], [1], [0]] + 0.1)
    assert agreement(found) == 0.0
    assert agreement(Outputs(found.real, found.real * 3)) == 100.0
    assert accuracy(found.real, np.array([0, 1, 0, 0])) == 50.0


def test_scores_are_means_over_the_windows_of_a_file():
    x = np.zeros((4, 2))
    reconstruction = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 0.0], [0.0, 2.0]])
    assert scores(reconstruction, x, groups=2).tolist() == [5.0, 2.0]
    found = Outputs(reconstruction, reconstruction * np.sqrt([[1.0], [1.0], [1.1], [1.1]]))
    assert score_error(found, x, groups=2) == pytest.approx(10.0)


def test_both_forms_of_a_network_answer_in_real_numbers():
    rng = np.random.default_rng(0)
    graph = Graph(
        name="dense",
        input="x",
        output="y",
        shapes={"x": (1, 1, 6), "y": (1, 1, 3)},
        nodes=(
            Conv(
                name="fc",
                input="x",
                output="y",
                weights=rng.normal(size=(3, 1, 1, 6)).astype(np.float32),
                bias=np.zeros(3, np.float32),
            ),
        ),
        input_layout=Layout.identity((6,)),
        output_layout=Layout.identity((3,)),
    )
    x = rng.normal(size=(50, 6)).astype(np.float32)
    found = outputs(graph, quantize(graph, x), x)
    assert found.real.shape == found.integer.shape == (50, 3)
    assert sqnr_db(found) > 30
    assert found[:10].real.shape == (10, 3)
