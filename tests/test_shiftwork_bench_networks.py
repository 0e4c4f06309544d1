import numpy as np
import pytest

from shiftwork.bench_data import Data
from shiftwork.bench_networks import NETWORKS, PUBLISHED, ROWS, Published
from shiftwork.bench_quality import Outputs
from shiftwork.boards.registry import find

KEYS = {network.key for network in NETWORKS}


def data(count, *, y=None, parts=None):
    x = np.zeros((count, 4), np.float32)
    return Data(
        calibration=x, x=x, y=y, calibrated_on="a", measured_on="b", parts=parts or (count,)
    )


def measures(key, found, samples):
    (network,) = [network for network in NETWORKS if network.key == key]
    return {measure.name: measure for measure in network.measures(found, samples)}


def test_rows_and_publications_are_of_known_networks_and_boards():
    assert {row.network for row in ROWS} == KEYS
    assert {item.network for item in PUBLISHED} == KEYS
    assert all(find(row.board).name == row.board for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_fixed_shape_has_the_elements_of_its_row():
    for row in ROWS:
        assert row.shape is None or row.shape[0] * row.shape[1] == row.elements


def test_every_publication_has_a_source_and_a_time():
    assert all(item.source for item in PUBLISHED)
    assert all((item.latency_ms is None) != (item.cycles is None) for item in PUBLISHED)
    item = Published(network="a", tool="b", device="c", latency_ms=0.5, clock_mhz=1.0, source="d")
    assert item.time == "0.5 ms"
    assert "about 25 million cycles" in {item.time for item in PUBLISHED}


def test_classes_are_measured_by_accuracy_and_agreement():
    y = np.array([0, 1, 2, 3])
    integer = np.eye(4)
    integer[3] = [1, 0, 0, 0]
    for key in ("kws", "ic"):
        found = measures(key, Outputs(np.eye(4), integer), data(4, y=y))
        assert found["accuracy float"].value == 100.0
        assert found["accuracy int8"].value == found["agreement"].value == 75.0
        assert found["loss"].value == 25.0
        assert not found["loss"].met


def test_wake_words_are_measured_by_noise_and_agreement():
    real = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = measures("vww", Outputs(real, real * [[1.1], [-9.0]]), data(2, parts=(1, 1)))
    assert found["SQNR"].value == pytest.approx(20.0)
    assert found["agreement"].value == 50.0


def test_anomalies_are_measured_by_noise_and_score():
    real = np.ones((4, 4))
    found = measures("ad", Outputs(real, real * 1.01), data(4, parts=(2, 2)))
    assert found["SQNR"].value == pytest.approx(40.0)
    assert found["score error"].value == pytest.approx(2.01)
    assert not found["score error"].met
