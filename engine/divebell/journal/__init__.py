"""The journal: every completion and tool result of a run, written before the guest sees it; replay and resume."""
