"""A check of each line of a journal, over the line and all lines before it: as the last field of its record.

Guaranteed: of a journal that was begun with checks, a line that was changed, torn, put in, taken out of the middle or
moved is an error that names it. Not guaranteed: that lines taken from the end are missed (a process that died leaves a
shorter journal as well), or that somebody who writes all checks anew is found out: there is no secret in them.

Journals of before this had none, and are read and gone on with as they are.
"""

import re
from hashlib import sha256

from divebell.errors import JournalError

_DIGITS = 16
_SEAL = re.compile(rb',"sum":"([0-9a-f]{%d})"\}\n' % _DIGITS)
_SEAL_BYTES = len(b',"sum":""}\n') + _DIGITS
BEGIN = ""
"""What stands in the place of the check of the line before the first."""


def seal(line: bytes, above: str) -> tuple[bytes, str]:
    """The line of a record with its check, and that check. above: the check of the line before."""
    check = _check_of(memoryview(line)[:-2], above)
    return line[:-2] + b',"sum":"' + check.encode("ascii") + b'"}\n', check


class SealReader:
    """Checks the lines of one journal, in order. `last` is the last line's check; None where the journal has none."""

    def __init__(self) -> None:
        self.last: str | None = BEGIN

    def check(self, line: bytes, number: int) -> None:
        """JournalError where the line is not the one that was written there."""
        found = _SEAL.fullmatch(line, max(len(line) - _SEAL_BYTES, 0))
        if number == 1 and found is None:
            self.last = None
            return
        if (found is None) != (self.last is None):
            raise _changed(number)
        if found is None or self.last is None:
            return
        check = found[1].decode("ascii")
        if check != _check_of(memoryview(line)[:-_SEAL_BYTES], self.last):
            raise _changed(number)
        self.last = check


def _check_of(line: memoryview, above: str) -> str:
    """line: without the brace that ends its record."""
    hashed = sha256(above.encode("ascii"))
    hashed.update(b"\n")
    hashed.update(line)
    return hashed.hexdigest()[:_DIGITS]


def _changed(number: int) -> JournalError:
    return JournalError(
        f"line {number} of the journal is not as it was written, or the lines before it are not: the file was changed, "
        "or damaged"
    )
