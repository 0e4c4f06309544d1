from xml.etree import ElementTree

from shiftwork.strips import Piece, Strip, strips


def parsed(text):
    return ElementTree.fromstring(text)


def test_coordinates_are_the_numbers_themselves():
    line = Strip(
        label="one",
        text="7 cycles",
        pieces=[Piece(start=5, length=7, fill="#111", title="busy", low=0.25, high=0.75)],
    )
    figure = parsed(strips("title", [line], total=20_786))
    (svg,) = figure.iter("svg")
    assert svg.get("viewBox") == "0 0 20786 100"
    assert svg.get("aria-label") == "one: 7 cycles"
    (rectangle,) = svg.iter("rect")
    assert [rectangle.get(name) for name in ("x", "y", "width", "height")] == [
        "5",
        "25",
        "7",
        "50",
    ]
    assert rectangle.findtext("title") == "busy"


def test_words_stand_beside_the_pictures():
    lines = [Strip(label="one", text="1 %", pieces=[]), Strip(label="two", text="2 %", pieces=[])]
    text = strips("title", lines, total=1, legend={"busy": "#111"}, axis=("0", "end"))
    words = "".join(parsed(text).itertext()).split()
    assert words == ["title", "busyone1", "%", "two2", "%", "0end"]


def test_an_axis_of_its_own_and_the_one_to_look_at():
    line = Strip(label="one", text="", pieces=[], total=3, strong=True)
    figure = parsed(strips("title", [line], total=9))
    assert next(figure.iter("svg")).get("viewBox") == "0 0 3 100"
    assert figure.find("div").get("class") == "strip strong"


def test_long_names_break_at_slashes():
    text = strips("title", [Strip(label="model/stage/conv", text="", pieces=[])], total=1)
    assert "model/<wbr/>stage/<wbr/>conv" in text
    assert "model/stage/conv" in "".join(parsed(text).itertext())


def test_names_are_escaped():
    line = Strip(
        label='<a "b">', text="<c>", pieces=[Piece(start=0, length=1, fill="#111", title="<d>")]
    )
    words = list(parsed(strips("<e>", [line], total=1, legend={"<f>": "#111"})).itertext())
    assert {"<e>", '<a "b">', "<c>", "<d>"} <= set(words)
    assert " <f>" in words
