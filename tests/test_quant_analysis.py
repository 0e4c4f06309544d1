import subprocess
import sys
import time

import numpy as np
import pytest
from onnx import TensorProto, helper

from shiftwork.errors import DataError, ModelError
from shiftwork.quant import float_executor
from shiftwork.quant.analysis import AnalysisOptions, analyze
from shiftwork.quant.canonical import canonical
from shiftwork.quant.importer import load

BUDGET_S, BUDGET_BYTES = 60, 2 << 30
MEASURED = """
import re, sys, time
from pathlib import Path
from shiftwork import __main__
assert __main__.run(sys.argv[1:]) == 0
kibibytes = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(int(kibibytes) * 1024, time.process_time())
"""


@pytest.fixture
def model(write_onnx):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "d"], ["y"], name="dense"),
    ]
    constants = {"w": (3, 2, 3, 3), "b": (3,), "s": (3,), "m": (3,), "d": (12, 5)}
    return write_onnx(nodes, [1, 2, 4, 4], constants | {"v": np.ones(3, np.float32)})


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(size=(20, 2, 4, 4)).astype(np.float32)


def test_weights_are_those_that_the_quantizer_sees(model):
    found = analyze(model)
    assert (found.as_stored, found.samples) == (None, 0)
    graph = canonical(load(model))
    assert [tensor.shape for tensor in found.tensors] == [n.weights.shape for n in graph.nodes[::3]]
    assert {tensor.kind for tensor in found.tensors} == {"weights"}
    assert found.tensors[0].greatest == graph.nodes[0].weights.max()


def test_activations_are_those_of_the_float_network(model, samples):
    found = analyze(model, samples, AnalysisOptions(bits=6))
    graph = canonical(load(model))
    values = float_executor.trace(graph, graph.input_layout.to_nhwc(samples, (4, 4, 2)))
    by_kind = {
        kind: [t for t in found.tensors if t.kind == kind] for kind in ("input", "activation")
    }
    (source,), (hidden, output) = by_kind.values()
    assert source.count == samples.size
    assert (source.least, source.greatest) == (samples.min(), samples.max())
    relu = values[graph.nodes[1].output]
    assert (hidden.least, hidden.greatest) == (0.0, relu.max())
    assert (hidden.lo, hidden.hi, output.lo, output.hi) == (0, 63, -32, 31)
    assert hidden.zeros == (relu == 0).mean()
    assert output.rms == pytest.approx(np.sqrt(np.square(values[graph.output]).mean()), rel=1e-5)
    assert found.samples == 20


def test_batches_make_no_difference(model, samples, monkeypatch):
    whole = analyze(model, samples)
    monkeypatch.setattr("shiftwork.quant.analysis.BATCH_ELEMENTS", 300)
    parts = analyze(model, samples)
    for first, second in zip(whole.tensors, parts.tensors, strict=True):
        assert first.recommended == second.recommended
        assert first.binades == second.binades
        assert [s.out_of_range for s in first.scales] == [s.out_of_range for s in second.scales]


def test_progress_ends_at_the_whole(model, samples):
    told = []
    analyze(model, samples, advance=lambda *what: told.append(what))
    done = [count for _, count, _ in told]
    assert done == sorted(done)
    assert {total for _, _, total in told} == {done[-1]}
    assert {what for what, _, _ in told} >= {"conv", "dense", "x"}


def test_a_network_that_is_not_imported_is_analyzed_as_stored(write_onnx, samples):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Sin", ["c"], ["y"], name="wave"),
    ]
    path = write_onnx(nodes, [1, 2, 4, 4], {"w": (3, 2, 3, 3)})
    found = analyze(path)
    assert "node 'wave' (Sin)" in found.as_stored
    assert [(tensor.name, tensor.shape) for tensor in found.tensors] == [("conv", (3, 2, 3, 3))]
    with pytest.raises(ModelError, match="node 'wave'"):
        analyze(path, samples)


def test_errors(tmp_path, model, samples):
    with pytest.raises(ModelError, match="no such file"):
        analyze(tmp_path / "none.onnx")
    (tmp_path / "text.tflite").write_bytes(b"hello")
    with pytest.raises(ModelError, match=r"text\.tflite"):
        analyze(tmp_path / "text.tflite")
    with pytest.raises(DataError, match="calibration data: samples must have the shape"):
        analyze(model, samples[:, :1])


def vgg16(path, *, external):
    """VGG-16's shapes with random weights: 138 million parameters."""
    rng = np.random.default_rng(1)
    shapes, width = dict[str, tuple[int, ...]](), 3
    for index, channels in enumerate([64] * 2 + [128] * 2 + [256] * 3 + [512] * 6):
        shapes[f"conv{index}"] = (channels, width, 3, 3)
        width = channels
    shapes |= {"fc0": (4096, 25088), "fc1": (4096, 4096), "fc2": (1000, 4096)}
    nodes, constants, value = [], [], "x"
    with path.with_suffix(".bin").open("wb") as data:
        for name, shape in shapes.items():
            if len(shape) == 4:
                node = helper.make_node("Conv", [value, name], [f"{name}_y"], pads=[1] * 4)
            else:
                node = helper.make_node("Gemm", [value, name], [f"{name}_y"], transB=1)
            node.name, value = name, f"{name}_y"
            weights = rng.standard_normal(shape, dtype=np.float32)
            weights *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            if external:
                tensor.data_location = TensorProto.EXTERNAL
                place = {"location": data.name, "offset": data.tell(), "length": weights.nbytes}
                place["location"] = path.with_suffix(".bin").name
                for key, entry in place.items():
                    tensor.external_data.add(key=key, value=str(entry))
                data.write(weights)
            else:
                tensor.raw_data = weights.tobytes()
            nodes.append(node)
            constants.append(tensor)
    nodes[-1].output[0] = "y"
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "vgg16", [source], [target], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.heavy
@pytest.mark.parametrize("external", [False, True], ids=["inside", "beside"])
def test_138_million_parameters(tmp_path, external):
    path = tmp_path / "vgg16.onnx"
    count = vgg16(path, external=external)
    assert count == 138_344_128
    folder, start = tmp_path / "out", time.monotonic()
    command = [sys.executable, "-c", MEASURED, "analyze", str(path), "-o", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    peak, processor = map(float, done.stdout.splitlines()[-1].split())
    seconds = time.monotonic() - start
    print(f"{seconds:.1f} s, {processor:.1f} s of CPU, {peak / 2**20:.0f} MiB at most")
    assert processor < BUDGET_S
    assert peak < BUDGET_BYTES + 4 * count
    assert (folder / "report.html").stat().st_size < 4 << 20
