"""Run a program of the host, such as `ip` or `nft`, and say in one line why it did not do it.

Never a shell: what is given to it is its input or one of its words.
"""

import anyio

TIMEOUT_S = 10.0


class CommandError(Exception):
    """The program is not there, hangs, or refuses; its words say which."""


async def run(*argv: str, given: str = "") -> bytes:
    """Run it with `given` as its input; give its output. Raises CommandError."""
    try:
        with anyio.fail_after(TIMEOUT_S):
            done = await anyio.run_process(argv, input=given.encode(), check=False)
    except FileNotFoundError as error:
        raise CommandError(f"there is no `{argv[0]}` on this host") from error
    except TimeoutError as error:
        raise CommandError(f"`{argv[0]}` did not end within {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise CommandError(f"`{argv[0]}` could not be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").split("\n", 1)[0].strip()
        raise CommandError(
            f"`{argv[0]}` says: {said or f'nothing, and ends with {done.returncode}'}"
        )
    return done.stdout
