"""What applications need to test code that uses Divebell: a model that plays a script, and runs that are repeated from
their journals."""

from divebell.journal.replay import replay
from divebell.models.scripted import Policy, ScriptedModel, count_tokens

__all__ = ["Policy", "ScriptedModel", "count_tokens", "replay"]
