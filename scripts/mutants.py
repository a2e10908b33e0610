#!/usr/bin/env python3
"""Plants a bug at a time and looks whether a test finds it.

    scripts/mutants.py              # every patch in tests/mutants/
    scripts/mutants.py NAME ...     # some of them, by file name without `.patch`
    scripts/mutants.py --list       # what each of them plants, and what must find it

A patch begins with two lines: the fault in words, and `Found by:` with the command whose tests must fail. All of it happens
in a copy of the sources, `mutants/tree` under the target directory. There each command must first succeed without a fault;
then each patch is applied, its command must fail, and the sources are restored. Fails when a fault is not found, or when a
patch does not apply or does not compile: that finds nothing. Takes about three minutes on two cores.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PLACE = TARGET / "mutants"
TREE = PLACE / "tree"
FOUND_BY = "Found by: "

# The exit code of `cargo nextest run` when tests have failed; a compile error has another one.
TESTS_FAILED = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    mutants = [Mutant(path) for path in sorted((ROOT / "tests/mutants").glob("*.patch"))]
    if arguments.names:
        unknown = set(arguments.names) - {mutant.name for mutant in mutants}
        if unknown:
            sys.exit(f"no such patch: {', '.join(sorted(unknown))}")
        mutants = [mutant for mutant in mutants if mutant.name in arguments.names]
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.name}\n    {mutant.fault}\n    {shlex.join(mutant.command)}")
        return
    copy_sources()
    copy_dependencies()
    for command in sorted({tuple(mutant.command) for mutant in mutants}):
        outcome = run(command)
        if outcome.returncode:
            sys.exit(f"without a fault this must succeed: {shlex.join(command)}\n{outcome.stdout}")
    failures = 0
    for mutant in mutants:
        begin = time.monotonic()
        verdict, output = plant(mutant)
        failures += verdict != "found"
        print(f"{mutant.name:32} {time.monotonic() - begin:5.1f} s  {verdict:16} {mutant.fault}", flush=True)
        if verdict != "found" and output:
            print(output)
    if failures:
        sys.exit(f"{failures} of {len(mutants)} faults were not found")
    print(f"all {len(mutants)} faults were found")


class Mutant:
    """A patch: the fault, the command that must find it, and the files that it changes."""

    def __init__(self, path):
        self.path = path
        self.name = path.stem
        lines = path.read_text().splitlines()
        if len(lines) < 2 or not lines[1].startswith(FOUND_BY):
            sys.exit(f"{path}: the second line says `{FOUND_BY}...`")
        self.fault = lines[0]
        self.command = shlex.split(lines[1].removeprefix(FOUND_BY))
        self.files = [line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/")]


def plant(mutant):
    """Applies a patch, runs its command and takes the patch back; returns the verdict, and what there is to read."""
    # Else git takes the copy for a part of the repository that it stands in, and changes nothing.
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(PLACE)}
    applied = subprocess.run(["git", "apply", mutant.path], cwd=TREE, env=outside, capture_output=True, text=True)
    if applied.returncode:
        return "does not apply", applied.stderr
    try:
        outcome = run(mutant.command)
    finally:
        for file in mutant.files:
            shutil.copyfile(ROOT / file, TREE / file)
    if outcome.returncode == 0:
        return "SURVIVED", ""
    if outcome.returncode == TESTS_FAILED:
        return "found", ""
    return "does not compile", outcome.stdout


def run(command):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(PLACE / "target"), "CARGO_TERM_COLOR": "never"}
    # A reason to fail is enough, and the simulator's is long.
    command = ["env", *command]
    return subprocess.run(
        command, cwd=TREE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def copy_sources():
    """Makes the copy like the sources. A file that is right already stays as it is, so that little is built again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = {file for file in listed.stdout.split("\0") if file and (ROOT / file).is_file()}
    for file in files:
        to = TREE / file
        if not to.is_file() or to.read_bytes() != (ROOT / file).read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, to)
    for path in TREE.rglob("*"):
        if path.is_file() and str(path.relative_to(TREE)) not in files:
            path.unlink()


def copy_dependencies():
    """Takes over what the tests' own build has made of other crates, if it is there: it takes a minute to make again."""
    (source, to) = (TARGET / "debug", PLACE / "target/debug")
    if to.exists() or not source.exists():
        return
    ours = shutil.ignore_patterns("fanwire*", "libfanwire*", "loadtest*", "*.rcgu.o")
    for folder in [".fingerprint", "build", "deps"]:
        if (source / folder).exists():
            shutil.copytree(source / folder, to / folder, ignore=ours, symlinks=True)


if __name__ == "__main__":
    main()
