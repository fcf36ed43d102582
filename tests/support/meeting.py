"""A model that counts how many of its calls are in flight: what proves that calls run at once, without measuring time."""

import threading


class Meeting:
    """Answers with the prompt in capitals, once `party` calls are in flight (or 5 s have passed)."""

    def __init__(self) -> None:
        self.party = 1
        self.most = 0
        self.prompts: list[str] = []
        self._in_flight = 0
        self._changed = threading.Condition()

    def __call__(self, prompt: str) -> str:
        with self._changed:
            self.prompts.append(prompt)
            self._in_flight += 1
            self.most = max(self.most, self._in_flight)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.party, timeout=5)
        # The others must not have left before the last of a party has come.
        with self._changed:
            self._in_flight -= 1
        if prompt == "bad":
            raise ValueError("no such luck")
        return prompt.upper()
