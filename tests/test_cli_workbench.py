import json

import numpy as np
import pytest

from shiftwork import __main__


def run(capsys, *arguments):
    code = __main__.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_analyze_writes_page_and_record(capsys, tmp_path, model, samples):
    folder = tmp_path / "out"
    options = ("--calibration", samples, "-o", folder, "--bits", 6, "--json")
    code, out, err = run(capsys, "analyze", model, *options)
    assert code == 0
    record = json.loads(out)
    assert record.pop("page") == str(folder / "report.html")
    assert record == json.loads((folder / "analysis.json").read_text())
    kinds = [tensor["kind"] for tensor in record["tensors"]]
    assert kinds == ["weights", "weights", "input", "activation", "activation"]
    assert (record["bits"], record["samples"], record["tensors"][0]["hi"]) == (6, 20, 31)
    assert set(record["tensors"][0]["recommended"]) == {"max", "mse", "percentile", "kl"}
    page = (folder / "report.html").read_text()
    assert "--bits 6" in page
    assert "weights of conv" in page
    assert "analyzed 5 tensors" in err
    assert "\x1b" not in out


def test_analyze_prints_a_table(capsys, tmp_path, model):
    code, out, _ = run(capsys, "analyze", model, "-o", tmp_path / "out")
    assert code == 0
    for word in ("conv", "dense", "max-abs", "percentile", "report page"):
        assert word in out


def test_analyze_leaves_nothing_behind_after_an_error(capsys, tmp_path, model):
    np.savez(tmp_path / "bad.npz", x=np.zeros((3, 7)))
    folder = tmp_path / "out"
    options = ("--calibration", tmp_path / "bad.npz", "-o", folder)
    code, out, err = run(capsys, "analyze", model, *options)
    assert (code, out) == (1, "")
    assert "calibration data: samples must have the shape [2, 4, 4]" in err
    assert not folder.exists()


@pytest.fixture
def programs(capsys, tmp_path, model, samples):
    paths = tmp_path / "fine.npz", tmp_path / "rough.npz"
    for path, rounding in zip(paths, ("compensated", "nearest"), strict=True):
        options = ("--calibration", samples, "-o", path, "--rounding", rounding)
        assert run(capsys, "quantize", model, *options)[0] == 0
    return paths


def test_compare_two_programs_and_their_model(capsys, programs, model, samples):
    options = ("--test", samples, "--model", model)
    code, out, _ = run(capsys, "compare", *programs, *options, "--json")
    record = json.loads(out)
    assert code == 0
    assert [result["name"] for result in record["results"]] == ["float", *map(str, programs)]
    layers = record["results"][1]["layers"]
    assert [layer["name"] for layer in layers] == ["conv", "dense"]
    assert set(layers[0]) >= {"alone_db", "total_db", "effect_db", "saturated", "worst_channel"}
    assert np.array(record["results"][2]["confusion"]).sum() == 20
    code, out, _ = run(capsys, "compare", *programs, *options)
    assert code == 0
    assert "costs most" in out


def test_compare_a_program_with_its_model(capsys, tmp_path, monkeypatch, programs, model, samples):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spread.py").write_text("def of(x, outputs, y):\n    return outputs.std()\n")
    options = ("--test", samples, "--metric", "spread:of", "--json")
    code, out, _ = run(capsys, "compare", model, programs[0], *options)
    results = json.loads(out)["results"]
    assert (code, len(results)) == (0, 2)
    assert results[0]["metric"] == pytest.approx(results[1]["metric"], rel=0.05)


def test_compare_three_on_a_page(capsys, tmp_path, programs, model, samples):
    third = tmp_path / "four bits.npz"
    quantized = ("quantize", model, "--calibration", samples, "-o", third, "--weights", "int4")
    assert run(capsys, *quantized)[0] == 0
    folder = tmp_path / "out"
    options = ("--test", samples, "--model", model, "-o", folder)
    code, out, _ = run(capsys, "compare", *programs, third, *options, "--json")
    assert code == 0
    record = json.loads(out)
    assert record.pop("page") == str(folder / "report.html")
    assert record == json.loads((folder / "comparison.json").read_text())
    assert [result["name"] for result in record["results"]] == [
        "float",
        *map(str, programs),
        str(third),
    ]
    text = (folder / "report.html").read_text()
    assert text.count('<svg viewBox="0 0 150 150"') == 4
    assert "four bits.npz" in text
    code, out, _ = run(capsys, "compare", *programs, third, *options)
    assert code == 0
    assert out.rstrip().splitlines()[-1] == f"report page: {folder / 'report.html'}"


def test_compare_leaves_no_page_after_an_error(capsys, tmp_path, programs):
    np.savez(tmp_path / "bad.npz", x=np.zeros((3, 7)))
    options = ("--test", tmp_path / "bad.npz", "-o", tmp_path / "out")
    code, out, _ = run(capsys, "compare", *programs, *options)
    assert (code, out) == (1, "")
    assert not (tmp_path / "out").exists()


def test_compare_needs_something_to_compare(capsys, programs, model, samples):
    for pair in ((model, model), (programs[0], programs[0])):
        code, out, err = run(capsys, "compare", *pair, "--test", samples)
        assert (code, out) == (2, "")
        assert "compare two or more different programs" in " ".join(err.replace("│", " ").split())
