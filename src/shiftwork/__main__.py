"""The command line's entry point: errors in one line, and exit codes.

0 success, 1 an error, 2 wrong usage, 130 interrupted.
"""

import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from shiftwork.errors import ShiftworkError, UsageError

DEBUG = "--debug"
INTERRUPTED = 130
RESUME = "interrupted; run the same command again to resume"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code. ``--debug`` may stand anywhere."""
    debug = DEBUG in arguments
    try:
        from shiftwork.cli import app

        app([argument for argument in arguments if argument != DEBUG], prog_name="shiftwork")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        return _fail(RESUME, code) if code == INTERRUPTED else code
    except KeyboardInterrupt:
        return _fail(RESUME, INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        complete = shlex.join(["shiftwork", *arguments, *error.add])
        return _fail(f"error: {error}; next: {complete}", 2)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _fail(f"error: {_message(error)}", 1)
    return 0


def _message(error: Exception) -> str:
    if isinstance(error, ShiftworkError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return (
        f"{type(error).__name__}: {error}; this is a defect of Shiftwork, please report it "
        f"with what '{DEBUG}' prints"
    )


def _fail(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
