"""``python -m checkpoint.testing.simulator``: run seeds, and print the trace of one that fails."""

from __future__ import annotations

import argparse
import sys
import time

from checkpoint.testing.simulator.world import simulate

_LAST = 60  # lines of a trace that are printed unless all are asked for


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line says; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m checkpoint.testing.simulator")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to run")
    parser.add_argument("--operations", type=int, default=150, help="operations of each run")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the whole trace")
    asked = parser.parse_args(arguments)
    began, requests, revisions = time.perf_counter(), 0, 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        report = simulate(seed, operations=asked.operations)
        requests += report.requests
        revisions += report.revisions
        if report.violation or asked.verbose:
            lines = report.trace.lines
            print("\n".join(lines if asked.verbose else lines[-_LAST:]))
        if report.violation:
            again = f"python -m checkpoint.testing.simulator --operations {asked.operations}"
            print(f"\nseed {seed} failed; again, with all lines: {again} --seed {seed} -v")
            return 1
    seconds = time.perf_counter() - began
    print(
        f"{asked.seeds} seeds, {requests} requests, {revisions} revisions, {seconds:.1f} s: "
        f"no rule was broken"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
