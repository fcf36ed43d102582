"""Reading real data sets where the user has the files. Nothing is ever downloaded.

Published formats: JSON Lines (RULER, exports of oolong-synth), a JSON list (oolong-pairs), Parquet (oolong-synth as it
is distributed; needs the package pyarrow).
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.bench.rlm.instances import DataError

PARQUET_ROWS_AT_ONCE = 16


def records(path: Path, fields: frozenset[str], what: str) -> Iterator[dict[str, object]]:
    """The file's records, each with at least `fields`. DataError where it is absent or otherwise."""
    if not path.is_file():
        raise DataError(f"{path} does not exist: get {what} and name the file; nothing is downloaded here")
    found = False
    for number, record in enumerate(_parquet(path, what) if path.suffix == ".parquet" else _json(path, what), 1):
        missing = sorted(fields - record.keys()) if isinstance(record, dict) else sorted(fields)
        if missing:
            raise DataError(f"{path}, record {number}, is not {what}: it has no {', '.join(missing)}")
        found = True
        yield record
    if not found:
        raise DataError(f"{path} has no records")


def text_of(record: dict[str, object], field: str, path: Path) -> str:
    """The field as text. DataError where it is something else."""
    value = record[field]
    if not isinstance(value, str):
        raise DataError(f"{path}: {field} must be text, not {type(value).__name__}")
    return value


def _json(path: Path, what: str) -> Iterator[dict[str, object]]:
    try:
        with path.open(encoding="utf-8") as file:
            if _starts_a_list(file.read(1024)):
                file.seek(0)
                yield from json.load(file)
                return
            file.seek(0)
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not {what}: {error}") from None


def _starts_a_list(head: str) -> bool:
    return head.lstrip().startswith("[")


def _parquet(path: Path, what: str) -> Iterator[dict[str, object]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(f"{path} is a Parquet file: install pyarrow to read it, or export it as JSON Lines") from None
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=PARQUET_ROWS_AT_ONCE):
            yield from batch.to_pylist()
    except ValueError as error:  # pyarrow's errors are ValueErrors
        raise DataError(f"{path} is not {what}: {error}") from None
