"""`divebell demo`: finds a magic number in a million lines, offline.

The sandbox, the door, the meter and the loop are real. Only the models are scripted: the root follows a policy that
models find by themselves (look, search, ask a reader about the candidates), and the reader reads one line at a time.
Neither knows where the number is, or what it is.
"""

import random
import re
import time

from rich.console import Console

from divebell.cli.display import Display, summary_line
from divebell.cli.exits import FAILED, Exit
from divebell.models.protocol import ModelRequest, texts_of
from divebell.models.scripted import ScriptedModel
from divebell.resources import default_engine
from divebell.rlm import RLM
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.rates import Rate

QUESTION = "What is the magic number?"
DECOYS = 40

_SUBJECTS = [
    "The harbour",
    "A ferry",
    "Our ledger",
    "The night shift",
    "Station seven",
    "The archive",
    "A surveyor",
    "The east crane",
]
_VERBS = ["reported", "logged", "requested", "returned", "moved", "counted", "sealed", "weighed"]
_OBJECTS = [
    "forty crates",
    "a spare anchor",
    "the usual forms",
    "no change",
    "two late arrivals",
    "a broken lamp",
    "rope and tar",
]

_MISLEADING = (
    "Nobody here believes in magic numbers, whatever {number} may mean",
    "Last year the magic number was {number}, which no longer holds",
    "Somebody painted 'magic number: {number}' on the wall as a joke",
    "The magic number is certainly not {number}",
)
_TRUE = "For the record: the magic number is {number}"

# One reply of the root a turn. It is a policy, not a recording: what it prints and asks depends on what is there.
_LOOK = """Let me see what this is.

```repl
print(f"{len(context):,} characters, {context.count(chr(10)):,} lines")
print(context[:300])
```"""
_SEARCH = """Log lines. I search all of them for the words of the question.

```repl
candidates = re.findall(r"^.*magic number.*$", context, re.MULTILINE)
print(len(candidates), "candidates, for example:")
print("\\n".join(candidates[:4]))
```"""
_ASK = """Most of these mislead. What each line claims is for a reader to judge.

```repl
question = "Does this line state what the magic number is now? Reply YES and the number, or NO.\\nLine: "
replies = llm_query_batched([question + line for line in candidates])
found = [reply.split()[1] for reply in replies if reply.startswith("YES")]
print(len(found), "of", len(replies), "say yes:", found)
```"""
_FINISH = """One line states it.

```repl
assert len(found) == 1, found
FINAL(found[0])
```"""
_POLICY = (_LOOK, _SEARCH, _ASK, _FINISH)


def build_lines(count: int, seed: int) -> tuple[str, str, int]:
    """A log of `count` lines that states one magic number: (text, the number, its line, from 1)."""
    chance = random.Random(seed)
    phrases = [f"{s} {v} {o}" for s in _SUBJECTS for v in _VERBS for o in _OBJECTS]
    chance.shuffle(phrases)
    lines = [f"{i:07d} {phrases[i * 7919 % len(phrases)]}." for i in range(1, count + 1)]
    places = chance.sample(range(count), min(DECOYS + 1, count))
    number = str(chance.randrange(10**6, 10**7))
    for i, place in enumerate(places[1:]):
        text = _MISLEADING[i % len(_MISLEADING)].format(number=chance.randrange(10**6, 10**7))
        lines[place] = f"{place + 1:07d} {text}."
    lines[places[0]] = f"{places[0] + 1:07d} {_TRUE.format(number=number)}."
    return "\n".join(lines), number, places[0] + 1


def root_policy(request: ModelRequest) -> str:
    """Plays the root model: the next step, unless the last one failed."""
    turns = sum(message["role"] == "assistant" for message in request.messages)
    failed = turns and "Traceback (most recent call last)" in "".join(texts_of(request.messages[-1]))
    return "FINAL(I could not find it)" if failed or turns >= len(_POLICY) else _POLICY[turns]


def reader_policy(request: ModelRequest) -> str:
    """Plays the reader: judges the one line in its prompt."""
    line = "".join(texts_of(request.messages[-1])).rpartition("Line: ")[2]
    stated = re.search(r"\bthe magic number is (\d+)", line)
    return f"YES {stated[1]}" if stated else "NO"


def run_demo(console: Console, *, lines: int, seed: int, budget: str) -> None:
    """Build the lines, hide the number, find it, compare."""
    console.print(f"building {lines:,} lines and hiding a magic number in one of them ...", highlight=False)
    began = time.perf_counter()
    text, number, place = build_lines(lines, seed)
    console.print(f"{len(text) / 1e6:,.1f} MB of text in {time.perf_counter() - began:.1f} s", highlight=False)
    began = time.perf_counter()
    console.print("preparing the sandbox (compiled once per machine, which takes a few seconds) ...", highlight=False)
    engine = default_engine()
    engine.warm()
    console.print(f"ready in {time.perf_counter() - began:.1f} s\n", highlight=False)
    display = Display(console)
    rlm = RLM(
        ScriptedModel("demo-root", root_policy),
        ScriptedModel("demo-reader", reader_policy, delay_seconds=0.02),
        budget=Budget(dollars=budget, calls=1_000),
        rates={"demo-root": Rate.per_million("1.25", "10"), "demo-reader": Rate.per_million("0.25", "2")},
        max_output_tokens=1_000,
        sub_max_output_tokens=50,
        engine=engine,
        on_event=display.on_event,
    )
    with display:
        result = rlm.run(text, QUESTION)
    console.print(f"\nanswer: {result.answer}", style="bold", highlight=False)
    console.print(f"{summary_line(result)} (scripted models at invented prices)", highlight=False)
    if result.answer != number:
        raise Exit(FAILED, f"the number hidden in line {place:,} was {number}")
    console.print(f"correct: it was hidden in line {place:,}", style="green", highlight=False)
