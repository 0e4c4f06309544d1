"""Program files that are damaged, hostile or of another version, and programs nobody could run."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftwork.errors import OutputError, ProgramError
from shiftwork.quant import program_file
from shiftwork.quant.codebook import INT4
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv, Product, Residual, Tensor
from shiftwork.sim import golden
from shiftwork.sim.coded_programs import coded
from shiftwork.sim.example_programs import (
    dense_net,
    random_inputs,
    random_program,
    residual_net,
    small_cnn,
)
from shiftwork.sim.program_builder import ProgramBuilder


def tiny() -> Program:
    """As small as a program file gets."""
    return ProgramBuilder("tiny", (1, 1, 2), np.random.default_rng(1)).dense(2).build()


def parts(program: Program, path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The header and the arrays of a program's file."""
    program.save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return json.loads(arrays.pop("program").tobytes()), arrays


def write(path: Path, header: Any, arrays: dict[str, NDArray]) -> Path:
    """A file with any header."""
    text = header if isinstance(header, str) else json.dumps(header)
    np.savez(path, program=np.frombuffer(text.encode(), np.uint8), **arrays)
    return path


def test_every_changed_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    program, path = tiny(), tmp_path / "net.npz"
    program.save(path)
    content = path.read_bytes()
    refused = 0
    for position, byte in enumerate(content):
        for change in (0x01, 0x80, 0xFF):
            _poke(path, position, byte ^ change)
            try:
                loaded = Program.load(path)
            except ProgramError as error:
                refused += 1
                assert str(error).isprintable()
                assert "net.npz" in str(error)
            else:
                assert loaded.digest == program.digest
        _poke(path, position, byte)
    assert refused > 2 * len(content)


