"""Bounds that several files of the engine must agree on; and how they stand to those of the door, the wire and money.

A bound that one file alone knows is in that file. What both sides of the door must agree on is in the door's bounds.py.
"""

from divebell_bridge.door import bounds as door
from divebell_bridge.door import wire
from divebell_bridge.money.budget import MAX_CHILD_DEPTH, MAX_SECONDS
from divebell_bridge.money.charges import MAX_REPORTED_TOKENS
from divebell_bridge.money.escrow import MAX_TREE_DEPTH

MAX_LEVELS = MAX_CHILD_DEPTH + 1
"""Depths of a run that may have a model each: the run's own, 0, and those of its children."""
MAX_OUTPUT_TOKENS = 10_000_000
"""An output limit that an application may set."""
LEAST_ROOT_OUTPUT_TOKENS = 1_024
"""How far a budget or a window may lower the output limit of a root model's turn."""
LEAST_SUB_OUTPUT_TOKENS = 256
"""How far they may lower that of a sub-call."""
LEAST_LAST_OUTPUT_TOKENS = 64
"""How far they may lower that of a run's last call, which only has to say the answer."""

MAX_QUERY_CHARACTERS = 100_000
"""The query of a run."""
MAX_QUESTION_CHARACTERS = 50_000
"""What code asks a child, whose query it becomes."""
MAX_REPLY_CHARACTERS = 16 << 20
"""A model's reply. A longer one is an error, because it would be kept in messages, journals and traces."""
MAX_PARSED_REPLY_CHARACTERS = 8 << 20
"""The beginning of a reply in which code and answers are looked for."""
MAX_BODY_BYTES = 128 << 20
"""The body of an endpoint's response: a character may take 6 bytes in JSON, and there is more in it than the reply."""
MAX_TOOL_CALL_CHARACTERS = 1 << 20
"""A call of a tool in a reply, as text; and the texts in all calls of one reply that an endpoint gives apart."""
MAX_SCHEMA_BYTES = 256 << 10
"""A schema as it is sent to an endpoint."""
MAX_SCHEMA_FILE_BYTES = 1 << 20
"""A file with a schema, whose white space is not sent."""

MAX_CODE_CHARACTERS = 4_000_000
"""The code of one cell."""
MAX_CODE_BYTES = 16 << 20
"""A file with the code of one cell: a character may take 4 bytes."""
MAX_ERROR_CHARACTERS = 50_000
"""An error's message, and its traceback, as the host keeps them. The guest cuts its errors to less, unless it was taken
over."""
MAX_ANSWER_NESTING = wire.MAX_DEPTH
"""Lists and dicts inside of each other in an answer that an output schema describes."""

assert MAX_TREE_DEPTH >= MAX_LEVELS + 2, "the accounts of a run, its children, its day and its tenant"
assert LEAST_LAST_OUTPUT_TOKENS <= LEAST_SUB_OUTPUT_TOKENS <= LEAST_ROOT_OUTPUT_TOKENS <= MAX_OUTPUT_TOKENS
assert MAX_OUTPUT_TOKENS <= MAX_REPORTED_TOKENS, "a reply of every length that may be asked for can be booked"
assert MAX_QUESTION_CHARACTERS <= MAX_QUERY_CHARACTERS, "a question becomes a child's query"
assert MAX_QUERY_CHARACTERS + MAX_REPLY_CHARACTERS < wire.MAX_MESSAGE_BYTES, "they are carried into the guest"
assert MAX_PARSED_REPLY_CHARACTERS <= MAX_REPLY_CHARACTERS
assert MAX_TOOL_CALL_CHARACTERS <= MAX_PARSED_REPLY_CHARACTERS
assert 6 * MAX_REPLY_CHARACTERS <= MAX_BODY_BYTES, "a reply of the greatest length fits into a body, however escaped"
assert MAX_SCHEMA_BYTES <= MAX_SCHEMA_FILE_BYTES
assert 4 * MAX_CODE_CHARACTERS <= MAX_CODE_BYTES <= wire.MAX_VALUE_BYTES, "code of the greatest length can be sent"
assert door.MAX_GUEST_ERROR_CHARACTERS <= MAX_ERROR_CHARACTERS, "no error of the guest's own making is cut twice"

assert door.MAX_SCHEMA_NESTING < wire.MAX_DEPTH, "a schema can be sent, with what is around it in a message"
assert door.MAX_SCHEMA_CHARACTERS <= MAX_SCHEMA_BYTES
assert door.MAX_IMAGE_BYTES < wire.MAX_MESSAGE_BYTES
assert door.MAX_ANSWER_BYTES < wire.MAX_MESSAGE_BYTES
assert door.MAX_COLLECTED_BYTES < wire.MAX_VALUE_BYTES
assert door.MAX_OPEN_CALLS <= wire.MAX_ITEMS, "all tickets can be named in one message"
assert 4 * door.MAX_LISTED_VARIABLES <= wire.MAX_ITEMS, "all of them can be listed, each as a list of three"
assert door.MAX_INTEGER_BITS <= 8 * wire.MAX_INTEGER_BYTES
assert MAX_SECONDS <= door.MAX_WAIT_SECONDS, "code can wait for as long as its run may last"
