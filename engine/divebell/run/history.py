"""A run's messages: append-only, so that a provider's prefix cache serves every turn, until they outgrow the window.

Then the oldest turns are left out at once, enough of them that it will not happen again soon, and from there on the
messages are append-only again. The system message and the question stay (in a session, the question that is being
answered). A note at the end of the question says how many turns are missing and that `history` in the REPL has them. (A
separate message for the note would follow another message of the user's, which some models' templates refuse.)

Guaranteed: `full` never loses a message, and the first message never changes. After a compaction the messages are
estimated to be under the limit, if the opening and LEAST_TURN_TOKENS are; the last turn is shortened where it alone is
too long.

How sizes are estimated: by the provider's last report for the messages (`observe`), plus the UTF-8 bytes of everything
added since, which a byte-level tokenizer never exceeds. Before the first report only bytes are counted, which is safe,
and about four times too high for English.
"""

import math
from collections.abc import Sequence

from divebell.errors import ConfigurationError
from divebell.models.protocol import Content, Message, images_of, texts_of
from divebell.prompts import render
from divebell.text import clip_middle

MESSAGE_TOKENS = 16
"""What a message's frame may take besides its content."""
IMAGE_TOKENS = 25_000
KEPT_FRACTION = 0.5
"""How much of the limit the messages may take after a compaction: the rest is room until the next one."""
ESTIMATE_MARGIN = 1.25
LEAST_TURN_TOKENS = 1_000
MAX_KEPT_TURNS = 10
NOTHING = "(empty)"
NO_REPLY = "(That question was not answered.)"
NO_QUESTION = "(go on)"
_SHORTENING_NOTE_BYTES = 60


def has_content(content: Content) -> bool:
    """Whether endpoints take it as a message's content: a text of more than spaces, or an image."""
    if isinstance(content, str):
        return bool(content.strip())
    return any(part["type"] == "image" or bool(part["text"].strip()) for part in content)


