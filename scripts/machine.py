"""What a record says beside its figures: when, where, with what."""

import datetime
import os
import pathlib
import platform
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def describe():
    """The machine, the compiler and the source, and how busy others keep the cores now."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").open() if line.startswith("model name")),
        platform.machine(),
    )
    memory_kib = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / 2**20),
        "kernel": platform.release(),
        "rustc": output("rustc", "--version"),
        "commit": output("git", "rev-parse", "--short", "HEAD") + ("+" if output("git", "--no-optional-locks", "status", "--porcelain") else ""),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "command": shlex.join([f"scripts/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]),
    }


def bench(name):
    """Builds a bench; returns its program."""
    import json

    command = ["cargo", "bench", "--bench", name, "--no-run", "--locked", "--message-format=json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    built = [json.loads(line) for line in lines]
    return next(it["executable"] for it in built if it.get("executable") and it["target"]["name"] == name)


def output(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
