"""The check of each line of a journal, over the line and all lines before it: the last field of its record.

Guaranteed: in a journal that was begun with checks, a line that was changed, cut, inserted, moved, or removed from the
middle is an error that names it. Not guaranteed: that lines removed from the end are noticed (a process that died
leaves a shorter journal as well), or that someone who computes all checks anew is detected: there is no secret in them.

Older journals have no checks, and are read and continued without.
"""

import re
from hashlib import sha256

from divebell.errors import JournalError

_DIGITS = 16
_SEAL = re.compile(rb',"sum":"([0-9a-f]{%d})"\}\n' % _DIGITS)
_SEAL_BYTES = len(b',"sum":""}\n') + _DIGITS
BEGIN = ""
"""What the first line has in place of the check of a line before it."""


def seal(line: bytes, above: str) -> tuple[bytes, str]:
    """The line of a record with its check, and the check. `above` is the check of the line before."""
    check = _check_of(memoryview(line)[:-2], above)
    return line[:-2] + b',"sum":"' + check.encode("ascii") + b'"}\n', check


class SealReader:
    """Checks the lines of one journal, in order. `last` is the last line's check; None where there are no checks."""

    def __init__(self) -> None:
        self.last: str | None = BEGIN

    def check(self, line: bytes, number: int) -> None:
        """JournalError where this is not the line that was written there."""
        match = _SEAL.fullmatch(line, max(len(line) - _SEAL_BYTES, 0))
        if number == 1 and match is None:
            self.last = None
            return
        if (match is None) != (self.last is None):
            raise _changed(number)
        if match is None or self.last is None:
            return
        check = match[1].decode("ascii")
        if check != _check_of(memoryview(line)[:-_SEAL_BYTES], self.last):
            raise _changed(number)
        self.last = check


def _check_of(line: memoryview, above: str) -> str:
    """The check of a line, which is given without the brace that ends its record."""
    hashed = sha256(above.encode("ascii"))
    hashed.update(b"\n")
    hashed.update(line)
    return hashed.hexdigest()[:_DIGITS]


def _changed(number: int) -> JournalError:
    return JournalError(
        f"line {number} of the journal is not as it was written, or the lines before it are not: the file was changed, "
        "or damaged"
    )
