"""The page in a real browser: that it shows a trace, stays quick, and that hostile text in a trace stays text."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, Request, expect

from divebell.trace import read_trace
from divebell.trace.html import write_page
from tests.support.browser import browsing
from tests.support.command import run
from tests.support.traces import hostile, lively, small, write

pytestmark = pytest.mark.slow


WIDE, NARROW = (1440, 900), (360, 740)
OWN = "window.__owned = true"
PAYLOADS = {
    "closing-script": f"</script><img src=x onerror='{OWN}'><script>{OWN}</script>",
    "closing-script-with-space": f"</script ><img src=x onerror='{OWN}'></script/x><svg/onload='{OWN}' ",
    "open-comment": f"<!--<script>{OWN}</script>",
    "attribute": f"\"'><svg onload='{OWN}'><iframe srcdoc='<script>parent.__owned=true</script>'>",
    "address": f"javascript:{OWN}//[link](javascript:{OWN})<a href='javascript:{OWN}'>click</a>",
    "style": "</style><style>@import url(http://127.0.0.1:9/evil.css); body{background:url(http://127.0.0.1:9/x)}</style>",
    "elsewhere": "<base href='http://127.0.0.1:9/'><link rel=stylesheet href='http://127.0.0.1:9/a'><meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><form action=http://127.0.0.1:9/><button autofocus onfocus=alert(1)>",
    "template": "{{script}}{{data}}${window.__owned = true}{{constructor.constructor('window.__owned=true')()}}",
    "prototype": "__proto__",
    "fence": f"```repl\n</pre><script>{OWN}</script>\n```\n'''\"\"\"{OWN}",
    "bidi": "user\u202e\u2066// admin\u2069\u2066 \u200b\u061c\x00\x1b[2J\x9b\ufeff",
    "surrogates": "\ud800\udfff \udc00\ud800 \u2028\u2029",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the page of a trace."""
    folder = tmp_path_factory.mktemp("pages")

    def make(events: Any, cut: int = 0, ends: bool = True, **options: Any) -> Path:
        number = len(list(folder.iterdir()))
        trace = write(folder / f"{number}.jsonl", events, **options)
        if not ends:
            trace.write_bytes(b"".join(trace.read_bytes().splitlines(keepends=True)[:-1]))
        if cut:
            trace.write_bytes(trace.read_bytes()[:-cut])
        write_page(read_trace(trace), trace.name, trace.with_suffix(".html"))
        return trace.with_suffix(".html")

    return make


class Seen:
    """A page that is open, and what it did that it should not have done."""

    def __init__(self, browser: Browser, file: Path, size: tuple[int, int], scheme: Any, anchor: str) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.own = file.as_uri()
        self.page.on("request", self._on_request)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("dialog", self._on_dialog)
        self.page.on("popup", lambda popup: self.problems.append("popup"))
        self.page.goto(f"{self.own}{anchor}")
        self.page.wait_for_selector("body[data-ready]", state="attached")

    def _on_request(self, request: Request) -> None:
        if request.url.partition("#")[0] != self.own:
            self.problems.append(f"request: {request.url}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check(self) -> None:
        assert self.problems == []
        assert self.page.url.partition("#")[0] == self.own
        assert self.page.evaluate("window.__owned") is None


@pytest.fixture
def see(browser: Browser) -> Iterator[Callable[..., Page]]:
    opened: list[Seen] = []

    def open_page(file: Path, size: tuple[int, int] = WIDE, scheme: str = "light", anchor: str = "") -> Page:
        opened.append(Seen(browser, file, size, scheme, anchor))
        return opened[-1].page

    yield open_page
    for seen in opened:
        seen.check()
        seen.context.close()


def rows(page: Page) -> Locator:
    return page.locator(".row")


def chosen(page: Page) -> str:
    return page.locator(".row[aria-selected=true] .what").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_three_events(pages: Any, see: Any, size: tuple[int, int], scheme: str) -> None:
    page = see(pages(small()), size, scheme)
    expect(page.locator("h1")).to_have_text("Which contracts end before 2027?")
    expect(page.locator(".pill").first).to_have_text("answered")
    expect(page.locator("#stats")).to_contain_text("$0.00115")
    expect(page.locator(".answer pre")).to_have_text("none")
    expect(page).to_have_title("Which contracts end before 2027? \u00b7 Divebell")
    assert [row.inner_text() for row in rows(page).locator(".what").all()] == ["Run", "Turn 1"]


def test_a_turn_shows_its_reply_with_its_code_highlighted_and_what_it_printed(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)), anchor="#event-2")
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text("Turn 1 \u00b7 gpt-5")
    expect(detail).to_contain_text("$0.00987")
    expect(detail.locator(".hl-k").first).to_have_text("for")
    expect(detail.locator(".hl-s").first).to_have_text('f"Which contracts in this text end before 2027?\\n\\n{part}"')
    expect(detail.locator(".hl-c").first).to_have_text("# Read every contract in parts, and ask about each.")
    expect(detail).to_contain_text("10 parts, 31 contracts")
    assert "".join(detail.locator("pre.text").nth(1).all_inner_texts()).startswith("# Read every contract")


