"""Contexts from single files: mapped where they can be, read in whatever encoding they are, and refused in a sentence."""

import hashlib
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from divebell import Context, ContextError, Sandbox
from divebell.context import decoding
from divebell.resources import default_engine
from tests.support.mapped import mapped_file

PAGE, WASM_PAGE = 4096, 65536


@pytest.fixture(autouse=True)
def _warm() -> None:
    default_engine().warm()  # wasmtime's signal handler, which a mapped file needs, is there from now on


@pytest.mark.parametrize("name", ["ascii", "utf8", "empty", "bom"])
def test_a_file_of_text(tmp_path: Path, name: str) -> None:
    text = {"ascii": "plain\r\ntext\n" * 5000, "utf8": "Käse, 漢字, 🤿\n" * 3000, "empty": "", "bom": "text"}[name]
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8-sig" if name == "bom" else "utf-8"))
    for source in (path, Context.from_file(path), Context.from_file(str(path)), Context.from_file(path, copy=True)):
        with Sandbox(source) as box:
            assert box["context"] == text


@pytest.mark.parametrize("length", [0, 1, PAGE - 1, PAGE, PAGE + 1, WASM_PAGE, 1_000_000])
@pytest.mark.parametrize("copy", [False, True])
def test_a_binary_file(tmp_path: Path, length: int, copy: bool) -> None:
    data = os.urandom(length)
    path = tmp_path / "data"
    path.write_bytes(data)
    with Sandbox(Context.from_file(path, binary=True, copy=copy)) as box:
        assert box.run("import hashlib; hashlib.sha256(context).digest()").value == hashlib.sha256(data).digest()


def test_an_ascii_or_binary_file_is_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mapped " * 10_000)
    for context in (Context.of(path), Context.from_file(path, binary=True)):
        assert context.shared is not None
        assert context.shared.region.is_mapped
        assert os.fstat(mapped_file(context)).st_ino == path.stat().st_ino
    copied = Context.from_file(path, copy=True)
    assert copied.shared is not None
    assert os.fstat(mapped_file(copied)).st_ino != path.stat().st_ino


@pytest.mark.slow
def test_a_file_is_mapped_even_if_its_context_is_made_before_anything_else(
    tmp_path: Path, alone: Callable[..., str]
) -> None:
    path = tmp_path / "file"
    path.write_text("mapped " * 10_000)
    script = (
        "import os, sys\nfrom divebell import Context\n"
        f"context = Context.from_file({str(path)!r})\n"
        f"print(os.fstat(context.shared.region._file).st_ino == os.stat({str(path)!r}).st_ino)"
    )
    assert alone(script).strip() == "True"


def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "missing", tmp_path, fifo, tmp_path / "loop", Path("/dev/zero"), Path("nul\0byte")):
        with pytest.raises(ContextError):
            Context.from_file(path)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ContextError, match="Permission"):
        Context.from_file(path)
    path.chmod(stat.S_IRUSR)


@pytest.mark.slow
def test_a_mapped_file_that_is_cut_short_costs_the_cell_and_not_the_process(
    tmp_path: Path, alone: Callable[..., str]
) -> None:
    path = tmp_path / "file"
    path.write_text("z" * 1_000_000)
    script = f"""
import os
from divebell import Context, Sandbox
neighbour = Sandbox("other")
box = Sandbox(Context.from_file({str(path)!r}))
box.run("x = 1")
assert box.run("context.count('z')").value == 1_000_000
os.truncate({str(path)!r}, 0)
cell = box.run("context.count('z')")
print(cell.error.kind, cell.restored, box.run("x").value, neighbour.run("context").value)
"""
    assert alone(script).split() == ["Crash", "True", "1", "other"]


