import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shiftwork import bench_estimates, bench_estimates_page
from shiftwork.bench_estimates import BUNDLED, DESIGNS, EXAMPLES, MLPERF, Design, Outcome, run
from shiftwork.bench_estimates_page import known_clocks, markdown, write
from shiftwork.boards.estimate_fit import Measurement, calibrate, source
from shiftwork.boards.registry import find
from shiftwork.errors import DataError, ToolError

STORE = Path(__file__).parent / "vectors" / "estimates.json"
MEASURED = tuple(Measurement.from_dict(d) for d in json.loads(STORE.read_text())["designs"])
OUTCOME = Outcome(measurements=MEASURED, left_out={"x": "why"}, versions={"shiftwork": "1"})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the designs that were measured; nothing is synthesized."""
    names: list[str] = []

    def measure(_folder: Path, design: Design, _program: Any, **options: Any) -> Measurement:
        names.append(design.name)
        if design.columns == 13:
            raise ToolError("yosys failed")
        return replace(MEASURED[0], name=design.name, fmax_mhz=50.0 if options["route"] else None)

    monkeypatch.setattr(bench_estimates, "_measure", measure)
    return names


def test_enough_designs_of_both_families_fit_and_check() -> None:
    assert len(DESIGNS) >= 20
    assert len({design.name for design in DESIGNS}) == len(DESIGNS)
    for board in ("icebreaker", "ulx3s-85f"):
        checks = [design.check for design in DESIGNS if find(design.board).name == board]
        assert checks.count(True) >= 5
        assert checks.count(False) >= 8
        routed = [d.check for d in DESIGNS if find(d.board).name == board and d.routed]
        assert routed.count(True) >= 4
        assert routed.count(False) >= 6
    assert {design.network for design in DESIGNS} <= {*EXAMPLES, *BUNDLED, *MLPERF}


def test_only_some_designs_are_routed(measured: list[str], tmp_path: Path) -> None:
    design = Design(network="dense_net", rows=1, columns=2, board="icebreaker")
    outcome = run(tmp_path, designs=[design], route=True)
    assert measured == [design.name]
    assert [m.fmax_mhz for m in outcome.measurements] == [None]


def test_what_cannot_be_measured_is_left_out(measured: list[str], tmp_path: Path) -> None:
    designs = [
        Design(network="dense_net", rows=1, columns=2, board="icebreaker"),
        Design(network="dense_net", rows=1, columns=13, board="icebreaker"),
        Design(network="kws", rows=1, columns=16, board="icebreaker"),
        Design(network="dense_net", rows=1, columns=2, board="ulx3s-85f"),
    ]
    outcome = run(tmp_path, designs=designs, board="icebreaker")
    assert measured == ["dense_net-1x2-icebreaker", "dense_net-1x13-icebreaker"]
    assert [m.name for m in outcome.measurements] == ["dense_net-1x2-icebreaker"]
    assert outcome.left_out == {
        "dense_net-1x13-icebreaker": "yosys failed",
        "kws-1x16-icebreaker": "no folder with the MLPerf Tiny models (--files)",
    }


@pytest.mark.parametrize(("route", "clock"), [(True, 50.0), (False, 41.0)])
def test_clocks_measured_before_stand_in(
    measured: list[str], tmp_path: Path, route: bool, clock: float
) -> None:
    design = Design(network="dense_net", rows=1, columns=2, board="icebreaker", routed=True)
    outcome = run(tmp_path, designs=[design], route=route, clocks={design.name: 41.0})
    assert [m.fmax_mhz for m in outcome.measurements] == [clock]
    assert measured == [design.name]


def test_known_clocks(tmp_path: Path) -> None:
    assert known_clocks(tmp_path / "none.json") == {}
    assert known_clocks(STORE) == {m.name: m.fmax_mhz for m in MEASURED if m.fmax_mhz}
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{}")
    with pytest.raises(DataError, match=r"damaged\.json holds no measured estimates"):
        known_clocks(damaged)


def test_the_page_has_every_design_and_the_command() -> None:
    text = markdown(MEASURED, calibrate(MEASURED), command="shiftwork bench estimates -o D")
    for m in MEASURED:
        assert f"| {m.name} | {'check' if m.check else 'fit'} |" in text
        assert f"{m.cells['lut']:,}" in text
    assert "shiftwork bench estimates -o D" in text
    assert "40 MHz on iCE40 and 100 MHz on ECP5" in text


def test_without_publishing_only_the_folder_is_written(tmp_path: Path) -> None:
    record = write(OUTCOME, tmp_path, command="C")
    assert {p.name for p in tmp_path.iterdir()} == {"estimates.md", "estimates.json"}
    assert json.loads((tmp_path / "estimates.json").read_text()) == record
    assert record["left_out"] == {"x": "why"}
    assert len(record["designs"]) == len(MEASURED)


def test_publishing_writes_coefficients_measurements_and_docs(tmp_path: Path) -> None:
    write(OUTCOME, tmp_path / "out", command="C", publish=tmp_path)
    coefficients = (tmp_path / bench_estimates_page.COEFFICIENTS_FILE).read_text()
    assert coefficients == source(calibrate(MEASURED), MEASURED)
    stored = json.loads((tmp_path / bench_estimates_page.STORE_FILE).read_text())["designs"]
    assert [Measurement.from_dict(d) for d in stored] == list(MEASURED)
    page = (tmp_path / bench_estimates_page.DOCS_FILE).read_text()
    assert page == (tmp_path / "out" / "estimates.md").read_text()
