"""The commands and their options. A file for each command does the work."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from typer.exceptions import TyperException

from divebell.cli.ask_command import ask
from divebell.cli.exits import INTERRUPTED, USAGE, Exit, clean_exit
from divebell.cli.ledger import ledger as ledger_commands
from divebell.cli.notices import show_notices
from divebell.cli.option_groups import expand_groups
from divebell.cli.options import LiveOptions
from divebell.cli.streams import UnfailingStream
from divebell.cli.wording import explain_renamed_flag
from divebell.version import __version__
from divebell_bridge.money.budget import MAX_CHILD_DEPTH

app = typer.Typer(
    name="divebell",
    help="A secure, embeddable engine for Recursive Language Models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(ledger_commands)


def run(*, catches_ctrl_c: bool) -> None:
    """Run the command line and exit. What a guest or a model wrote may not fit the terminal's encoding: it is escaped
    then.

    catches_ctrl_c: whether this is a process of its own, in which Ctrl-C is the command's to handle.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is not None:
        sys.stderr = UnfailingStream(sys.stderr)
    show_notices()
    with ctrl_c_raises() if catches_ctrl_c else nullcontext(), clean_exit():
        try:
            status = app(standalone_mode=False)
            if status == INTERRUPTED:  # typer's forms of Ctrl-C: this one, and
                raise KeyboardInterrupt
        except typer.Abort:
            raise KeyboardInterrupt from None
        except TyperException as error:
            if not error.format_message():  # the help that stands for a command that was not named
                raise Exit(USAGE) from None
            sentence = explain_renamed_flag(error.format_message()) or error.format_message()
            raise Exit(USAGE, f"{sentence.rstrip('.')}. Try --help.") from None
    raise SystemExit(status or 0)


@contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt here, so that the command can clean up; before and after, it ends the process at
    once."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"divebell {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A secure, embeddable engine for Recursive Language Models."""


@app.command()
def demo(
    lines: Annotated[
        int, typer.Option(min=100, max=20_000_000, help="How many lines the number is hidden in.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Determines the lines and the number.")] = 7,
    budget: Annotated[str, typer.Option(help="The cap in dollars, at the demo's invented prices.")] = "0.30",
) -> None:
    """Find a magic number in a million lines, offline, with a real sandbox and scripted models."""
    from divebell.cli.demo import run_demo

    run_demo(Console(soft_wrap=True), lines=lines, seed=seed, budget=budget)


app.command("ask")(ask)


@app.command()
@expand_groups
def replay(
    file: Annotated[Path, typer.Argument(help="A journal, as `divebell ask --journal FILE` writes it (not a trace).")],
    context: Annotated[
        list[Path] | None,
        typer.Option("--context", "-c", help="The context, if it was too large for the journal; as for ask."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    *,
    live: LiveOptions,
) -> None:
    """Replay a run from its journal, without a model or a network, and check that it is identical, byte for byte.

    Exit status: 1 if the run differs, with the first difference; 2 for bad input.
    """
    from divebell.cli.replay import print_replay

    print_replay(Console(stderr=True, soft_wrap=True), file, context or [], live=live, quiet=quiet, as_json=as_json)


@app.command("exec")
def execute(
    file: Annotated[Path, typer.Argument(help="A Python file; use - for standard input.")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="The variable `context`: a file, folder or pattern; may be repeated; use - for standard input.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.001, max=86_400, metavar="S", help="Processor time of the code in seconds.")
    ] = 10.0,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=1, max=3_072, metavar="N", help="Memory beyond the context in MiB.")
    ] = 256,
    seed: Annotated[int | None, typer.Option(help="Make randomness, hash order and clock reproducible.")] = None,
) -> None:
    """Run a Python file in a sandbox, without access to your files or the network. Exit status 1 if it fails."""
    from divebell.cli.execute import execute_file
    from divebell.limits import Limits

    execute_file(file, context or [], Limits(cell_seconds=seconds, memory_bytes=memory_mib << 20), seed)


@app.command()
def prices(
    model: Annotated[str | None, typer.Argument(help="The exact name of a model; all models by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the rate card: prices per million tokens. Exit status 2 for a model that is not on it."""
    from divebell.cli.prices import print_prices

    console = Console(soft_wrap=True)
    print_prices(console if console.is_terminal else Console(width=240), model, as_json=as_json)


@app.command()
def prompts(
    question: Annotated[str, typer.Argument(help="The question of the run.")] = "What is it about?",
    context: Annotated[
        list[Path] | None, typer.Option("--context", "-c", help="A file of the context; may be repeated.")
    ] = None,
    depth: Annotated[
        int, typer.Option(min=0, max=MAX_CHILD_DEPTH, help="The depth of the run: 0, or that of a child.")
    ] = 0,
    max_depth: Annotated[int, typer.Option(min=0, max=MAX_CHILD_DEPTH, help="How deeply children may be nested.")] = 1,
    tool: Annotated[
        list[str] | None, typer.Option(help="A tool: 'lookup(name: str) -> dict: What it does.'; may be repeated.")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="A file with the JSON Schema of the answer.")] = None,
    prompt: Annotated[
        Literal["standard", "small"], typer.Option(help="The prompts; small is for weak models.")
    ] = "standard",
    show_preview: Annotated[bool, typer.Option(help="Show the model the beginning of the context.")] = True,
    instructions: Annotated[
        str | None, typer.Option(help="Your own instructions to the model; @FILE reads them from a file.")
    ] = None,
) -> None:
    """Print the messages that a model receives at the beginning of a run. Nothing is sent."""
    from divebell.cli.inputs import read_text_option
    from divebell.cli.prompts import print_prompts

    print_prompts(
        question,
        context or [],
        depth=depth,
        max_depth=max_depth,
        tools=tool or [],
        schema=schema,
        prompt=prompt,
        show_preview=show_preview,
        instructions=read_text_option("--instructions", instructions),
    )


@app.command()
def doctor() -> None:
    """Check this machine, report which fast paths are available, and fill the caches."""
    from divebell.cli.doctor import print_diagnosis

    console = Console()
    print_diagnosis(console if console.is_terminal else Console(width=240))


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A trace, as `divebell ask --trace FILE` writes it.")],
    html: Annotated[Path | None, typer.Option(help="Write one HTML page that needs no network.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show prompts, code, output and replies in full.")] = False,
) -> None:
    """Show what happened in a run: turns, cells, calls and children, with their tokens, cost and time."""
    from divebell.cli.trace import show_trace

    console = Console(soft_wrap=True)
    show_trace(console if console.is_terminal else Console(width=1_000_000), file, html=html, full=full)
