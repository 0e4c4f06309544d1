from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Op, Tensor
from shiftwork.sim import golden, layer_image
from shiftwork.sim.example_programs import ProgramBuilder, random_inputs, small_cnn
from shiftwork.sim.layer_image import (
    LayerImage,
    expected_frames,
    layer_images,
    stored_bytes,
    stream_bytes,
    stream_values,
    written_tensors,
)

SIGNED = Tensor(name="s", shape=(1, 2, 1))
UNSIGNED = Tensor(name="u", shape=(1, 2, 1), lo=0, hi=255, signed=False)
WIDE = Tensor(name="w", shape=(1, 2, 1), lo=-(1 << 31), hi=(1 << 31) - 1, bits=32)

SIXTEEN = Tensor(name="h", shape=(1, 2, 1), lo=-300, hi=300, bits=16)


def values(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32).reshape(1, 1, 2, 1)


@pytest.mark.parametrize(
    ("tensor", "numbers", "stored"),
    [
        (SIGNED, (-128, 5), [0x80, 0x05]),
        (UNSIGNED, (0, 200), [0x80, 0x48]),
        (WIDE, (-2, 0x01020304), [0xFE, 0x04, 0xFF, 0x03, 0xFF, 0x02, 0xFF, 0x01]),
        (SIXTEEN, (-2, 0x0102), [0x7E, 0x82, 0xFF, 0x01]),
    ],
    ids=["signed", "unsigned", "accumulators", "16 bits"],
)
def test_stored_bytes(tensor: Tensor, numbers: tuple[int, int], stored: list[int]) -> None:
    assert stored_bytes(tensor, values(*numbers)).tolist() == [stored]


@pytest.mark.parametrize(
    ("tensor", "numbers", "sent"),
    [
        (SIGNED, (-128, 5), [0x80, 0x05]),
        (UNSIGNED, (0, 200), [0, 200]),
        (WIDE, (-2, 0x01020304), [0xFE, 0xFF, 0xFF, 0xFF, 0x04, 0x03, 0x02, 0x01]),
    ],
    ids=["signed", "unsigned", "accumulators"],
)
def test_stream_bytes_and_back(tensor: Tensor, numbers: tuple[int, int], sent: list[int]) -> None:
    data = stream_bytes(tensor, values(*numbers))
    assert data.tolist() == [sent]
    np.testing.assert_array_equal(stream_values(tensor, data), values(*numbers))


def test_a_byte_is_located_by_element_and_plane() -> None:
    tensor = Tensor(name="a", shape=(2, 3, 4), bits=32, lo=-(1 << 31), hi=(1 << 31) - 1)
    image = LayerImage(index=0, name="a", tensor=tensor, base=0, first_channel=0, channels=4)
    assert image.locate(2 * 24 + 1 * 12 + 2 * 4 + 3) == ((1, 2, 3), 2)


def hardware_layer(program: Program, op: Op, first: int = 0, end: int | None = None) -> Any:
    """What a schedule says of ``op``, or of a pass over its channels ``first`` to ``end``."""
    count = program.tensor(op.output).shape[2] if end is None else end
    return SimpleNamespace(
        name=op.name, output=op.output, first_channel=first, channels=count - first
    )


def hardware_layers(program: Program) -> tuple[LayerImage, ...]:
    ops = [op for op in program.ops if type(op).__name__ != "Reshape"]
    return layer_images(program, [hardware_layer(program, op) for op in ops])


def passes(accumulators: bool) -> tuple[Program, tuple[LayerImage, ...]]:
    """A layer of 4 channels, then one of 7 in passes over 3, 3 and 1 of them."""
    builder = ProgramBuilder("passes", (2, 3, 2), np.random.default_rng(0)).conv(4, (1, 1))
    program = builder.conv(7, (1, 1), accumulators=accumulators).build()
    first, second = program.ops
    parts = [hardware_layer(program, second, *ends) for ends in ((0, 3), (3, 6), (6, 7))]
    return program, layer_images(program, [hardware_layer(program, first), *parts])


@pytest.mark.parametrize("accumulators", [False, True])
def test_every_byte_of_an_output_belongs_to_one_of_its_passes(accumulators: bool) -> None:
    program, images = passes(accumulators)
    size = 2 * 3 * 4 + 2 * 3 * 7 * (4 if accumulators else 1)
    owned = [i.base + byte for i in images for byte in range(-9, i.reach + 9) if i.owns(byte)]
    assert sorted(owned) == list(range(size))
    assert sum(image.bytes for image in images) == size
    assert [sum(map(image.owns, range(image.reach))) for image in images] == [
        image.bytes for image in images
    ]
    assert [tensor.name for tensor in written_tensors(images)] == [op.output for op in program.ops]
    (frames,) = expected_frames(program, images, random_inputs(program, np.random.default_rng(1)))
    assert frames.images.shape[1] == size


def test_a_byte_of_a_pass_is_located_in_the_whole_tensor() -> None:
    _, images = passes(accumulators=True)
    plane, line, pixel = 2 * 3 * 7, 3 * 7, 7
    assert images[2].locate(2 * plane + line + 2 * pixel + 1) == ((1, 2, 3 + 1), 2)
    assert images[3].locate(0) == ((0, 0, 6), 0)


def test_frames_hold_all_layers_in_hardware_order() -> None:
    program = small_cnn()
    images = hardware_layers(program)
    q = random_inputs(program, np.random.default_rng(0), 3)
    (frames,) = expected_frames(program, images, q)
    trace = golden.trace(program, q)
    assert frames.images.shape == (3, sum(image.tensor.bytes for image in images))
    for image in images:
        part = frames.images[:, image.base : image.base + image.tensor.bytes]
        np.testing.assert_array_equal(part, stored_bytes(image.tensor, trace[image.tensor.name]))


def test_frames_without_layers() -> None:
    program = small_cnn()
    q = random_inputs(program, np.random.default_rng(0), 3)
    (frames,) = expected_frames(program, (), q)
    (whole,) = expected_frames(program, hardware_layers(program), q)
    assert frames.images.shape == (3, 0)
    np.testing.assert_array_equal(frames.inputs, whole.inputs)
    np.testing.assert_array_equal(frames.outputs, whole.outputs)


def test_frames_come_in_pieces_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    program = small_cnn()
    q = random_inputs(program, np.random.default_rng(0), 5)
    (whole,) = expected_frames(program, hardware_layers(program), q)
    frame_bytes = sum(tensor.bytes for tensor in program.tensors)
    monkeypatch.setattr(layer_image, "CHUNK_BYTES", 2 * frame_bytes)
    parts = list(expected_frames(program, hardware_layers(program), q))
    assert [len(part.images) for part in parts] == [2, 2, 1]
    for name in ("inputs", "images", "outputs"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
