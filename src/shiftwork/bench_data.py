"""Inputs of the MLPerf Tiny networks, from a folder of files."""

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftwork.errors import DataError
from shiftwork.quant.array_file import ArrayFileError, read_arrays
from shiftwork.quant.calibration import MAX_BYTES

KWS_CALIBRATION = 100
VWW_CALIBRATION = 300
VWW_SIZE = 96
AD_FRAMES = 5
AD_STEP, AD_ZERO = 0.39101523, 89
"""The grid that the spectrograms of ``ad6.npz`` are stored on."""

KWS_FILE = "data/kws/kws_dev.npz"
CIFAR_TRAIN = "data/cifar10/cifar10_train500.npz"
CIFAR_DEV = "data/cifar10/cifar10_dev.npz"
VWW_GOLDEN = "data/mlperf_tiny_golden/vww4.npz"
AD_FILE = "data/mlperf_tiny_golden/ad6.npz"


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """Samples of one network, in its source model's units.

    Attributes:
        calibration: ``[N, ...]``, for the quantizer alone.
        x: ``[N, ...]``, what is measured on.
        y: class numbers of ``x``, or None.
        calibrated_on, measured_on: the two in words.
        parts: number of samples of each kind or file in ``x``, in order.
    """

    calibration: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.int64] | None = None
    calibrated_on: str
    measured_on: str
    parts: tuple[int, ...]


def keyword_spotting(files: Path) -> Data:
    """The first inputs for calibration, all others to measure."""
    arrays = _read(files / KWS_FILE, "x", "y")
    x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    rest = len(x) - KWS_CALIBRATION
    if rest < 1:
        raise DataError(f"{files / KWS_FILE} needs more than {KWS_CALIBRATION} inputs")
    return Data(
        calibration=x[:KWS_CALIBRATION],
        x=x[KWS_CALIBRATION:],
        y=y[KWS_CALIBRATION:],
        calibrated_on=f"inputs 0 to {KWS_CALIBRATION - 1} of kws_dev",
        measured_on=f"the other {rest} inputs of kws_dev",
        parts=(rest,),
    )


def image_classification(files: Path) -> Data:
    """CIFAR-10: training images for calibration, test images to measure."""
    train, dev = _read(files / CIFAR_TRAIN, "x"), _read(files / CIFAR_DEV, "x", "y")
    return Data(
        calibration=train["x"].astype(np.float32),
        x=dev["x"].astype(np.float32),
        y=dev["y"].astype(np.int64),
        calibrated_on=f"{len(train['x'])} training images of CIFAR-10",
        measured_on=f"{len(dev['x'])} test images of CIFAR-10",
        parts=(len(dev["x"]),),
    )


def visual_wake_words(files: Path) -> Data:
    """The golden images, then CIFAR-10's test images enlarged; training images calibrate."""
    reference = _read(files / VWW_GOLDEN, "x")["x"].astype(np.float32) + 128.0
    train = _read(files / CIFAR_TRAIN, "x")["x"][:VWW_CALIBRATION]
    dev = _read(files / CIFAR_DEV, "x")["x"]
    return Data(
        calibration=(enlarged(train) / 255.0).astype(np.float32),
        x=(np.concatenate([reference, enlarged(dev)]) / 255.0).astype(np.float32),
        calibrated_on=f"{len(train)} training images of CIFAR-10, enlarged to 96 x 96",
        measured_on=f"SQNR on the {len(reference)} golden images; agreement on them and on "
        f"{len(dev)} test images of CIFAR-10, enlarged to 96 x 96",
        parts=(len(reference), len(dev)),
    )


def anomaly_detection(files: Path) -> Data:
    """All windows of the golden spectrograms; one more, normal spectrogram calibrates."""
    arrays = _read(files / AD_FILE, "x", "extra_normal_float32")
    spectrograms = (arrays["x"].astype(np.float32) - AD_ZERO) * np.float32(AD_STEP)
    groups = [windows(spectrogram) for spectrogram in spectrograms]
    normal = arrays["extra_normal_float32"].astype(np.float32)
    calibration = windows(normal)
    return Data(
        calibration=calibration,
        x=np.concatenate(groups),
        calibrated_on=f"{len(calibration)} windows of one more normal spectrogram",
        measured_on=f"all {sum(map(len, groups))} windows of {len(groups)} spectrograms",
        parts=tuple(len(group) for group in groups),
    )


def handwritten_digits(files: Path, name: str) -> Data:
    """MNIST: the bundled training images for calibration, the test images ``name`` to measure."""
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        training = _read(examples / "mnist_calibration.npz", "x")["x"]
    test = _read(files / name, "x", "y")
    pixels, images = (x[:, None].astype(np.float32) for x in (training, test["x"]))
    return Data(
        calibration=pixels,
        x=images,
        y=test["y"].astype(np.int64),
        calibrated_on=f"{len(pixels)} training images of MNIST",
        measured_on=f"{len(images)} test images of MNIST",
        parts=(len(images),),
    )


def windows(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every run of 5 frames of ``spectrogram[frames, mels]`` in a row: ``[N, 5 * mels]``."""
    count = len(spectrogram) - AD_FRAMES + 1
    return np.stack([spectrogram[i : i + AD_FRAMES].reshape(-1) for i in range(count)])


def enlarged(images: NDArray[np.uint8], size: int = VWW_SIZE) -> NDArray[np.float32]:
    """``images[N, H, W, C]`` at ``size`` x ``size`` pixels, bilinear, in whole steps of 0..255."""
    rows, columns = (_interpolation(n, size) for n in images.shape[1:3])
    tall = np.einsum("rh,nhwc->nrwc", rows, images.astype(np.float32), optimize=True)
    return np.rint(np.einsum("sw,nrwc->nrsc", columns, tall, optimize=True)).astype(np.float32)


def _interpolation(before: int, after: int) -> NDArray[np.float32]:
    """The matrix ``[after, before]`` of linear interpolation between the pixels' centres."""
    place = (np.arange(after) + 0.5) * before / after - 0.5
    place = np.clip(place, 0, before - 1)
    distance = np.abs(place[:, None] - np.arange(before))
    return np.maximum(1.0 - distance, 0.0).astype(np.float32)


def _read(path: Path, *names: str) -> dict[str, NDArray]:
    try:
        arrays = read_arrays(path, limit=MAX_BYTES, single="x")
        return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (ArrayFileError, OSError, KeyError) as error:
        raise DataError(f"{path} must hold the arrays {', '.join(names)} ({error})") from error
