"""Text out of a file's bytes, whatever encoding they are in; what was not UTF-8 is said, and read anyway.

In this order: a byte order mark; UTF-8; UTF-16 without a mark (every other byte a zero); UTF-8 with a few damaged
bytes; what charset-normalizer makes of a sample, among the encodings in which such files are written today;
windows-1252. The last two are guesses. windows-1252 wins over its Central European sister windows-1250, because the
detector takes French for Czech; who has such files names the encoding.

Guaranteed: text is never refused for bytes that cannot be decoded. They become U+FFFD, and a note counts them. What is
refused is binary data: bytes that are no text in any encoding.
"""

import codecs
import re

from divebell.context.escape import shown
from divebell.errors import ContextError

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
_TEXT_CONTROLS = b"\t\n\v\f\r\x1b"
_CONTROLS = bytes(set(range(32)) - set(_TEXT_CONTROLS)) + b"\x7f"
_ASCII_PUNCTUATION = re.compile(rb"[\t-\r -/]")  # no encoding uses these as the second byte of a character


class BinaryData(ContextError):
    """The bytes are no text."""


def has_many_zeros(sample: bytes) -> bool:
    return sample.count(0) > MANY_ZEROS * len(sample)


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text, and what its user should know of how it was read. `name` is what the notes call it.

    Raises ContextError for binary data, and for an `encoding` that Python does not know.
    """
    if encoding is not None:
        try:
            codecs.lookup(encoding)
            return _decode_as(data, name, encoding, "")
        except LookupError:
            raise ContextError(f"there is no text encoding {encoding!r:.60}: try utf-8, cp1252 or latin-1") from None
    for mark, marked in _MARKS:
        if data.startswith(mark):
            said = "" if marked == "utf-8" else f"{shown(name)} is not UTF-8: read as {marked.upper()}"
            return _decode_as(data[len(mark) :], name, marked, said)
    sample = data[:SAMPLE_BYTES]
    if has_many_zeros(sample):
        wide = _utf_16_of(sample)
        if wide is None:
            raise _binary(name)
        return _decode_as(data, name, wide, f"{shown(name)} is not UTF-8: read as {wide.upper()}")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        at = error.start
    if _is_binary(data[max(at - 1024, 0) :][:SAMPLE_BYTES]):
        raise _binary(name)
    damaged = _damaged_utf_8(data)
    if damaged is not None:
        return damaged, _damage_note(name, "UTF-8", damaged)
    guessed = _guess(data, at)
    return _decode_as(data, name, guessed, f"{shown(name)} is not UTF-8: read as {_NAMES[guessed]}, which is a guess")


def _decode_as(data: bytes, name: str, encoding: str, said: str) -> tuple[str, tuple[str, ...]]:
    notes = (said,) if said else ()
    try:
        return data.decode(encoding), notes
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
        return text, notes + _damage_note(name, _NAMES.get(encoding, encoding.upper()), text)


def _damage_note(name: str, encoding: str, text: str) -> tuple[str, ...]:
    count = text.count("\ufffd")
    return (f"{shown(name)} has bytes that are not {encoding}: they are U+FFFD, in {count:,} places",)


def _binary(name: str) -> BinaryData:
    return BinaryData(
        f"{shown(name)} holds binary data, not text: give it as bytes with Context.from_file(path, binary=True), "
        "or take the text out of it first"
    )


def _is_binary(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return 0 in sample or controls > MANY_CONTROLS * len(sample)


def _utf_16_of(sample: bytes) -> str | None:
    """Text that is mostly ASCII or Latin has its zeros in every second place, and hardly any in the others."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(len(sample) // 2, 1)
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros > 0.4 * half and others < 0.02 * half:
            controls = sample[1 if encoding.endswith("be") else 0 :: 2]
            if not _is_binary(controls.replace(b"\0", b"")):
                return encoding
    return None


def _damaged_utf_8(data: bytes) -> str | None:
    """The text, if it is UTF-8 but for a few bytes: at least four good characters beyond ASCII for each bad place."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(1 for _ in re.finditer("[^\x00-\x7f\ufffd]", text[: 4 << 20]))
    return text if good >= 4 * bad else None


def _guess(data: bytes, at: int) -> str:
    """The most likely encoding, from a sample around the first byte that is not UTF-8."""
    from charset_normalizer import from_bytes  # here, because it takes 40 ms and few need it

    start, end = max(at - 4096, 0), min(at + SAMPLE_BYTES, len(data))
    boundary = _ASCII_PUNCTUATION.search(data, start, at) if start else None
    sample = data[boundary.end() if boundary else start : end]
    if end < len(data):
        boundaries = [match.end() for match in _ASCII_PUNCTUATION.finditer(sample, max(len(sample) - 4096, 0))]
        sample = sample[: boundaries[-1]] if boundaries else sample
    best = from_bytes(sample, cp_isolation=list(_GUESSED), preemptive_behaviour=False).best()
    return best.encoding if best is not None and best.encoding in _GUESSED else "cp1252"
