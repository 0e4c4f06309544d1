import subprocess
import sys
import textwrap

import pytest

from shiftwork.errors import OutputError
from shiftwork.workspace import Workspace, code_digest, versions, write_text


def contents(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def maker(text, calls):
    def make(folder):
        calls.append(text)
        (folder / "result.txt").write_text(text)

    return make


def test_a_step_is_made_once(tmp_path):
    calls = []
    for _ in range(2):
        with Workspace(tmp_path) as workspace:
            folder = workspace.step("a", maker("one", calls), inputs={"x": 1}, title="a")
            assert (folder / "result.txt").read_text() == "one"
    assert calls == ["one"]


def test_says_what_it_does(tmp_path):
    messages = []
    for _ in range(2):
        with Workspace(tmp_path, progress=messages.append) as workspace:
            workspace.step("a", maker("one", []), inputs={}, title="making a")
    assert messages == ["making a", "making a: unchanged, kept from the last run"]


def test_changed_inputs_make_it_again(tmp_path):
    calls = []
    with Workspace(tmp_path) as workspace:
        workspace.step("a", maker("one", calls), inputs={"x": 1}, title="a")
        folder = workspace.step("a", maker("two", calls), inputs={"x": 2}, title="a")
    assert (calls, (folder / "result.txt").read_text()) == (["one", "two"], "two")
    assert contents(tmp_path) == ["a"]


@pytest.mark.parametrize("damage", ["result.txt", "step.json"])
@pytest.mark.parametrize("how", ["change", "remove"])
def test_a_damaged_result_is_made_again(tmp_path, damage, how):
    calls = []
    with Workspace(tmp_path) as workspace:
        folder = workspace.step("a", maker("one", calls), inputs={}, title="a")
        if how == "change":
            (folder / damage).write_text("damaged")
        else:
            (folder / damage).unlink()
        folder = workspace.step("a", maker("one", calls), inputs={}, title="a")
    assert (folder / "result.txt").read_text() == "one"
    assert calls == ["one", "one"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_step_leaves_nothing(tmp_path, error):
    def make(folder):
        (folder / "half").write_text("half")
        raise error

    with Workspace(tmp_path) as workspace:
        workspace.step("done", maker("one", []), inputs={}, title="done")
    with pytest.raises(error), Workspace(tmp_path) as workspace:
        workspace.step("a", make, inputs={}, title="a")
    assert contents(tmp_path) == ["done"]


def test_an_interrupted_step_keeps_the_last_result(tmp_path):
    def fail(_folder):
        raise KeyboardInterrupt

    with Workspace(tmp_path) as workspace:
        workspace.step("a", maker("one", []), inputs={"x": 1}, title="a")
        with pytest.raises(KeyboardInterrupt):
            workspace.step("a", fail, inputs={"x": 2}, title="a")
    assert (tmp_path / "a" / "result.txt").read_text() == "one"


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".partial-x").mkdir()
    (tmp_path / ".partial-x" / "half").touch()
    with Workspace(tmp_path):
        assert contents(tmp_path) == []


def test_publish_replaces_files_and_keeps_others(tmp_path):
    (tmp_path / "other").touch()
    for text in ("one", "two"):
        with Workspace(tmp_path) as workspace:
            workspace.publish(maker(text, []))
    assert (tmp_path / "result.txt").read_text() == "two"
    assert contents(tmp_path) == ["other", "result.txt"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"cannot write .*file/out: Not a directory"),
        Workspace(tmp_path / "file" / "out"),
    ):
        pass


def test_write_text(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "text")
    assert path.read_text() == "text"
    assert contents(path.parent) == ["b.txt"]
    with pytest.raises(OutputError, match="choose another place with -o"):
        write_text(path / "c.txt", "text")


def test_a_second_process_waits(tmp_path):
    code = f"""
        from pathlib import Path
        from shiftwork.workspace import Workspace
        with Workspace({str(tmp_path)!r}, progress=lambda text: print(text, flush=True)):
            print("entered", Path({str(tmp_path / "done")!r}).exists(), flush=True)
    """
    with Workspace(tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        )
        waiting = process.stdout.readline()
        (tmp_path / "done").touch()
    rest, _ = process.communicate(timeout=20)
    assert waiting.startswith("another shiftwork works in")
    assert rest == "entered True\n"


def test_identity_of_code_and_tools():
    assert len(code_digest()) == 64
    assert versions()["amaranth"].startswith("0.5")
