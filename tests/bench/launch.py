"""Starts one command and writes what it took as JSON: `python -I -S launch.py FILE COMMAND...`.

A process of its own, since the kernel counts the memory of whatever starts a program as the program's: a bare
interpreter has some 9 MB, the benchmark itself much more.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run the command, its descendants included; exit as it does."""
    out, *words = sys.argv[1:]
    began = time.perf_counter()
    process = os.posix_spawnp(words[0], words, os.environ)
    _, status, used = os.wait4(process, 0)
    wall = time.perf_counter() - began
    with open(out, "w", encoding="utf-8") as file:
        # ru_maxrss is in KiB: the largest process of those that were waited for.
        json.dump({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
