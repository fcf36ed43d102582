"""Helpers for testing code that uses Divebell: a model that plays a script, and the replay of runs from their
journals."""

from divebell.models.scripted import Policy, ScriptedModel, count_tokens
from divebell.replay import replay

__all__ = ["Policy", "ScriptedModel", "count_tokens", "replay"]
