import json

import pytest

from shiftwork import __main__, bench
from shiftwork.bench import Outcome, Quality, Result
from shiftwork.bench_networks import ROWS
from shiftwork.bench_quality import Measure


@pytest.fixture
def outcome():
    quality = Quality(
        network="kws",
        title="keyword spotting",
        macs=1,
        weights=2,
        calibrated_on="a",
        measured_on="b",
        measures=(Measure(name="agreement", value=99.0, unit="%", least=98.5),),
    )
    result = Result(row=ROWS[0], rows=2, columns=8, cycles=180_000)
    return Outcome(
        qualities={"kws": quality}, results=(result,), published=(), versions={"shiftwork": "1"}
    )


@pytest.fixture
def command(capsys, monkeypatch, tmp_path, outcome):
    """Runs the command with a stand-in for the benchmark; returns code, output and arguments."""

    def command(*arguments, result=outcome):
        asked = {}

        def run(files, folder, **options):
            asked.update(options, files=files, folder=folder)
            return result

        monkeypatch.setattr(bench, "run", run)
        given = ["bench", "mlperf-tiny", "--files", tmp_path, "-o", tmp_path / "out", *arguments]
        code = __main__.run([str(argument) for argument in given])
        captured = capsys.readouterr()
        return code, captured.out, captured.err, asked

    return command


def test_json(command, tmp_path):
    code, out, _, asked = command("--json", "--no-route", "--networks", "kws", "--seeds", "2")
    record = json.loads(out)
    assert code == 0
    assert record["rows"][0]["cycles"] == 180_000
    assert "--networks kws --seeds 2 --no-route" in record["command"]
    assert [network.key for network in asked["networks"]] == ["kws"]
    assert (asked["route"], asked["seeds"], asked["board"]) == (False, 2, None)
    assert json.loads((tmp_path / "out" / "mlperf_tiny.json").read_text()) == record


def test_table_and_markdown(command, tmp_path):
    code, out, _, asked = command("--markdown", tmp_path / "table.md")
    assert code == 0
    assert asked["route"] is True
    assert "180,000" in out
    assert "agreement 99.00 % (at least 98.5)" in out
    assert "wrote" in out
    assert "| KWS | agreement 99.00 %" in (tmp_path / "table.md").read_text()


def test_failed_rows_end_with_an_error_after_the_tables(command, tmp_path, outcome):
    failed = Outcome(
        qualities=outcome.qualities,
        results=(Result(row=ROWS[0], problem="no room"),),
        published=(),
        versions={},
    )
    code, _, err, _ = command(result=failed)
    assert code == 1
    assert "1 of 1 rows failed; the first, kws-icebreaker-16: no room" in err
    assert (tmp_path / "out" / "mlperf_tiny.md").exists()


def test_missing_files(capsys, tmp_path):
    code = __main__.run(["bench", "mlperf-tiny", "--files", str(tmp_path), "--networks", "kws"])
    assert code == 1
    assert "lacks models/mlperf_tiny/kws_ref_model_float32.tflite" in capsys.readouterr().err


def test_an_unknown_network(capsys, tmp_path):
    code = __main__.run(["bench", "mlperf-tiny", "--files", str(tmp_path), "--networks", "vgg"])
    assert code == 1
    assert "unknown network 'vgg'" in capsys.readouterr().err
