"""What an answer must look like: the caller's own schema (answer.py), and the schemas that guests write (guest.py)."""

from divebell.schemas.answer import AnswerSchema
from divebell.schemas.guest import GuestSchema

__all__ = ["AnswerSchema", "GuestSchema"]
