"""Runs made up at random: what cells do, how long models take and how they fail, and which limit ends it."""

import asyncio
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from divebell import RLM, Budget, Completion, DivebellError, ModelError, ModelRequest, Rate, Usage
from divebell.run.result import Result
from divebell.testing import ScriptedModel, count_tokens

RATES = {"root": Rate.per_million("1", "1"), "sub": Rate.per_million("1", "1")}


class Found(TypedDict):
    """The answer of some of the runs."""

    name: str
    count: int


CELLS = (
    "import random, time, uuid\nprint(random.random(), time.time(), uuid.uuid4(), {'x', 'y', 'z', str(random.random())})",
    "print(id(object()), hash('text'), time.monotonic())\ntime.sleep(3.5)\nprint(time.monotonic(), budget())",
    "print(llm_query('one'), llm_query('two', model='sub'))",
    "def safe(n):\n    try:\n        return llm_query(f'safe {n}')\n    except Exception as error:\n"
    "        return type(error).__name__, str(error)\nprint([safe(n) for n in range(4)], budget()['calls'])",
    "import asyncio\nseen = []\nasync def one(n):\n    try:\n        seen.append((n, await allm_query(f'async {n}')))\n"
    "    except Exception as error:\n        seen.append((n, type(error).__name__))\n"
    "async def many():\n    await asyncio.gather(*[one(n) for n in range(9)])\nasyncio.run(many())\nprint(seen)",
    "from concurrent.futures import ThreadPoolExecutor, as_completed\nwith ThreadPoolExecutor(5) as pool:\n"
    "    asked = {pool.submit(llm_query, f'pool {n}'): n for n in range(7)}\n"
    "    print([(asked[f], f.exception() or f.result()) for f in as_completed(asked)])",
    "try:\n    print(llm_query_batched([f'batch {n}' for n in range(8)]))\nexcept Exception as error:\n    print(repr(error))",
    "try:\n    print(rlm_query_batched([f'child {n}' for n in range(3)]))\nexcept Exception as error:\n    print(repr(error))",
    "import asyncio\nasync def both():\n    first, rest = await asyncio.wait([asyncio.create_task(arlm_query(f'child {n}'))"
    " for n in range(2)] + [asyncio.create_task(allm_query('beside'))], return_when='FIRST_COMPLETED')\n"
    "    print(len(first), len(rest), [repr(t.exception() or t.result()) for t in first])\nasyncio.run(both())",
    "import asyncio\nasync def slow():\n    try:\n        print(await asyncio.wait_for(allm_query('slow'), 0.004))\n"
    "    except (TimeoutError, ModelError, BudgetExceeded) as error:\n        print(repr(error))\n    print(time.monotonic())\n"
    "import time\nasyncio.run(slow())",
    "print(lookup('k'), [await_me(n) for n in range(2)])\ntry:\n    fails()\nexcept ToolError as error:\n    print(error)",
    "import asyncio\nloose = [asyncio.ensure_future(allm_query('loose')) for _ in range(3)] if False else None\n"
    "async def leave():\n    asyncio.create_task(allm_query('left'))\n    await asyncio.sleep(0.001)\nasyncio.run(leave())\nprint('left')",
    "print('lone \\ud83d\\ude00 \\udc80', b'\\xff\\x00')\nhistory[-1]['role']",
    "1/0",
    "x = [i for i in range(1000)]\nprint(x)",
)
SUBMITS = (
    "SUBMIT(name='n', count='not a number')",
    "try:\n    SUBMIT(name='n')\nexcept BadAnswer as error:\n    print(error)",
    "SUBMIT(name='n', count=3)",
)


@dataclass
class Plan:
    """One run, made up from a seed. What the models do depends on the clock and on chance all the same."""

    rlm: RLM
    query: str = "What is it?"
    context: str = "hay " * 50

    @classmethod
    def of(cls, seed: int) -> "Plan":
        rng = random.Random(seed)
        chance = random.Random()
        typed = rng.random() < 0.3
        turns = [turn(rng, typed) for _ in range(rng.randint(1, 5))]
        turns.append("FINAL(done)" if not typed else f"```repl\n{SUBMITS[2]}\n```")
        failing = rng.choice([0.0, 0.0, 0.15, 0.4])

        async def root(request: ModelRequest) -> str | Completion:
            await asyncio.sleep(chance.uniform(0, 0.006))
            at = sum(message["role"] == "assistant" for message in request.messages)
            return turns[min(at, len(turns) - 1)]

        async def sub(request: ModelRequest) -> str | Completion:
            await asyncio.sleep(chance.uniform(0, 0.012))
            if len(request.messages) > 1 and request.messages[0]["role"] == "system":
                at = sum(message["role"] == "assistant" for message in request.messages)
                return f"```repl\n{CELLS[2 + seed % 5]}\n```" if at == 0 else "FINAL(of a child)"
            if chance.random() < failing:
                raise failure(chance)
            text = f"<{chance.randrange(10**6)} {str(request.messages[-1]['content'])[-30:]}>"
            return Completion(text=text, usage=Usage(input_tokens=count_tokens(text), output_tokens=9))

        return cls(
            RLM(
                ScriptedModel("root", root),
                ScriptedModel("sub", sub),
                tools=tools(chance),
                rates=RATES,
                budget=budget(rng),
                output=Found if typed else None,
                max_iterations=rng.choice([3, 6, 20]),
                max_answer_retries=rng.choice([1, 3]),
                context_window_tokens=rng.choice([20_000, 128_000]),
                max_output_tokens=2_000,
                sub_max_output_tokens=300,
                max_concurrent_calls=rng.choice([1, 3, 16]),
                max_concurrent_children=rng.choice([1, 4]),
                on_exhausted=rng.choice(["answer", "answer", "raise"]),
                tool_seconds=rng.choice([0.03, 60.0]),
            )
        )

    def run(self, journal: Path) -> "Result | DivebellError":
        """The result, or how it failed."""
        try:
            return self.rlm.run(self.context, self.query, journal=journal)
        except DivebellError as error:
            return error


def turn(rng: random.Random, typed: bool) -> str:
    cells = [rng.choice(CELLS) for _ in range(rng.randint(1, 2))]
    if typed and rng.random() < 0.5:
        cells.append(rng.choice(SUBMITS[:2]))
    return "\n".join(f"```repl\n{cell}\n```" for cell in cells)


def failure(chance: random.Random) -> ModelError:
    return chance.choice([
        ModelError("it broke"),
        ModelError("busy", may_retry=True, never_ran=True),
        ModelError("flaky", may_retry=True),
        ModelError("refused", never_ran=True),
        ModelError("counted", usage=Usage(input_tokens=5, output_tokens=5)),
    ])  # fmt: skip


def budget(rng: random.Random) -> Budget:
    return rng.choice([
        Budget(depth=2), Budget(depth=1), Budget(dollars="0.02"), Budget(dollars="0.009"), Budget(calls=9),
        Budget(tokens=12_000), Budget(seconds=0.3), Budget(seconds=0.08), Budget(calls=30, dollars="0.05", depth=2),
    ])  # fmt: skip


def tools(chance: random.Random) -> dict[str, Any]:
    def lookup(key: str) -> float:
        time.sleep(chance.choice([0.0, 0.002, 0.05]))
        return chance.random()

    async def await_me(n: int) -> dict[str, object]:
        await asyncio.sleep(chance.uniform(0, 0.04))
        return {"n": n, "bytes": b"\xff\x00", "chance": chance.random()}

    def fails() -> None:
        raise ValueError(f"no {chance.random()}")

    return {"lookup": lookup, "await_me": await_me, "fails": fails}
