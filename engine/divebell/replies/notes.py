"""Notes for the model on its reply: which sentence of prompts/, and what to fill in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something in a reply that was not taken as it stands.

    template: `note_<template>.md` in prompts/ is the sentence. quoted: the model's own words in it, if any.
    """

    template: str
    quoted: str = ""
