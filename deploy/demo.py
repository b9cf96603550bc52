"""Show Segue at work on this host: deploy an app, kill a container under load, say what came of it.

    demo.py           leave nothing behind
    demo.py --keep    leave everything up to play with
    demo.py --images  only make the example's images, to deploy it by hand

Everything is done with commands that anyone may type. Each is shown with the time it took. What
Segue remembers meanwhile is in the user's cache folder, whichever checkout this is, or where
`SEGUE_DEMO_DATA` says, and is removed.
"""

import contextlib
import io
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHOP = ROOT / "examples" / "shop"
BUSYBOX = pathlib.Path("/bin/busybox")
IMAGES = {
    "segue-demo/web:1": ("web", "serve"),
    "segue-demo/worker:1": ("worker", "pack"),
}
VICTIM = "shop.web.2"  # The engine's name for what fills the slot shop/web.2.
PORT = 8080  # Where the shop is published; another one if that is somebody else's.
PATIENCE_S = 60.0
ASKED_EVERY_S = 0.01
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StepError(Exception):
    """A step of the demo did not do what it should."""


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit code."""
    if arguments not in ([], ["--keep"], ["--images"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if arguments == ["--images"]:
        make_images()
        return 0
    keep = bool(arguments)
    for number in ENDING:
        signal.signal(number, _interrupted)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    data = pathlib.Path(os.environ.get("SEGUE_DEMO_DATA") or cache / "segue" / "demo")
    os.environ["SEGUE_DATA"] = str(data)  # So no command needs a flag for it.
    os.environ.pop("NATS_URL", None)
    os.environ.pop("NATS_CONTEXT", None)
    os.environ["SHOP_PORT"] = str(free_port())
    code = 1
    try:
        clear(data)  # What an interrupted run has left.
        show()
        code = 0
    except StepError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt as error:  # No OSError, as InterruptedError is: those are borne here.
        code = 128 + int(error.args[0])
    finally:
        if code or not keep:
            with timed("remove the app, stop Segue, remove the images"):
                clear(data)
    if keep and not code:
        print(f"\nIt goes on. To use it:  export SEGUE_DATA={data} PATH={bin_folder()}:$PATH")
        print("To end it:  segue down --containers")
    return code


def _interrupted(number: int, _frame: object) -> None:
    """Interrupt what is under way once, and what tidies up after it never."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def show() -> None:
    """Do what the demo is about."""
    make_images()
    run("segue", "up", "--detach")
    run("segue", "deploy", str(SHOP / "compose.yaml"), "--wait", "--timeout", f"{PATIENCE_S:.0f}s")
    run("segue", "ls", table=True)
    run("segue", "ps", "shop", table=True)
    with timed(f"the shop answers at {shop()}"):
        wait_for_answer()
    killed = engine_id(VICTIM)
    with visited() as visit:
        run("docker", "kill", VICTIM)
        with timed(f"{VICTIM} is replaced"):
            wait_for_replacement(killed)
        with timed("the replacement is healthy"):
            wait_for_health()
    print(f"-- {shop()} was asked {visit.asked} times meanwhile, {len(visit.failed)} failed")
    for words in visit.failed[:3]:
        print(f"   {words}")
    run("segue", "ps", "shop", table=True)
    run("segue", "why", VICTIM.replace(".", "/", 1), table=True)


def free_port() -> int:
    """Give a port for the shop: the usual one, else any that is free."""
    for port in (PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("", port))
            return int(trial.getsockname()[1])
    raise StepError("there is no free port on this host")


def shop() -> str:
    """Give where the shop is reached on this host."""
    return f"http://127.0.0.1:{os.environ['SHOP_PORT']}/"


def answer() -> str:
    """Ask the shop once, or raise OSError."""
    with urllib.request.urlopen(shop(), timeout=5) as said:
        return str(said.read().decode().strip())


