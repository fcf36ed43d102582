"""Bounds that both sides of the door, and several files on each, must agree on.

One file for both sides, as wire.py is: the host imports it as `divebell_bridge.door.bounds`, the guest as
`divebell_guest.bounds`. It imports nothing of ours, and its functions take plain data, of exact types. How the bounds
relate to each other is asserted below them; how they relate to those of the wire, of money and of the engine is
asserted in divebell/bounds.py.
"""

from typing import Any

MAX_BATCH_PROMPTS = 10_000
"""Prompts that code may send in one batch."""
MAX_OPEN_CALLS = 10_000
"""Calls of one cell that are started and not collected. A batch that is started without waiting opens that many."""
CELL_TOOL_CALLS = 10_000
"""Calls of tools by one cell, unless the host sets another limit."""
MAX_MODEL_NAME_CHARACTERS = 200
"""A model's name, as code passes it and as a ledger keeps it. The ledger cuts longer names."""
MAX_TOOL_NAME_CHARACTERS = 100
"""A tool's name."""
MAX_WAIT_SECONDS = 1e9
"""How long code may wait for calls. A wait without a limit ends after this time."""
MAX_ANSWER_BYTES = 16 << 20
"""The value that code gives as the answer, encoded for the wire. The guest refuses a larger value, the door a larger
request."""
MAX_TOOL_RESULT_BYTES = 16 << 20
"""What a tool returns, encoded for the wire."""
MAX_COLLECTED_BYTES = 16 << 20
"""Outcomes of calls in one answer to a wait; the next wait returns the rest. A larger outcome is sent by itself."""

MAX_LISTED_VARIABLES = 10_000
"""Variables of a sandbox in one list of them."""
MAX_VARIABLE_NAME_CHARACTERS = 200
"""A variable's name in such a list, and the name of its type; a variable with a longer name is not listed."""
MAX_GUEST_ERROR_CHARACTERS = 20_000
"""An error's message, and its traceback, as the guest sends it. A longer one is cut in the middle."""
MAX_INTEGER_BITS = 4_096
"""An integer that is written in decimal digits, as in an answer: Python's time for that grows with the square of its
length."""

assert MAX_BATCH_PROMPTS <= MAX_OPEN_CALLS, "a batch can be started without waiting"
assert MAX_TOOL_RESULT_BYTES <= MAX_COLLECTED_BYTES, "a tool's result is collected as any outcome"

MAX_SCHEMA_NESTING = 32
"""How deep dicts and lists may nest in a JSON Schema that code gives for a reply, the outermost one counted."""
SCHEMA_TOO_DEEP = f"a schema nests dicts and lists at most {MAX_SCHEMA_NESTING} deep"
MAX_SCHEMA_PARTS = 1_000
"""Values and keys in such a schema, the schema itself counted."""
MAX_SCHEMA_CHARACTERS = 16_384
"""Characters of all the texts in such a schema, its keys among them."""

MAX_PROMPT_IMAGES = 20
"""Images that code may send with one prompt."""
MAX_REQUEST_IMAGES = 100
"""Images in one request to a model, all messages together."""
MAX_IMAGE_BYTES = 20 << 20
"""One image that a model is to see, and also all images that code sends at once."""
IMAGE_KINDS = {
    "image/png": (b"\x89PNG\r\n\x1a\n", (".png",)),
    "image/jpeg": (b"\xff\xd8\xff", (".jpg", ".jpeg")),
    "image/gif": (b"GIF8", (".gif",)),
    "image/webp": (b"RIFF", (".webp",)),
}
"""The kinds of image that models take: how such a file begins, and how its name ends."""
IMAGE_KINDS_IN_WORDS = ", ".join(IMAGE_KINDS)

assert MAX_PROMPT_IMAGES <= MAX_REQUEST_IMAGES, "the images of one prompt are sent in one request"


def schema_problem(schema: object) -> "str | None":
    """What is wrong with a JSON Schema as far as bounds and plain types go; None if nothing is. Never walks further
    than the bounds allow."""
    if type(schema) is not dict or not schema:
        return "a schema is a dict such as {'type': 'object', 'properties': {...}}"
    parts, characters = 1, 0
    level: list[Any] = [schema]
    for _ in range(MAX_SCHEMA_NESTING):
        below: list[Any] = []
        for holder in level:
            inside = [*holder, *holder.values()] if type(holder) is dict else holder
            parts += len(inside)
            if parts > MAX_SCHEMA_PARTS:
                return f"a schema has at most {MAX_SCHEMA_PARTS:,} values and keys"
            if type(holder) is dict and any(type(key) is not str for key in holder):
                return "the keys of a schema must be str"
            for part in inside:
                if type(part) is str:
                    characters += len(part)
                elif type(part) in (dict, list, tuple):
                    below.append(part)
                elif type(part) not in (int, float, bool, type(None)):
                    return f"a schema is JSON, which has no {type(part).__name__}"
            if characters > MAX_SCHEMA_CHARACTERS:
                return f"a schema has at most {MAX_SCHEMA_CHARACTERS:,} characters"
        if not below:
            return None
        level = below
    return SCHEMA_TOO_DEEP


def image_kind(data: bytes) -> "str | None":
    """The kind of an image, by its first bytes; None if it is not one of IMAGE_KINDS."""
    for kind, (beginning, _) in IMAGE_KINDS.items():
        if data.startswith(beginning) and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return kind
    return None
