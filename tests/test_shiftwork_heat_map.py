from xml.etree import ElementTree

from shiftwork.heat_map import CELL, MARGIN, MOST_NUMBERED, heat_map


def rectangles(text):
    return [r for r in ElementTree.fromstring(text).iter("rect") if r.find("title") is not None]


def test_a_cell_for_every_answer_that_was_given():
    text = heat_map("a <net>", [[8, 2], [0, 5]])
    cells = rectangles(text)
    places = [
        ((int(c.get("x")) - MARGIN) // CELL, (int(c.get("y")) - MARGIN) // CELL) for c in cells
    ]
    assert places == [(0, 0), (1, 0), (1, 1)]
    assert [cell.findtext("title") for cell in cells] == [
        "label 0, answer 0: 8 of 10",
        "label 0, answer 1: 2 of 10",
        "label 1, answer 1: 5 of 5",
    ]
    assert "a &lt;net&gt;" in text
    numbers = [t.text for t in ElementTree.fromstring(text).iter("text")]
    assert numbers == ["8", "2", "5", "0", "0", "1", "1"]


def test_right_is_blue_and_wrong_is_red_and_more_is_darker():
    def color(cell):
        return [int(part) for part in cell.get("fill")[4:-1].split(",")]

    right, wrong, sure = map(color, rectangles(heat_map("", [[8, 2], [0, 5]])))
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
    assert sum(sure) < sum(right)


def test_many_classes_have_no_numbers():
    count = MOST_NUMBERED + 1
    matrix = [[int(label == answer) for answer in range(count)] for label in range(count)]
    text = heat_map("", matrix)
    assert len(rectangles(text)) == count
    words = [t.text for t in ElementTree.fromstring(text).iter("text")]
    assert words == ["0", "0", str(count - 1), str(count - 1)]
