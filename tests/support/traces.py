"""Events as a run reports them, made up: of any size, and with texts of an attacker's choice."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from divebell import Cell, CellError, Event
from divebell.events import (
    CallEnded,
    CallUsage,
    CellEnded,
    CellStarted,
    ChildEnded,
    LimitReached,
    RootReplied,
    RunEnded,
    RunStarted,
    ToolEnded,
)
from divebell.trace import TraceWriter

LEAST: dict[type[Event], dict[str, Any]] = {
    RunStarted: {"query": "", "context": "", "depth": 0, "model": ""},
    RootReplied: {"messages": (), "reply": "", "is_cut": False, "model": "", "call_seconds": 0.0},
    CellStarted: {"code": ""},
    CellEnded: {"code": "", "cell": Cell()},
    CallEnded: {"number": 0, "model": "", "prompt": "", "call_seconds": 0.0},
    ToolEnded: {"number": 0, "name": "", "arguments": (), "keyword_arguments": {}, "tool_seconds": 0.0},
    ChildEnded: {"number": 0, "prompt": "", "answer": "", "status": ""},
    LimitReached: {"limit": "", "cap": None, "spent": None, "held": None, "account": ""},
    RunEnded: {"answer": "", "status": "", "stopped_by": None, "spend": {}},
}
"""What each class has no default for."""
BY_KIND = {made.kind: made for made in LEAST}
LEAST_USAGE: dict[str, Any] = {
    "attempts": 1, "input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0, "picodollars": 0, "memo": False,
    "uncertain": False, "unpriced": False, "finish_reason": "stop", "output_limit_tokens": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class Novelty(Event):
    """An event that no version of Divebell reports."""

    kind = "something_new"
    novelty: Any
    shade: str = ""
    status: str = ""


def make_event(kind: str, *, path: str = "0", turn: int = 1, seconds: float = 1.0, **values: Any) -> Event:
    """An event of this kind with these values; what else it must have is empty. A call is answered, and so has its
    usage, unless it has an error."""
    event_class = BY_KIND[kind]
    own = {name: value for name, value in values.items() if name in {field.name for field in fields(event_class)}}
    usage = {name: value for name, value in values.items() if name not in own}
    if event_class in (RootReplied, CallEnded) and "error" not in own:
        own["usage"] = CallUsage(**{**LEAST_USAGE, **usage})
    else:
        assert not usage, usage
    return event_class(path=path, turn=turn, seconds=seconds, **{**LEAST[event_class], **own})


CODE = """# Read every contract in parts, and ask about each.
parts = [context[at : at + 4_000] for at in range(0, len(context), 4_000)]
prompts = [f"Which contracts in this text end before 2027?\\n\\n{part}" for part in parts]
replies = llm_query_batched(prompts)
found = sorted({line for reply in replies for line in reply.splitlines() if line != "none"})
print(len(parts), "parts,", len(found), "contracts")"""
REPLY = f"I split the context into parts and ask a sub-model about each of them.\n\n```repl\n{CODE}\n```\n\nThen I merge what they found."


class EventMaker:
    """Makes events, with a clock that `event` moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def event(self, kind: str, path: str, turn: int, after: float = 0.0, **data: Any) -> Event:
        self.seconds += after
        return make_event(kind, path=path, turn=turn, seconds=self.seconds, **data)


def with_facts(event: Event, fact: str) -> Event:
    """The event with `fact` in place of the names that the application chose: of models, limits, tools."""
    names = {"model", "limit", "account", "status", "name"} & {field.name for field in fields(event)}
    changes: dict[str, Any] = dict.fromkeys(names, fact)
    named = replace(event, **changes)
    if isinstance(named, RootReplied | CallEnded) and named.usage is not None:
        named = replace(named, usage=replace(named.usage, finish_reason=fact))
    return named


def small() -> list[Event]:
    """A run that has just begun to work: three events."""
    maker = EventMaker()
    return [
        maker.event("run", "0", 0, query="Which contracts end before 2027?", context="a str of 9 characters", depth=0),
        maker.event("reply", "0", 1, 1.4, reply="FINAL(none)", **facts("root", 1.4, 900, 12, 1_150_000_000)),
        maker.event("answer", "0", 1, 0.01, answer="none", status="answered", stopped_by=None, spend={}),
    ]


def facts(model: str, seconds: float, tokens_in: int, tokens_out: int, picodollars: int) -> dict[str, Any]:
    return {
        "model": model, "call_seconds": seconds, "input_tokens": tokens_in, "output_tokens": tokens_out,
        "picodollars": picodollars,
    }  # fmt: skip


