"""How the tables of mutants are written, and the tests that several of them name."""

from mutation_check import Mutant

CORNERS = "tests/test_hw_core.py::test_corner"
BOTH_PORTS = "tests/test_hw_core.py::test_a_layer_of_each_kind"
STREAMS = "tests/test_hw_core.py::test_a_frame_streams_in_while_its_buffer_is_free"
FRAMES = "tests/test_hw_core_frames.py::test_frames_of_every_length"
COPIED = "tests/test_hw_core.py::test_weights_that_are_copied_layer_by_layer"


def mutants_of(
    file: str, *rows: tuple[str, str, str, str], tests: str | tuple[str, ...]
) -> list[Mutant]:
    """The mutants of a file: name, what is wrong, old text, new text."""
    tests = (tests,) if isinstance(tests, str) else tests
    return [
        Mutant(name=name, file=file, old=old, new=new, breaks=breaks, tests=tests)
        for name, breaks, old, new in rows
    ]
