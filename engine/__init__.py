"""Divebell."""
