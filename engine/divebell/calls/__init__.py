"""Metered calls of models: hold, call, settle, in one place."""
