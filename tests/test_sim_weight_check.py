"""``generate --checksum``: the Verilog as it is written, in a simulator."""

import json
import re
from pathlib import Path

import pytest
from framed_streams import values_net
from verilated import run_bench

from shiftwork import __main__
from shiftwork.boards.accelerator import Accelerator
from shiftwork.errors import OutputError
from shiftwork.hw.weight_check import CheckResult
from shiftwork.sim.program_builder import ProgramBuilder

CYCLES = 200
ROM_LINE = re.compile(r"(array\.weights_1 .*?memory_0\[3\] = 8'h)([0-9a-f]{2})", re.DOTALL)


def wrong(verilog: str) -> str:
    """The same module by another name, with a bit of a weight flipped."""
    flipped, count = ROM_LINE.subn(
        lambda found: f"{found[1]}{int(found[2], 16) ^ 4:02x}", verilog, count=1
    )
    assert count == 1
    return flipped.replace("shiftwork_core", "wrong_core")


@pytest.mark.slow
def test_right_weights_pass_and_one_wrong_bit_does_not(tmp_path: Path) -> None:
    verilog = Accelerator(values_net(), rows=1, columns=3).verilog(checksum=True)
    sources = {"core.v": verilog, "wrong.v": wrong(verilog)}
    for seen in run_bench(tmp_path, "weight_check", sources, {"cycles": CYCLES}):
        assert seen["results"] == [CheckResult.PASSED, CheckResult.FAILED]
        assert seen["before"] == [0, 0]
        ready, never = seen["after"]
        assert ready > 0
        assert never == 0


@pytest.mark.parametrize("interface", ["stream", "axi-stream"])
def test_generate_with_a_checksum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], interface: str
) -> None:
    net = tmp_path / "net.npz"
    values_net().save(net)
    texts = []
    for name, options in (("plain", []), ("checked", ["--checksum"])):
        folder = tmp_path / name
        size = ["--rows", "1", "--columns", "3", "--interface", interface]
        assert __main__.run(["generate", str(net), "-o", str(folder), *size, *options]) == 0
        manifest = json.loads((folder / "manifest.json").read_text())
        (verilog,) = folder.glob("*.v")
        texts.append(verilog.read_text())
        declared = "output [1:0] weight_check;" in texts[-1]
        assert declared == ("weight_check" in manifest["ports"]) == bool(options)
    assert texts[0] == Accelerator(values_net(), rows=1, columns=3).verilog(interface)  # type: ignore[arg-type]
    assert "accelerator" in capsys.readouterr().out


def test_weights_from_a_flash_have_no_checksum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pools = ProgramBuilder("pools", (4, 4, 2)).max_pool().build()
    with pytest.raises(OutputError, match=r"'pools' has no weights in ROMs .* --checksum$"):
        Accelerator(pools, rows=1, columns=2).write_verilog(tmp_path / "out", checksum=True)
    pools.save(tmp_path / "net.npz")
    arguments = ["generate", str(tmp_path / "net.npz"), "-o", str(tmp_path / "out"), "--checksum"]
    assert __main__.run(arguments) == 1
    assert "leave out --checksum" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.v"))