def test_a_failed_cell_and_a_child_are_shown_as_such(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)))
    page.get_by_role("button", name=re.compile("^Failures")).click()
    expect(rows(page).locator(".tag", has_text="failed")).to_have_count(2)
    page.get_by_role("button", name=re.compile("^Children")).click()
    rows(page).last.click()
    expect(page.locator("#detail h2")).to_have_text("Child 0.1 · gpt-5-mini")
    expect(page.locator("#detail")).to_contain_text("12,400 euros")


def test_charts_tell_where_it_went_and_lead_there(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)))
    kinds = page.locator(".chart").nth(2)
    expect(kinds).to_contain_text("Root model$0.1228 \u00b7 90%")
    page.get_by_role("button", name="Calls", exact=True).first.click()
    expect(kinds).to_contain_text("Sub-calls40 \u00b7 85%")
    page.locator(".column").nth(2).click()
    assert chosen(page) == "Turn 3"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level": "redacted"}, "only known by their length"),
        ({"cut": 30}, "broken off"),
        ({"ends": False}, "has no end"),
    ],
    ids=["redacted", "torn", "cut"],
)
def test_what_is_missing_is_said(pages: Any, see: Any, options: dict[str, Any], says: str) -> None:
    expect(see(pages(small(), **options)).locator(".notice")).to_contain_text(says)


def test_redacted_bodies_are_their_marks(pages: Any, see: Any) -> None:
    page = see(pages(small(), level="redacted"))
    expect(page.locator("h1")).to_have_text("A run")
    expect(page.locator("#detail")).to_contain_text("32 characters")
    expect(rows(page).first).to_contain_text("32 characters, redacted")
    assert re.fullmatch("[0-9a-f]{32}", page.locator("#detail code").first.inner_text())


def test_an_empty_trace(pages: Any, see: Any) -> None:
    page = see(pages([]))
    expect(page.locator(".empty strong")).to_have_text("No events")
    expect(page.locator("#detail")).to_be_hidden()


def everything_looked_at(page: Page) -> str:
    """Every event is chosen once, and its text read."""
    page.get_by_role("button", name="Expand all").click()
    said = []
    for number in range(rows(page).count()):
        rows(page).nth(number).click()
        said.append(page.locator("#detail").inner_text())
    return "\n".join(said)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_hostile_text_runs_nothing_and_fetches_nothing(pages: Any, see: Any, payload: str) -> None:
    page = see(pages(hostile(payload)))
    said = everything_looked_at(page)
    page.locator("#search").fill(payload[:40])
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert page.evaluate("[...document.scripts].filter(each => each.type !== 'application/json').length") == 1
    assert (
        page.locator("img, iframe, object, embed, base, link, body form:not([method=dialog]), body style").count() == 0
    )
    hrefs = page.evaluate("[...document.querySelectorAll('[href]')].map(each => each.getAttribute('href'))")
    assert all(re.fullmatch(r"#list|#event-\d+", href) for href in hrefs), hrefs
    handlers = (
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(name => name.startsWith('on'))"
    )
    assert page.evaluate(handlers) == []
    words = re.findall(r"[a-z]{4,}", payload)
    assert all(word in said for word in words), "it is shown, as text"


def test_characters_that_steer_text_are_shown_for_what_they_are(pages: Any, see: Any) -> None:
    page = see(pages(hostile(PAYLOADS["bidi"])))
    expect(page.locator(".answer pre")).to_have_text(
        "userU+202EU+2066// adminU+2069U+2066 U+200BU+061CU+0000U+001B[2JU+009BU+FEFF"
    )
    everything = page.evaluate("document.body.innerText + document.title")
    assert not set(everything) & set("\u202e\u2066\u2069\u200b\u061c\x00\x1b\x9b")
    assert not page.evaluate(
        "[...document.querySelectorAll('[title]')].some(each => /[\\u202e\\u2066]/.test(each.title))"
    )


