"""Keeping keys out of texts: what an endpoint or an adapter says may repeat the key that it was called with.

Guaranteed: what `clean` returns holds no known secret, neither as it is, nor percent-encoded, in JSON's escapes, in
hexadecimal digits, or in base64 (by itself or inside something longer), nor a beginning or an end of one of
SEED_CHARACTERS or more, which is what masked and truncated keys show, nor any other piece of that length (of a secret
over 384 characters, of a 32nd of it); and where a key is masked in the middle, neither of its ends from
MASKED_CHARACTERS on. Not guaranteed: other encodings, and shorter pieces. Linear in the text.

Replies and errors are cleaned before anything else sees them, so a run, its journal, its trace and a replay all have
the same text, without the key.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from divebell.errors import ModelError
from divebell.models.protocol import Completion

MIN_SECRET_CHARACTERS = 8
"""Anything shorter is not a key, but a placeholder for endpoints without one ("EMPTY", "none"): replacing it would
remove ordinary words."""
MAX_SECRET_CHARACTERS = 10_000
SEED_CHARACTERS = 12
MASKED_CHARACTERS = 4
MAX_MASKED_CHARACTERS = 64
_MASK = re.compile(r"[*•·█]{2,}|…+|\.{3,}")
MAX_BLOCKS = 64  # of a secret, for each of which a text is searched
SECRET = "[secret]"  # noqa: S105
# In base64, after 0, 1 or 2 bytes of something else: the first character that depends only on the secret.
_STABLE_FROM = (0, 2, 3)


class SecretTexts:
    """The secrets that no text may have. Immutable, and cheap where there are none."""

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        self.secrets = tuple(dict.fromkeys(each for each in secrets if isinstance(each, str) and _is_secret(each)))
        forms = {form for each in self.secrets for form in _forms(each)}
        self._whole = sorted(forms, key=len, reverse=True)
        self._seeds = [
            (each, seed) for each in self.secrets if (seed := max(min(SEED_CHARACTERS, len(each) // 2), 8)) < len(each)
        ]

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def __repr__(self) -> str:
        return f"SecretTexts({len(self.secrets)} of them)"

    def clean(self, text: str, instead: str = SECRET) -> str:
        """The text without the secrets; the same text where it has none."""
        for form in self._whole:
            if form in text:
                text = text.replace(form, instead)
        for secret, seed in self._seeds:
            text = _without_beginnings(text, secret, seed, instead)
            text = (
                _without_beginnings(text[::-1], secret[::-1], seed, instead[::-1])[::-1]
                if secret[-seed:] in text
                else text
            )
            text = _without_pieces(text, secret, seed, instead)
        for secret in self.secrets:
            text = _without_masked(text, secret, instead)
        return text


def clean_completion(completion: Completion, secrets: SecretTexts) -> Completion:
    """The completion without the secrets."""
    if not secrets:
        return completion
    text, calls = secrets.clean(completion.text), _clean(completion.tool_calls, secrets)
    return replace(completion, text=text, tool_calls=tuple(calls))


def clean_error(error: ModelError, secrets: SecretTexts) -> ModelError:
    """The same error, without the secrets in its sentence. Where it or one of its causes had one, it has no causes
    any more."""
    sentence = str(error)
    cleaned = secrets.clean(sentence)
    if cleaned != sentence:
        error.args = (cleaned,)
    if cleaned != sentence or any(secrets.clean(text) != text for text in _causes(error)):
        error.__cause__ = None
        error.__context__ = None
    return error


def _causes(error: BaseException) -> list[str]:
    texts: list[str] = []
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        texts.append(f"{cause} {cause!r}")
        cause = cause.__cause__ or cause.__context__
    return texts


def _clean(value: Any, secrets: SecretTexts) -> Any:
    """Plain data without the secrets. Its depth is bounded by whoever read it."""
    if isinstance(value, str):
        return secrets.clean(value)
    if isinstance(value, Mapping):
        return {_clean(key, secrets): _clean(each, secrets) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each, secrets) for each in value]
    return value


def _is_secret(text: str) -> bool:
    return MIN_SECRET_CHARACTERS <= len(text) <= MAX_SECRET_CHARACTERS


def _forms(secret: str) -> Iterable[str]:
    yield from (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    data = secret.encode("utf-8", "surrogatepass")
    yield from (data.hex(), data.hex().upper())
    for offset, start in enumerate(_STABLE_FROM):
        whole_bytes = (offset + len(data)) // 3 * 3 - offset  # what is behind it shares its last character
        for encode in (b64encode, urlsafe_b64encode):
            form = encode(bytes(offset) + data[:whole_bytes]).decode("ascii")[start:]
            if len(form) >= MIN_SECRET_CHARACTERS:
                yield form


def _without_beginnings(text: str, secret: str, seed: int, instead: str) -> str:
    """The text without beginnings of the secret that are at least `seed` characters long."""
    begins = secret[:seed]
    at = text.find(begins)
    if at < 0:
        return text
    parts: list[str] = []
    copied_to = 0
    while at >= 0:
        end = at + seed
        while end < len(text) and end - at < len(secret) and text[end] == secret[end - at]:
            end += 1
        parts += [text[copied_to:at], instead]
        copied_to = end
        at = text.find(begins, copied_to)
    return "".join([*parts, text[copied_to:]])


def _without_masked(text: str, secret: str, instead: str) -> str:
    """The text without what a masked key shows on the two sides of its mask: "own-***yz", "[secret]***yz"."""
    kept: list[str] = []
    done, least = 0, MASKED_CHARACTERS
    for mask in _MASK.finditer(text):
        start, end = mask.span()
        before = text[max(start - MAX_MASKED_CHARACTERS, done) : start]
        after = text[end : end + MAX_MASKED_CHARACTERS]
        if not any(end_shown in secret or end_shown in instead for end_shown in (before[-least:], after[:least])):
            continue  # which most marks are, and cheaply
        left = _beginning_shown(before, secret, instead)
        right = _beginning_shown(after[::-1], secret[::-1], instead[::-1])
        is_alone = (not right and before.endswith(instead)) or (not left and after.startswith(instead))
        if start >= done and max(left, right) >= MASKED_CHARACTERS and not is_alone:
            kept += [text[done : start - left], instead]
            done = end + right
    return "".join([*kept, text[done:]]) if kept else text


def _beginning_shown(before: str, secret: str, instead: str) -> int:
    """With how many characters of the secret's beginning, or of what already stands for it, this text ends."""
    if before.endswith(instead):
        return len(instead)
    longest = min(len(secret), len(before))
    return next((length for length in range(longest, 0, -1) if before.endswith(secret[:length])), 0)