def lively(calls: int, turns: int = 4) -> Iterator[Event]:
    """A run of some turns, with children, failures and about `calls` calls."""
    maker = EventMaker()
    yield maker.event(
        "run", "0", 0, query="Which contracts end before 2027, and what does leaving each of them early cost?",
        context="a dict of 1,204 entries", depth=0, model="gpt-5",
    )  # fmt: skip
    number = 0
    for turn in range(1, turns + 1):
        yield maker.event(
            "reply",
            "0",
            turn,
            2.1 + turn / 5,
            reply=REPLY,
            **facts("gpt-5", 2.0 + turn / 5, 3_200 * turn, 420, 9_870_000_000 * turn),
        )
        code = CODE if turn % 2 else f"{CODE}\nraise KeyError('no such contract')"
        yield maker.event("code", "0", turn, 0.002, code=code)
        for at in range(calls // turns):
            number += 1
            took = 0.4 + at % 7 / 10
            prompt = f"Which contracts in this text end before 2027?\n\nCONTRACT {number:06}. The term ends on 2026-{1 + at % 12:02}-28 unless renewed; either party may end it with {at % 9 + 1} months' notice."
            if at % 97 == 13:
                yield maker.event(
                    "call",
                    "0",
                    turn,
                    0.4 / 16,
                    number=number,
                    model="gpt-5-mini",
                    prompt=prompt,
                    error="gpt-5-mini did not answer within 60 s",
                )
            else:
                yield maker.event(
                    "call",
                    "0",
                    turn,
                    took / 16,
                    number=number,
                    prompt=prompt,
                    reply=f"contract {number:06}",
                    cached_input_tokens=128 if at % 3 else 0,
                    **facts("gpt-5-mini", took, 1_240, 9, 328_000_000),
                )
        if turn == 2:
            yield from child(maker, "0.1", turn)
        failed = turn % 2 == 0
        error = CellError(
            kind="KeyError",
            message="'no such contract'",
            traceback="Traceback (most recent call last):\n  File \"<cell 2>\", line 7, in <module>\nKeyError: 'no such contract'\n",
        )
        cell = Cell(stdout=f"{calls // turns} parts, 31 contracts\n", seconds=1.0, error=error if failed else None)
        yield maker.event("cell", "0", turn, 0.01, code=code, cell=cell)
    yield maker.event(
        "reply", "0", turns + 1, 1.9, reply="FINAL_VAR(found)", **facts("gpt-5", 1.9, 19_000, 12, 24_100_000_000)
    )
    yield maker.event(
        "answer",
        "0",
        turns + 1,
        0.01,
        answer="31 contracts end before 2027. Leaving all of them early costs 48,200 euros; the dearest is contract 000417.",
        status="answered",
        stopped_by=None,
        spend={},
    )


def child(maker: EventMaker, path: str, turn: int) -> Iterator[Event]:
    yield maker.event(
        "run",
        path,
        0,
        query="What does leaving contract 000417 early cost?",
        context="a str of 41,220 characters",
        depth=1,
        model="gpt-5-mini",
    )
    yield maker.event(
        "reply",
        path,
        1,
        0.9,
        reply="```repl\nprint(re.findall(r'fee of ([\\d,]+)', context))\n```",
        **facts("gpt-5-mini", 0.9, 1_900, 40, 555_000_000),
    )
    yield maker.event("code", path, 1, 0.001, code="print(re.findall(r'fee of ([\\d,]+)', context))")
    yield maker.event(
        "cell",
        path,
        1,
        0.02,
        code="print(re.findall(r'fee of ([\\d,]+)', context))",
        cell=Cell(stdout="['12,400']\n", seconds=0.02),
    )
    yield maker.event(
        "reply", path, 2, 0.7, reply="FINAL(12,400 euros)", **facts("gpt-5-mini", 0.7, 2_100, 8, 541_000_000)
    )
    yield maker.event("answer", path, 2, 0.01, answer="12,400 euros", status="answered", stopped_by=None, spend={})
    yield maker.event(
        "child",
        "0",
        turn,
        0.0,
        number=int(path.rpartition(".")[2]),
        prompt="What does leaving contract 000417 early cost?",
        answer="12,400 euros",
    )


def hostile(text: str) -> list[Event]:
    """A run in which every text that a model, a guest or a context writes is `text`."""
    maker = EventMaker()
    cell = Cell(
        stdout=text, stderr=text, repr=text, final=text, error=CellError(kind=text, message=text, traceback=text)
    )
    return [
        maker.event("run", "0", 0, query=text, context="a str of 9 characters", depth=0),
        maker.event(
            "reply",
            "0",
            1,
            0.1,
            reply=f"{text}\n```repl\n{text}\n```",
            messages=[{"role": "system", "content": text}, {"role": "user", "content": text}],
            finish_reason=text,
            **facts(text, 0.1, 1, 1, 1),
        ),
        maker.event("code", "0", 1, 0.1, code=text),
        maker.event("call", "0", 1, 0.1, number=1, prompt=text, reply=text, **facts(text, 0.1, 1, 1, 1)),
        maker.event("call", "0", 1, 0.1, number=2, prompt=text, error=text, model=text),
        maker.event("tool", "0", 1, 0.1, number=1, name=text, keyword_arguments={text: text}, result=[text]),
        maker.event("cell", "0", 1, 0.1, code=text, cell=cell),
        maker.event("limit", "0", 1, 0.1, limit=text, cap=text, spent=text, held=text, account=text),
        Novelty(turn=1, seconds=maker.seconds, novelty=text, status=text),
        maker.event(
            "answer", "0", 1, 0.1, answer=text, status=text, stopped_by={"limit": text, "cap": text}, spend={text: text}
        ),
    ]


def write(path: Path, events: Any, **options: Any) -> Path:
    """The events as a trace file, complete."""
    with TraceWriter(path, **options) as writer:
        for event in events:
            writer(event)
            if event.seconds and event.kind == "call":
                pause(writer)
    assert writer.dropped == 0
    return path


def pause(writer: TraceWriter) -> None:
    """Made-up events come faster than any run's: let the writer keep up."""
    while len(writer._pump._buffer) > 5_000:
        writer._pump._closed.wait(0.001)
