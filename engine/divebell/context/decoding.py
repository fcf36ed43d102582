"""Text from a file's bytes, whatever encoding they are in. A note says what was not UTF-8.

These are tried in order: a byte order mark; UTF-8; UTF-16 without a mark (every other byte a zero); UTF-8 with a few
damaged bytes; the encoding that charset-normalizer finds for a sample, among those in which such files are written
today; windows-1252. The last two are guesses. The Central European windows-1250 is not among them, because the detector
mistakes French for Czech: for such files, name the encoding.

Guaranteed: text is never refused for bytes that cannot be decoded. They become U+FFFD, and a note counts them. Binary
data, which is not text in any encoding, is refused. The data is read piece by piece, once to find its encoding and once
to decode it, so that a long text needs no memory but that of the one form in which it is kept.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from divebell.context.texts import kind_of
from divebell.errors import ContextError
from divebell.text import quote

SAMPLE_BYTES = 64 << 10
MANY_ZEROS = 0.1  # of a sample: then it is binary, or UTF-16 without a mark
MANY_CONTROLS = 0.05

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GUESSED = (
    "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1251", "koi8_r", "cp866", "cp1252", "cp1253", "cp1254", "cp1255",
    "cp1256",
)  # fmt: skip
_NAMES = {
    "cp932": "Shift JIS", "euc_jp": "EUC-JP", "gb18030": "GB 18030", "big5": "Big5", "cp949": "EUC-KR",
    "koi8_r": "KOI8-R", "cp866": "IBM 866", **{f"cp125{n}": f"windows-125{n}" for n in range(9)},
}  # fmt: skip
CHUNK_BYTES = 1 << 20
_JUDGED_CHARACTERS = 4 << 20  # whether damaged text is UTF-8 is judged by the characters up to about here
_GOOD_BEYOND_ASCII = re.compile("[^\x00-\x7f\ufffd]")
_TEXT_CONTROLS = b"\t\n\v\f\r\x1b"
_CONTROLS = bytes(set(range(32)) - set(_TEXT_CONTROLS)) + b"\x7f"
_ASCII_PUNCTUATION = re.compile(rb"[\t-\r -/]")  # no encoding uses these as the second byte of a character


class BinaryData(ContextError):
    """The bytes are not text."""


class ByteSource(Protocol):
    """Bytes that can be read more than once, in pieces of bounded length: a file, or bytes in memory."""

    @property
    def name(self) -> str:
        """What notes and errors call it."""
        ...

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start` on, in order."""
        ...

    def slice(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, or to where they end. `start` is not negative."""
        ...


@dataclass(frozen=True)
class MemoryBytes:
    """Bytes in memory as a ByteSource."""

    data: bytes
    name: str

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        for at in range(start, len(self.data), CHUNK_BYTES):
            yield self.data[at : at + CHUNK_BYTES]

    def slice(self, start: int, end: int) -> bytes:
        return self.data[start:end]


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How bytes are read as text, and what reading them once has shown.

    skipped_bytes: a byte order mark at the beginning. errors: "strict", or "replace" where some bytes are not of that
    encoding. characters, kind: the text's length, and the form that holds it (texts.py). notes: what its user should
    know.
    """

    encoding: str
    skipped_bytes: int = 0
    errors: str = "strict"
    characters: int
    kind: int
    notes: tuple[str, ...] = ()

    def pieces(self, source: ByteSource) -> Iterator[str]:
        """The text, piece by piece. UnicodeDecodeError if the bytes have changed meanwhile."""
        return _decode(source, self.encoding, self.skipped_bytes, self.errors)


def has_many_zeros(sample: bytes) -> bool:
    return sample.count(0) > MANY_ZEROS * len(sample)


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of bytes in memory, and notes on how it was read. Raises as choose_decoding."""
    source = MemoryBytes(data, name)
    decoding = choose_decoding(source, encoding)
    return join(decoding.pieces(source)), decoding.notes


def join(pieces: Iterable[str]) -> str:
    """Join the pieces. At most a tenth of the text is in memory twice, where "".join would hold all of it twice.

    CPython lets a str grow in place where nobody else holds it. It may have to move it, so it grows by a tenth or more.
    """
    text, waiting, characters = "", [], 0
    for piece in pieces:
        waiting.append(piece)
        characters += len(piece)
        if characters * 10 > len(text):
            text += "".join(waiting)
            waiting.clear()
            characters = 0
    text += "".join(waiting)
    return text


def choose_decoding(source: ByteSource, encoding: str | None = None) -> Decoding:
    """How to read a source as text: in `encoding`, or in the encoding that it seems to have.

    Raises ContextError for binary data, and for an `encoding` that Python does not know.
    """
    name = quote(source.name)
    if encoding is not None:
        try:
            if not codecs.lookup(encoding)._is_text_encoding:
                raise LookupError
        except LookupError:
            raise ContextError(f"there is no text encoding {encoding!r:.60}: try utf-8, cp1252 or latin-1") from None
        return _measure(source, encoding)
    sample = source.slice(0, SAMPLE_BYTES)
    for mark, marked in _MARKS:
        if sample.startswith(mark):
            note = "" if marked == "utf-8" else f"{name} is not UTF-8: read as {marked.upper()}"
            return _measure(source, marked, note, skipped_bytes=len(mark))
    if has_many_zeros(sample):
        wide = _utf_16_of(sample)
        if wide is None:
            raise _binary(name)
        return _measure(source, wide, f"{name} is not UTF-8: read as {wide.upper()}")
    measurement = _Measurement()
    try:
        return measurement.measure(source, "utf-8", 0, "strict")
    except UnicodeDecodeError:
        at = measurement.valid_bytes
    start = max(at - 1024, 0)
    if _is_binary(source.slice(start, start + SAMPLE_BYTES)):
        raise _binary(name)
    damaged = _Measurement()
    decoding = damaged.measure(source, "utf-8", 0, "replace", _damage_note(name, "UTF-8"))
    if damaged.sampled_beyond_ascii >= 4 * damaged.replaced:
        return decoding
    guessed_encoding = _guess(source, at)
    return _measure(
        source, guessed_encoding, f"{name} is not UTF-8: read as {_NAMES[guessed_encoding]}, which is a guess"
    )


def _measure(source: ByteSource, encoding: str, note: str = "", *, skipped_bytes: int = 0) -> Decoding:
    notes = (note,) if note else ()
    try:
        return _Measurement().measure(source, encoding, skipped_bytes, "strict", *notes)
    except UnicodeDecodeError:
        damage = _damage_note(quote(source.name), _NAMES.get(encoding, encoding.upper()))
        return _Measurement().measure(source, encoding, skipped_bytes, "replace", *notes, damage)


class _Measurement:
    """Counts what a text has, in one pass over its source."""

    def __init__(self) -> None:
        self.characters = self.replaced = self.sampled_beyond_ascii = 0
        self.valid_bytes = 0  # how many bytes there are before the first that cannot be decoded
        self._kind = 0

    def measure(self, source: ByteSource, encoding: str, skipped_bytes: int, errors: str, *notes: str) -> Decoding:
        """The decoding with this encoding. `{count}` in a note is the number of characters that were replaced.
        UnicodeDecodeError if `errors` is "strict" and a byte is not of the encoding."""
        for text in _decode(source, encoding, skipped_bytes, errors, self):
            if not text.isascii():
                self.replaced += text.count("\ufffd")
                if self.characters < _JUDGED_CHARACTERS:
                    self.sampled_beyond_ascii += len(_GOOD_BEYOND_ASCII.findall(text))
            self.characters += len(text)
            self._kind = max(self._kind, kind_of(text))
        return Decoding(
            encoding=encoding,
            skipped_bytes=skipped_bytes,
            errors=errors,
            characters=self.characters,
            kind=self._kind,
            notes=tuple(note.replace("{count}", f"{self.replaced:,}") for note in notes),
        )


def _decode(
    source: ByteSource, encoding: str, skipped_bytes: int, errors: str, measurement: "_Measurement | None" = None
) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    before = skipped_bytes
    for chunk in source.chunks(skipped_bytes):
        pending = len(decoder.getstate()[0]) if measurement is not None else 0
        try:
            yield decoder.decode(chunk)
        except UnicodeDecodeError as error:
            if measurement is not None:
                measurement.valid_bytes = before - pending + error.start
            raise
        before += len(chunk)
    if measurement is not None:
        measurement.valid_bytes = before - len(decoder.getstate()[0])
    yield decoder.decode(b"", True)


def _damage_note(name: str, encoding: str) -> str:
    return f"{name} has bytes that are not {encoding}: they are U+FFFD, in {{count}} places"


def _binary(name: str) -> BinaryData:
    return BinaryData(
        f"{name} holds binary data, not text: give it as bytes with Context.from_file(path, binary=True), "
        "or take the text out of it first"
    )


def _is_binary(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return 0 in sample or controls > MANY_CONTROLS * len(sample)


def _utf_16_of(sample: bytes) -> str | None:
    """Text that is mostly ASCII or Latin has a zero in every second place, and hardly any in the others."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(len(sample) // 2, 1)
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros > 0.4 * half and others < 0.02 * half:
            controls = sample[1 if encoding.endswith("be") else 0 :: 2]
            if not _is_binary(controls.replace(b"\0", b"")):
                return encoding
    return None


def _guess(source: ByteSource, at: int) -> str:
    """The most likely encoding, from a sample around the first byte that is not UTF-8."""
    from charset_normalizer import from_bytes  # here, because it takes 40 ms and few need it

    start = max(at - 4096, 0)
    sample, before = source.slice(start, at + SAMPLE_BYTES + 1), at - start
    boundary = _ASCII_PUNCTUATION.search(sample, 0, before) if start else None
    has_more = len(sample) > before + SAMPLE_BYTES
    sample = sample[boundary.end() if boundary else 0 : before + SAMPLE_BYTES]
    if has_more:
        boundaries = [match.end() for match in _ASCII_PUNCTUATION.finditer(sample, max(len(sample) - 4096, 0))]
        sample = sample[: boundaries[-1]] if boundaries else sample
    best = from_bytes(sample, cp_isolation=list(_GUESSED), preemptive_behaviour=False).best()
    return best.encoding if best is not None and best.encoding in _GUESSED else "cp1252"
