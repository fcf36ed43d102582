import sys, tempfile, os
sys.path.insert(0,'.')
from divebell import *
from divebell.journal.replay import replay
def block(c): return f"```repl\n{c}\n```"
async def sub(request):
    import anyio, random
    await anyio.sleep(random.random()*0.02)
    return request.messages[-1]["content"].upper() if request.messages[0]["role"]!="system" else block("FINAL(context[:3] + str(random.random()) + llm_query('x'))")
root=ScriptedModel("root",[block("""
import asyncio
async def two(i):
    a = await allm_query(f'a{i}')
    print('got', a)
    b = await allm_query(a + 'b')
    return b
r = await asyncio.gather(*[two(i) for i in range(10)])
print(r, budget(), time.time(), random.random(), {'a','b','c'})
"""), block("print(tool(3)); c = rlm_query_batched(['q']*3); print(c, llm_query_batched(['z','y']))"), "FINAL_VAR(c)"])
d=tempfile.mkdtemp()
def tool(n: int) -> str:
    return f"tool {n}"
rlm=RLM(root, ScriptedModel("sub",sub), tools={"tool":tool}, budget=Budget(dollars="1"), rates={"root":Rate(1,1),"sub":Rate(2,2)})
r=rlm.run("context text","what?",journal=d+"/j")
print(r.answer, r.spend["calls"], os.path.getsize(d+"/j"))
r2=replay(d+"/j")
assert r2.answer==r.answer; print("replayed", r2.spend["calls"], r2.spend["dollars"]==r.spend["dollars"])
