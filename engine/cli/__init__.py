"""The command line. `main` is the entry point; app.py declares the commands, one file each does the work."""


def main() -> None:
    """Run the command line and exit."""
    from divebell.cli.app import run

    run()


__all__ = ["main"]