def test_the_walls_hold_even_against_a_fault_of_the_page(pages: Any, browser: Browser) -> None:
    """What would happen if hostile text did reach the document as markup, or ran."""
    seen = Seen(browser, pages(small()), WIDE, "light", "")
    page = seen.page
    tries = {
        "markup": "document.body.innerHTML = '<b>'",
        "markup beside": "document.body.insertAdjacentHTML('beforeend', '<b>')",
        "evaluation": "Function('window.__owned = true')()",
        "script": "{ const s = document.createElement('script'); s.textContent = 'window.__owned = true'; document.body.append(s); }",
        "handler": "document.body.setAttribute('onclick', 'window.__owned = true')",
    }
    for name, attempt in tries.items():
        # Later, because what Playwright itself evaluates is exempt.
        tried = f"new Promise(done => setTimeout(() => {{ try {{ {attempt}; done('ran') }} catch (error) {{ done(error.name) }} }}))"
        outcome = page.evaluate(tried)
        assert outcome in ("TypeError", "EvalError"), name
    quiet = "new Promise(done => fetch('http://127.0.0.1:9/').then(() => done('fetched'), () => done('refused')))"
    assert page.evaluate(quiet) == "refused"
    blocked = "new Promise(done => { document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective)); const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image); })"
    assert page.evaluate(blocked) == "img-src"
    assert page.evaluate("window.__owned") is None
    assert not [problem for problem in seen.problems if problem.startswith("request") and "127.0.0.1" not in problem]
    seen.context.close()


ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**20, "", "x", [], [1, None, [[]]], {}, {"text": 1}, {"text": "a", "missing": "b"}, {"hmac": 1},
    {"length": "x", "hmac": "y"}, {"text": "a", "missing": -1}, {"role": "", "content": [{"text": {}}, 7, None]}, [{"role": "", "content": 3}],
]  # fmt: skip
FIELDS = (
    "query", "context", "context_type", "answer", "prompt", "messages", "reply", "code", "stdout", "stderr", "repr", "traceback", "error",
    "error_kind", "error_type", "final", "submitted", "arguments", "keyword_arguments", "result", "status", "stopped_by", "spend", "ok", "limit",
    "cap", "name", "finish_reason", "attempts", "depth", "started", "__proto__", "constructor", "toString", "hasOwnProperty", "",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(ODD)))
def test_data_of_any_shape_is_shown_somehow(pages: Any, see: Any, tmp_path: Path, number: int) -> None:
    """A trace can be written by anybody: whatever passes the reader must not break the page or the terminal."""
    lines = [
        {"schema": "divebell.trace", "version": 1, "divebell": "x", "started": "x", "level": "full", "settings": {}}
    ]
    data = dict.fromkeys(FIELDS, ODD[number])
    kinds = (
        "run",
        "reply",
        "code",
        "call",
        "tool",
        "cell",
        "limit",
        "constructor",
        "child",
        "answer",
        "dropped",
        "end",
    )
    for at, kind in enumerate(kinds):
        lines.append(
            {"id": at + 1, "parent": at or None, "kind": kind, "path": "0", "turn": 1, "seconds": at, "data": data}
        )
    file = tmp_path / "odd.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    write_page(read_trace(file), "odd", file.with_suffix(".html"))
    page = see(file.with_suffix(".html"))
    everything_looked_at(page)
    for option in ((), ("--full",)):
        assert run("trace", str(file), *option).status == 0


