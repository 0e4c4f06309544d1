import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import OutputError, ProgramError
from shiftwork.quant.graph import Layout
from shiftwork.quant.program import (
    Conv,
    Product,
    Program,
    Reshape,
    Residual,
    Tensor,
    signed_bits,
)
from shiftwork.sim import golden
from shiftwork.sim.example_programs import dense_net, random_inputs, random_program, small_cnn
from shiftwork.sim.program_builder import ProgramBuilder


def changed_op(program, index, **changes):
    ops = list(program.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(program, ops=tuple(ops))


def changed_tensor(program, index, **changes):
    tensors = list(program.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(program, tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("lo", "hi", "bits"),
    [(0, 0, 1), (-1, 0, 1), (-128, 127, 8), (-129, 0, 9), (0, 128, 9), (-(1 << 31), 0, 32)],
)
def test_signed_bits(lo, hi, bits):
    assert signed_bits(lo, hi) == bits


@pytest.mark.parametrize("seed", range(20))
def test_accumulator_bits_are_enough_for_every_input_and_no_more(seed):
    rng = np.random.default_rng(seed)
    program = dense_net(seed)
    op = program.ops[0]
    lo, hi = op.accumulator_range(program.tensor("input"))
    weights = op.weights.reshape(12, -1).astype(np.int64)
    worst = np.where(weights > 0, 127, -128)
    np.testing.assert_array_equal((weights * worst).sum(axis=1) + op.bias, hi)
    acc = golden.accumulate(op, program.sources(op), [random_inputs(program, rng, 50)])
    assert (acc >= lo).all()
    assert (acc <= hi).all()
    bits = program.accumulator_bits(op)
    assert -(1 << (bits - 1)) <= lo.min()
    assert hi.max() < 1 << (bits - 1)
    assert lo.min() < -(1 << (bits - 2)) or hi.max() >= 1 << (bits - 2)


def test_weights_of_16_bits_count_whole():
    """Not digit by digit: 256 - 1 is no more than 255."""
    builder = ProgramBuilder("wide", (1, 1, 2), bounds=(-10, 20))
    builder.conv(2, (1, 1), weights=[255, -300, 32639, 0], bias=[0, 7], wide=True, shift=0)
    program = builder.build()
    (op,) = program.ops
    assert op.weights.dtype == np.int16
    assert op.wide
    lo, hi = op.accumulator_range(program.tensor("input"))
    assert lo.tolist() == [-10 * 255 - 20 * 300, -10 * 32639 + 7]
    assert hi.tolist() == [20 * 255 + 10 * 300, 20 * 32639 + 7]
    assert op.macs_per_output == 2


def test_tensor_rounds_half_up_and_clips():
    tensor = Tensor(name="t", shape=(1, 1, 1), exponent=1, zero_point=3)
    x = np.array([-0.75, -0.5, -0.25, 0.25, 1000.0, -1000.0])[:, None, None, None]
    q = tensor.quantize(x)
    assert q.ravel().tolist() == [2, 2, 3, 4, 127, -128]
    assert tensor.dequantize(q).ravel().tolist() == [-0.5, -0.5, 0.0, 0.5, 62.0, -65.5]


def test_channel_exponents_scale_each_channel():
    tensor = Tensor(name="t", shape=(1, 1, 2), bits=32, gain=0.5, channel_exponents=(0, 3))
    assert tensor.scales.tolist() == [0.5, 0.0625]
    assert tensor.bytes == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: changed_op(p, 0, weights=p.ops[0].weights.astype(np.int32)),
            r"op 'conv0': weights must be int8 or int16 \[O, kh, kw, I\]",
        ),
        (
            lambda p: changed_op(p, 0, weights=np.full((6, 3, 3, 1), 32640, np.int16)),
            r"op 'conv0': weights of 16 bits must be -32768\.\.32639, .* base 256, not 32640",
        ),
        (
            lambda p: changed_op(p, 0, weights=np.zeros((6, 3, 3, 2), np.int8)),
            "op 'conv0' has weights for 2 input channels, but 'input' has 1",
        ),
        (
            lambda p: changed_op(p, 0, bias=np.zeros(5, np.int64)),
            r"op 'conv0': bias must be int64 of shape \(6,\), not int64 \(5,\)",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.zeros(6, np.int32)),
            r"shift must be int64 of shape \(6,\), not int32 \(6,\)",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.array([0, 1, 2, 32, 4, 5])),
            r"op 'conv0': shifts must be 0\.\.31, not 0\.\.32",
        ),
        (
            lambda p: changed_op(p, 0, shift=np.full(6, -1)),
            r"op 'conv0': shifts must be 0\.\.31, not -1\.\.-1",
        ),
        (
            lambda p: changed_op(p, 0, bias=np.full(6, 1 << 33)),
            "op 'conv0' needs 35 accumulator bits; at most 32",
        ),
        (
            lambda p: changed_op(p, 0, stride=(2, 1)),
            r"op 'conv0' makes the shape \(6, 12, 6\), not \(12, 12, 6\)",
        ),
        (
            lambda p: changed_op(p, 0, lo=-1),
            r"op 'conv0' clips to -1\.\.255, outside of 'conv0' \(0\.\.255\)",
        ),
        (
            lambda p: changed_op(p, 0, pad_value=256),
            "op 'conv0': pad_value 256 does not fit 'input'",
        ),
        (
            lambda p: changed_op(p, 0, accumulators=True),
            "op 'conv0': only the last op may return its accumulators, in a 32-bit tensor",
        ),
        (
            lambda p: changed_op(p, 5, accumulators=False),
            "op 'conv5': only the last op may return its accumulators",
        ),
        (
            lambda p: changed_op(p, 1, stride=(1, 1)),
            r"op 'max_pool1' makes the shape \(11, 11, 6\), not \(6, 6, 6\)",
        ),
        (
            lambda p: changed_tensor(p, 2, hi=100),
            "op 'max_pool1' must keep the range of its input",
        ),
        (
            lambda p: changed_tensor(p, 5, shape=(1, 1, 80)),
            "op 'reshape4' must keep size and range of its input",
        ),
        (
            lambda p: changed_op(p, 1, input="nowhere"),
            "op 'max_pool1' names the tensor 'nowhere', which does not exist",
        ),
        (
            lambda p: changed_op(p, 1, input="conv2"),
            "op 'max_pool1' reads 'conv2' before it is written",
        ),
        (
            lambda p: replace(p, ops=(p.ops[0], *p.ops)),
            "op 'conv0' writes 'conv0' a second time",
        ),
        (
            lambda p: replace(p, ops=p.ops[:-1]),
            "the output 'conv5' is written by no op",
        ),
        (
            lambda p: replace(p, output="nowhere"),
            "the program names the tensor 'nowhere', which does not exist",
        ),
        (
            lambda p: changed_tensor(p, 1, name="input"),
            "tensor names must be unique",
        ),
        (
            lambda p: changed_tensor(p, 0, lo=-1),
            r"tensor 'input': its range must lie in 0\.\.255, not -1\.\.255",
        ),
        (
            lambda p: changed_tensor(p, 0, bits=16),
            "tensor 'input': bits must be 8, 32, or 16 with a sign, not 16",
        ),
        (
            lambda p: changed_tensor(p, 0, bits=16, signed=True),
            "tensor 'input' has 16 bits, which what streams in or out cannot have",
        ),
        (
            lambda p: changed_tensor(p, 1, bits=16, signed=True),
            "op 'max_pool1' reads 'conv0', which has 16 bits: a MaxPool compares bytes or acc",
        ),
        (
            lambda p: changed_tensor(p, 3, bits=16, signed=True, hi=32768),
            r"tensor 'conv2': its range must lie in -32768\.\.32767, not 0\.\.32768",
        ),
        (
            lambda p: changed_tensor(p, 0, shape=(12, 12)),
            r"tensor 'input': the shape \(12, 12\) is not \(H, W, C\)",
        ),
        (
            lambda p: changed_tensor(p, 6, channel_exponents=(1, 2)),
            "tensor 'conv5' needs one exponent for each channel",
        ),
    ],
)
def test_verify_says_what_is_wrong_and_where(change, message):
    with pytest.raises(ProgramError, match=message):
        change(small_cnn())


