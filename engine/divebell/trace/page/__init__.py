"""The page's template, style and scripts, as package data: engine/trace/html.py puts them together."""
