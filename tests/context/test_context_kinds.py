"""A kind of source of one's own: a file format, and a type of object. Nothing else has to know of it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from divebell import RLM, Context, ContextError
from divebell.context import kinds
from divebell.context.files import open_file
from divebell.context.kinds.kind import ContextKind, FileFormat, Loaded
from divebell.context.sharing import Notes, Prepared, share_value
from divebell.testing import ScriptedModel, replay


class CsvFile(FileFormat):
    suffixes: ClassVar = frozenset({".csv"})

    def load(self, path: Path) -> Loaded:
        with open_file(path) as file:
            text, notes = file.text()
        return Loaded(list(csv.DictReader(text.splitlines())), (*notes, "read as a table"))


@dataclass
class Table:
    """What a library has, as a DataFrame is."""

    columns: dict[str, list[object]]


class TableKind(ContextKind):
    def takes(self, source: object) -> bool:
        return isinstance(source, Table)

    def prepare(self, source: Table, notes: Notes = ()) -> Prepared:
        rows = zip(*source.columns.values(), strict=True)
        return share_value([dict(zip(source.columns, row, strict=True)) for row in rows], notes, consume=True)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "PATH_KINDS", (CsvFile(), *kinds.PATH_KINDS))
    monkeypatch.setattr(kinds, "KINDS", (TableKind(), CsvFile(), *kinds.KINDS))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.CSV"
    path.write_text("name,price\ntea,3\ncoffee,4\n")
    return path


def test_a_file_of_the_new_format_is_its_data_and_with_as_text_its_text(table: Path) -> None:
    context = Context.of(table)
    assert context.copy_out() == [{"name": "tea", "price": "3"}, {"name": "coffee", "price": "4"}]
    assert context.notes == ("read as a table",)
    assert (
        context.describe()
        == "a list of 2 records (dicts) with fields 'name': str, 'price': str; 11 characters of text in all (longest 7, median 5)"
    )
    assert Context.of(table, as_text=True).copy_out() == table.read_text()


def test_among_several_paths_it_lies_by_its_path(table: Path) -> None:
    other = table.with_name("note.txt")
    other.write_text("hello")
    assert Context.from_paths([table, other]).copy_out() == {
        table.as_posix(): [{"name": "tea", "price": "3"}, {"name": "coffee", "price": "4"}],
        other.as_posix(): "hello",
    }
    table.write_text("name,price\n")
    with pytest.raises(ContextError, match=r"prices\.CSV is empty"):
        Context.from_paths([table, other])


def test_an_object_of_the_new_kind_is_a_context_and_its_run_repeats_from_the_journal(tmp_path: Path) -> None:
    source: Any = Table({"name": ["tea", "coffee"], "price": [3, 4]})
    model = ScriptedModel("root", ["```repl\nFINAL(max(context, key=lambda row: row['price'])['name'])\n```"])
    journal = tmp_path / "run.journal"
    assert RLM(model).run(source, "What is dearest?", journal=journal).answer == "coffee"
    assert replay(journal).answer == "coffee"
