"""How long an endpoint says to wait, read from an error's headers. Pure; hostile values are no values.

Retry-After is a number of seconds or an HTTP date (RFC 9110, section 10.2.3); `retry-after-ms` is OpenAI's own, and
more exact. Guaranteed: None, or more than 0 and at most MAX_RETRY_AFTER_SECONDS. A longer time is no time, because
nobody would wait for it.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_SECONDS = 86_400.0
MAX_HEADER_CHARACTERS = 64
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """The wait in seconds, if the endpoint gave a usable one. now: seconds since 1970, by this machine's clock."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None and (seconds := _bound(milliseconds / 1000)) is not None:
        return seconds
    value = headers.get("retry-after", "").strip()
    number = _number(value)
    return _bound(number if number is not None else _until(value, now))


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _until(text: str, now: float) -> float | None:
    if not text or len(text) > MAX_HEADER_CHARACTERS:
        return None
    try:
        then = parsedate_to_datetime(text)
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _bound(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 < seconds <= MAX_RETRY_AFTER_SECONDS else None
