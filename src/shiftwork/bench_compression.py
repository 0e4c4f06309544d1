"""What weights of fewer bits cost and save: the networks of the benchmark and those bundled.

Quantized networks are kept in the output folder, so that a run that was interrupted goes on where
it stopped.
"""

import heapq
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from shiftwork.bench import require_files
from shiftwork.bench_data import Data, handwritten_digits
from shiftwork.bench_networks import NETWORKS, Network
from shiftwork.bench_quality import (
    Measure,
    Outputs,
    accuracy,
    agreement,
    outputs,
    score_error,
    sqnr_db,
)
from shiftwork.bench_routing import routed_report
from shiftwork.boards.accelerator import Accelerator
from shiftwork.boards.estimate import estimate
from shiftwork.boards.registry import find
from shiftwork.boards.resources import Contents
from shiftwork.errors import DataError, ShiftworkError
from shiftwork.quant import graph
from shiftwork.quant.importer import load
from shiftwork.quant.options import Weights
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.quantizer import quantize
from shiftwork.quant.search_bounds import stored_bytes
from shiftwork.workspace import (
    Progress,
    Workspace,
    code_digest,
    file_digest,
    silent,
    versions,
    write_text,
)

KINDS: tuple[Weights, ...] = get_args(Weights)
PROGRAM, QUALITY = "net.npz", "quality.json"
FLOAT_BYTES = 4
MNIST_FILE = "data/mnist/mnist_dev.npz"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network, and the accelerator that it is measured on.

    Attributes:
        network: its model is bundled if it names no folder.
        board: name of the board.
        elements: processing elements of the array, at most.
        shape: rows and columns of the array; None lets the tool choose.
        anomalies: the outputs are reconstructions, whose error is the score.
    """

    network: Network
    board: str
    elements: int
    shape: tuple[int, int] | None = None
    anomalies: bool = False


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is left of a network with weights of one kind.

    Attributes:
        accuracy_float, accuracy: percent; None without labels.
        agreement: percent of the samples whose greatest output is float's; None for anomalies.
        sqnr_db: of the outputs, on the inputs that the benchmark takes for it.
        score_error: percent, of the worst file's anomaly score; None for others.
        float_weights: number of weights of the float network.
    """

    accuracy_float: float | None
    accuracy: float | None
    agreement: float | None
    sqnr_db: float
    score_error: float | None
    float_weights: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """The weights of a program.

    Attributes:
        weights: how many there are.
        zeros: percent of them that are 0.
        values: how many different ones.
        stored_bytes: at 8 bits, or at 4 with a codebook.
        huffman_bytes: in a Huffman code of their own, without its table.
    """

    weights: int
    zeros: float
    values: int
    stored_bytes: int
    huffman_bytes: int


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The accelerator of a program.

    Attributes:
        rows, columns: of the array.
        cycles: of an inference.
        rom_bytes: of the weight ROMs, or what a column holds of weights that are copied.
        loaded: whether the weights come from a flash.
        block_rams: of the whole design.
        lut: estimated logic cells or lookup tables.
        fmax_mhz: estimated greatest clock frequency.
        routed_lut, routed_fmax_mhz: the same two of the placed and routed core; None where it was
            not asked for.
    """

    rows: int
    columns: int
    cycles: int
    rom_bytes: int
    loaded: bool
    block_rams: int
    lut: int
    fmax_mhz: float
    routed_lut: int | None = None
    routed_fmax_mhz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A network with weights of one kind.

    Attributes:
        hardware: None if there is none, for the reason ``problem``.
    """

    network: str
    title: str
    weights: Weights
    board: str
    measured_on: str
    quality: Quality
    size: Size
    hardware: Hardware | None
    problem: str | None = None


def _no_measures(found: Outputs, samples: Data) -> tuple[Measure, ...]:
    del found, samples
    return ()


def subjects() -> tuple[Subject, ...]:
    """The networks of the benchmark, and those bundled."""
    by_key = {network.key: network for network in NETWORKS}
    return (
        Subject(network=by_key["kws"], board="icebreaker", elements=16),
        Subject(network=by_key["ic"], board="ulx3s-85f", elements=64),
        Subject(network=by_key["vww"], board="ulx3s-85f", elements=64),
        Subject(
            network=by_key["ad"], board="ulx3s-85f", elements=64, shape=(1, 64), anomalies=True
        ),
        *(
            Subject(
                network=Network(
                    key=key,
                    title=title,
                    model=f"{key.replace('-', '_')}.onnx",
                    inputs=(MNIST_FILE,),
                    data=partial(handwritten_digits, name=MNIST_FILE),
                    measures=_no_measures,
                ),
                board=board,
                elements=16,
            )
            for key, title, board in (
                ("mnist-mlp", "handwritten digits (784-100-10)", "ulx3s-85f"),
                ("mnist-cnn", "handwritten digits (two convolutions)", "icebreaker"),
            )
        ),
    )


def run(
    files: Path,
    folder: Path,
    *,
    chosen: Sequence[Subject],
    kinds: Sequence[Weights] = KINDS,
    seeds: int = 0,
    progress: Progress = silent,
) -> tuple[Result, ...]:
    """Quantizes every network to every kind of weights, measures it and plans its accelerator.

    Args:
        files: folder of models and inputs.
        folder: for all results.
        chosen: networks.
        kinds: of weights.
        seeds: starts of the placer, the best of which counts; 0 leaves it at the estimate.
        progress: is told what happens.

    Raises:
        DataError: if a file is missing or damaged.
        OutputError: if the folder cannot be written.
    """
    require_files(files, [name for subject in chosen for name in _files(subject)])
    with Workspace(folder, progress=progress) as workspace:
        return tuple(
            _result(workspace, subject, kind, files, seeds) for subject in chosen for kind in kinds
        )


