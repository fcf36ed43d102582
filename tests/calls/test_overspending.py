"""A guest that does all it can to spend more than its cap: calls that nobody waits for, calls that are given up, threads,
tools, refusals that are caught and tried again, children that do the same. The provider's own count is the judge."""

from decimal import Decimal

import anyio
import pytest

from divebell import Budget, Completion, Engine, Limits, ModelRequest, Rate, ScriptedModel, Usage
from divebell_bridge.money.amounts import NOTHING

CAP_CENTS = 20
RATES = {"root": Rate(0, 0), "sub": Rate.per_million("0", "10000")}

ATTACKS = {
    "calls that nobody waits for": "import asyncio\nfor _ in range(500): asyncio.ensure_future(allm_query('x'))\nawait asyncio.sleep(0.05)",
    "calls that are given up at once": """
import asyncio
for _ in range(30):
    tasks = [asyncio.ensure_future(allm_query('x')) for _ in range(20)]
    await asyncio.sleep(0.002)
    for task in tasks: task.cancel()
""",
    "refusals that are caught, for ever": """
while True:
    try: llm_query('x')
    except BudgetExceeded: pass
""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(64) as pool:
    for future in [pool.submit(llm_query, 'x') for _ in range(300)]:
        try: future.result()
        except BudgetExceeded: pass
""",
    "a tool in whose time calls go on": """
import asyncio
calls = [asyncio.ensure_future(allm_query('x')) for _ in range(300)]
for _ in range(20): slow_tool()
for call in calls:
    try: await call
    except BudgetExceeded: pass
""",
    "children that do it too, beside their parent": """
import asyncio
async def one(make):
    try: return await make()
    except Exception as error: return error
await asyncio.gather(*[one(lambda: arlm_query('attack')) for _ in range(6)], *[one(lambda: allm_query('x')) for _ in range(300)])
""",
    "a cell that crashes with calls in flight": """
import asyncio, os
for _ in range(300): asyncio.ensure_future(allm_query('x'))
await asyncio.sleep(0.01)
os.abort()
""",
    "a forged purse": "budget = lambda: {'dollars': 1e9}\nBudgetExceeded = KeyError\nwhile True: llm_query_batched(['x'] * 50)",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_guest_spends_more_than_its_cap(attack: str) -> None:
    """In three turns, in each of which it does the same again."""
    code = f"```repl\n{ATTACKS[attack]}\n```"
    billed_cents = 0

    def root(request: ModelRequest) -> Completion:
        text = "FINAL(over)" if "best answer" in str(request.messages[-1]) else code
        return Completion(text=text, usage=Usage())

    async def sub(request: ModelRequest) -> Completion:
        nonlocal billed_cents
        if request.messages[0]["role"] == "system":
            return Completion(text=code, usage=Usage())
        billed_cents += 2  # before the reply: who hangs up pays all the same
        await anyio.sleep(0.001)
        return Completion(text="y", usage=Usage(output_tokens=2))

    with Engine(rates=RATES) as engine:
        acme = engine.tenant("acme", total=Budget(dollars="1"))
        rlm = acme.rlm(
            ScriptedModel("root", root), ScriptedModel("sub", sub), tools={"slow_tool": lambda: None}, max_iterations=3,
            budget=Budget(dollars=Decimal(CAP_CENTS) / 100), limits=Limits(cell_seconds=0.4, grace_seconds=0.2),
            sub_max_output_tokens=3,
        )  # fmt: skip
        result = rlm.run("some context", "the question")
        tenant = engine.ledger.account("tenant:acme")
    assert result.answer == "over"
    assert tenant is not None
    spent_cents = tenant.spent.picodollars // 10**10
    assert 0 < billed_cents <= spent_cents <= CAP_CENTS
    assert (tenant.held, tenant.overdrawn) == (NOTHING, NOTHING)
    assert result.spend["dollars"] * 100 == spent_cents
