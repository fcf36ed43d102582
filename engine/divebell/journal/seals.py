"""The seal of each line of a journal: a checksum of the line and all lines before it, the last field of its record.

Guaranteed: in a journal that was begun with seals, a line that was changed, cut, inserted, moved, or removed from the
middle is an error that names it. Not guaranteed: that lines removed from the end are noticed (a process that died
leaves a shorter journal as well), or that someone who computes all seals anew is detected: there is no secret in them.

Older journals have no seals, and are read and continued without.
"""

import re
from hashlib import sha256

from divebell.errors import JournalError

_DIGITS = 16
_SEAL = re.compile(rb',"sum":"([0-9a-f]{%d})"\}\n' % _DIGITS)
_SEAL_BYTES = len(b',"sum":""}\n') + _DIGITS
BEGIN = ""
"""What the first line has in place of the seal of a line before it."""


def seal(line: bytes, above: str) -> tuple[bytes, str]:
    """Add the seal to a record's line. Returns the line and the seal. `above` is the seal of the line before."""
    line_seal = _compute_seal(memoryview(line)[:-2], above)
    return line[:-2] + b',"sum":"' + line_seal.encode("ascii") + b'"}\n', line_seal


class SealReader:
    """Checks the lines of one journal, in order. `last` is the last line's seal; None if there are no seals."""

    def __init__(self) -> None:
        self.last: str | None = BEGIN

    def check(self, line: bytes, number: int) -> None:
        """Raise JournalError if this is not the line that was written there."""
        match = _SEAL.fullmatch(line, max(len(line) - _SEAL_BYTES, 0))
        if number == 1 and match is None:
            self.last = None
            return
        if (match is None) != (self.last is None):
            raise _changed_line_error(number)
        if match is None or self.last is None:
            return
        line_seal = match[1].decode("ascii")
        if line_seal != _compute_seal(memoryview(line)[:-_SEAL_BYTES], self.last):
            raise _changed_line_error(number)
        self.last = line_seal


def _compute_seal(line: memoryview, above: str) -> str:
    """The seal of a line. `line` ends before the brace that ends its record."""
    hasher = sha256(above.encode("ascii"))
    hasher.update(b"\n")
    hasher.update(line)
    return hasher.hexdigest()[:_DIGITS]


def _changed_line_error(number: int) -> JournalError:
    return JournalError(
        f"line {number} of the journal is not as it was written, or the lines before it are not: the file was changed, "
        "or damaged"
    )
