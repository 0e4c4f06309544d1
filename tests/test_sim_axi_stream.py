"""The Verilog with AXI4-Stream ports in Verilator, driven by the models of cocotbext-axi."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from framed_streams import Frames, answer_net, values_net
from verilated import run_bench

from shiftwork.boards.accelerator import Accelerator
from shiftwork.quant.program import Program

STALLS = (0.0, 0.3, 0.8)
RESET_AFTER = 41
TAKEN, SHORT, LONG = 1, 2, 3
LENGTHS = {"short": SHORT, "long": LONG, "good": TAKEN}
KINDS = ("good", "short", "good", "long", "long", "good", "good", "short", "short", "long", "good")


def packets(frames: Frames) -> list[bytes]:
    """A packet of each kind, in the order of ``KINDS``; those that are not good are random."""
    rng = np.random.default_rng(4)
    good, size = iter(frames.inputs), len(frames.inputs[0])
    lengths = {"short": (1, size), "long": (size + 1, 3 * size)}
    return [
        next(good) if kind == "good" else rng.bytes(int(rng.integers(*lengths[kind])))
        for kind in KINDS
    ]


@pytest.mark.parametrize("network", [values_net, answer_net])
def test_packets_through_axi_stream_models(tmp_path: Path, network: Callable[[], Program]) -> None:
    """Good frames are answered as golden does, bad ones are not; whatever the stalls are."""
    accelerator = Accelerator(network(), rows=1, columns=3)
    frames = Frames(accelerator.program)
    sent = packets(frames)
    expected = [answer.hex() for answer in frames.answers[: KINDS.count("good")]]
    job = {
        "seed": 1,
        "stalls": STALLS,
        "packets": [packet.hex() for packet in sent],
        "answers": len(expected),
        "reset_after": RESET_AFTER,
    }
    *runs, after_reset = run_bench(
        tmp_path, "axi_stream", {"axi_stream.v": accelerator.verilog("axi-stream")}, job
    )
    assert len(runs) == len(STALLS)
    for seen in runs:
        assert seen["received"] == expected
        assert seen["events"] == [LENGTHS[kind] for kind in KINDS]
        assert seen["status"] == [3, len(KINDS) - len(expected)]
        assert seen["cleared"] == [0, 0]
    assert after_reset == {"received": expected[:1], "events": [TAKEN], "status": [0, 0]}