class History:
    """The messages of one run. Those before the first assistant's are the opening, which is always kept."""

    def __init__(self, opening: Sequence[Message] = ()) -> None:
        self._full: list[Message] = []
        self._sent: list[Message] = []
        self._bytes: list[int] = []  # of _sent, each with its frame
        self._opening = 0
        self._question: Message | None = None  # of a session, after its first
        self._left_out = 0
        self._observed_messages = 0
        self._observed_tokens = 0
        for message in opening:
            self.append(message["role"], message["content"])

    def append(self, role: str, content: Content) -> None:
        """Add a message. `role` is "system", "user" or "assistant".

        Endpoints refuse a message without content, and some refuse two of one role in a row: so nothing gets a
        placeholder, and where the other role's message is missing, one is put between."""
        last_role = self._full[-1]["role"] if self._full else ""
        if role == last_role and role != "system":
            self._add("user", NO_QUESTION) if role == "assistant" else self._add("assistant", NO_REPLY)
        self._add(role, content if has_content(content) else NOTHING)

    def _add(self, role: str, content: Content) -> None:
        message: Message = {"role": role, "content": content}
        if self._opening == len(self._full) and role != "assistant":
            self._opening += 1
        self._full.append(message)
        self._sent.append(message)
        self._bytes.append(_most_tokens(message))

    def append_question(self, content: Content) -> None:
        """Add a session's next question: from here on it is the one that is always kept."""
        self.append("user", content)
        self._question = self._full[-1]

    @property
    def is_a_later_question(self) -> bool:
        """Whether the question that is being answered is not the first one, in a session."""
        return self._question is not None

    @property
    def messages(self) -> list[Message]:
        """The messages to send to the model. A copy, so that later messages do not change it."""
        return list(self._sent)

    @property
    def full(self) -> list[Message]:
        """Everything that was ever appended, in order."""
        return list(self._full)

    @property
    def opening(self) -> int:
        """How many of the first messages are always kept."""
        return self._opening

    @property
    def instructions(self) -> list[Message]:
        """What a model must see to answer: the opening, with the question that is being answered in the place of the
        first one."""
        opening = self._full[: self._opening]
        if self._question is None:
            return opening
        return [*(message for message in opening if message["role"] == "system"), self._question]

    @property
    def turns_left_out(self) -> int:
        """How many of the oldest turns `messages` has no more."""
        return self._left_out

    @property
    def tokens(self) -> int:
        """What `messages` are estimated to take at most."""
        return self._observed_tokens + sum(self._bytes[self._observed_messages :])

    def observe(self, input_tokens: int) -> None:
        """Note the input tokens that the provider reported for a call with all of `messages`. Call it before appending
        anything."""
        if 0 < input_tokens <= sum(self._bytes):
            self._observed_messages, self._observed_tokens = len(self._sent), input_tokens

    @property
    def can_be_compacted(self) -> bool:
        """Whether there are turns that can be left out, or one that can be shortened."""
        starts = self._turn_starts()
        if not starts:
            return False
        return len(starts) > 1 or sum(self._bytes[starts[0] :]) > LEAST_TURN_TOKENS

    def compact_to(self, limit_tokens: int, refused_tokens: int | None = None) -> None:
        """Leave out the oldest turns, because an endpoint refused the messages: whatever was estimated, they are over
        the limit. refused_tokens: how many they are, if the endpoint said so."""
        reported_tokens = min(refused_tokens or 0, sum(self._bytes))
        self._observed_tokens = max(reported_tokens, self.tokens, limit_tokens + 1)  # from the observed messages so far
        self._observed_messages = len(self._sent)
        self.compact_if_needed(limit_tokens)

    def compact_if_needed(self, limit_tokens: int) -> bool:
        """Leave out the oldest turns if `messages` are over the limit; whether it was so.

        limit_tokens: the model's window less the output limit. Raises ConfigurationError if it is not over 0.
        """
        if limit_tokens <= 0:
            raise ConfigurationError(f"the model's window has no room for messages: {limit_tokens:,} tokens")
        starts = self._turn_starts()
        if self.tokens <= limit_tokens or not starts:
            return False
        rate = self._tokens_per_byte()
        room = limit_tokens * KEPT_FRACTION / rate - self._opening_bytes(len(starts))
        kept_turns = 1
        while kept_turns < min(len(starts) - 1, MAX_KEPT_TURNS) and sum(self._bytes[starts[-kept_turns - 1] :]) <= room:
            kept_turns += 1
        turns = self._sent[starts[-kept_turns] :]
        if kept_turns == 1:
            room = max(limit_tokens / rate - self._opening_bytes(len(starts)), LEAST_TURN_TOKENS / 2)
            turns = _cut_to(turns, int(room))
        self._left_out += len(starts) - kept_turns
        has_question = self._question is None or any(message is self._question for message in turns)
        self._sent = [*self._noted(self._full[: self._opening] if has_question else self.instructions), *turns]
        self._bytes = [_most_tokens(message) for message in self._sent]
        self._observed_messages = len(self._sent)
        self._observed_tokens = math.ceil(sum(self._bytes) * rate)
        return True

    def _turn_starts(self) -> list[int]:
        """Where each turn in `_sent` begins: at an assistant's message."""
        return [at for at, message in enumerate(self._sent) if at >= self._opening and message["role"] == "assistant"]

    def _tokens_per_byte(self) -> float:
        observed_bytes = sum(self._bytes[: self._observed_messages])
        return min(1.0, ESTIMATE_MARGIN * self._observed_tokens / observed_bytes) if observed_bytes else 1.0

    def _opening_bytes(self, more_turns: int) -> int:
        note = render("compacted", turns=self._left_out + more_turns)
        openings = (self._full[: self._opening], self.instructions)
        return max(sum(map(_most_tokens, opening)) for opening in openings) + len(note.encode()) + 2

    def _noted(self, opening: list[Message]) -> list[Message]:
        """The opening, with the note at its end."""
        if self._left_out == 0:
            return opening
        note = render("compacted", turns=self._left_out)
        if not opening or opening[-1]["role"] != "user":
            return [*opening, {"role": "user", "content": note}]
        content = opening[-1]["content"]
        noted: Content = (
            f"{content}\n\n{note}" if isinstance(content, str) else [*content, {"type": "text", "text": note}]
        )
        return [*opening[:-1], {"role": "user", "content": noted}]


def _most_tokens(message: Message) -> int:
    text_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts_of(message))
    return text_bytes + len(images_of(message)) * IMAGE_TOKENS + MESSAGE_TOKENS


def _cut_to(turn: Sequence[Message], room_bytes: int) -> list[Message]:
    """The turn with its texts shortened so far that it fits, the longer ones first; images are left out then."""
    if sum(map(_most_tokens, turn)) <= room_bytes:
        return list(turn)
    texts = ["\n".join(texts_of(message)) for message in turn]
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    room = room_bytes - MESSAGE_TOKENS * len(turn)
    share = max(_largest_share(sizes, room), 0)
    return [
        {"role": message["role"], "content": text if size <= share else _clip_to_bytes(text, share)}
        for message, text, size in zip(turn, texts, sizes, strict=True)
    ]


def _largest_share(sizes: Sequence[int], room: int) -> int:
    """The most that each may take so that all fit."""
    left, waiting = room, sorted(sizes)
    for number, size in enumerate(waiting):
        share = left // (len(waiting) - number)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def _clip_to_bytes(text: str, room_bytes: int) -> str:
    characters = room_bytes - _SHORTENING_NOTE_BYTES
    while characters > 0:
        cut = clip_middle(text, characters)
        if len(cut.encode("utf-8", "surrogatepass")) <= room_bytes:
            return cut
        characters = characters * 3 // 4 - 1
    return "[...]"