def test_nothing_reads_accumulators():
    program = small_cnn()
    raw = program.tensors[-1]
    extra = Reshape(name="more", input=raw.name, output="z")
    with pytest.raises(ProgramError, match="op 'conv5': only the last op may return"):
        replace(
            program,
            tensors=(*program.tensors, replace(raw, name="z")),
            ops=(*program.ops, extra),
            output="z",
        )


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


def test_digests_tell_programs_apart():
    program = small_cnn()
    weights = program.ops[0].weights.copy()
    weights[0, 0, 0, 0] ^= 1
    others = [
        changed_op(program, 0, weights=weights),
        changed_op(program, 0, lo=1),
        changed_tensor(program, 0, gain=0.5),
        replace(program, name="other"),
    ]
    assert len({program.digest, *(other.digest for other in others)}) == 5
    assert small_cnn().digest == program.digest


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


def with_terms():
    """A depthwise layer, and one with a shortcut's product and a residual."""
    rng = np.random.default_rng(5)
    weights = rng.integers(-128, 128, (4, 3, 3, 1)).astype(np.int8)
    zeros = np.zeros(4, np.int64)
    return Program(
        name="terms",
        tensors=(
            Tensor(name="x", shape=(6, 6, 4)),
            Tensor(name="d", shape=(6, 6, 4), lo=0, hi=255, signed=False),
            Tensor(name="y", shape=(3, 3, 4), lo=0, hi=100, signed=False),
            Tensor(name="z", shape=(3, 3, 4)),
        ),
        ops=(
            Conv(
                name="depthwise",
                input="x",
                output="d",
                weights=weights,
                bias=rng.integers(-500, 500, 4),
                shift=np.array([3, 4, 5, 6]),
                lo=0,
                hi=255,
                padding=(1, 1, 1, 1),
                groups=4,
            ),
            Conv(
                name="half",
                input="d",
                output="y",
                weights=rng.integers(-20, 20, (4, 2, 2, 4)).astype(np.int8),
                bias=zeros,
                shift=zeros + 6,
                lo=0,
                hi=100,
                stride=(2, 2),
            ),
            Conv(
                name="sum",
                input="y",
                output="z",
                weights=rng.integers(-20, 20, (4, 3, 3, 4)).astype(np.int8),
                bias=zeros,
                shift=zeros + 8,
                padding=(1, 1, 1, 1),
                terms=(
                    Product(
                        input="x",
                        weights=rng.integers(-99, 99, (4, 1, 1, 4)).astype(np.int8),
                        stride=(2, 2),
                    ),
                    Residual(input="y", shift=np.array([0, 1, 5, 8])),
                ),
            ),
        ),
        input="x",
        output="z",
        input_layout=Layout.identity((6, 6, 4)),
        output_layout=Layout.identity((3, 3, 4)),
    )