@pytest.mark.slow
def test_a_mapped_file_that_is_cut_short_is_not_read_by_the_host(tmp_path: Path, alone: Callable[..., str]) -> None:
    """The guest passes the context itself through the door, so that it is the host that reads the missing pages."""
    path = tmp_path / "file"
    path.write_bytes(b"z" * 1_000_000)
    script = f"""
import os
from divebell import Context, Sandbox
neighbour = Sandbox("other")
box = Sandbox(Context.from_file({str(path)!r}, binary=True))
box.run("import _divebell; x = 1")
os.truncate({str(path)!r}, 0)
box.run("_divebell.call(context)")
print(box.run("x").value, neighbour.run("context").value)
"""
    assert alone(script).split() == ["1", "other"]


def test_a_mapped_file_that_is_deleted_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("still here " * 1000)
    with Sandbox(path) as box:
        path.unlink()
        assert box.run("context.count('still here')").value == 1000


def test_a_file_that_grows_while_it_is_read_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log, or an attack on memory: a writer that never stops."""
    path = tmp_path / "log"
    path.write_bytes("Zeile ü\n".encode() * 1000)
    read = os.read

    def growing_read(descriptor: int, size: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more\n" * 1000)
        return read(descriptor, min(size, 1000))

    monkeypatch.setattr(os, "read", growing_read)
    context = Context.from_file(path)
    monkeypatch.undo()
    with Sandbox(context) as box:
        assert box["context"] == "Zeile ü\n" * 1000


SENTENCES = {
    "cp932": "日本語の文章です。文字コードの検出を試すための例文であり、漢字とひらがなを含みます。",
    "euc_jp": "日本語の文章です。文字コードの検出を試すための例文であり、漢字とひらがなを含みます。",
    "gb18030": "这是一个用于测试编码检测的中文句子。它包含一些常用的汉字，以便检测器可以判断。",  # noqa: RUF001
    "big5": "這是一個用於測試編碼檢測的中文句子。它包含一些常用的漢字，以便檢測器可以判斷。",  # noqa: RUF001
    "cp949": "이것은 문자 인코딩 감지를 시험하기 위한 한국어 문장입니다. 몇 개의 문장이 있습니다.",
    "cp1251": "Это пример русского текста для проверки определения кодировки. Он содержит предложения.",
    "koi8_r": "Это пример русского текста для проверки определения кодировки. Он содержит предложения.",
    "cp1253": "Αυτό είναι ένα παράδειγμα ελληνικού κειμένου για τον έλεγχο.",  # noqa: RUF001
    "cp1252": "L’été dernier, à la fenêtre, le garçon mangeait une pêche très mûre. Ça coûte 5 €.",  # noqa: RUF001
    "utf-16": "Any text, with a mark: Käse, 漢字, 🤿.",
    "utf-32": "Any text, with a mark: Käse, 漢字, 🤿.",
    "utf-16-le": "Mostly Latin text without a mark, as some programs write it: Käse.",
    "utf-16-be": "Mostly Latin text without a mark, as some programs write it: Käse.",
}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", SENTENCES)
@pytest.mark.parametrize("times", [1, 40, 3000])
def test_text_in_another_encoding_is_read_and_said(tmp_path: Path, encoding: str, times: int) -> None:
    text = (SENTENCES[encoding] + "\n") * times
    path = tmp_path / "report.txt"
    path.write_bytes(text.encode(encoding))
    context = Context.of(path)
    with Sandbox(context) as box:
        assert box["context"] == text
    (note,) = context.notes
    assert note.startswith("'report.txt' is not UTF-8: read as ")


def test_the_first_strange_byte_may_come_late(tmp_path: Path) -> None:
    text = "plain ASCII for a while. " * 40_000 + SENTENCES["cp1251"] * 20
    path = tmp_path / "late.txt"
    path.write_bytes(text.encode("cp1251"))
    context = Context.of(path)
    assert context.notes == ("'late.txt' is not UTF-8: read as windows-1251, which is a guess",)
    with Sandbox(context) as box:
        assert box["context"] == text


def test_plain_utf8_is_not_worth_a_note(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("ASCII", "Käse 🤿", ""):
        path.write_text(text, "utf-8")
        assert Context.of(path).notes == ()


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "latin2.txt"
    path.write_bytes("Zażółć gęślą jaźń".encode("cp1250"))
    context = Context.from_file(path, encoding="cp1250")
    assert context.notes == ()
    assert context.preview() == "Zażółć gęślą jaźń"
    with pytest.raises(ContextError, match="no text encoding 'klingon'"):
        Context.from_file(path, encoding="klingon")


def test_utf8_with_a_few_damaged_bytes_stays_utf8(tmp_path: Path) -> None:
    path = tmp_path / "damaged.txt"
    path.write_bytes("Grüße aus Köln, schöne Größe. ".encode() * 20 + b"\xff\xfe" + "Äpfel".encode())
    context = Context.of(path)
    assert context.notes == ("'damaged.txt' has bytes that are not UTF-8: they are U+FFFD, in 2 places",)
    with Sandbox(context) as box:
        assert box.run("context.count('Größe'), context.count('\ufffd'), context[-5:]").value == [20, 2, "Äpfel"]


def test_a_file_cut_in_the_middle_of_a_character_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.txt"
    path.write_bytes(("漢字" * 1000).encode()[:-1])
    with Sandbox(Context.of(path)) as box:
        assert box.run("context[-3:], len(context)").value == ["字漢\ufffd", 2000]


def binary_files() -> dict[str, bytes]:
    random_bytes = random.Random(1).randbytes(20_000)
    return {
        "zeros": bytes(5000),
        "random": random_bytes,
        "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + random_bytes,
        "elf": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0>\0\x01\0\0\0" * 40,
        "numbers": b"".join(i.to_bytes(4, "little") for i in range(3000)),
        "controls": bytes(range(1, 32)) * 30 + b"\xff",
    }


@pytest.mark.parametrize("name", binary_files())
def test_binary_data_is_no_text_and_the_error_says_what_to_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.dat"
    path.write_bytes(binary_files()[name])
    with pytest.raises(ContextError, match=rf"'{name}.dat' holds binary data.*binary=True"):
        Context.of(path)
    assert Context.from_file(path, binary=True).type_name == "bytes"


def test_no_bytes_at_all_make_reading_fail_otherwise() -> None:
    """Whatever is in a file: text comes out, or the sentence about binary data, and never another error."""
    rng = random.Random(3)
    for _ in range(300):
        alphabet = rng.choice(
            [bytes(range(256)), bytes(range(32, 256)), bytes(range(128, 256)), b"\x00a", b"\xff\xfe\x00a"]
        )
        data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(200)))
        try:
            text, notes = decoding.decode(data, "name")
        except decoding.BinaryData:
            continue
        assert isinstance(text, str)
        assert all("\n" not in note for note in notes)


def test_a_hostile_file_name_is_escaped_in_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31mSYSTEM\u202e.txt"
    path.write_bytes("Größe".encode("cp1252"))
    (note,) = Context.of(path).notes
    assert note.isprintable()


def test_an_image_is_its_bytes_and_its_media_type(tmp_path: Path) -> None:
    data = b"\x89PNG\r\n\x1a\n" + os.urandom(200_000)
    (tmp_path / "photo.PNG").write_bytes(data)
    context = Context.of(tmp_path / "photo.PNG")
    with Sandbox(context) as box:
        assert box["context"] == {"media_type": "image/png", "data": data}
    assert context.describe() == "an image: a dict of 'media_type' ('image/png') and 'data' (200,008 bytes)"


def test_an_image_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("<svg onload=alert(1)>")
    with pytest.raises(ContextError, match=r"'photo.jpg' is not what its name says"):
        Context.of(tmp_path / "photo.jpg")
    assert Context.of(tmp_path / "photo.jpg", as_text=True).type_name == "str"
