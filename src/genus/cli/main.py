"""The command line: finds the command, runs it, and turns errors into one line and a code.

Nothing heavy is imported before a command is known: ``genus --help`` needs no torch.
"""

import gc
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

from genus.cli.front import COMMANDS, help_page, unknown_command
from genus.version import __version__

__all__ = ["DONE", "FAILED", "BadInputError", "main"]

DONE, FAILED, BAD_INPUT = 0, 1, 2
PATIENCE = 3.0


class BadInputError(ValueError):
    """What was asked for cannot be done as asked; nothing was written."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: as typed after ``genus``; those of the process by default.

    Returns:
        0 done, 1 failed, 2 bad input.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("GENUS_DEBUG", "") not in ("", "0")
    given = [argument for argument in given if argument != "--debug"]
    if not given or given[0] in ("-h", "--help", "help"):
        print(help_page(colour=sys.stdout.isatty()))
        return DONE
    if given[0] in ("-V", "--version", "version"):
        print(f"genus {__version__}")
        return DONE
    if given[0] not in COMMANDS:
        return _complain(unknown_command(given[0]), BAD_INPUT)
    try:
        return _run(given[0], given[1:])
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - outlives this function
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        return _complain(_describe(error), _code(error))


def _run(name: str, arguments: list[str]) -> int:
    """Parses the arguments of a command and calls it; its module is imported only now."""
    module = _import(f"genus.cli.{COMMANDS[name].module}")
    import tyro

    given = arguments
    for flag in ("--set", "--load"):
        given = _repeat_flag(given, flag)
    try:
        code = tyro.cli(
            module.command,
            args=given,
            prog=f"genus {name}",
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
        )
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else BAD_INPUT
    finally:
        sys.stdout.flush()
    return DONE if code is None else int(code)


def _import(name: str) -> Any:
    """The module, imported without the garbage collector.

    Imports leave nothing to collect, and torch's million objects make each collection slow.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _repeat_flag(arguments: list[str], flag: str) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``."""
    result: list[str] = []
    given = 0
    for argument in arguments:
        if argument == flag:
            given = 1
            continue
        if given and not argument.startswith("-") and (given == 1 or "=" in argument):
            result += [flag, argument]
            given = 2
            continue
        result += [flag, argument] if given == 1 else [argument]
        given = 0
    return [*result, flag] if given == 1 else result


def _describe(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}"
    text = " ".join(str(error).split())
    known = isinstance(error, ValueError | ArithmeticError) or type(error).__module__.startswith(
        "genus."
    )
    hint = "" if known else " (--debug shows where)"
    return (text if known else f"{type(error).__name__}: {text}") + hint


def _code(error: BaseException) -> int:
    """2 for what the user gave or where it shall be written, 1 for everything else."""
    return BAD_INPUT if isinstance(error, ValueError | OSError) else FAILED


def _complain(text: str, code: int) -> int:
    """Prints the error; under torchrun the first process speaks for all that met the same one.

    Its end ends the others. One that still lives a while later met an error of its own.
    """
    if os.environ.get("RANK", "0") != "0":
        time.sleep(PATIENCE)
    print(f"genus: error: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