def test_terms_and_groups_survive_a_file(tmp_path):
    program = with_terms()
    program.save(tmp_path / "net.npz")
    loaded = Program.load(tmp_path / "net.npz")
    assert loaded.digest == program.digest
    assert isinstance(loaded.ops[2], Conv)
    assert [type(term) for term in loaded.ops[2].terms] == [Product, Residual]


def test_terms_and_groups_are_added_up_value_by_value():
    program = with_terms()
    depthwise, _, last = program.ops
    assert isinstance(depthwise, Conv)
    assert isinstance(last, Conv)
    q = random_inputs(program, np.random.default_rng(1), 2)
    values = golden.trace(program, q)
    padded = np.pad(q.astype(int), ((0, 0), (1, 1), (1, 1), (0, 0)))
    window = padded[1, 2:5, 3:6, 2]
    acc = int((window * depthwise.weights[2, :, :, 0].astype(int)).sum() + depthwise.bias[2])
    assert values["d"][1, 2, 3, 2] == np.clip((acc + 16) >> 5, 0, 255)

    product, residual = last.terms
    assert isinstance(product, Product)
    assert isinstance(residual, Residual)
    y = np.pad(values["y"].astype(int), ((0, 0), (1, 1), (1, 1), (0, 0)))
    acc = int((y[0, 1:4, 2:5] * last.weights[3].astype(int)).sum())
    acc += int((q[0, 2, 4].astype(int) * product.weights[3, 0, 0].astype(int)).sum())
    acc += int(values["y"][0, 1, 2, 3]) << 8
    assert values["z"][0, 1, 2, 3] == np.clip((acc + 128) >> 8, -128, 127)
    least, greatest = last.accumulator_range(*program.sources(last))
    assert least[3] <= acc <= greatest[3]


