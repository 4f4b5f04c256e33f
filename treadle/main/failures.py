"""The edge of every command: failures become one message and an exit code, never a traceback."""

import contextlib
import logging
from collections.abc import Iterator

import typer

from treadle.base.errors import TreadleError
from treadle.main.patience import be_patient, spoken
from treadle.main.terminal import FAILED, INTERRUPTED, err, plain, tell_failure, want_json

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell what goes wrong inside, and leave with the exit code that goes with it."""
    want_json(False)
    be_patient()
    try:
        yield
        spoken()
    except (typer.Exit, typer.Abort):
        raise
    except TreadleError as error:
        raise typer.Exit(tell_failure(error)) from None
    except KeyboardInterrupt:
        spoken()
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader of our output has seen enough
        raise typer.Exit(FAILED) from None
    except Exception as error:  # noqa: BLE001 (the edge of the process)
        raise typer.Exit(_tell_unexpected(error)) from None


def _tell_unexpected(error: Exception) -> int:
    _log.error("A command failed unexpectedly", exc_info=error)
    console = err()
    console.print(
        f"Error: something unexpected happened: {type(error).__name__}: {plain(str(error))[:300]}", style="red"
    )
    console.print(f"The whole story is in {_log_place()}; please report it with that.")
    return FAILED


def _log_place() -> str:
    files = [each.stream.name for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    named = [name for name in files if isinstance(name, str) and not name.startswith("<")]
    return named[0] if named else "the lines above"
