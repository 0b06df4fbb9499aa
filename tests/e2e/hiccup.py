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
    """Until SIGTERM; prints the largest hiccup in microseconds, a line whenever there was a larger one."""
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
        if not ending and before - begin > WARM_UP_S and still > worst:
            worst = still
            print(round(1e6 * worst), flush=True)


class Meter:
    """with Meter() as meter: ...; meter.worst_us is what was seen so far."""

    def __enter__(self):
        self._worst_us = 0
        self._processes = [
            subprocess.Popen([sys.executable, __file__, str(cpu)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            for cpu in sorted(os.sched_getaffinity(0))]
        for process in self._processes:
            process.stdout.readline()
            os.set_blocking(process.stdout.fileno(), False)
        time.sleep(WARM_UP_S)
        return self

    @property
    def worst_us(self):
        for process in self._processes:
            self._worst_us = max([self._worst_us, *map(int, (process.stdout.read() or b"").split())])
        return self._worst_us

    def __exit__(self, *_):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(timeout=5)
        self._worst_us = self.worst_us
        for process in self._processes:
            process.stdout.close()
        self._processes = []


if __name__ == "__main__":
    watch(int(sys.argv[1]))
