"""Runs the Containerfile's steps where no engine is at hand, and then what it makes: `make image-check`, as root.

Every stage has a root of its own: this machine's, under a layer that is thrown away (overlayfs in a mount namespace). RUN lines run there
as they are written, by root, with their absolute paths and with the network; COPY takes from the checkout what .dockerignore leaves, and
from other stages. The result is started as an engine and compose.yaml would: its user, no capabilities, a read-only root, a volume, a
network of its own. Then the health check of compose.yaml must pass, every port of EXPOSE be open, and STOPSIGNAL end it in time.

What this does not show: the base images. This machine stands in for them, so a package that is there and not in them is not missed; what
the server links against is looked at, therefore. Nor layers, image sizes, platforms other than this one, or an engine's own ways.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent
CONTEXT = DEPLOY.parent
CONTAINERFILE = DEPLOY / "Containerfile"

# Without this, the re-executed script would begin anew for ever.
INSIDE = "--inside"

# What debian:bookworm-slim has of what a Rust program can need.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

# How long a health check that never passes is tried.
READY_WITHIN = 60


class Failure(Exception):
    pass


def read(text: str) -> list[tuple[str, str]]:
    """The instructions, in order: word and the rest of the line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages(instructions: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions:
        if word == "FROM":
            image, *name = re.split(r"\s+AS\s+", rest)
            steps = found[name[0] if name else "the image"] = []
        steps.append((word, rest))
    return found


def ignored(context: pathlib.Path) -> list[str]:
    path = context / ".dockerignore"
    lines = [line.strip() for line in path.read_text().splitlines()] if path.exists() else []
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    odd = [pattern for pattern in patterns if pattern.startswith("!") or "**" in pattern]
    if odd:
        raise Failure(f".dockerignore: {odd} is not understood here")
    return patterns


def is_ignored(path: pathlib.PurePath, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(str(part), pattern) for part in [path, *path.parents] for pattern in patterns)


def split_copy(rest: str) -> tuple[str | None, list[str], str]:
    words = shlex.split(rest)
    flags = [word for word in words if word.startswith("--")]
    origin = None
    for flag in flags:
        if not flag.startswith("--from="):
            raise Failure(f"COPY {flag} is not understood here")
        origin = flag.removeprefix("--from=")
    *sources, target = [word for word in words if not word.startswith("--")]
    return origin, sources, target


def copy(source: pathlib.Path, target: pathlib.Path, is_folder: bool, skip) -> None:
    """As COPY does: of a folder its contents, a file into a folder or to a name."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=skip)
    elif source.is_file():
        target = target / source.name if is_folder or target.is_dir() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    else:
        raise Failure(f"COPY: there is no {source}")


def run(*command: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(command, check=True, **more)


class Stage:
    """One stage's root, and where in it the steps are."""

    def __init__(self, work: pathlib.Path, number: int):
        self.root = work / f"{number}" / "root"
        upper, scratch = work / f"{number}" / "upper", work / f"{number}" / "work"
        for folder in [self.root, upper, scratch]:
            folder.mkdir(parents=True)
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={scratch}", str(self.root))
        run("mount", "-t", "tmpfs", "tmpfs", str(self.root / "tmp"))
        run("mount", "--rbind", "/dev", str(self.root / "dev"))
        run("mount", "-t", "proc", "proc", str(self.root / "proc"))
        # What an image gets comes by COPY.
        run("mount", "-t", "tmpfs", "tmpfs", str(self.root / CONTEXT.relative_to("/")))
        self.folder = pathlib.PurePosixPath("/")
        self.said: dict[str, list[str]] = {}

    def path(self, inside: str) -> pathlib.Path:
        return self.root / str(self.folder / inside).lstrip("/")

    def workdir(self, rest: str) -> None:
        self.folder /= rest
        self.path(".").mkdir(parents=True, exist_ok=True)

    def copy_in(self, rest: str, others: dict[str, "Stage"], patterns: list[str]) -> None:
        origin, sources, target = split_copy(rest)
        is_folder = target.endswith("/") or len(sources) > 1
        for source in sources:
            if origin:
                found = others[origin].root / source.lstrip("/")
                copy(found, self.path(target), is_folder, None)
                continue

            def skip(folder: str, names: list[str]) -> list[str]:
                below = pathlib.Path(folder).relative_to(CONTEXT)
                return [name for name in names if is_ignored(below / name, patterns)]

            if is_ignored(pathlib.PurePath(source), patterns):
                raise Failure(f"COPY: .dockerignore leaves no {source}")
            copy(CONTEXT / source, self.path(target), is_folder, skip)

    def run_step(self, rest: str, caches: pathlib.Path) -> None:
        while rest.startswith("--"):
            flag, rest = rest.split(maxsplit=1)
            options = dict(option.partition("=")[::2] for option in flag.removeprefix("--mount=").split(","))
            if options.get("type") != "cache":
                raise Failure(f"RUN {flag} is not understood here")
            cache, inside = caches / options["target"].strip("/").replace("/", "-"), self.path(options["target"])
            cache.mkdir(parents=True, exist_ok=True)
            inside.mkdir(parents=True, exist_ok=True)
            run("mount", "--bind", str(cache), str(inside))
        code = subprocess.run(["chroot", str(self.root), "/bin/sh", "-c", f"cd {self.folder} && {rest}"]).returncode
        if code != 0:
            raise Failure(f"RUN {rest} ends with {code}")


def build(arguments: argparse.Namespace, work: pathlib.Path) -> Stage:
    found, patterns = stages(read(CONTAINERFILE.read_text())), ignored(CONTEXT)
    done: dict[str, Stage] = {}
    final = list(found)[-1]
    builders = {split_copy(rest)[0] for word, rest in found[final] if word == "COPY"}
    for number, (name, steps) in enumerate(found.items()):
        stage = done[name] = Stage(work, number)
        is_given = arguments.binary and name in builders
        print(f"== {name}: {steps[0][1]}, for which this machine stands in" , flush=True)
        for word, rest in steps[1:]:
            origin, sources, _ = split_copy(rest) if word == "COPY" else (None, [], "")
            if is_given and word == "RUN":
                print(f"   not run: {word} {rest}")
                continue
            if arguments.binary and name == final and origin:
                for source in sources:
                    made = done[origin].root / source.lstrip("/")
                    made.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(arguments.binary, made)
            print(f"   {word} {rest}", flush=True)
            match word:
                case "WORKDIR":
                    stage.workdir(rest)
                case "COPY":
                    stage.copy_in(rest, done, patterns)
                case "RUN":
                    stage.run_step(rest, pathlib.Path(arguments.caches))
                case "USER" | "VOLUME" | "EXPOSE" | "STOPSIGNAL" | "ENTRYPOINT" | "CMD":
                    stage.said.setdefault(word, []).append(rest)
                case _:
                    raise Failure(f"{word} is not understood here")
    return done[final]


def one(stage: Stage, word: str) -> str:
    said = stage.said.get(word, [])
    if len(said) != 1:
        raise Failure(f"{word} is there {len(said)} times")
    return said[0]


def expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise Failure(f"this is not so: {what}")
    print(f"   {what}", flush=True)


def examine(stage: Stage) -> list[str]:
    """The image's user and program, without starting it. Answers with what an engine starts."""
    user, group = one(stage, "USER").split(":")
    accounts = [line.split(":") for line in stage.path("/etc/passwd").read_text().splitlines()]
    account = next((account for account in accounts if account[2] == user), None)
    expect(account is not None and user != "0" and account[3] == group, f"the user {user}:{group} is there, and is not root")
    expect(account[6].endswith("nologin"), "nobody logs in as it")
    entry, command = json.loads(one(stage, "ENTRYPOINT")), json.loads(one(stage, "CMD"))
    program = stage.path(entry[0])
    mode = program.stat()
    expect(mode.st_uid == 0 and mode.st_mode & 0o001 and not mode.st_mode & 0o022, f"{entry[0]} is root's, and for everybody to run")
    dynamic = run("readelf", "--dynamic", str(program), capture_output=True, text=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    expect(bool(needed) and needed <= LIBRARIES, f"it needs nothing that the slim image lacks: {', '.join(sorted(needed))}")
    for volume in stage.said["VOLUME"]:
        folder = stage.path(volume).stat()
        expect((folder.st_uid, folder.st_gid) == (int(user), int(group)), f"{volume} is the user's")
    return entry + command


def open_ports(process: int) -> set[tuple[int, str]]:
    found = set()
    for kind, state in [("tcp", "0A"), ("udp", "07")]:
        for table in [kind, f"{kind}6"]:
            for line in pathlib.Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state:
                    found.add((int(words[1].rsplit(":", 1)[1], 16), kind))
    return found


def in_network(process: int, stage: Stage, command: list[str], seconds: float) -> bool:
    whole = ["nsenter", "--net", "--target", str(process), "chroot", str(stage.root), *command]
    try:
        return subprocess.run(whole, timeout=seconds, capture_output=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def start(stage: Stage, command: list[str], work: pathlib.Path) -> None:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["guildhall"]
    check, patience = service["healthcheck"], seconds(service["stop_grace_period"])
    assert check["test"][0] == "CMD" and service["read_only"] and service["cap_drop"] == ["ALL"]
    user, group = one(stage, "USER").split(":")
    for number, volume in enumerate(stage.said["VOLUME"]):
        # An engine gives a new volume the rights that the folder has in the image.
        folder = work / f"volume-{number}"
        folder.mkdir()
        shutil.copystat(stage.path(volume), folder)
        os.chown(folder, int(user), int(group))
        run("mount", "--bind", str(folder), str(stage.path(volume)))
    run("mount", "-o", "remount,ro", str(stage.root))
    limited = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    # A route, because the server asks for the address that it is reached by.
    network = "ip link set lo up && ip address add 192.0.2.2/32 dev lo && ip route add default dev lo src 192.0.2.2"
    # In an engine's network any user may open any port; here as in a host's.
    whole = f"{network} && exec {shlex.join(['chroot', str(stage.root), *limited, '--inh-caps=-all', *command])}"
    log = (work / "log").open("w+")
    server = subprocess.Popen(["unshare", "--net", "sh", "-c", whole], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
    try:
        until, is_ready = time.monotonic() + READY_WITHIN, False
        while not is_ready and time.monotonic() < until and server.poll() is None:
            is_ready = in_network(server.pid, stage, check["test"][1:], seconds(check["timeout"]))
            time.sleep(0 if is_ready else 0.2)
        expect(is_ready, f"{shlex.join(command)} runs as {user}, without rights, on a read-only root, and the health check passes")
        for rest in stage.said["EXPOSE"]:
            port, kind = rest.split("/")
            expect((int(port), kind) in open_ports(server.pid), f"{rest} is open")
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        expect(re.search(r"^CapBnd:\s+0+$", status, re.M) is not None, "it has no capabilities, and can get none")
        # The namespace outlives the server, so that the check can be seen to fail.
        keeper = subprocess.Popen(["nsenter", "--net", "--target", str(server.pid), "sleep", "600"])
        try:
            server.send_signal(getattr(signal, one(stage, "STOPSIGNAL")))
            expect(server.wait(patience) == 0, f"{one(stage, 'STOPSIGNAL')} ends it well, in less than the {patience} s that it has")
            expect(not in_network(keeper.pid, stage, check["test"][1:], seconds(check["timeout"])), "the health check fails then")
        finally:
            keeper.kill()
    except (Failure, subprocess.TimeoutExpired):
        log.seek(0)
        print(log.read()[-8_000:], file=sys.stderr)
        raise
    finally:
        server.kill()


def inside(arguments: argparse.Namespace) -> None:
    work = pathlib.Path(arguments.inside)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    # A layer cannot lie on a layer: where this machine's own root is one, memory has to do.
    probe = subprocess.run(["stat", "--file-system", "--format=%T", str(work)], capture_output=True, text=True, check=True)
    if probe.stdout.strip() == "overlayfs":
        run("mount", "-t", "tmpfs", "tmpfs", str(work))
    stage = build(arguments, work)
    print("== the result", flush=True)
    start(stage, examine(stage), work)
    print("The image's steps are well" + (", but for those that were not run." if arguments.binary else "."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--binary",
        type=pathlib.Path,
        help="takes this program for the one that the last stage copies, and leaves out the RUN lines that would build it",
    )
    parser.add_argument("--caches", default=CONTEXT / "target" / "image", help="where what RUN --mount=type=cache keeps is kept")
    parser.add_argument(INSIDE, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return inside(arguments)
    if os.geteuid() != 0:
        sys.exit("guildhall: roots of stages are mounted: run this as root")
    arguments.caches = pathlib.Path(arguments.caches).resolve()
    # Mounts and processes end with the namespaces, whatever happens; the folder is removed after them.
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="guildhall-image-", dir="/var/tmp"))
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, __file__, f"{INSIDE}={work}"]
        command += [f"--caches={arguments.caches}"] + ([f"--binary={arguments.binary.resolve()}"] if arguments.binary else [])
        code = subprocess.run(command).returncode
    sys.exit(code)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"guildhall: {failure}")
