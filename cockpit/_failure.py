"""What a command says when it fails: one line and an exit code. Only what is a defect of ours is allowed its traceback, in a file."""

from __future__ import annotations

import os

from cockpit.errors import CockpitError


def told(err: Exception) -> tuple[str, int]:
    """The line and the exit code for what went wrong."""
    if isinstance(err, CockpitError):
        return str(err), err.exit_code
    if isinstance(err, OSError) and err.strerror:
        return _of_the_machine(err), 1
    return f"cockpit: a defect: {type(err).__name__}{_crash_file()}", 1


def _of_the_machine(err: OSError) -> str:
    """What a file or a process met: nothing that a traceback would explain better."""
    where = f"{os.fsdecode(err.filename)}: " if isinstance(err.filename, str | bytes) else "cockpit: "
    return f"{where}{err.strerror}; see that the path is there, is yours and has room, then try again"


def _crash_file() -> str:
    """Where the traceback is, in words: a private file, without values of variables. Empty where none can be written."""
    import tempfile
    import traceback

    try:
        descriptor, name = tempfile.mkstemp(prefix="cockpit-crash-", suffix=".txt")
        with os.fdopen(descriptor, "w") as file:
            file.write(traceback.format_exc())
    except OSError:
        return ""
    return f"; details in {name}"
