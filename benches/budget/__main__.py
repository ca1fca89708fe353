"""Counts the instructions that Tidegate spends on a request, and holds them to the budgets of budget.toml.

The built program, with tidegate.toml (one worker, every feature of the guide on), answers one request after
another on one connection, under callgrind. Counted are the instructions of the worker's thread in user space, from the
end of a warm-up to the last answer: so the count is the same whatever else the machine does, and loads may run at once.

A load over its budget by more than the slack fails. One under it by more fails too: a budget that is too high would let
the next loss in unseen. `--update` writes the budgets anew. Counts change with the compiler, so that the budgets decide
only with the one that they were made with; what must not grow with the number of routes is decided with any.
"""

import argparse
import pathlib
import platform
import subprocess
import sys
import tomllib

from . import filters
from .callgrind import count_all
from .load import LOADS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUDGET = HERE / "budget.toml"
SLACK = 0.03
# How much more than with one route a request may cost with ten thousand.
ROUTES = 1.1


def toolchain():
    """What a count depends on beside the code."""
    rustc = subprocess.run(["rustc", "-V"], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    valgrind = subprocess.run(["valgrind", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {"rustc": rustc, "machine": platform.machine(), "libc": "-".join(platform.libc_ver()), "valgrind": valgrind}


def decides(made_with, present):
    """Libc and valgrind are told, but decide nothing: little of a request's instructions is theirs."""
    return all(made_with.get(what) == present[what] for what in ("rustc", "machine"))


def write_budgets(budgets, present):
    lines = [
        "# Instructions of one request in user space, by load. `run` tells how they are counted and what decides.",
        "# Made by `make budget UPDATE=1`.",
        "",
        "[made_with]",
        *(f'{what} = "{value}"' for what, value in present.items()),
        "",
        "[instructions]",
        *(f"{name} = {budgets[name]}" for name in LOADS if name in budgets),
    ]
    BUDGET.write_text("\n".join(lines) + "\n")


def verdict(counted, budget, deciding):
    """What to say of a load, and whether it fails."""
    if budget is None:
        return "which has no budget: make budget UPDATE=1", deciding
    ratio = counted / budget
    said = f"{ratio:.3f} of its budget of {budget}"
    if not deciding or abs(ratio - 1) <= SLACK:
        return said, False
    if ratio > 1:
        return f"{said}: find what costs more, or say in the commit why, and make budget UPDATE=1", True
    return f"{said}: lower it by make budget UPDATE=1, so that it stays won", True


def main():
    parser = argparse.ArgumentParser(prog="benches/budget/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", nargs="*", help=f"default: {' '.join(LOADS)}")
    parser.add_argument("--update", action="store_true", help="write what is counted to budget.toml")
    parser.add_argument("--keep", metavar="DIRECTORY", help="keep the profiles there, for callgrind_annotate")
    parser.add_argument("--program", default=ROOT / "target/budget/tidegate", help="default: target/budget/tidegate")
    parser.add_argument("--filters", action="store_true", help="count what each feature adds, for docs/performance.md")
    arguments = parser.parse_args()
    program = pathlib.Path(arguments.program).resolve()
    if arguments.filters:
        return filters.tell(program, ROOT / "docs" / "performance.md")
    if unknown := set(arguments.load) - set(LOADS):
        parser.error(f"no load is named {', '.join(unknown)}; the loads are {', '.join(LOADS)}")
    names = arguments.load or list(LOADS)
    recorded = tomllib.loads(BUDGET.read_text()) if BUDGET.exists() else {"made_with": {}, "instructions": {}}
    present, budgets = toolchain(), recorded["instructions"]
    deciding = decides(recorded["made_with"], present) and not arguments.update
    if not deciding and not arguments.update:
        print(f"told without deciding: the budgets were made with {recorded['made_with']}, here is {present}")
    counted, failed = {}, False
    for name, instructions in count_all(program, {name: LOADS[name] for name in names}, arguments.keep):
        counted[name] = instructions
        said, fails = verdict(instructions, budgets.get(name), deciding)
        failed |= fails
        print(f"{name:16} {instructions:7} instructions a request, {said}", flush=True)
    if {"h1", "h1-10000-routes"} <= counted.keys() and counted["h1-10000-routes"] > ROUTES * counted["h1"]:
        print(f"with ten thousand routes a request costs more than {ROUTES} times what it does with one")
        failed = True
    if arguments.update:
        write_budgets({**budgets, **counted}, present)
    sys.exit(failed)


main()