def test_a_group_count_between_one_and_all_is_refused():
    program = with_terms()
    depthwise = program.ops[0]
    assert isinstance(depthwise, Conv)
    bad = replace(depthwise, groups=2, weights=np.zeros((4, 3, 3, 2), np.int8))
    with pytest.raises(ProgramError, match=r"'depthwise': groups must be 1, or equal the channels"):
        replace(program, ops=(bad, *program.ops[1:]))


def test_a_residual_of_another_shape_is_refused():
    program = with_terms()
    last = program.ops[2]
    assert isinstance(last, Conv)
    bad = replace(last, terms=(Residual(input="d", shift=np.zeros(4, np.int64)),))
    with pytest.raises(ProgramError, match=r"op 'sum' makes the shape \(6, 6, 4\), not"):
        replace(program, ops=(*program.ops[:2], bad))


def test_the_input_in_another_shape_is_no_output():
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1)).at("input").reshape((1, 1, 4))
    message = "no layer that computes anything: its output 'reshape1' is its input 'input' in"
    with pytest.raises(ProgramError, match=message):
        builder.build()


def test_what_shares_the_output_s_bytes_is_read_by_no_op():
    """The output has two buffers; an op that reads it would have to know which one is in use."""
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1), name="map").conv(2, (1, 1))
    message = "op 'conv1' reads 'map', which is the program's output 'flat' in another shape"
    with pytest.raises(ProgramError, match=message):
        builder.at("map").reshape((1, 1, 6), name="flat").build()


def test_an_output_may_be_reshaped_more_than_once():
    builder = ProgramBuilder("net", (1, 2, 2)).conv(3, (1, 1)).reshape((1, 1, 6)).reshape((6, 1, 1))
    assert builder.build().tensor("reshape2").shape == (6, 1, 1)


def test_feature_maps_of_16_bits(tmp_path):
    builder = ProgramBuilder("wide", (1, 2, 2), np.random.default_rng(1))
    builder.conv(3, (1, 1), wide_output=True, shift=2).reshape((2, 1, 3))
    program = builder.conv(2, (2, 1), pad_value=-32768).build()
    hidden = program.tensor("conv0")
    assert (hidden.bytes, hidden.lo, hidden.hi, hidden.wide) == (12, -32768, 32767, True)
    _, hi = program.ops[-1].accumulator_range(program.tensor("reshape1"))
    assert hi.max() > 1 << 20
    path = tmp_path / "net.npz"
    program.save(path)
    assert Program.load(path).digest == program.digest
    with np.load(path) as archive:
        assert json.loads(archive["program"].tobytes())["version"] == 4
    with pytest.raises(ProgramError, match="pad_value -32769 does not fit 'reshape1'"):
        changed_op(program, 2, pad_value=-32769)
    with pytest.raises(ProgramError, match="op 'reshape1' must keep size and range of its input"):
        changed_tensor(program, 2, bits=8, lo=-128, hi=127)
