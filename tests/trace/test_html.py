"""The page as it is made: what may be in it, and its bounds. What a browser makes of it is tested in test_page.py."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from divebell.trace import html, read_trace
from divebell.trace.html import page
from tests.support.traces import hostile, lively, small, write

EVIL = "</script \n x='</script/><img src=x></script><script>alert(1)</script><!--<script>&amp;{{script}}{{data}}{{policy}}\u2028'\"`"


class Elements(HTMLParser):
    """Which elements there are, and what is in the scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.is_inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.is_inside = tag in ("script", "style")
        if self.is_inside:
            self.inside.append("")

    def handle_endtag(self, tag: str) -> None:
        self.is_inside = False

    def handle_data(self, data: str) -> None:
        if self.is_inside:
            self.inside[-1] += data


def made(path: Path, events: Any, **options: Any) -> str:
    return page(read_trace(write(path, events, **options)), path.name)


def index_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="index">(.*?)</script>', text)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def test_hostile_text_changes_no_element_of_the_page(tmp_path: Path) -> None:
    calm = Elements(made(tmp_path / "calm", hostile("calm")))
    evil = Elements(made(tmp_path / "evil", hostile(EVIL)))
    assert evil.found == calm.found
    assert evil.inside[:1] == calm.inside[:1]
    assert evil.inside[-1] == calm.inside[-1]


def test_data_has_no_bracket_with_which_it_could_end_its_element(file: Path) -> None:
    lines = [
        line for line in made(file, hostile(EVIL)).splitlines() if line.startswith('<script type="application/json"')
    ]
    assert len(lines) == 2
    for line in lines:
        assert (line.count("<"), line.count(">"), line.endswith("</script>")) == (2, 2, True)


def test_every_text_is_in_the_page_as_it_was(file: Path) -> None:
    bodies = re.search(r'id="bodies-0">(.*?)</script>', made(file, hostile(EVIL)))
    assert bodies
    data = json.loads(bodies[1])
    assert data[0]["query"] == EVIL
    assert data[3]["prompt"] == data[3]["reply"] == EVIL
    assert data[2]["stdout"] == data[2]["traceback"] == data[2]["code"] == EVIL


def test_the_page_allows_its_own_style_and_script_and_nothing_else(file: Path) -> None:
    elements = Elements(made(file, small()))
    policy = next(attributes["content"] for tag, attributes in elements.found if attributes.get("http-equiv"))
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in (("style-src", elements.inside[0]), ("script-src", elements.inside[-1]))
    }
    assert rules == {
        "default-src": "'none'", **hashes, "base-uri": "'none'", "form-action": "'none'",
        "require-trusted-types-for": "'script'", "trusted-types": "'none'",
    }  # fmt: skip


def test_the_page_names_no_address_and_no_handler(file: Path) -> None:
    text = made(file, small())
    addresses = set(re.findall(r"\b(?:https?|ftp|wss?):[^\s\"']*", text)) - {"http://www.w3.org/2000/svg"}
    assert addresses == set()
    assert not re.search(r"@import|\burl\(|\binnerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    for tag, attributes in Elements(text).found:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")], tag
        assert attributes.get("href") in (None, "#list")


def test_bodies_are_cut_so_that_all_fit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_PAGE_CHARACTERS", 60_000)
    whole, cut = made(file, hostile("A" * 1_000)), made(file.with_name("2"), hostile("A" * 100_000))
    assert index_of(whole)["bodyCharacters"] == 200_000
    assert index_of(cut)["bodyCharacters"] == 2_000
    assert len(cut) < len(whole) + 60_000
    assert '"missing":98000' in cut


def test_a_page_has_a_bound_of_spans_and_says_what_is_left_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_PAGE_SPANS", 10)
    index = index_of(made(file, lively(40)))
    assert len(index["columns"]["id"]) == 10
    assert index["leftOut"] == 54 - 10


def test_prompts_of_a_batch_are_told_apart_by_what_differs(file: Path) -> None:
    columns = index_of(made(file, lively(40)))["columns"]
    labels = [label for kind, label in zip(columns["kind"], columns["label"], strict=True) if kind == "call"]
    assert labels[0].startswith("\u2026 000001. The term ends on 2026-01-28")
    assert len(set(labels)) == 40


def test_totals_are_exact(file: Path) -> None:
    index = index_of(made(file, lively(40)))
    calls, *_, cost, errors, unpriced = index["totals"]["0"]
    assert (calls, errors, unpriced) == (47, 2, 0)
    assert cost == "0.137016"


def test_a_trace_without_events_makes_a_page(file: Path) -> None:
    assert index_of(made(file, []))["columns"]["id"] == []
