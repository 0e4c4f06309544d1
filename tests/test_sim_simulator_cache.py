import os
from pathlib import Path

import pytest

from shiftwork.errors import OutputError, ToolError
from shiftwork.sim import simulator_cache


def test_the_default_folder_is_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert simulator_cache.default_folder() == tmp_path / "shiftwork" / "simulators"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be kept in .*file/x: .*; name another build"):
        simulator_cache.prepare(tmp_path / "file" / "x")


def test_a_new_folder_appears_complete(tmp_path: Path) -> None:
    with simulator_cache.new_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a" / "x").read_text() == "1"


def test_nothing_remains_of_an_interrupted_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), simulator_cache.new_folder(tmp_path / "a"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_faster_of_two_processes_wins(tmp_path: Path) -> None:
    with simulator_cache.new_folder(tmp_path / "a") as slow:
        (slow / "x").write_text("slow")
        with simulator_cache.new_folder(tmp_path / "a") as fast:
            (fast / "x").write_text("fast")
    assert (tmp_path / "a" / "x").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_simulators_used_last_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert simulator_cache.use(tmp_path / "d")
    assert not simulator_cache.use(tmp_path / "e")
    simulator_cache.prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d"]


@pytest.mark.parametrize(("error", "stays"), [(ToolError, True), (KeyboardInterrupt, False)])
def test_a_log_stays_if_the_tool_failed(
    tmp_path: Path, error: type[BaseException], stays: bool
) -> None:
    with pytest.raises(error), simulator_cache.kept_log(tmp_path, "build") as log:
        log.write_text("text")
        raise error
    assert log.exists() == stays


def test_a_log_goes_after_success(tmp_path: Path) -> None:
    with simulator_cache.kept_log(tmp_path, "build") as log:
        log.write_text("text")
    assert not log.exists()
