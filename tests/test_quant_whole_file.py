import pytest

from shiftwork.quant.whole_file import whole_file


def test_replaces_the_file_at_the_end(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with whole_file(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as stream:
        stream.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "none" / "a"):
        pytest.fail("there is nothing to write to")
