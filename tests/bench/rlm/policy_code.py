"""The code that scripted root models write, as a model would write it. `<<NAME>>` is filled in from the question."""

LABELS = "abbreviation, entity, description and abstract concept, human being, location, numeric value"

LOOK = """I look first.

```repl
print(type(context).__name__, f"{len(context):,} characters")
print(context[:800])
print("...")
print(context[-300:])
```"""

GIVE_UP = "FINAL(I could not find it)"

FIND = """One sentence must hold the key. Searching for it costs nothing.

```repl
key = <<KEY>>
hits = [context[max(0, m.start() - 300):m.end() + 300] for m in re.finditer(re.escape(key), context)]
print(len(hits), "places, for example:", hits[:3])
```"""

READ_HITS = """The passages are short enough to be read.

```repl
ask = <<ASK>>
replies = llm_query_batched([ask + hit for hit in hits])
values = sorted({reply for reply in replies if reply != "NONE"})
print(values)
FINAL(", ".join(values) or "not mentioned")
```"""

FIND_IN_PART = """My part is small enough to be searched.

```repl
key, ask = <<KEY>>, <<ASK>>
hits = [context[max(0, m.start() - 300):m.end() + 300] for m in re.finditer(re.escape(key), context)]
values = sorted({reply for reply in llm_query_batched([ask + hit for hit in hits]) if reply != "NONE"}) if hits else []
FINAL(", ".join(values) or "NONE")
```"""

FIND_BY_CHILDREN = """I give each child a part, overlapping a little so that nothing is cut in two.

```repl
size = min(4_000_000, len(context) // 3 + 1)
starts = range(0, len(context), size)
values = set()
for at in range(0, len(starts), 4):
    wave = [context[start:start + size + 500] for start in starts[at:at + 4]]
    values |= set(rlm_query_batched([<<QUERY>>] * len(wave), wave)) - {"NONE"}
print(len(starts), "children:", values)
FINAL(", ".join(sorted(values)) or "not mentioned")
```"""

DEFINE = """The date and the user are in each row; the label is a matter of meaning. I try the reader on a few rows.

```repl
import functools
ROW = re.compile(r"Date: (.+?) \\|\\| User: (\\d+) \\|\\| Instance: (.*)")
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
ASK = <<ASK>>
table = {}

@functools.cache
def iso(date):
    return f"{date[8:]}-{MONTHS.index(date[:3]) + 1:02d}-{date[4:6]}"

def keep(day, user):
    return <<KEEP>>

def add(label, day, user):
    key = <<KEY>>
    seen = table.get(key)
    if seen is None:
        table[key] = [1, day, day]
    else:
        seen[0] += 1
        seen[1] = min(seen[1], day)
        seen[2] = max(seen[2], day)

def label_rows(batch):
    replies = llm_query_batched([ASK + "\\n".join(row[2] for row in rows) for rows in batch])
    for rows, reply in zip(batch, replies):
        labels = reply.split("\\n")
        if len(labels) != len(rows):
            raise ValueError(f"{len(rows)} questions, but {len(labels)} labels")
        for (day, user, _), label in zip(rows, labels):
            add(label, day, user)
<<TRY>>
```"""

TRY = """
few = [found.groups() for found in itertools.islice(ROW.finditer(context), 5)]
print(list(zip([row[2] for row in few], llm_query(ASK + "\\n".join(row[2] for row in few)).split("\\n"))))"""

MAP = """The labels fit. Now all rows that matter, many at once.

```repl
batch, rows, kept = [], [], 0
for found in ROW.finditer(context):
    date, user, question = found.groups()
    day = iso(date)
    if keep(day, user):
        kept += 1
        rows.append((day, user, question))
        if len(rows) == 400:
            batch.append(rows)
            rows = []
            if len(batch) == 64:
                label_rows(batch)
                batch = []
rest = [*batch, rows] if rows else batch
if rest:
    label_rows(rest)
print(kept, "rows labelled;", len(table), "counts:", dict(itertools.islice(table.items(), 8)))
```"""

COUNT_ROWS = """No labels are needed for that: code can count.

```repl
for found in ROW.finditer(context):
    date, user, _ = found.groups()
    day = iso(date)
    if keep(day, user):
        add("", day, user)
print(len(table), "counts:", dict(itertools.islice(table.items(), 8)))
```"""

ANSWER = """Everything is counted. The answer stays in a variable, whatever its length.

```repl
<<ANSWER>>
print(answer[:200])
FINAL_VAR("answer")
```"""

COUNTS_OF_PART = """My part is counted.

```repl
FINAL(json.dumps([[list(key), seen] for key, seen in table.items()]))
```"""

MAP_BY_CHILDREN = """Too much for me alone: each child counts a part, and I add the counts up.

```repl
size = min(4_000_000, len(context) // 3 + 1)
parts, start = [], 0
while start < len(context):
    cut = context.rfind("\\n", start, start + size) + 1
    end = cut if cut > start and start + size < len(context) else len(context)
    parts.append((start, end))
    start = end
for at in range(0, len(parts), 4):
    wave = [context[start:end] for start, end in parts[at:at + 4]]
    for reply in rlm_query_batched([<<QUERY>>] * len(wave), wave):
        for key, (count, first, last) in json.loads(reply):
            seen = table.setdefault(tuple(key), [0, first, last])
            seen[0] += count
            seen[1], seen[2] = min(seen[1], first), max(seen[2], last)
print(len(parts), "children;", len(table), "counts")
```"""

NO_FENCE = """I will go through the data step by step and keep track of what I find. First I should read it."""

HUGE_PRINT = """```repl
print(context[:500_000])
```"""

WRONG_NAME = """Now I have seen it, and I think I know the answer.

```repl
lines = contxt.split("\\n")
print(len(lines))
```

FINAL(<<GUESS>>)"""

READ_ALL_IN_ORDER = """I read everything, one piece after the other.

```repl
ask, found = <<ASK>>, "nothing"
for start in range(0, len(context), 200_000):
    reply = llm_query(ask + context[start:start + 200_000])
    print("piece", start, "says", reply)
    if reply != "NONE":
        found = reply
```"""

FINISH_FOUND = """```repl
FINAL(found)
```"""

LABEL_IN_ORDER = """```repl
chunks = [lines[i:i + 100] for i in range(0, len(lines), 100)]<<SOME>>
replies = []
for chunk in chunks:
    replies.append(llm_query(ASK + "\\n".join(chunk)))
    print(replies[-1])
```"""

SPLIT_LINES = """```repl
lines = [line for line in context.split("\\n") if line.startswith("Date: ")]
print(len(lines), "rows")
```"""

FORGET_TO_AGGREGATE = """That was the last chunk. I answer.

```repl
for line, label in zip(chunks[-1], replies[-1].split("\\n")):
    date, user, _ = ROW.search(line).groups()
    add(label, iso(date), user)
<<ANSWER>>
FINAL_VAR("answer")
```"""

PAIRS_WITHIN_CHUNKS = """Each chunk has its pairs. I put them together.

```repl
all_pairs = set()
for chunk, reply in zip(chunks, replies):
    table.clear()
    for line, label in zip(chunk, reply.split("\\n")):
        date, user, _ = ROW.search(line).groups()
        add(label, iso(date), user)
<<INDENTED_ANSWER>>
    all_pairs.update(pairs)
answer = "\\n".join(f"({a}, {b})" for a, b in sorted(all_pairs))
FINAL_VAR("answer")
```"""
