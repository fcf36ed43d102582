"""The command line. `main` is the entry point; app.py declares the commands, one file each does the work."""


def main(*, catches_ctrl_c: bool = False) -> None:
    """Run the command line and exit. `catches_ctrl_c` is for the process of the command itself (divebell_command)."""
    import logging

    from divebell.calls.spending import PRICES
    from divebell.cli.app import run

    logging.getLogger(PRICES).setLevel(logging.ERROR)  # the commands' own lines say it: "price unknown"
    run(catches_ctrl_c=catches_ctrl_c)


__all__ = ["main"]
