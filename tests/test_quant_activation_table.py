"""Tables in a program: what they may be, and how files hold them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shiftwork.errors import ProgramError
from shiftwork.quant.activation_table import ENTRIES, Table, distinct_tables
from shiftwork.quant.array_file import read_arrays
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.sim import golden
from shiftwork.sim.program_builder import ProgramBuilder

RAMP = np.arange(ENTRIES, dtype=np.int16)
"""A table that reads an index byte as unsigned."""


def builder(**fields):
    return ProgramBuilder("tabled", (1, 1, 2)).conv(2, (1, 1), **fields)


def with_table(table, *, target=None, **fields):
    """The network with another table, and other fields of its op and of the output."""
    network = builder().table(RAMP, unsigned=True).build()
    (op,), (source, output) = network.ops, network.tensors
    op = replace(op, table=table, **fields)
    return replace(network, ops=(op,), tensors=(source, replace(output, **(target or {}))))


def test_a_negative_index_counts_from_the_end():
    table = Table(outputs=RAMP)
    assert table.lookup(np.array([[-128, -1], [0, 127]])).tolist() == [[128, 255], [0, 127]]
    assert table.lookup(np.array([128, 255])).tolist() == [128, 255]


def test_the_golden_model_looks_up_behind_the_shift():
    network = (
        ProgramBuilder("tabled", (1, 1, 1))
        .conv(1, (1, 1), weights=[2], bias=[1], shift=2, bounds=(-3, 5))
        .table(np.roll(np.arange(-128, 128), 128)[::-1])
        .build()
    )
    q = np.array([-128, -7, -1, 0, 3, 127], np.int32).reshape(-1, 1, 1, 1)
    index = [min(max((2 * x + 1 + 2) >> 2, -3), 5) for x in q.ravel().tolist()]
    expected = [int(network.ops[0].table.outputs[i % 256]) for i in index]
    assert golden.run(network, q).ravel().tolist() == expected
    assert min(index) == -3 and max(index) == 5


def test_stored_bytes_are_those_of_memory():
    assert Table(outputs=RAMP).stored(128)[:2] == bytes([0x80, 0x81])
    assert Table(outputs=np.roll(RAMP - 128, 0).astype(np.int16)).stored(0)[0] == 0x80


def test_tables_are_told_apart_by_what_they_mean_too():
    tables = [Table(outputs=RAMP), Table(outputs=RAMP, step=0.5), None, Table(outputs=RAMP)]
    assert distinct_tables(tables) == tuple(tables[:2])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"table": Table(outputs=RAMP[:-1])},
            r"op 'conv0': a table must be int16 of shape \(256,\), not int16 \(255,\)",
        ),
        (
            {"table": Table(outputs=RAMP.astype(np.int64))},
            r"op 'conv0': a table must be int16 of shape \(256,\), not int64 \(256,\)",
        ),
        (
            {"table": Table(outputs=RAMP), "lo": -1, "hi": 128},
            r"op 'conv0' clips the index of its table to -1\.\.128; it must be a range in "
            r"-128\.\.127 or in 0\.\.255",
        ),
        (
            {"table": Table(outputs=RAMP), "target": {"hi": 254}},
            r"op 'conv0' has a table of 0\.\.255, outside of its output's range 0\.\.254",
        ),
        (
            {"table": Table(outputs=RAMP, step=0.0)},
            "op 'conv0': a step of its table's index must be positive and finite, not 0",
        ),
        (
            {"table": Table(outputs=RAMP, function="x\n")},
            r"op 'conv0': the function of its table must be named in at most 200 printable",
        ),
    ],
)
def test_wrong_tables_are_refused(change, text):
    with pytest.raises(ProgramError, match=text):
        with_table(**change)


def test_accumulators_have_no_table():
    network = builder(accumulators=True)
    (op,) = network.ops
    network.ops[0] = replace(op, table=Table(outputs=RAMP))
    with pytest.raises(ProgramError, match="op 'conv0' returns its accumulators, and has a table"):
        network.build()


def test_only_ops_that_requantize_take_one():
    with pytest.raises(TypeError, match="a table needs a convolution or an average, not 'max_p"):
        ProgramBuilder("pooled", (2, 2, 1)).max_pool().table(RAMP)


@pytest.fixture
def network():
    """Three tables, of which two are the same, and a layer without."""
    chain = ProgramBuilder("tabled", (4, 4, 2)).conv(3).table(RAMP, unsigned=True)
    chain.conv(2, (1, 1)).table(np.full(ENTRIES, -3)).average_pool().table(RAMP, unsigned=True)
    return chain.dense(2, accumulators=True).build()


def test_a_file_holds_each_table_once(network, tmp_path):
    path = tmp_path / "net.npz"
    network.save(path)
    arrays = read_arrays(path, limit=1 << 20, single="x")
    assert sorted(name for name in arrays if name.startswith("table")) == ["table0", "table1"]
    loaded = Program.load(path)
    assert loaded.digest == network.digest
    assert [table.key for table in loaded.tables] == [table.key for table in network.tables]
    q = np.random.default_rng(0).integers(-128, 128, (5, 4, 4, 2), dtype=np.int32)
    np.testing.assert_array_equal(golden.run(loaded, q), golden.run(network, q))


def test_what_a_table_means_is_kept(network, tmp_path):
    op = network.ops[0]
    table = replace(op.table, function="sigmoid(x)", step=0.0625)
    meant = replace(network, ops=(replace(op, table=table), *network.ops[1:]))
    meant.save(tmp_path / "net.npz")
    found = Program.load(tmp_path / "net.npz").ops[0].table
    assert (found.function, found.step) == ("sigmoid(x)", 0.0625)
    assert meant.digest != network.digest


def header(path):
    with np.load(path) as archive:
        return json.loads(archive["program"].tobytes())


def test_files_with_tables_are_of_a_version_that_older_readers_refuse(network, tmp_path):
    plain = ProgramBuilder("plain", (1, 1, 2)).conv(2, (1, 1)).build()
    for program, version in ((plain, 2), (network, 4)):
        program.save(tmp_path / "net.npz")
        assert header(tmp_path / "net.npz")["version"] == version
    plain.save(tmp_path / "net.npz")
    assert "table" not in header(tmp_path / "net.npz")["ops"][0]


@pytest.mark.parametrize("change", [{"number": 7}, {"number": [0]}, {"step": "1"}, {"what": 1}])
def test_a_damaged_record_is_refused(network, change, tmp_path):
    path = tmp_path / "net.npz"
    network.save(path)
    arrays, changed = read_arrays(path, limit=1 << 20, single="x"), header(path)
    changed["ops"][0]["table"] |= change
    arrays["program"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ProgramError, match=r"net\.npz is damaged"):
        Program.load(path)


def test_a_network_lists_its_tables(network):
    assert len(network.tables) == 2
    assert [isinstance(op, Conv) and op.table is None for op in network.ops][-1]
