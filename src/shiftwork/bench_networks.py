"""The four MLPerf Tiny networks: their files, how they are measured, and what is published."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shiftwork import bench_data as data
from shiftwork.bench_data import Data
from shiftwork.bench_quality import (
    Measure,
    Outputs,
    accuracy,
    agreement,
    score_error,
    sqnr_db,
)
from shiftwork.quant.options import QuantizerOptions


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of the benchmark.

    Attributes:
        key: as given on the command line.
        title: in plain words.
        model, inputs: its files, relative to the folder of the files.
        data: reads the samples.
        measures: what is made of the outputs, with the bounds that they must keep.
        options: of the quantizer.
    """

    key: str
    title: str
    model: str
    inputs: tuple[str, ...]
    data: Callable[[Path], Data]
    measures: Callable[[Outputs, Data], tuple[Measure, ...]]
    options: QuantizerOptions = field(default_factory=QuantizerOptions)

    @property
    def files(self) -> tuple[str, ...]:
        """All files that the network needs."""
        return (self.model, *self.inputs)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network on a board: a row of the table.

    Attributes:
        network: its key.
        board: name of the board.
        elements: processing elements of the array, at most.
        cycles: of an inference, at most.
        fmax_mhz: the clock that must be reached.
        shape: rows and columns of the array; None lets the tool choose.
    """

    network: str
    board: str
    elements: int
    cycles: int
    fmax_mhz: float
    shape: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """A name for files and messages."""
        return f"{self.network}-{self.board}-{self.elements}"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A result that others have published.

    Attributes:
        network: its key.
        tool, device: what ran it, and on what.
        latency_ms: of an inference; None where cycles are given instead.
        cycles: of an inference, in millions.
        clock_mhz: of the device.
        multipliers: DSP blocks in use; None where there are none.
        source: where it is published.
    """

    network: str
    tool: str
    device: str
    latency_ms: float | None = None
    cycles: float | None = None
    clock_mhz: float
    multipliers: int | None = None
    source: str

    @property
    def time(self) -> str:
        """The latency, or the cycles, in words."""
        if self.latency_ms is None:
            return f"about {self.cycles:g} million cycles"
        return f"{self.latency_ms:g} ms"


def _classes(found: Outputs, samples: Data) -> tuple[Measure, ...]:
    assert samples.y is not None
    real, integer = (accuracy(answers, samples.y) for answers in (found.real, found.integer))
    return (
        Measure(name="accuracy float", value=real, unit="%"),
        Measure(name="accuracy int8", value=integer, unit="%"),
        Measure(name="loss", value=real - integer, unit="points", most=0.5),
        Measure(name="agreement", value=agreement(found), unit="%", least=98.5),
    )


def _wake_words(found: Outputs, samples: Data) -> tuple[Measure, ...]:
    reference = slice(0, samples.parts[0])
    return (
        Measure(name="SQNR", value=sqnr_db(found[reference]), unit="dB", least=20.0),
        Measure(name="agreement", value=agreement(found), unit="%", least=98.0),
    )


def _anomalies(found: Outputs, samples: Data) -> tuple[Measure, ...]:
    error = score_error(found, samples.x, len(samples.parts))
    return (
        Measure(name="SQNR", value=sqnr_db(found), unit="dB", least=35.0),
        Measure(name="score error", value=error, unit="%", most=2.0),
    )