def _poke(path: Path, position: int, byte: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(position)
        stream.write(bytes([byte]))


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    tiny().save(path)
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(ProgramError, match="is not a program file, or is damaged"):
            Program.load(path)


@pytest.mark.parametrize("version", [None, 0, 1, 5, 99, "2", 2.5, [2], {}])
def test_other_versions_are_refused(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "net.npz"
    header, arrays = parts(tiny(), path)
    write(path, header | {"version": version}, arrays)
    with pytest.raises(ProgramError, match=r"net\.npz has the format version .*; this Shiftwork r"):
        Program.load(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path, trace = tmp_path / "net.npz", tmp_path / "trace"

    class Hostile:
        """Leaves a trace where it is unpickled."""

        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (trace,)

    np.savez(path, program=np.array([Hostile()], dtype=object))
    with pytest.raises(ProgramError, match=r"or is damaged \(it holds Python objects\)"):
        Program.load(path)
    np.array([Hostile()], dtype=object).dump(path)
    with pytest.raises(ProgramError, match="or is damaged"):
        Program.load(path)
    assert not trace.exists()


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.npz"
    header, arrays = parts(tiny(), path)
    bomb = np.zeros(1 << 20, np.uint8)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, program=text, bomb=bomb, **arrays)
    Program.load(path)
    monkeypatch.setattr(program_file, "MAX_BYTES", 1 << 20)
    with pytest.raises(ProgramError, match=r"its arrays have 10\d+ bytes; at most 1048576 are"):
        Program.load(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_nesting(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "net.npz", text, {})
    with pytest.raises(ProgramError, match="its header is nested too deeply"):
        Program.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["tensors"][0].update(lo=-127.5), "'lo' of a Tensor cannot be -127.5"),
        (lambda h: h["tensors"][0].update(shape=[1, 1, 2.0]), "'shape' of a Tensor cannot be"),
        (lambda h: h["tensors"][0].update(signed=1), "'signed' of a Tensor cannot be 1"),
        (lambda h: h["tensors"][0].update(gain=None), "'gain' of a Tensor cannot be None"),
        (lambda h: h["ops"][0].update(weights=[1]), "got multiple values|given twice|cannot be"),
        (lambda h: h["ops"][0].update(groups=True), "'groups' of a Conv cannot be True"),
        (
            lambda h: h["ops"][0].update(kind="Winograd"),
            "an op of the kind 'Winograd', which this Shiftwork does not know; it knows Conv",
        ),
        (lambda h: h.update(name=7), "'name' of a Program cannot be 7"),
        (lambda h: h.update(dropped="Softmax"), "'dropped' of a Program cannot be 'Softmax'"),
        (lambda h: h["layouts"].update(input=[1e400]), "cannot convert float infinity"),
        (
            lambda h: h["ops"][0].update(name="a\nb", groups=9),
            "op 'a b' has weights for 18",
        ),
    ],
)
def test_fields_of_another_type(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = tmp_path / "net.npz"
    header, arrays = parts(tiny(), path)
    change(header)
    with pytest.raises(ProgramError, match=message) as caught:
        Program.load(write(path, header, arrays))
    assert str(caught.value).isprintable()


def with_op(index: int, **changes: Any) -> Program:
    """The small CNN with one of its ops changed."""
    program = small_cnn()
    ops = list(program.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(program, ops=tuple(ops))


def with_tensor(index: int, **changes: Any) -> Program:
    """The small CNN with one of its tensors changed."""
    program = small_cnn()
    tensors = list(program.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(program, tensors=tuple(tensors))


LONG = tuple(range(144))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: with_op(0, stride=(0, 1)), r"op 'conv0': kernel, stride and dilation must be 1\."),
        (lambda: with_op(0, dilation=(1, -1)), r"not \(3, 3\), \(1, 1\), \(1, -1\) and \(1, 1"),
        (lambda: with_op(0, stride=(1 << 40, 1)), "must be 1..4194304 and padding at least 0"),
        (lambda: with_op(0, padding=(1, 1, -1, 1)), r"and \(1, 1, -1, 1\)"),
        (lambda: with_op(0, padding=(1 << 20, 0, 0, 1 << 20)), "at most 4194304 elements are sup"),
        (lambda: with_op(0, dilation=(8, 1)), "has a window of 17 elements over 'input', which ha"),
        (lambda: with_op(1, kernel=(13, 2)), "a window of 13 elements over 'conv0', which has 12"),
        (lambda: with_op(0, bias=np.full(6, 1 << 62)), "op 'conv0': biases must be -2814749767106"),
        (
            lambda: with_op(0, weights=np.zeros((6, 0, 3, 1), np.int8)),
            r"weights must be int8 or int16 \[O, .* none of them 0, not int8 \[6, 0, 3, 1\]",
        ),
        (lambda: with_tensor(0, gain=0.0), "tensor 'input': gains must be positive and finite"),
        (lambda: with_tensor(0, gain=float("nan")), "gains must be positive and finite"),
        (lambda: with_tensor(6, channel_gains=(1.0,) * 9 + (-1.0,)), "gains must be positive"),
        (
            lambda: with_tensor(0, exponent=10**9),
            "tensor 'input': exponents must be within -1000 and 1000, not 1000000000",
        ),
        (
            lambda: with_tensor(0, shape=(1 << 16, 1 << 16, 1)),
            r"of shape \(65536, 65536, 1\) has 4294967296 elements; at most 4194304 are supported",
        ),
        (
            lambda: replace(small_cnn(), input_layout=Layout((1, 12, 12), np.zeros(144, np.int64))),
            r"the input layout must name each of the 144 elements of 'input' once, in int64; its",
        ),
        (
            lambda: replace(small_cnn(), input_layout=Layout((1, 12), np.arange(144))),
            r"its shape is \(1, 12\)",
        ),
        (
            lambda: replace(small_cnn(), output_layout=Layout((10,), np.arange(10.0))),
            "the output layout must name each of the 10 elements",
        ),
    ],
)
def test_programs_that_nobody_could_run(change: Callable[[], Program], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        change()


def test_loaded_arrays_are_those_that_were_saved(tmp_path: Path) -> None:
    program = residual_net()
    program.save(tmp_path / "net.npz")
    loaded = Program.load(tmp_path / "net.npz")
    assert loaded.digest == program.digest
    for before, after in zip(program.ops, loaded.ops, strict=True):
        assert type(before) is type(after)
        if isinstance(before, Conv) and isinstance(after, Conv):
            np.testing.assert_array_equal(after.weights, before.weights, strict=True)
            assert len(after.terms) == len(before.terms)


def test_saving_at_once_in_two_places_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    (tmp_path / "net.npz.partial").write_text("of another process")
    small_cnn().save(path)
    assert Program.load(path).name == "small_cnn"
    assert (tmp_path / "net.npz.partial").read_text() == "of another process"


def test_the_size_of_a_tensor_is_exact() -> None:
    assert Tensor(name="x", shape=(1 << 31, 1 << 31, 2)).size == 1 << 63


def test_an_archive_without_a_header(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(ProgramError, match=r"damaged \(unknown entry 'program'\); 'shiftwork qu"):
        Program.load(tmp_path / "net.npz")


def test_a_codebook_is_kept_and_others_leave_no_trace(tmp_path: Path) -> None:
    program, path = residual_net(), tmp_path / "net.npz"
    few = coded(program, INT4)
    few.save(path)
    loaded = Program.load(path)
    assert (loaded.codebook, loaded.digest) == (INT4, few.digest)
    assert replace(few, codebook=None).digest != few.digest
    header, _ = parts(program, path)
    assert "codebook" not in header
    assert Program.load(path).codebook is None


@pytest.mark.parametrize(
    ("codebook", "message"),
    [
        ("int4", "damaged: .*codebook"),
        ([0, 1.5], "damaged: .*codebook"),
        ([0, True], "damaged: .*codebook"),
        ([[0]], "damaged: .*codebook"),
        ([0, 1, 1], "the codebook must hold at most 16 values in ascending order"),
        ([1, 2], "the codebook must hold 0"),
        ([0, 1], "has the weight .*, which is not in the codebook"),
    ],
)
def test_wrong_codebooks_are_refused(tmp_path: Path, codebook: Any, message: str) -> None:
    header, arrays = parts(tiny(), tmp_path / "net.npz")
    path = write(tmp_path / "net.npz", header | {"codebook": codebook}, arrays)
    with pytest.raises(ProgramError, match=message):
        Program.load(path)


def test_codebooks_without_what_residuals_and_averages_need() -> None:
    wanted = r"op '.*' adds a residual: the codebook must hold 1"
    with pytest.raises(ProgramError, match=wanted):
        coded(residual_net(), (-8, 0, 4))
    average = ProgramBuilder("average", (2, 2, 1)).average_pool((2, 2), (1, 1)).build()
    with pytest.raises(ProgramError, match="is an average: the codebook must hold a power of two"):
        replace(average, codebook=(0, 3))


def test_a_file_with_weights_of_16_bits_has_version_4(tmp_path: Path) -> None:
    """Those without keep their version; those with a shortcut alone count too."""
    dense = ProgramBuilder("wide", (1, 1, 2), np.random.default_rng(1)).dense(2, wide=True)
    shortcut = ProgramBuilder("short", (1, 1, 2)).dense(2).shortcut("input", wide=True)
    answer = ProgramBuilder("answer", (1, 1, 2)).dense(2, wide=True).top_score()
    for builder, version in ((dense, 4), (shortcut, 4), (answer, 4)):
        path, program = tmp_path / f"{builder.name}.npz", builder.build()
        header, _ = parts(program, path)
        assert header["version"] == version
        assert Program.load(path).digest == program.digest
    assert parts(tiny(), tmp_path / "tiny.npz")[0]["version"] == 2


@pytest.mark.parametrize("seed", range(30))
def test_a_saved_program_is_read_back_unchanged(tmp_path, seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    order = rng.permutation(program.tensors[0].size)
    program = replace(
        program,
        input_layout=Layout((program.tensors[0].size,), order),
        dropped=("Softmax",),
        info={"scales": "mse"},
    )
    program.save(tmp_path / "net.npz")
    loaded = Program.load(tmp_path / "net.npz")
    assert loaded.digest == program.digest
    assert loaded.tensors == program.tensors
    assert [type(op) for op in loaded.ops] == [type(op) for op in program.ops]
    assert (loaded.dropped, loaded.info) == (("Softmax",), {"scales": "mse"})
    q = random_inputs(program, rng)
    np.testing.assert_array_equal(golden.run(loaded, q), golden.run(program, q))


def test_the_same_program_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        small_cnn(seed=4).save(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.npz", "b.npz"))
    assert first == second
    small_cnn(seed=5).save(str(tmp_path / "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() != second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_folder_that_is_missing_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*net\.npz: No such file or directory"):
        small_cnn().save(tmp_path / "missing" / "net.npz")
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*net\.npz"):
        small_cnn().save(tmp_path / "net.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_a_missing_file(tmp_path):
    with pytest.raises(ProgramError, match=r"net\.npz: no such file"):
        Program.load(tmp_path / "net.npz")


@pytest.mark.parametrize("content", [b"", b"not a program", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_other_files(tmp_path, content):
    path = tmp_path / "net.npz"
    path.write_bytes(content)
    with pytest.raises(ProgramError, match=r"is not a program file, or is damaged .*'shiftwork q"):
        Program.load(path)


def test_a_folder_is_not_a_program(tmp_path):
    with pytest.raises(ProgramError, match="is not a program file, or is damaged"):
        Program.load(tmp_path)


def test_an_archive_of_samples_is_not_a_program(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(ProgramError, match="is not a program file, or is damaged"):
        Program.load(tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ProgramError, match="is not a program file, or is damaged"):
        Program.load(tmp_path / "x.npy")


def with_header(program, path, change):
    """Saves ``program`` at ``path`` with its header changed by ``change(header)``."""
    program.save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    header = json.loads(arrays["program"].tobytes())
    changed = change(header) or header
    arrays["program"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_future_format_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    with_header(small_cnn(), path, lambda header: header.update(version=99))
    with pytest.raises(ProgramError, match="has the format version 99; this Shiftwork reads 2"):
        Program.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("tensors"),
        lambda header: header["tensors"][0].pop("shape"),
        lambda header: header["tensors"][0].update(colour="red"),
        lambda header: header["ops"][0].update(kind="Winograd"),
        lambda header: header["ops"][0].update(stride=None),
        lambda header: header["ops"][0].update(kernel=[3, 3]),
        lambda header: header["ops"][0].update(padding=[1, 1]),
        lambda header: header["tensors"][0].update(lo="zero"),
        lambda header: header.update(layouts={}),
        lambda header: header.update(ops=7),
        lambda header: [header],
    ],
)
def test_a_header_with_other_fields_is_refused(tmp_path, change):
    path = tmp_path / "net.npz"

    def apply(header):
        result = change(header)
        return result if isinstance(result, list) else None

    with_header(small_cnn(), path, apply)
    with pytest.raises(ProgramError):
        Program.load(path)


def test_a_cut_or_altered_file_is_refused_or_read_alike(tmp_path):
    program, path = dense_net(), tmp_path / "net.npz"
    program.save(path)
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        altered = bytearray(content)
        altered[position] ^= 0xFF
        for damaged in (content[:position], bytes(altered)):
            path.write_bytes(damaged)
            try:
                loaded = Program.load(path)
            except ProgramError:
                continue
            assert loaded.digest == program.digest


def test_pickled_objects_are_not_loaded(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, program=np.array([{"version": 1}], dtype=object))
    with pytest.raises(ProgramError, match="is not a program file, or is damaged"):
        Program.load(path)


def test_an_array_of_another_type_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    small_cnn().save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["op0_weights"] = arrays["op0_weights"].astype(np.float32)
    np.savez(path, **arrays)
    with pytest.raises(ProgramError, match="op 'conv0': weights must be int8"):
        Program.load(path)


def test_files_hold_no_time_stamps(tmp_path):
    path = tmp_path / "net.npz"
    small_cnn().save(path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_terms_and_groups_survive_a_file(tmp_path, program_with_terms):
    program = program_with_terms
    program.save(tmp_path / "net.npz")
    loaded = Program.load(tmp_path / "net.npz")
    assert loaded.digest == program.digest
    assert isinstance(loaded.ops[2], Conv)
    assert [type(term) for term in loaded.ops[2].terms] == [Product, Residual]
