"""The commands and their options. Each does its work in a file of its own."""

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

from divebell.cli.amounts import parse_budget
from divebell.cli.ask_command import ask
from divebell.cli.exits import INTERRUPTED, USAGE, Exit, clean_exit
from divebell.cli.ledger import ledger as ledger_commands
from divebell.cli.notices import show_notices
from divebell.cli.streams import UnfailingStream
from divebell.cli.wording import explain_renamed_flag
from divebell.version import __version__

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


def _version(wanted: bool) -> None:
    if wanted:
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
        int, typer.Option(min=100, max=20_000_000, help="How many lines to hide the number in.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Decides the lines and the number.")] = 7,
    budget: Annotated[str, typer.Option(help="The cap in dollars, at the demo's made-up prices.")] = "0.30",
) -> None:
    """Find a magic number in a million lines, offline: real sandbox, real door, scripted models."""
    from divebell.cli.demo import demo as work

    work(Console(soft_wrap=True), lines=lines, seed=seed, budget=budget)


app.command("ask")(ask)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A journal, as `divebell ask --journal FILE` writes it (not a trace).")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context", "-c", help="What the run was about, if it was too large for the journal; as for ask."
        ),
    ] = None,
    from_turn: Annotated[
        int | None, typer.Option(min=1, help="Repeat up to this turn, and go on from it with --model.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The root model to go on with.")] = None,
    sub_model: Annotated[str | None, typer.Option(help="Answers llm_query from there on; by default --model.")] = None,
    base_url: Annotated[
        str | None, typer.Option(envvar="OPENAI_BASE_URL", help="An endpoint that speaks the Chat Completions API.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="The most that going on may cost, in dollars: 0.30")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens for that.")] = None,
    calls: Annotated[int | None, typer.Option(min=1, help="The most model calls for that.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.001, help="The most wall time, of all of it.")] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(help="A model's price, MODEL=INPUT/OUTPUT(/CACHED) in dollars per million tokens: local=0/0"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Run again from a journal, with no model and no network, and prove that it is the same, byte for byte.

    Exit status: 1 where it differs, with the first difference; 2 bad input.
    """
    from divebell.cli.replay import replay as work

    work(
        Console(stderr=True, soft_wrap=True),
        file,
        context or [],
        from_turn=from_turn,
        model=model,
        sub_model=sub_model,
        base_url=base_url,
        budget=parse_budget(budget, tokens, calls, seconds, 1),
        rates=rate or [],
        quiet=quiet,
        as_json=as_json,
    )


@app.command("exec")
def execute(
    file: Annotated[Path, typer.Argument(help="A Python file; - for standard input.")],
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="What is the variable `context`: a file, folder or pattern; again for more; - for stdin.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.001, max=86_400, help="Processor time of the code.")] = 10.0,
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=1, max=3_072, help="Memory beyond the context.")] = 256,
    seed: Annotated[int | None, typer.Option(help="Makes randomness, hash order and clock repeat.")] = None,
) -> None:
    """Run a Python file in a sandbox: no files of yours, no network, no way out. Exit status 1 if it failed."""
    from divebell.cli.execute import execute as work
    from divebell.limits import Limits

    work(file, context or [], Limits(cell_seconds=seconds, memory_bytes=memory_mib << 20), seed)


@app.command()
def prices(
    model: Annotated[str | None, typer.Argument(help="A model's exact name; without one, all that are known.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what models cost by the rate card, per million tokens. Exit status 2 for a model that is not on it."""
    from divebell.cli.prices import prices as work

    console = Console(soft_wrap=True)
    work(console if console.is_terminal else Console(width=240), model, as_json=as_json)


@app.command()
def prompts(
    question: Annotated[str, typer.Argument(help="The question of the run.")] = "What is it about?",
    context: Annotated[
        list[Path] | None, typer.Option("--context", "-c", help="A file of the context; again for more files.")
    ] = None,
    depth: Annotated[int, typer.Option(min=0, max=32, help="The level of the run: 0, or a child's.")] = 0,
    max_depth: Annotated[int, typer.Option(min=0, max=32, help="How deep children may go.")] = 1,
    tool: Annotated[
        list[str] | None, typer.Option(help="A function of the application: 'lookup(name: str) -> dict: What it does.'")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="A file with the JSON Schema of the answer.")] = None,
    prompt: Annotated[Literal["standard", "small"], typer.Option(help="small: for weak models.")] = "standard",
    show_preview: Annotated[bool, typer.Option(help="Whether the model sees how the context begins.")] = True,
    instructions: Annotated[
        str | None, typer.Option(help="Your own words in the prompt, for the root or a child; @FILE reads them.")
    ] = None,
) -> None:
    """Print what a model sees at the beginning of a run. Nothing is sent."""
    from divebell.cli.inputs import read_words
    from divebell.cli.prompts import prompts as work

    work(
        question,
        context or [],
        depth=depth,
        max_depth=max_depth,
        tools=tool or [],
        schema=schema,
        prompt=prompt,
        show_preview=show_preview,
        instructions=read_words("--instructions", instructions),
    )


@app.command()
def doctor() -> None:
    """Say what this machine can do, and warm the caches."""
    from divebell.cli.doctor import doctor as work

    console = Console()
    work(console if console.is_terminal else Console(width=240))


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A trace, as a run wrote it.")],
    html: Annotated[Path | None, typer.Option(help="Write one page that needs no network, and print nothing.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show prompts, code, output and replies at length.")] = False,
) -> None:
    """Show what happened in a run: turns, cells, calls and children, with their tokens, dollars and seconds."""
    from divebell.cli.trace import trace as work

    console = Console(soft_wrap=True)
    work(console if console.is_terminal else Console(width=1_000_000), file, html=html, full=full)
