"""The front page: what ``genus --help`` shows."""

import difflib
from typing import NamedTuple

__all__ = ["COMMANDS", "Command", "help_page", "unknown_command"]


class Command(NamedTuple):
    """A verb of the command line."""

    module: str
    usage: str
    summary: str


COMMANDS: dict[str, Command] = {
    "list": Command("listing", "", "the family tree: models, what they answer, recipes"),
    "data": Command("data", "[NAME|PATH]", "the data sets, or one of them in detail"),
    "train": Command("train", "RECIPE", "train a recipe into a run folder"),
    "evaluate": Command("evaluate", "RUN", "likelihood, samples, reconstruction, completion"),
    "sample": Command("sample", "RUN", "draw samples as a picture or an array"),
    "complete": Command("complete", "RUN", "fill in what a mask hides"),
    "compare": Command("compare", "", "every family on one data set: the honest table"),
    "check": Command("check", "MODULE:CLASS", "the contract, run over a model of yours"),
    "reproduce": Command("reproduce", "RECIPE", "train at full budget and write results/"),
}

_EXAMPLES = (
    ("genus compare --data mnist --budget 60s", "seven families, one table, one page"),
    ("genus train vae --budget 60s", "writes runs/vae"),
    ("genus train vae --data photos/", "your own images; writes runs/vae@photos"),
    ("genus sample runs/vae -n 64", "a picture of 64 draws"),
    ("genus complete runs/vae --mask left", "what was hidden, drawn"),
)


def help_page(*, colour: bool) -> str:
    """The whole page."""
    bold, dim, end = ("\033[1m", "\033[2m", "\033[0m") if colour else ("", "", "")
    lines = [
        f"{bold}genus{end}  every family of generative model under one contract",
        "",
        f"{bold}usage{end}  genus COMMAND [options]",
        "",
        f"{bold}commands{end}",
    ]
    for name, command in COMMANDS.items():
        usage = f"{name} {command.usage}"
        lines.append(f"  {bold}{name}{end} {command.usage:<{22 - len(name)}} {command.summary}")
        assert len(usage) <= 23
    lines += ["", f"{bold}examples{end}"]
    for example, note in _EXAMPLES:
        lines.append(f"  {example:<42}" + (f"  {dim}# {note}{end}" if note else ""))
    lines += [
        "",
        f"{dim}genus COMMAND --help tells more; --json for programs; --debug for the traceback",
        f"exit codes: 0 done, 1 failed, 2 bad input{end}",
    ]
    return "\n".join(lines)


def unknown_command(name: str) -> str:
    """What to say to a command that does not exist."""
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no command {name!r}{hint} (commands: {', '.join(COMMANDS)})"
