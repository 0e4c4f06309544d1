import pytest

from shiftwork.boards.registry import BOARDS, BoardError, find


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_find(board):
    assert find(board.name) is board
    assert find(board) is board


def test_names_are_unique():
    assert len({board.name for board in BOARDS}) == len(BOARDS)


def test_find_unknown():
    with pytest.raises(BoardError) as caught:
        find("arty")
    names = ", ".join(board.name for board in BOARDS)
    assert str(caught.value) == f"unknown board 'arty'; supported boards: {names}"


@pytest.mark.parametrize(
    ("name", "meant"), [("ulx3s-85", "ulx3s-85f"), ("IceBreaker", "icebreaker"), ("ice", "")]
)
def test_find_suggests(name, meant):
    with pytest.raises(BoardError) as caught:
        find(name)
    assert (f"did you mean '{meant}'?" in str(caught.value)) == bool(meant)


@pytest.mark.parametrize(
    ("name", "bram_bytes", "products"), [("icebreaker", 15360, 16), ("ulx3s-85f", 479232, 156)]
)
def test_sizes(name, bram_bytes, products):
    assert (find(name).bram_bytes, find(name).products) == (bram_bytes, products)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_default_array_has_its_multipliers(board):
    soft = board.family == "ice40hx"
    assert soft == (board.products == 0)
    assert soft or board.max_elements <= board.products
