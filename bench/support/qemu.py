# SPDX-License-Identifier: MIT
"""What benchmarks with a QEMU need: its monitor, and waiting."""
import json
import socket
import sys
import time


class Monitor:
    """A client of a QMP socket."""

    def __init__(self, path):
        self.paused_seconds = 0  # by QEMU's own events
        self.paused_at = None
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
            self.note(answer)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                sys.exit(f"run: {command}: {answer['error']['desc']}")

    def note(self, message):
        if message.get("event") not in ("STOP", "RESUME"):
            return
        at = message["timestamp"]["seconds"] + message["timestamp"]["microseconds"] / 1e6
        if message["event"] == "STOP":
            self.paused_at = at
        elif self.paused_at is not None:
            self.paused_seconds += at - self.paused_at
            self.paused_at = None

    def take_paused_seconds(self):
        """How long the guest was paused since the last call; it runs now."""
        self.execute("query-status")  # all events before its answer have arrived then
        seconds, self.paused_seconds = self.paused_seconds, 0
        return seconds


def wait_for(done, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            sys.exit("run: waited in vain; is QEMU installed (scripts/bootstrap --test)?")
        time.sleep(0.02)
