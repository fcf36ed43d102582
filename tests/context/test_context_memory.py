"""A text is in memory once: in the form in which it is kept. Files are decoded piece by piece."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from divebell import Context, ContextError
from divebell.context import decoding
from divebell.context.decoding import choose_decoding
from divebell.context.files import open_file
from divebell.runtime.context_pages import LATIN1, UCS2, UCS4

MEBIBYTE = 1 << 20
SCRIPT = """
import resource, sys
from pathlib import Path
from divebell import Context
def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
Context.of(Path({small!r}))
before = peak_bytes()
context = Context.{make}
print(peak_bytes() - before, context.shared_bytes)
"""


def beside_what_is_kept(alone: Callable[..., str], make: str, small: Path) -> float:
    """What a context took beside its shared bytes, as a part of them. (They are no part of a process' resident memory
    before somebody reads them.)"""
    grown, stored = map(int, alone(SCRIPT.format(small=str(small), make=make)).split())
    return grown / stored


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.txt"
    path.write_text("é", "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("character", "encoding"),
    [("é", "utf-8"), ("й", "utf-8"), ("😀", "utf-8"), ("é", "cp1252"), ("é", "utf-16"), ("й", "utf-16-le")],
)
def test_a_file_takes_little_more_than_the_text_that_is_kept(
    character: str, encoding: str, alone: Callable[..., str], small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    line = "The quick brown fox jumps over the lazy dog, and so on. "
    path.write_bytes((line * (96 * MEBIBYTE // len(line)) + character).encode(encoding))
    assert beside_what_is_kept(alone, f"of(Path({str(path)!r}))", small) < 0.3


@pytest.mark.slow
def test_a_folder_takes_little_more_than_the_texts_that_are_kept(
    alone: Callable[..., str], small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(48):
        (folder / f"{number}.txt").write_text("a" * (2 * MEBIBYTE) + "é", "utf-8")
    # All of them are decoded before the first is written: then they are in memory once, and no more than that.
    assert beside_what_is_kept(alone, f"from_folder({str(folder)!r})", small) < 1.3
    assert beside_what_is_kept(alone, f"of(Path({str(folder)!r}))", small) < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("character", ["é", "й", "😀"])
def test_a_folder_of_one_large_file_takes_little_more_too(
    character: str, alone: Callable[..., str], small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "large.txt").write_text("a" * (32 * MEBIBYTE) + character + "a" * (32 * MEBIBYTE), "utf-8")
    assert beside_what_is_kept(alone, f"of(Path({str(folder)!r}))", small) < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("character", ["é", "й", "😀"])
@pytest.mark.parametrize("make", ["of(Path({path!r}))", "from_json({path!r})"])
def test_json_lines_are_never_one_text_in_memory(
    character: str, make: str, alone: Callable[..., str], small: Path, tmp_path: Path
) -> None:
    """One wide character in one record would make that text four times as long as all records."""
    path = tmp_path / "records.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(640):
            text = "a" * 100_000 + character * (number == 320)
            file.write(json.dumps({"number": number, "text": text}, ensure_ascii=False) + "\n")
    assert beside_what_is_kept(alone, make.format(path=str(path)), small) < 1.3


@pytest.mark.parametrize("length", [1, 2, decoding.CHUNK_BYTES - 2, decoding.CHUNK_BYTES + 3, 4 * decoding.CHUNK_BYTES])
def test_records_are_the_same_wherever_a_piece_of_the_file_ends(length: int, tmp_path: Path) -> None:
    records = [{"text": "a" * length}, {"text": "é"}, {"text": "\u2028😀" + "b" * length}, {}]
    path = tmp_path / "records.jsonl"
    path.write_bytes("\r\n\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode())
    assert Context.of(path).copy_out() == records


@pytest.mark.parametrize(
    "pieces",
    [[], [""], ["a", "", "é"], ["a"] * 1_000, ["a", "й" * 50, "b" * 500, "😀"], ["ab" * 5_000, "c", "d" * 9_999]],
)
def test_pieces_are_joined_in_their_order(pieces: list[str]) -> None:
    assert decoding.join(iter(pieces)) == "".join(pieces)


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 5, decoding.CHUNK_BYTES - 1, decoding.CHUNK_BYTES, 3 * decoding.CHUNK_BYTES - 2])
@pytest.mark.parametrize(("character", "kind"), [("é", LATIN1), ("й", UCS2), ("😀", UCS4), ("\ud7ff", UCS2)])
def test_a_character_is_the_same_wherever_it_lies(at: int, character: str, kind: int, tmp_path: Path) -> None:
    """Also where a piece of the file ends in the middle of it."""
    text = "a" * at + character + "b" * (3 * decoding.CHUNK_BYTES)
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    with open_file(path) as file:
        assert choose_decoding(file).kind == kind
    assert Context.of(path).copy_out() == text


def test_what_is_damaged_late_is_read_as_utf_8_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("déjà vu ".encode() * 300_000 + b"\xff\xfe" + "été".encode() + b"\xc3")
    context = Context.of(path)
    assert context.copy_out() == "déjà vu " * 300_000 + "\ufffd\ufffdété\ufffd"
    assert context.notes == ("'text.txt' has bytes that are not UTF-8: they are U+FFFD, in 3 places",)


def test_latin_text_whose_first_accent_comes_late_is_still_told_from_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"plain words " * 200_000 + "Un café déjà réservé à Genève, près de là. ".encode("cp1252") * 50)
    context = Context.of(path)
    assert str(context.copy_out()).endswith("près de là. ")
    assert "windows-1252" in context.notes[0]


def test_a_file_that_changes_between_the_two_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    choose = decoding.choose_decoding
    for before, after in (
        ("é" * 5000, "й" * 5000),
        ("й" * 5000, "😀" * 2500),
        ("é" * 5000, "e" * 10_000),
        ("й" * 5000, "e" * 10_000),
        ("aй", "ééé"),
    ):

        def change_after(
            source: decoding.ByteSource, encoding: str | None = None, after: str = after
        ) -> decoding.Decoding:
            chosen = choose(source, encoding)
            path.write_text(after, "utf-8")
            return chosen

        path.write_text(before, "utf-8")
        monkeypatch.setattr(decoding, "choose_decoding", change_after)
        with pytest.raises(ContextError, match=r"'text\.txt' changed while it was read"):
            Context.of(path)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "no-such", "base64"])
def test_an_encoding_that_is_not_one_of_text_is_refused(encoding: str, small: Path) -> None:
    with pytest.raises(ContextError, match="there is no text encoding"):
        Context.from_file(small, encoding=encoding)


def test_texts_that_are_let_go_while_they_are_written_are_written_whole(tmp_path: Path) -> None:
    """Pieces of ASCII texts are views of them, and do not keep them alive."""
    folder = tmp_path / "folder"
    folder.mkdir()
    texts = {f"{number:04}.txt": f"{number} " * (number * 37 % 4_000 + 50) for number in range(400)}
    texts |= {"0100.txt": "x" * (3 * MEBIBYTE), "0200.txt": "é" * (2 * MEBIBYTE), "0300.txt": "й" * MEBIBYTE}
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    assert Context.from_folder(folder).copy_out() == texts