def test_a_huge_text_is_shown_in_pieces(pages: Any, see: Any) -> None:
    huge = "<b>" + "word " * 50_000 + "the end"
    page = see(pages(hostile(huge)), anchor="#event-4")
    prompt = page.locator("#detail .body").first
    assert len(prompt.inner_text()) < 15_000
    prompt.get_by_role("button", name="Show more").click()
    expect(prompt).to_contain_text("characters were not kept here")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_word_without_end_widens_nothing(pages: Any, see: Any) -> None:
    for size in (WIDE, NARROW):
        page = see(pages(hostile("A" * 20_000)), size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_thirty_thousand_events(pages: Any, see: Any) -> None:
    page = see(pages(lively(30_000, turns=12)))
    expect(page.locator("#filters")).to_contain_text("All30.0k")
    page.get_by_role("button", name="Expand all").click()
    assert rows(page).count() < 100
    page.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(rows(page).locator(".label", has_text="FINAL_VAR(found)")).to_be_visible()
    assert rows(page).count() < 100
    page.locator("#search").fill("CONTRACT 02999")
    expect(page.locator("#search-count")).to_have_text("10 matches")
    page.keyboard.press("Enter")
    expect(page.locator("#search-count")).to_have_text("1 of 10")
    expect(page.locator("#detail mark").first).to_have_text("CONTRACT 02999")
    page.locator("#search").fill("nowhere to be found")
    expect(page.locator(".empty strong")).to_have_text("Nothing matches")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_text_can_be_read_and_nothing_sticks_out(pages: Any, see: Any, size: tuple[int, int], scheme: str) -> None:
    page = see(pages(lively(40)), size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    contrast = """() => {
        const channels = text => text.match(/[\\d.]+/g).map(Number);
        const light = text => channels(text).slice(0, 3).map(c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
            .reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
        const behind = element => {
            for (; element; element = element.parentElement) {
                const color = getComputedStyle(element).backgroundColor;
                if (color !== 'rgba(0, 0, 0, 0)') return color;
            }
        };
        const texts = '.eyebrow span, h1, .stats dt, .stats dd, .answer pre, .bar-head span, .label, .cost, .what, .segments button, .facts dt, .facts dd, pre.text, .hl-k, .hl-s, .hl-c, .hl-n, .hl-b, .copy, .size, .legend span, .tag';
        return [...document.querySelectorAll(texts)].map(each => {
            const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((x, y) => y - x);
            return [each.className || each.tagName, (a + .05) / (b + .05)];
        }).filter(([, ratio]) => ratio < 4.5);
    }"""
    assert page.evaluate(contrast) == []


def test_the_theme_can_be_switched_and_stays(pages: Any, see: Any) -> None:
    page = see(pages(small()))
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.wait_for_selector("body[data-ready]", state="attached")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_narrow_page_shows_an_event_over_the_list_and_goes_back(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)), NARROW)
    expect(page.locator("#detail")).to_be_hidden()
    rows(page).nth(1).click()
    expect(page.locator("#detail h2")).to_be_visible()
    page.get_by_role("button", name="Back to the list").click()
    expect(page.locator("#detail")).to_be_hidden()


def test_everything_can_be_reached_by_keyboard(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)))
    press = page.keyboard.press
    press("j")
    assert chosen(page) == "Turn 1"
    press("j")
    press("j")
    assert chosen(page) == "Call"
    press("k")
    assert chosen(page) == "Cell"
    page.locator("#list").focus()
    press("ArrowLeft")
    assert page.locator(".row[aria-selected=true]").get_attribute("aria-expanded") == "false"
    press("ArrowDown")
    assert chosen(page) == "Turn 2"
    press("ArrowLeft")
    press("ArrowLeft")
    assert chosen(page) == "Run"
    press("e")
    assert chosen(page) == "Cell"
    press("/")
    page.keyboard.type("000417")
    expect(page.locator("#search-count")).to_have_text("2 matches")
    press("Escape")
    press("n")
    expect(page.locator("#search-count")).to_have_text("")
    press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    press("End")
    assert chosen(page) == "Turn 5"


def test_the_time_line_can_be_that_of_one_event(pages: Any, see: Any) -> None:
    page = see(pages(lively(40)), anchor="#event-2")
    bar = page.locator(".row[aria-selected=true] .lane i").first
    before = bar.bounding_box()
    page.keyboard.press("z")
    after = bar.bounding_box()
    lane = page.locator(".row[aria-selected=true] .lane").bounding_box()
    assert before
    assert after
    assert lane
    assert before["width"] < lane["width"] / 2
    assert after["width"] == pytest.approx(lane["width"], abs=2)
    assert page.locator(".row", has_text="Turn 3").locator(".lane i").count() == 0
    page.get_by_role("button", name="Whole run").click()
    assert bar.bounding_box() == before


def test_a_link_leads_to_its_event(pages: Any, see: Any) -> None:
    file = pages(lively(400))
    page = see(file, anchor="#event-311")
    assert page.locator("#detail .detail-head a").inner_text() == "#311"
    assert page.locator(".row[aria-selected=true]").is_visible()
    page.evaluate("location.hash = '#event-2'")
    expect(page.locator("#detail h2")).to_have_text("Turn 1 \u00b7 gpt-5")
    page.evaluate("location.hash = '#event-999999'")
    page.evaluate("location.hash = '#<img src=x onerror=alert(1)>'")
    expect(page.locator("#detail h2")).to_have_text("Turn 1 \u00b7 gpt-5")
