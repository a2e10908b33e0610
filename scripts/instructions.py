#!/usr/bin/env python3
"""Counts instructions with callgrind: what repeats where times do not.

    scripts/instructions.py                                  # prints a table
    scripts/instructions.py --record FILE                    # and writes it down
    scripts/instructions.py --against benches/record/2026-11-20-instructions.json
    scripts/instructions.py --only fanout_1000,fanout_11000  # some of the cases of benches/instructions.rs

Each case runs twice, with a number of repeats and with twice as many: the slope between them is what one costs, and what
the start costs is in neither. `--tolerance 1` makes `--against` fail where a count has grown by more than 1 %. Counts of
one build repeat to 0.1 %; another compiler or another processor (which instructions it has) counts anew.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import machine

# One of 10,000 deliveries: what 11,000 readers cost and 1,000 do not.
DELIVERY = ("delivery", "a delivery of a fan-out, nothing sent", "fanout_11000", "fanout_1000", 10_000)


def count(program, case, repeats):
    """Instructions of the whole process, that the kernel executes left out."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    # The variables of the shell would move the stack.
    environment = {"PATH": os.environ["PATH"]}
    run = subprocess.run([*tool, program, case, str(repeats)], capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found:
        sys.exit(f"{case}: {run.stderr.strip()}")
    return int(found[1])


def measure(program, only):
    listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout
    results = {}
    for name, repeats, what in (line.split("\t") for line in listed.splitlines()):
        if only and name not in only:
            continue
        n = int(repeats)
        each = (count(program, name, 2 * n) - count(program, name, n)) / n
        results[name] = {"what": what, "instructions": round(each, 2)}
        print(f"{name:20} {each:14,.1f}  {what}", flush=True)
    name, what, more, less, items = DELIVERY
    if more in results and less in results:
        each = (results[more]["instructions"] - results[less]["instructions"]) / items
        results[name] = {"what": what, "instructions": round(each, 3)}
        print(f"{name:20} {each:14,.2f}  {what}")
    return results


def compare(old, new):
    """Prints each count beside the recorded one; returns the largest growth."""
    print(f"\n{'':20} {'old':>14} {'new':>14} {'ratio':>8}")
    worst = 0.0
    for name, row in new.items():
        now, before = row["instructions"], old.get(name, {}).get("instructions")
        ratio = now / before if before else float("nan")
        worst = max(worst, ratio - 1)
        print(f"{name:20} {before or float('nan'):14,.1f} {now:14,.1f} {ratio:8.4f}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--record", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, metavar="PERCENT")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    old = json.loads(arguments.against.read_text())["cases"] if arguments.against else None
    described = machine.describe()
    described["valgrind"] = machine.output("valgrind", "--version")
    results = measure(machine.bench("instructions"), arguments.only)
    if arguments.record:
        arguments.record.write_text(json.dumps({"machine": described, "cases": results}, indent=1) + "\n")
    if old is not None and compare(old, results) * 100 > (arguments.tolerance or float("inf")):
        sys.exit(f"a count has grown by more than {arguments.tolerance:g} %")


if __name__ == "__main__":
    main()