def _without_pieces(text: str, secret: str, seed: int, instead: str) -> str:
    """The text without pieces of the secret, from wherever in it, that are at least `seed` characters long. Such a
    piece has a whole block in it, if the secret is cut into blocks of half that length."""
    block = max((seed + 1) // 2, -(-len(secret) // MAX_BLOCKS))
    least = max(seed, 2 * block - 1)
    spans: list[tuple[int, int]] = []
    for offset in range(0, len(secret) - block + 1, block):
        spans += _pieces_around(text, secret, (offset, offset + block), least)
    parts: list[str] = []
    copied_to = 0
    for start, end in sorted(spans):
        if start >= copied_to:
            parts += [text[copied_to:start], instead]
        copied_to = max(copied_to, end)
    return "".join([*parts, text[copied_to:]]) if spans else text


def _pieces_around(text: str, secret: str, block: tuple[int, int], least: int) -> Iterable[tuple[int, int]]:
    """Where in the text that block of the secret is, extended by the characters around it that are the secret's too."""
    block_text = secret[block[0] : block[1]]
    searched_to = 0
    at = text.find(block_text)
    while at >= 0:
        start, end = at, at + len(block_text)
        before, after = block
        while start > searched_to and before > 0 and text[start - 1] == secret[before - 1]:
            start, before = start - 1, before - 1
        while end < len(text) and after < len(secret) and text[end] == secret[after]:
            end, after = end + 1, after + 1
        is_piece = end - start >= least
        if is_piece:
            yield start, end
            searched_to = end
        at = text.find(block_text, end if is_piece else at + 1)
