"""Keys are in no text that somebody reads, whatever an endpoint or an adapter does with them."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divebell.models.secret_texts import SecretTexts
from divebell.models.traits import secrets_of

KEY = "own-key/7f3a9c+e1=b2d4&f6"
KNOWN = SecretTexts([KEY])

FORMS = {
    "as it is": KEY,
    "percent-encoded": quote(KEY, safe=""),
    "as JSON": json.dumps(KEY),
    "base64": b64encode(KEY.encode()).decode(),
    "base64 of a header": b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 of user and password": b64encode(f"user:{KEY}:more".encode()).decode(),
    "base64 for URLs": urlsafe_b64encode(f"x{KEY}".encode()).decode(),
    "its beginning": KEY[:14] + "…",
    "its end": "****" + KEY[-13:],
    "masked in the middle": f"{KEY[:12]}****{KEY[-12:]}",
    "masked, with short ends": f"{KEY[:5]}****{KEY[-4:]}",
    "masked, with one long end": f"{KEY[:14]}****{KEY[-8:]}",
    "masked, with the other": f"{KEY[:3]}...{KEY[-14:]}",
    "masked by dots": f"{KEY[:6]}••••••{KEY[-2:]}",
    "twice": KEY + KEY,
    "out of its middle": KEY[5:19],
    "in two pieces": f"{KEY[:13]} and then {KEY[12:]}",
    "broken over lines": f"{KEY[:12]}\n{KEY[12:]}",
    "in hexadecimal digits": KEY.encode().hex(),
    "in hexadecimal digits, as openssl has them": KEY.encode().hex().upper(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_form_of_a_secret_is_left(form: str) -> None:
    cleaned = KNOWN.clean(f"before {form} after")
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert "[secret]" in cleaned
    for piece in (KEY[:12], KEY[-12:], KEY[6:18], form[4:16]):
        assert piece not in cleaned


@given(before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_base64_around_a_secret_is_found_wherever_it_begins(before: bytes, after: bytes) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(before + KEY.encode() + after).decode()
        assert "[secret]" in KNOWN.clean(text)


@given(st.text())
def test_a_text_without_the_secret_stays_as_it_is(text: str) -> None:
    assert KNOWN.clean(text) == text


@pytest.mark.parametrize("word", ["", "none", "EMPTY", "1234567", None, 7, b"0123456789"])
def test_what_is_no_key_wipes_out_nothing(word: object) -> None:
    known = SecretTexts([word])
    assert not known
    assert known.clean("none EMPTY 1234567 0123456789") == "none EMPTY 1234567 0123456789"


@pytest.mark.parametrize("text", ["**bold** and ***", "e4 e5 2. Nf3 ... own goal", "[secret]... and more", "1...2"])
def test_marks_that_mask_nothing_stay(text: str) -> None:
    assert KNOWN.clean(text) == text


def test_a_text_full_of_beginnings_is_cleaned_in_one_pass() -> None:
    assert KNOWN.clean(KEY[:12] * 100_000) == "[secret]" * 100_000


def test_a_text_full_of_pieces_too_short_to_tell_stays_and_is_read_in_one_pass() -> None:
    text = f"{KEY[5:14]} " * 50_000
    assert KNOWN.clean(text) == text


@given(start=st.integers(0, 988), length=st.integers(40, 1_000), before=st.text(max_size=5))
def test_pieces_of_a_long_secret_are_found_wherever_they_are_from(start: int, length: int, before: str) -> None:
    secret = "".join(f"{number * 7_919:05x}" for number in range(200))[:1_000]
    piece = secret[start : start + length]
    cleaned = SecretTexts([secret]).clean(f"{before} {piece}")
    assert piece not in cleaned or len(piece) < 1_000 // 32


def test_a_model_names_its_secrets_if_it_has_any() -> None:
    class Own:
        secrets = ("first-secret", 7)

    class Single:
        secrets = "second-secret"

    class Strange:
        secrets = 7

    assert secrets_of([Own(), Single(), Strange(), object()]) == ("first-secret", "second-secret")


def test_the_secrets_are_not_in_its_representation() -> None:
    assert KEY not in repr(KNOWN)
