"""``python -m checkpoint.testing.simulator``: runs seeds, and prints the trace of a failure."""

from __future__ import annotations

import argparse
import sys
import time

from checkpoint.testing.simulator.world import simulate

_LAST = 60  # lines of a trace to print without --verbose


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m checkpoint.testing.simulator")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to run")
    parser.add_argument("--operations", type=int, default=150, help="operations of each run")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the whole trace")
    options = parser.parse_args(arguments)
    began, requests, revisions = time.perf_counter(), 0, 0
    for seed in range(options.seed, options.seed + options.seeds):
        report = simulate(seed, operations=options.operations)
        requests += report.requests
        revisions += report.revisions
        if report.violation or options.verbose:
            lines = report.trace.lines
            print("\n".join(lines if options.verbose else lines[-_LAST:]))
        if report.violation:
            again = f"python -m checkpoint.testing.simulator --operations {options.operations}"
            print(f"\nseed {seed} failed; to repeat it with all lines: {again} --seed {seed} -v")
            return 1
    seconds = time.perf_counter() - began
    print(
        f"{options.seeds} seeds, {requests} requests, {revisions} revisions, {seconds:.1f} s: "
        f"no rule was broken"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
