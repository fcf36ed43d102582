"""The loop of a run: its model calls, its cells, its prompts."""
