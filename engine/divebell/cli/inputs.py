"""Reads and parses the values of options: contexts, prices, schemas. A value that cannot be used is an Exit with one
clear sentence."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from divebell.bounds import MAX_SCHEMA_FILE_BYTES
from divebell.calls.retries import Retries
from divebell.cli.exits import USAGE, Exit
from divebell.context import Context
from divebell.context.decoding import decode
from divebell.context.files import is_folder
from divebell.context.kinds.folders import is_glob
from divebell.context.paths import load_several
from divebell.errors import ConfigurationError, ContextError
from divebell.limits import Limits
from divebell.schemas import AnswerSchema
from divebell_bridge.money.rates import Rate

STDIN = Path("-")
MAX_STDIN_BYTES = 2 << 30
MAX_TEXT_OPTION_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read files, if not by their own format."""

    as_text: bool = False
    binary: bool = False
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.binary and (self.as_text or self.encoding is not None):
            raise Exit(USAGE, "--binary reads bytes: leave out --as-text and --encoding")

    @property
    def is_set(self) -> bool:
        """Whether any of them was typed."""
        return self.as_text or self.binary or self.encoding is not None

    def context_of(self, path: Path) -> Context:
        """The content of one file. Exit for a folder, whose files are text of any encoding."""
        if not self.is_set:
            return Context.from_paths([path])
        if is_folder(path) or is_glob(str(path)):
            option = "--binary" if self.binary else "--encoding" if self.encoding is not None else "--as-text"
            raise Exit(USAGE, f"{option} is for files, and {path} is not one")
        return Context.from_file(path, binary=self.binary, encoding=self.encoding)

    def context_of_stdin(self) -> Context:
        """The content of standard input."""
        if sys.stdin is None:
            raise Exit(USAGE, "standard input is closed, and --context - reads it")
        data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
        if len(data) > MAX_STDIN_BYTES:
            raise ContextError(f"standard input is over {MAX_STDIN_BYTES:,} bytes: write it to a file and name that")
        if self.binary:
            return Context.of(data)
        text, notes = decode(data, "standard input", self.encoding)
        return Context.of(text, notes=notes)


def read_context(paths: list[Path], reading_options: ReadingOptions = ReadingOptions()) -> Context:
    """Read the context: one file, folder or pattern as it is; several as a dict by path; "-" is standard input."""
    if not paths:
        raise Exit(USAGE, "there is no context: name a file with --context FILE (or --context - for standard input)")
    if paths.count(STDIN) > 1:
        raise Exit(USAGE, "standard input can be the context only once")
    if len(paths) == 1:
        return reading_options.context_of_stdin() if paths[0] == STDIN else reading_options.context_of(paths[0])
    if STDIN not in paths and not reading_options.is_set:
        return Context.from_paths(paths)
    others = [path for path in paths if path != STDIN]
    if reading_options.is_set:
        loaded = [(path.as_posix(), reading_options.context_of(path)) for path in others]
        values = {name: context.copy_out() for name, context in loaded}
        notes = tuple(note for _, context in loaded for note in context.notes)
        if len(values) < len(loaded):
            raise ContextError("a file is given twice")
    else:
        several = load_several(others)
        values, notes = several.value, several.notes
    if STDIN in paths:
        context = reading_options.context_of_stdin()
        values, notes = {**values, "-": context.copy_out()}, notes + context.notes
    return Context.of(values, notes=notes)


def show_notes(context: Context) -> None:
    """Print the notes on stderr, apart from the answer."""
    for note in context.notes:
        print(f"note: {note}", file=sys.stderr)


def parse_rates(rates: list[str]) -> dict[str, Rate]:
    """`MODEL=INPUT/OUTPUT` or `MODEL=INPUT/OUTPUT/CACHED`, in dollars per million tokens."""
    parsed = {}
    for text in rates:
        model, _, prices = text.rpartition("=")
        parts = prices.split("/")
        if not model or not 2 <= len(parts) <= 3:
            raise Exit(
                USAGE,
                "--rate must look like my-model=0.25/2.00 or, with cached input, my-model=0.25/2.00/0.03 "
                f"(dollars per million tokens), not {text!r}",
            )
        parsed[model] = Rate.per_million(*parts)
    return parsed


def read_schema(path: Path) -> AnswerSchema:
    """A JSON Schema from a file."""
    try:
        data = path.read_bytes()[: MAX_SCHEMA_FILE_BYTES + 1]
        if len(data) > MAX_SCHEMA_FILE_BYTES:
            raise Exit(USAGE, f"{path} is over {MAX_SCHEMA_FILE_BYTES:,} bytes: too large for a schema")
        return AnswerSchema.of(json.loads(data))
    except OSError as error:
        raise Exit(USAGE, f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigurationError):
            raise Exit(USAGE, f"{path}: {error}") from None
        raise Exit(USAGE, f"{path} is not JSON: {error}") from None


def read_text_option(option: str, typed: str | None) -> str | None:
    """What was typed, or the content of the file that `@FILE` names."""
    if typed is None or not typed.startswith("@"):
        return typed
    path = Path(typed[1:])
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_OPTION_BYTES + 1)
    except OSError as error:
        raise Exit(USAGE, f"{option}: cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_TEXT_OPTION_BYTES:
        raise Exit(USAGE, f"{option}: {path} is over {MAX_TEXT_OPTION_BYTES:,} bytes")
    return decode(data, str(path))[0]


def parse_limits(cell_seconds: float | None, memory_mib: int | None) -> Limits | None:
    """The sandbox's limits; None if none was given."""
    limits: dict[str, Any] = {}
    if cell_seconds is not None:
        limits["cell_seconds"] = cell_seconds
    if memory_mib is not None:
        limits["memory_bytes"] = memory_mib << 20
    return Limits(**limits) if limits else None


def parse_retries(attempts: int | None) -> Retries | None:
    """How often a failing call is tried; None if not given."""
    return None if attempts is None else Retries(attempts=attempts)


def parse_metadata(pairs: list[str]) -> dict[str, str] | None:
    """`NAME=TEXT`, any number of times."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise Exit(USAGE, f"--metadata must look like customer=acme, not {pair!r:.100}")
        if name in parsed:
            raise Exit(USAGE, f"--metadata names {name!r} twice")
        parsed[name] = text
    return parsed or None
