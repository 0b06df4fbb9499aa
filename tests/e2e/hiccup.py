"""How late this machine wakes those who sleep: the largest scheduling hiccup while something else was measured.

The idea: one small process per CPU, pinned, sleeps half a millisecond at a time and remembers by how much it overslept.
It is a process of its own, so that no lock of the interpreter under test is mistaken for the machine's doing. What it
finds is what any promise in milliseconds must add on a shared machine. Costs about 3 % of each CPU.
"""
import os
import signal
import subprocess
import sys
import time

NAP_S = 0.0005
WARM_UP_S = 0.2  # the interpreter's own start is not a hiccup


def oversleep(cpu):
    """Until SIGTERM; prints the largest oversleep in microseconds."""
    os.sched_setaffinity(0, {cpu})
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    worst, begin = 0.0, time.perf_counter()
    print("ready", flush=True)
    while not ending:
        before = time.perf_counter()
        time.sleep(NAP_S)
        after = time.perf_counter()
        # The nap that the signal cut short is no hiccup either.
        if not ending and before - begin > WARM_UP_S:
            worst = max(worst, after - before - NAP_S)
    print(round(1e6 * worst), flush=True)


class Meter:
    """with Meter() as meter: ...; then meter.worst_us is known."""

    worst_us = 0

    def __enter__(self):
        self._processes = [
            subprocess.Popen([sys.executable, __file__, str(cpu)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             text=True)
            for cpu in sorted(os.sched_getaffinity(0))]
        for process in self._processes:
            process.stdout.readline()
        time.sleep(WARM_UP_S)
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            text, _ = process.communicate(timeout=5)
            self.worst_us = max(self.worst_us, int(text or 0))


if __name__ == "__main__":
    oversleep(int(sys.argv[1]))
