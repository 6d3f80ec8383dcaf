# SPDX-License-Identifier: MIT
"""What benchmarks with a QEMU need: its monitor, and waiting."""
import json
import socket
import sys
import time


class Monitor:
    """A client of a QMP socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        wait_for(lambda: self.socket.connect_ex(str(path)) == 0)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                sys.exit(f"run: {command}: {answer['error']['desc']}")


def wait_for(done, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            sys.exit("run: waited in vain; is QEMU installed (scripts/bootstrap --test)?")
        time.sleep(0.02)
