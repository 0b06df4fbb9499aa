"""How late this machine is for those who sleep and those who work: the largest scheduling hiccup while something else
was measured.

The idea: one small process per CPU, pinned, sleeps half a millisecond, then works for a fifth of one, and remembers the
longest time by which it was woken late or stood still at work. A process of its own, so that no lock of the interpreter
under test is mistaken for the machine's doing. What it finds is what any promise in milliseconds must add on a shared
machine. Costs about a quarter of each CPU.
"""
import os
import signal
import subprocess
import sys
import time

NAP_S, WORK_S = 0.0005, 0.0002
WARM_UP_S = 0.2  # the interpreter's own start is not a hiccup


def watch(cpu):
    """Until SIGTERM; prints the largest hiccup in microseconds."""
    os.sched_setaffinity(0, {cpu})
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    worst, begin = 0.0, time.perf_counter()
    print("ready", flush=True)
    while not ending:
        before = time.perf_counter()
        time.sleep(NAP_S)
        woken = at = time.perf_counter()
        still = woken - before - NAP_S
        while at - woken < WORK_S:
            earlier, at = at, time.perf_counter()
            still = max(still, at - earlier)
        # The nap that the signal cut short is no hiccup either.
        if not ending and before - begin > WARM_UP_S:
            worst = max(worst, still)
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
    watch(int(sys.argv[1]))
