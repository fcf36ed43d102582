"""Builds the guest from source: download, check, compile, freeze, link, optimise, check again.

Everything it needs is pinned in sources.toml and ../packages.toml, and two builds anywhere give the same bytes. It is
not part of an installation: the repository carries the module that it made.
"""
