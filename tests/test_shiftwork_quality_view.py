from page_examples import layer_error

from shiftwork.quality_view import accuracy_section, blamed, error_section

EVALUATION = {
    "samples": 200,
    "accuracy_float": 98.5,
    "accuracy_int8": 98.0,
    "agreement": 99.5,
    "sqnr_db": 41.25,
    "evaluated_on": "my <samples>.npz",
}


def layer(name, sqnr_db):
    return {"name": name, "op": "Conv", "sqnr_db": sqnr_db}


def test_accuracy():
    text = accuracy_section(EVALUATION, command="shiftwork quantize")
    for part in (
        "98.50 %",
        "98.00 %",
        "99.50 %",
        "41.2 dB",
        "my &lt;samples&gt;.npz",
        'width="98.5"',
    ):
        assert part in text
    assert "no labels" not in text


def test_without_labels():
    none = {"accuracy_float": None, "accuracy_int8": None}
    text = accuracy_section(EVALUATION | none, command="shiftwork quantize")
    assert text.count("not measured") >= 2
    assert "The samples have no labels" in text


def test_the_layer_to_blame_is_marked():
    errors = [layer_error("a", 50.0), layer_error("b", 35.0), layer_error("c", None)]
    layers = [layer("a", 45.0), layer("b", 40.0), layer("c", None), layer("copy", None)]
    assert blamed(errors) == "b"
    text = error_section(layers, errors, blame="b costs most", quantize="q", compare="c")
    assert text.count('class="strip strong"') == 2
    for part in ("b costs most", "35.0 dB", "exact", "2: 30.5 dB", "2 %"):
        assert part in text


def test_nobody_to_blame():
    assert blamed([layer_error("a", None)]) is None
    text = error_section(
        [layer("a", None)], [layer_error("a", None)], blame="", quantize="", compare=""
    )
    assert "strong" not in text