NETWORKS = (
    Network(
        key="kws",
        title="keyword spotting (DS-CNN)",
        model="models/mlperf_tiny/kws_ref_model_float32.tflite",
        inputs=(data.KWS_FILE,),
        data=data.keyword_spotting,
        measures=_classes,
    ),
    Network(
        key="ic",
        title="image classification (ResNet-8)",
        model="models/mlperf_tiny/pretrainedResnet.tflite",
        inputs=(data.CIFAR_TRAIN, data.CIFAR_DEV),
        data=data.image_classification,
        measures=_classes,
    ),
    Network(
        key="vww",
        title="visual wake words (MobileNetV1 0.25)",
        model="models/mlperf_tiny/vww_96_float.tflite",
        inputs=(data.VWW_GOLDEN, data.CIFAR_TRAIN, data.CIFAR_DEV),
        data=data.visual_wake_words,
        measures=_wake_words,
    ),
    Network(
        key="ad",
        title="anomaly detection (autoencoder)",
        model="models/mlperf_tiny/ad01_fp32.tflite",
        inputs=(data.AD_FILE,),
        data=data.anomaly_detection,
        measures=_anomalies,
        # What is anomalous reaches much further than the normal samples that calibrate.
        options=QuantizerOptions(
            headroom=2.0,
            equalization=False,
            input_scale=data.AD_STEP,
            input_zero_point=data.AD_ZERO,
        ),
    ),
)

ROWS = (
    Row(network="kws", board="icebreaker", elements=16, cycles=200_000, fmax_mhz=40.0),
    Row(network="kws", board="ulx3s-85f", elements=64, cycles=50_000, fmax_mhz=100.0),
    Row(network="ic", board="ulx3s-85f", elements=64, cycles=225_000, fmax_mhz=100.0),
    Row(network="ic", board="ulx3s-85f", elements=128, cycles=125_000, fmax_mhz=90.0),
    Row(network="vww", board="icebreaker", elements=16, cycles=400_000, fmax_mhz=40.0),
    Row(network="vww", board="ulx3s-85f", elements=64, cycles=185_000, fmax_mhz=100.0),
    Row(network="ad", board="ulx3s-85f", elements=64, cycles=5_000, fmax_mhz=100.0, shape=(1, 64)),
)

FPGACONVNET = "MLPerf Tiny v1.1, closed division, submission of fpgaConvNet"
PLUMERAI = "MLPerf Tiny v1.1, closed division, submission of Plumerai"
CFU_PLAYGROUND = "CFU Playground, arXiv:2201.01863"
LUFFCA = "www.luffca.com/2022/05/cfu-playground-part2, updated 8/21/2022"
ZYNQ_7010, ZYNQ_7020 = "Zynq 7010 (ZyBo)", "Zynq 7020 (ZedBoard)"
CORTEX_M4 = "Cortex-M4 (STM32L4R5)"

PUBLISHED = (
    *(
        Published(
            network=network,
            tool="fpgaConvNet",
            device=device,
            latency_ms=latency_ms,
            clock_mhz=clock_mhz,
            multipliers=multipliers,
            source=FPGACONVNET,
        )
        for network, device, latency_ms, clock_mhz, multipliers in (
            ("kws", ZYNQ_7010, 2.15, 125.0, 60),
            ("kws", ZYNQ_7020, 0.324, 143.0, 188),
            ("ic", ZYNQ_7010, 3.15, 125.0, 78),
            ("ic", ZYNQ_7020, 0.411, 143.0, 211),
            ("vww", ZYNQ_7020, 9.49, 111.0, 189),
        )
    ),
    *(
        Published(
            network=network,
            tool="Plumerai",
            device=CORTEX_M4,
            latency_ms=latency_ms,
            clock_mhz=120.0,
            source=PLUMERAI,
        )
        for network, latency_ms in (("kws", 47.78), ("ic", 167.76), ("vww", 98.76), ("ad", 4.05))
    ),
    Published(
        network="kws",
        tool="CFU Playground",
        device="iCE40 UP5K (Fomu), soft CPU with an accelerator",
        cycles=25.0,
        clock_mhz=12.0,
        source=CFU_PLAYGROUND,
    ),
    Published(
        network="kws",
        tool="CFU Playground, multimodel_accel",
        device="Artix-7 35T (Arty), soft CPU with an accelerator",
        cycles=9.8,
        clock_mhz=100.0,
        source=LUFFCA,
    ),
)
