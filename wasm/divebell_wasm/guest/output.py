"""The output of a cell: the first and the last part are kept; of the middle, only the number of characters."""

import codecs
import io
from typing import Any


class _Bytes(io.BufferedIOBase):
    """What `sys.stdout.buffer` is: takes bytes, and writes them as the text that they are in UTF-8."""

    def __init__(self, text: "Output") -> None:
        self._text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._text.write(self._decoder.decode(bytes(view)))
            return view.nbytes

    def close(self) -> None:
        """A wrapper around it closes it when the wrapper goes; what comes after is still to be seen."""

    def end(self) -> None:
        """Write what is left of a character that was never completed."""
        self._text.write(self._decoder.decode(b"", final=True))


class Output(io.TextIOBase):
    """A text stream that holds at most `limit` characters, however much is written to it."""

    # With slots a cell writes to one object, where a dict would be two more, on pages of their own.
    __slots__ = ("_bytes", "_first", "_first_length", "_half", "_last", "_last_length", "_missing", "name")

    encoding = "utf-8"
    errors = "strict"
    newlines = None
    line_buffering = True
    mode = "w"

    def __init__(self, name: str, limit: int = 100_000) -> None:
        self.name = name
        self._bytes: _Bytes | None = None
        self.reset(limit)

    def reset(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._first: list[str] = []
        self._first_length = 0
        self._last: list[str] = []
        self._last_length = 0
        self._missing = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        length = len(text)
        room = self._half - self._first_length
        if length <= room:
            self._first.append(text)
            self._first_length += length
            return length
        if room:
            self._first.append(text[:room])
            self._first_length = self._half
            text = text[room:]
        if len(text) > self._half:
            self._missing += len(text) - self._half
            text = text[-self._half :]
        self._last.append(text)
        self._last_length += len(text)
        if self._last_length > 2 * self._half or len(self._last) > 1000:
            self._fold()
        return length

    def _fold(self) -> None:
        """Cut the last part down to its bound, now and then rather than at every write."""
        joined = "".join(self._last)
        over = max(len(joined) - self._half, 0)
        self._missing += over
        self._last = [joined[over:]]
        self._last_length = len(joined) - over

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """What a cell prints after it has closed its output is still to be seen."""

    def reconfigure(self, **_options: object) -> None:
        """Encodings, line ends and buffering make no difference here."""

    @property
    def buffer(self) -> _Bytes:
        if self._bytes is None:
            self._bytes = _Bytes(self)
        return self._bytes

    def take(self) -> tuple[str, int]:
        """The text, with a line in the middle that says how much is missing, and the number of missing characters."""
        if self._bytes is not None:
            self._bytes.end()
            self._bytes = None
        if not self._last:
            return "".join(self._first), 0
        self._fold()
        first, last = "".join(self._first), self._last[0]
        if not self._missing:
            return first + last, 0
        return f"{first}\n[... {self._missing:,} characters not shown ...]\n{last}", self._missing