def wait_for_answer() -> None:
    """Wait until the shop answers, and show what it says."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            said = answer()
        except OSError as error:
            if time.monotonic() > end:
                run("segue", "doctor")
                raise StepError(f"{shop()} gave no answer: {error}") from error
            time.sleep(0.05)
        else:
            print(f"   {said}")
            return


class Visit:
    """Somebody who asks the shop again and again, until told that it is enough."""

    def __init__(self) -> None:
        self.asked, self.failed = 0, list[str]()
        self.over = threading.Event()

    def go_on(self) -> None:
        """Ask, and count."""
        while not self.over.wait(ASKED_EVERY_S):
            self.asked += 1
            try:
                answer()
            except OSError as error:
                self.failed.append(str(error))


@contextlib.contextmanager
def visited() -> Iterator[Visit]:
    """Have somebody ask the shop for as long as the block lasts."""
    visit = Visit()
    asking = threading.Thread(target=visit.go_on)
    asking.start()
    try:
        yield visit
    finally:
        visit.over.set()
        asking.join()


def make_images() -> None:
    """Make what the example runs, in the engine of this host."""
    with timed("make two images from busybox"):
        for name, (folder, program) in IMAGES.items():
            make_image(name, folder, program)


def make_image(name: str, folder: str, program: str) -> None:
    """Make an image of a static busybox and an example's scripts; no registry is asked."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        applets = captured(str(BUSYBOX), "--list").split()
        for path in ("bin", "data", "proc", "tmp"):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777 if path == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox", filter=_owned_by_root)
        for applet in applets:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(entry)
        for script in sorted((SHOP / folder).iterdir()):
            tar.add(script, f"bin/{script.name}", filter=_owned_by_root)
    change = f'CMD ["/bin/{program}"]'
    command = ["docker", "import", "--change", change, "-", name]
    made = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=False)
    if made.returncode:
        raise StepError(f"docker import {name}: {made.stderr.decode()}")


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755
    return entry


def show_what_happened() -> None:
    """Leave what tells why, before all is cleaned up."""
    run("docker", "ps", "--all")
    run("segue", "why", "shop/web.2", table=True)
    run("segue", "events", "-n", "30", table=True)


def wait_for_replacement(killed: str) -> None:
    """Wait until another container fills the victim's slot and runs."""
    end = time.monotonic() + PATIENCE_S
    while engine_id(VICTIM) in ("", killed):
        if time.monotonic() > end:
            show_what_happened()
            raise StepError(f"{VICTIM} was not replaced within {PATIENCE_S:.0f} s")
        time.sleep(0.02)


def wait_for_health() -> None:
    """Wait until the engine calls the container in the victim's slot healthy."""
    end = time.monotonic() + PATIENCE_S
    template = "{{.State.Health.Status}}"
    while captured("docker", "inspect", "--format", template, VICTIM).strip() != "healthy":
        if time.monotonic() > end:
            show_what_happened()
            raise StepError(f"{VICTIM} did not become healthy within {PATIENCE_S:.0f} s")
        time.sleep(0.02)


def engine_id(name: str) -> str:
    """Give the engine's id of a running container; nothing if none of that name runs."""
    template = "{{if .State.Running}}{{.Id}}{{end}}"
    return captured("docker", "inspect", "--format", template, name).strip()


def clear(data: pathlib.Path) -> None:
    """Take away what this run or an earlier one has left, by the commands that anyone may use."""
    if data.exists():
        captured("segue", "up", "--detach")  # If an earlier run was killed, nobody is there to ask.
        captured("segue", "remove", "shop", "--volumes")
        captured("segue", "down", "--containers")
        shutil.rmtree(data)
    captured("docker", "image", "rm", *IMAGES)


def run(*command: str, table: bool = False) -> None:
    """Run a command with its output in sight, as a table where it would give others JSON."""
    shown = shlex.join(command).replace(f"{ROOT}/", "")
    with timed(shown, before=f"\n$ {shown}"):
        if table and not sys.stdout.isatty():
            code = on_terminal(_found(command))
        else:
            code = subprocess.run(_found(command), check=False).returncode
    if code:
        raise StepError(f"{shown} ended with {code}")


def on_terminal(command: list[str]) -> int:
    """Let a command believe that a person looks, and pass on what it shows."""
    ours, theirs = os.openpty()
    environ = os.environ | {"COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(command, stdout=theirs, env=environ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # So a terminal says that nobody writes any more.
            while text := os.read(ours, 65536):
                sys.stdout.write(text.decode(errors="replace").replace("\r\n", "\n"))
        os.close(ours)
        return process.wait()


def captured(*command: str) -> str:
    """Run a command and give what it prints; nothing if it fails."""
    found = subprocess.run(_found(command), capture_output=True, text=True, check=False)
    return found.stdout if found.returncode == 0 else ""


def _found(command: tuple[str, ...]) -> list[str]:
    """Take `segue` from the environment that runs this."""
    if command[0] == "segue":
        return [str(bin_folder() / "segue"), *command[1:]]
    return list(command)


def bin_folder() -> pathlib.Path:
    """Give the folder of the commands of this environment."""
    return pathlib.Path(sys.executable).parent


@contextlib.contextmanager
def timed(what: str, *, before: str = "") -> Iterator[None]:
    """Say how long a step took."""
    if before:
        print(before, flush=True)
    began = time.monotonic()
    yield
    print(f"-- {what}: {time.monotonic() - began:.3f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
