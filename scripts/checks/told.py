"""How a check tells what it found."""

import sys


def told(name, problems, holds):
    """Says each problem of what is called `name`, or that it `holds`; whether there was none."""
    problems = list(problems)
    for problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)
    if not problems:
        print(f"{name}: {holds}")
    return not problems
