"""Live media beside everything else a test does: RTP senders and receivers in one process of their own, with a ledger
of every packet.

The idea: each track is a stream of small RTP packets that carry a 64-bit number of their own, so that what arrived is
known packet by packet, however often the sequence number of RTP wraps. Senders never stop, whatever happens to the
node they feed; a window, opened by `mark`, is what the test judges: which numbers of it are missing, which arrived
twice, and the longest silence of each stream. A process of its own, so that no lock of the test's interpreter is
mistaken for a gap. Sockets are made by the test, in its namespaces, and inherited. One thread; a few thousand packets
per second cost it some tenths of a CPU.

Spoken over stdin and stdout, one JSON line each: first the tracks and sockets, then "mark", "ages", "report", "end".
"""
import heapq
import json
import selectors
import socket
import struct
import subprocess
import sys
import time

NAP_S = 0.001    # packets that arrive within it are read together
SETTLE_S = 0.5   # younger packets may still be under way: they are not judged
START = struct.Struct("!BBHIIQ")  # RTP's 12 bytes (RFC 3550, section 5.1), then the packet's own number
PAYLOAD_TYPE = 96


class Stream:
    """What one receiver got of one track."""

    def __init__(self):
        self.times = bytearray()  # how often each number arrived
        self.last_at = None
        self.silence_s = 0.0

    def arrived(self, number, now):
        if number >= len(self.times):
            self.times.extend(bytes(number + 1 - len(self.times)))
        self.times[number] = min(255, self.times[number] + 1)
        if self.last_at is not None:
            self.silence_s = max(self.silence_s, now - self.last_at)
        self.last_at = now


class Sender:
    """One track: a packet each period_s, to an ingest tap."""

    def __init__(self, track, fd, to, period_s, size):
        self.track, self.to, self.period_s = track, tuple(to), period_s
        self.socket = socket.socket(fileno=fd) if isinstance(fd, int) else fd
        self.filler = bytes(size - START.size)
        self.sent = 0

    def send(self):
        number, self.sent = self.sent, self.sent + 1
        packet = START.pack(0x80, PAYLOAD_TYPE, number & 0xFFFF, number * 960 & 0xFFFFFFFF, self.track, number)
        try:
            self.socket.sendto(packet + self.filler, self.to)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # nobody listens there at the moment: that packet is missing, and counted so


class Ledger:
    """All senders and streams, and the window that is being judged."""

    def __init__(self, spec):
        sockets = {}
        for s in spec["senders"]:
            sockets.setdefault(s["fd"], None)
        for fd in sockets:
            sockets[fd] = socket.socket(fileno=fd)
            sockets[fd].setblocking(False)
        self.senders = {s["track"]: Sender(s["track"], sockets[s["fd"]], s["to"], s["period_s"], s["bytes"])
                        for s in spec["senders"]}
        self.receivers = {r["name"]: socket.socket(fileno=r["fd"]) for r in spec["receivers"]}
        self.streams = {(name, track): Stream() for name in self.receivers for track in self.senders}
        self.window = {track: 0 for track in self.senders}

    def receive(self, name):
        received, now = self.receivers[name], time.monotonic()
        for _ in range(256):
            try:
                packet = received.recv(2048)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            if len(packet) < START.size or packet[1] & 0x7F != PAYLOAD_TYPE:
                continue  # RTCP
            _, _, _, _, track, number = START.unpack_from(packet)
            stream = self.streams.get((name, track))
            if stream is not None and number < self.senders[track].sent:
                stream.arrived(number, now)

    def mark(self):
        self.window = {track: sender.sent for track, sender in self.senders.items()}
        now = time.monotonic()
        for stream in self.streams.values():
            stream.silence_s = 0.0
            stream.last_at = now if stream.last_at is not None else None
        return {}

    def ages(self):
        """Seconds since each stream's last packet; a stream without any is not named."""
        now = time.monotonic()
        return {f"{name}/{track}": now - stream.last_at for (name, track), stream in self.streams.items()
                if stream.last_at is not None}

    def report(self):
        now, out = time.monotonic(), {}
        for (name, track), stream in self.streams.items():
            sender, begin = self.senders[track], self.window[track]
            end = max(begin, sender.sent - int(SETTLE_S / sender.period_s))
            got = stream.times[begin:end] + bytes(max(0, end - max(begin, len(stream.times))))
            silence = max(stream.silence_s, now - stream.last_at) if stream.last_at is not None else 1e9
            out[f"{name}/{track}"] = {"sent": end - begin, "missing": got.count(0),
                                      "twice": len(got) - got.count(0) - got.count(1), "silence_s": silence}
        return out


def serve():
    """The process: sends on time, reads what is there, answers its test; ends with it."""
    commands = sys.stdin.buffer
    ledger = Ledger(json.loads(commands.readline()))
    print("{}", flush=True)  # one line at a time: a second one read along with the first would never be seen
    selector = selectors.DefaultSelector()
    selector.register(commands, selectors.EVENT_READ, None)
    for name, received in ledger.receivers.items():
        received.setblocking(False)
        selector.register(received, selectors.EVENT_READ, name)
    begin = time.monotonic()
    # Tracks start spread over their period, so that nothing sends in lockstep.
    due = [(begin + s.period_s * i / len(ledger.senders), s.track) for i, s in enumerate(ledger.senders.values())]
    heapq.heapify(due)
    answers = {b"mark\n": ledger.mark, b"ages\n": ledger.ages, b"report\n": ledger.report}
    while True:
        now = time.monotonic()
        while due and due[0][0] <= now:
            at, track = due[0]
            ledger.senders[track].send()
            heapq.heapreplace(due, (at + ledger.senders[track].period_s, track))
        time.sleep(NAP_S)
        for key, _ in selector.select(timeout=0):
            if key.data is not None:
                ledger.receive(key.data)
                continue
            command = commands.readline()
            if command not in answers:
                return
            print(json.dumps(answers[command]()), flush=True)


class LiveMedia:
    """The test's end of it. Streams are named by (receiver's name, track's number)."""

    def __init__(self):
        self._spec = {"senders": [], "receivers": []}
        self._sockets, self._process = [], None

    def sender(self, made, tracks, period_s=0.02, size=160):
        """Socket `made` sends tracks {number: (host, port)}."""
        self._sockets.append(made)
        self._spec["senders"] += [{"track": track, "fd": made.fileno(), "to": to, "period_s": period_s, "bytes": size}
                                  for track, to in tracks.items()]

    def receiver(self, made, name):
        self._sockets.append(made)
        self._spec["receivers"].append({"name": name, "fd": made.fileno()})

    def start(self):
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         pass_fds=[s.fileno() for s in self._sockets])
        self.ask(json.dumps(self._spec))

    def _say(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, command):
        self._say(command)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the media process ended")
        answer = json.loads(line)
        return {(name, int(track)): value for (name, _, track), value in
                ((key.partition("/"), value) for key, value in answer.items())}

    def mark(self):
        self.ask("mark")

    def ages(self):
        return self.ask("ages")

    def report(self):
        return self.ask("report")

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
        for made in self._sockets:
            made.close()


if __name__ == "__main__":
    serve()
