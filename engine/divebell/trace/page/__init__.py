"""The page's template, style and scripts, as package data: engine/divebell/trace/html.py puts them together."""
