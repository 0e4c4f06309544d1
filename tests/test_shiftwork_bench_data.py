import numpy as np
import pytest

from shiftwork import bench_data
from shiftwork.errors import DataError


@pytest.fixture
def files(tmp_path):
    """Small stand-ins for all inputs."""
    rng = np.random.default_rng(0)

    def images(count, size):
        return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)

    def save(name, **arrays):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)

    mfcc = rng.normal(size=(103, 49, 10, 1)).astype(np.float32)
    save(bench_data.KWS_FILE, x=mfcc, y=np.arange(103, dtype=np.uint8) % 12)
    save(bench_data.CIFAR_TRAIN, x=images(5, 32), y=np.zeros(5, np.uint8))
    save(bench_data.CIFAR_DEV, x=images(7, 32), y=np.arange(7, dtype=np.uint8))
    save(bench_data.VWW_GOLDEN, x=(images(2, 96).astype(np.int16) - 128).astype(np.int8))
    save(
        bench_data.AD_FILE,
        x=rng.integers(-100, 100, (3, 9, 128), dtype=np.int8),
        extra_normal_float32=rng.normal(size=(8, 128)).astype(np.float32),
    )
    return tmp_path


def test_calibration_and_measurement_share_no_keyword(files):
    data = bench_data.keyword_spotting(files)
    assert (len(data.calibration), len(data.x), data.parts) == (100, 3, (3,))
    assert data.y is not None and data.y.tolist() == [4, 5, 6]
    with np.load(files / bench_data.KWS_FILE) as archive:
        np.testing.assert_array_equal(data.x, archive["x"][100:])


def test_images_keep_their_raw_pixels(files):
    data = bench_data.image_classification(files)
    assert (len(data.calibration), len(data.x)) == (5, 7)
    assert data.x.max() > 200
    assert data.measured_on == "7 test images of CIFAR-10"


def test_wake_words_see_golden_and_enlarged_images(files):
    data = bench_data.visual_wake_words(files)
    assert data.x.shape == (9, 96, 96, 3)
    assert data.parts == (2, 7)
    assert data.x.min() >= 0
    assert data.x.max() <= 1
    np.testing.assert_allclose(data.x * 255, np.rint(data.x * 255), atol=1e-4)
    assert data.calibration.shape == (5, 96, 96, 3)


def test_anomalies_are_windows_of_five_frames(files):
    data = bench_data.anomaly_detection(files)
    assert data.x.shape == (15, 640)
    assert data.parts == (5, 5, 5)
    with np.load(files / bench_data.AD_FILE) as archive:
        frames = (archive["x"][1, 2:7].astype(np.float64) - 89) * 0.39101523
    np.testing.assert_allclose(data.x[7], frames.reshape(-1), rtol=1e-5)
    assert len(data.calibration) == 4


def test_enlarging_is_linear_between_the_pixels_centres():
    ramp = np.tile(np.arange(4, dtype=np.uint8) * 30, (4, 1))[None, :, :, None]
    large = bench_data.enlarged(ramp, 12)
    assert large[0, 5, :, 0].tolist() == [0, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 90]
    assert (large == large[:, :1]).all()
    flat = np.full((1, 32, 32, 3), 77, np.uint8)
    assert (bench_data.enlarged(flat) == 77).all()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"kws_dev\.npz: no such file"):
        bench_data.keyword_spotting(tmp_path)


def test_a_missing_array_is_named(tmp_path):
    path = tmp_path / bench_data.KWS_FILE
    path.parent.mkdir(parents=True)
    np.savez(path, x=np.zeros((101, 2)))
    with pytest.raises(DataError, match="must hold the arrays x, y"):
        bench_data.keyword_spotting(tmp_path)


def test_too_few_keywords_are_refused(tmp_path):
    path = tmp_path / bench_data.KWS_FILE
    path.parent.mkdir(parents=True)
    np.savez(path, x=np.zeros((100, 49, 10, 1)), y=np.zeros(100))
    with pytest.raises(DataError, match="needs more than 100 inputs"):
        bench_data.keyword_spotting(tmp_path)


def test_the_reference_files_are_understood(shared):
    shapes = {
        bench_data.keyword_spotting: (400, 49, 10, 1),
        bench_data.image_classification: (500, 32, 32, 3),
        bench_data.visual_wake_words: (504, 96, 96, 3),
        bench_data.anomaly_detection: (6 * 196, 640),
    }
    for read, shape in shapes.items():
        data = read(shared)
        assert data.x.shape == shape
        assert data.calibration.shape[1:] == shape[1:]
        assert sum(data.parts) == len(data.x)
