"""A search that another process may kill: `resume_process.py NAME FOLDER PASS`.

Before forward pass number PASS of the supernet it says "ready" and waits for a line on its input.
"""

import sys
from pathlib import Path

from conftest import resumable

from nasdrop.models.supernet import SuperNet


def main(name, folder, stop):
    passes = []
    forward = SuperNet.forward

    def counted(self, *arguments, **options):
        passes.append(None)
        if len(passes) == int(stop):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
        return forward(self, *arguments, **options)

    SuperNet.forward = counted
    resumable(name, Path(folder)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
