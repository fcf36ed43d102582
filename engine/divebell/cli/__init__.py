"""The command line. `main` is the entry point; app.py declares the commands, one file each does the work."""


def main() -> None:
    """Run the command line and exit."""
    import logging

    from divebell.calls.spending import PRICES
    from divebell.cli.app import run

    logging.getLogger(PRICES).setLevel(logging.ERROR)  # the commands' own lines say it: "price unknown"
    run()


__all__ = ["main"]
