"""The errors that Shiftwork raises for what a user can put right.

Each message names the thing, the constraint, the offending value and the way out. The command
line prints the message in one line and exits with status 1, 2 for a :class:`UsageError`; anything
else is a defect of ours.
"""


class ShiftworkError(Exception):
    """Base of all errors a user can put right."""


class UsageError(ShiftworkError):
    """A command lacks what it cannot do without.

    Parameters:
        message: what is missing.
        add: words that make the user's command line complete.
    """

    def __init__(self, message: str, *, add: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.add = add


class ModelError(ShiftworkError):
    """A model file cannot be read, or holds something that is not supported."""


class DataError(ShiftworkError):
    """Calibration or test data have the wrong shape, dtype or content."""


class ProgramError(ShiftworkError):
    """An integer program breaks a rule of ``docs/program.md``."""


class CapacityError(ShiftworkError):
    """A network, an array or a memory does not fit the device."""


class ToolError(ShiftworkError):
    """An external tool is missing, failed or ran out of time."""


class OutputError(ShiftworkError):
    """A result cannot be written."""


class TimingError(ShiftworkError):
    """A placed and routed design misses its clock."""


class MismatchError(ShiftworkError):
    """Hardware and golden model differ."""


class LinkError(ShiftworkError):
    """A board does not answer as it should."""
