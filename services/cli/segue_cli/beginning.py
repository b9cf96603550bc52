"""Begin the `segue` command, and let Ctrl-C end it with one line also while it is being loaded.

That is so before anything else is loaded; what a command makes of Ctrl-C begins in `__main__`.
"""

import os


def _interrupted(_number: int = 0, _frame: object = None) -> None:
    os.write(2, b"segue: interrupted\n")
    os._exit(130)


def main() -> None:
    """Run the command in `sys.argv`."""
    from segue_cli import __main__  # noqa: PLC0415 — takes 0.1 s, in which Ctrl-C may come.

    __main__.main()


try:
    import signal

    signal.signal(signal.SIGINT, _interrupted)
except KeyboardInterrupt:
    _interrupted()
