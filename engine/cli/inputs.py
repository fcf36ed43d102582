"""What options name: contexts, prices, schemas. One clear sentence for each that makes no sense."""

import json
import sys
from pathlib import Path

from divebell.bridge.rates import Rate
from divebell.cli.exits import USAGE, Exit
from divebell.context import Context
from divebell.context.decoding import decode
from divebell.context.paths import load_several
from divebell.errors import ConfigurationError, ContextError
from divebell.schemas import AnswerSchema

MAX_STDIN_BYTES = 2 << 30
MAX_SCHEMA_FILE_BYTES = 1 << 20


def read_context(paths: list[Path]) -> Context:
    """One file, folder or pattern as it is, several as a dict by path, "-" as standard input."""
    if not paths:
        raise Exit(USAGE, "there is no context: name a file with --context FILE (or --context - for standard input)")
    if Path("-") not in paths:
        return Context.from_paths(paths)
    if paths.count(Path("-")) > 1:
        raise Exit(USAGE, "standard input can be the context only once")
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise ContextError(f"standard input is over {MAX_STDIN_BYTES:,} bytes: write it to a file and name that")
    text, notes = decode(data, "standard input")
    if len(paths) == 1:
        return Context.of(text, notes=notes)
    texts, more = load_several(path for path in paths if path != Path("-"))
    return Context.of(texts | {"-": text}, notes=notes + more)


def show_notes(context: Context) -> None:
    """On stderr, so that they are in nobody's way."""
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