def select(names: str | None, known: Sequence[Subject]) -> tuple[Subject, ...]:
    """The networks of a list of keys, divided by commas; all of them without a list.

    Raises:
        DataError: if a key is unknown.
    """
    by_key = {subject.network.key: subject for subject in known}
    keys = [name.strip() for name in names.split(",")] if names else list(by_key)
    for key in keys:
        if key not in by_key:
            raise DataError(f"unknown network '{key}'; there are {', '.join(by_key)}")
    return tuple(by_key[key] for key in dict.fromkeys(keys))


def _bundled(subject: Subject) -> bool:
    return "/" not in subject.network.model


def _files(subject: Subject) -> tuple[str, ...]:
    """What the folder of the files has to hold."""
    return subject.network.inputs if _bundled(subject) else subject.network.files


def _result(
    workspace: Workspace, subject: Subject, kind: Weights, files: Path, seeds: int
) -> Result:
    network = subject.network
    with importlib.resources.as_file(importlib.resources.files("shiftwork.examples")) as examples:
        model = (examples if _bundled(subject) else files) / network.model
        samples = network.data(files)
        inputs = {
            "code": code_digest(),
            "versions": versions(),
            "files": [file_digest(path) for path in (model, *(files / n for n in network.inputs))],
        }
        made = workspace.step(
            f"quantize-{network.key}-{kind}",
            lambda path: _quantize(subject, kind, model, samples, path),
            inputs=inputs,
            title=f"{network.title}: {kind} weights",
        )
    program = Program.load(made / PROGRAM)
    quality = json.loads((made / QUALITY).read_text(encoding="utf-8"))
    hardware, problem = None, None
    try:
        accelerator = _accelerator(subject, program)
        hardware = _hardware(accelerator)
        if seeds:
            folder = workspace.folder / f"route-{network.key}-{kind}"
            report = routed_report(accelerator, folder, seeds=seeds, progress=workspace.progress)
            hardware = _with_routed(hardware, report)
    except ShiftworkError as error:
        problem = str(error)
    return Result(
        network=network.key,
        title=network.title,
        weights=kind,
        board=subject.board,
        measured_on=samples.measured_on,
        quality=Quality(**quality),
        size=size_of(program),
        hardware=hardware,
        problem=problem,
    )


def _quantize(subject: Subject, kind: Weights, model: Path, samples: Data, folder: Path) -> None:
    source, options = load(model), replace(subject.network.options, weights=kind)
    program = quantize(source, samples.calibration, options)
    found = outputs(source, program, samples.x)
    count = sum(node.weights.size for node in source.nodes if isinstance(node, graph.Conv))
    quality = _quality(subject, found, samples, count)
    program.save(folder / PROGRAM)
    write_text(folder / QUALITY, json.dumps(asdict(quality), indent=2) + "\n")


def _quality(subject: Subject, found: Outputs, samples: Data, float_weights: int) -> Quality:
    labels = samples.y
    named = {measure.name: measure.value for measure in subject.network.measures(found, samples)}
    error = score_error(found, samples.x, len(samples.parts)) if subject.anomalies else None
    return Quality(
        accuracy_float=None if labels is None else accuracy(found.real, labels),
        accuracy=None if labels is None else accuracy(found.integer, labels),
        agreement=None if subject.anomalies else agreement(found),
        sqnr_db=named.get("SQNR", sqnr_db(found)),
        score_error=error,
        float_weights=float_weights,
    )


def size_of(program: Program) -> Size:
    """The weights of a program, counted."""
    convs = [op for op in program.ops if isinstance(op, Conv)]
    weights = np.concatenate([part.reshape(-1) for op in convs for part in op.products])
    counts = np.unique(weights, return_counts=True)[1]
    return Size(
        weights=weights.size,
        zeros=float(100.0 * np.mean(weights == 0)),
        values=len(counts),
        stored_bytes=stored_bytes(program),
        huffman_bytes=-(-huffman_bits(counts) // 8),
    )


def huffman_bits(counts: NDArray[np.int64]) -> int:
    """Bits of a sequence in its Huffman code: the sum of the counts of all inner nodes."""
    heap = counts.tolist()
    heapq.heapify(heap)
    if len(heap) == 1:
        return int(heap[0])
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def _accelerator(subject: Subject, program: Program) -> Accelerator:
    board = replace(find(subject.board), max_elements=subject.elements)
    rows, columns = subject.shape or (None, None)
    return Accelerator(program, board=board, rows=rows, columns=columns)


def _hardware(accelerator: Accelerator) -> Hardware:
    schedule, config, board = accelerator.schedule, accelerator.config, accelerator.board
    assert board is not None
    found = estimate(config, board, contents=Contents.of(schedule.images, config))
    return Hardware(
        rows=config.shape.rows,
        columns=config.shape.columns,
        cycles=schedule.cycles,
        rom_bytes=schedule.weight_bytes,
        loaded=config.copies_weights,
        block_rams=found.bram,
        lut=found.lut,
        fmax_mhz=round(found.fmax_mhz, 1),
    )


def _with_routed(hardware: Hardware, report: Mapping[str, Any]) -> Hardware:
    return replace(
        hardware,
        routed_lut=report["lut"]["used"],
        routed_fmax_mhz=round(report["fmax_mhz"], 1),
    )
