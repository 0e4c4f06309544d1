import re
from xml.etree import ElementTree

from shiftwork.boards.accelerator import memory_binding
from shiftwork.hw.config import ArrayShape
from shiftwork.hw.memory_use import memory_use
from shiftwork.hw.schedule import make_schedule
from shiftwork.memory_view import memory_section
from shiftwork.sim.example_programs import small_cnn

SHAPE = ArrayShape(rows=2, columns=4, single_port=True, column_bytes=512)


def test_every_region_is_drawn_at_its_address():
    schedule = make_schedule(small_cnn(), SHAPE)
    regions, layers = memory_use(schedule), [op.name for op in schedule.ops]
    text = memory_section(
        regions,
        layers,
        size=schedule.activation_bytes,
        places=memory_binding(schedule),
        command="shiftwork generate net.npz",
    )
    figure = ElementTree.fromstring(re.search(r"<figure.*?</figure>", text, re.DOTALL)[0])
    lines = [div for div in figure.iter("div") if div.get("class") == "strip"]
    for index, line in enumerate(lines):
        assert line.find("span").text == layers[index]
        used = [region for region in regions if region.uses[index] is not None]
        shapes = [(int(r.get("x")), int(r.get("width"))) for r in line.iter("rect")]
        assert shapes == [(region.address, region.bytes) for region in used]
        assert line.findall("span")[1].text == f"{sum(r.bytes for r in used):,} bytes"
    assert len(lines) == len(layers)
    cells = re.findall(r"<tr>(.*?)</tr>", text)[1:]
    assert len(cells) == len(regions)
    spans = {row.split("</td><td>")[0][4:]: row.split("</td><td>")[3][:-5] for row in cells}
    assert spans[schedule.program.input] == "always"
    assert spans[schedule.ops[0].output] == f"{layers[0]} to {layers[1]}"
    for words in ("weights that are copied", "loaded from flash", "a column holds 512 bytes"):
        assert words in text


def test_tables_are_mentioned_where_there_are_any():
    places = {"activations": "RAM", "weights": "RAM", "reason": "they fit"}
    texts = [
        memory_section([], [], size=1, places=given, command="shiftwork generate net.npz")
        for given in (places, places | {"tables": "block RAM, a ROM"})
    ]
    assert "ables of activation functions lie in block RAM, a ROM." in texts[1]
    assert "activation functions" not in texts[0]
