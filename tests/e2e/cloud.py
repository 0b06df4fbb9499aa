"""A small cloud of SFU nodes that goes on while things happen to it: five nodes in five network namespaces on one
switch, impaired wires between all of them, live media from each to each, and a host beside each node.

The idea: nothing here ever waits for one node. Each `Host` behaves as an SFU would: it publishes its tracks,
subscribes to all others, and asks again when an acquisition ends; `Cloud.pump` serves all of them in turns, so that a
node that is stopped, cut off or gone delays nobody else. What was seen is kept with its time, and a `Timeline` prints
it. The switch is two bridges in a namespace of their own, joined by one cable; a partition pulls the cable, so that
packets vanish without any error at either end, and all at once. Used from one thread; needs root, iproute2 and bridges.
"""
import collections
import itertools
import math
import select
import signal
import time

import hiccup
import lab
import live_media
import media
from lab import Failed, check, say

NODES = range(1, 6)
LEFT, RIGHT = (1, 2), (3, 4, 5)  # what a partition cuts apart
MEDIA_PORT, NODE_PORT, TAP_PORT = 5004, 7000, 6004
TRACKS = ("audio", "video")  # live ones of each node; "spare" is published too and never sends
PERIOD_S = 0.02
LOSS, JITTER_MS = 0.002, 3.0
STATS_EVERY_S = 0.1
AGAIN_S = 0.2          # what a host waits before it asks again for what it did not get
DEADLINE_MS = 1000
FLOWS_S = 0.3          # a stream with a packet this young flows
SILENCE_S = 0.4        # the longest that an untouched stream may pause: down_after, some lost packets, and a busy machine
# Of a stream that a failed node carried: down is seen after 150 ms, another way found in 200 ms; and a busy machine.
FAILOVER_S = 0.150 + 0.200 + 0.100
WELL_WITHIN_S = 3.0


def address(i):
    return f"198.18.0.{i}"


def one_way_ms(i, j):
    """A region of its own for each: 12 to 36 ms one way."""
    return 4.0 + 8.0 * abs(i - j)


def track_number(publisher, k):
    return 10 * publisher + k


class Timeline:
    """What happened, when it was noticed, by whom, under which name, and when all was well again."""

    def __init__(self, title):
        self._begin = time.monotonic()
        say(f"\n{title}")

    def note(self, kind, text, at=None):
        say(f"  {(at or time.monotonic()) - self._begin:+8.3f} s  {kind:<8} {text}")


class Acquisition:
    """A track that a host wants, or asked for once."""

    def __init__(self, track, egress=None, again=False):
        self.track, self.egress, self.again = track, egress, again
        self.handle = self.event = None
        self.ask_at = 0.0  # when to ask, None: asked
        self.endings = 0

    def __bool__(self):
        return self.event is not None

    @property
    def ok(self):
        return self.event is not None and self.event["event"] == "outcome" and self.event["outcome"] == "OK"


class Host:
    """What an SFU is to its node. Never waits: pump() takes what is there."""

    def __init__(self, node_id, admin):
        self.id, self.admin = node_id, admin
        self.stats, self.stats_at = None, 0.0
        self._stats_asked_at, self._stats_waiting = 0.0, False
        self._answers, self._by_handle = {}, {}
        self.wanted = []
        self._published, self._later = {}, []
        for k, track in enumerate(TRACKS):
            self._publish(track=f"n{node_id}-{track}", ingest=f"127.0.0.1:{MEDIA_PORT + 2 * k}", **{"class": track})
        self._publish(track=f"n{node_id}-spare")
        for other in NODES:
            if other != node_id:
                self.wanted += [Acquisition(f"n{other}-{track}", f"127.0.0.1:{TAP_PORT}", again=True)
                                for track in TRACKS]

    def _ask(self, then, method, **params):
        self._answers[self.admin.ask(method, **params)] = then

    def _publish(self, **options):
        def asked(result):
            self._published[result["handle"]] = options
        self._ask(asked, "publish", **options)

    def acquire(self, track):
        """Asks once; the result is true when it has ended, or the track is here."""
        probe = Acquisition(track)
        self._send(probe)
        return probe

    def _send(self, wanted):
        wanted.ask_at = None

        def asked(result):
            wanted.handle = result["handle"]
            self._by_handle[wanted.handle] = wanted
        egress = {"egress": wanted.egress, "rendezvous_ms": DEADLINE_MS - 100} if wanted.egress else {}
        self._ask(asked, "acquire", track=wanted.track, deadline_ms=DEADLINE_MS, **egress)

    def pump(self, now):
        due, self._later = [l for l in self._later if l[0] <= now], [l for l in self._later if l[0] > now]
        for _, action in due:
            action()
        for wanted in self.wanted:
            if wanted.ask_at is not None and wanted.ask_at <= now:
                self._send(wanted)
        if not self._stats_waiting and now - self._stats_asked_at >= STATS_EVERY_S:
            self._stats_waiting, self._stats_asked_at = True, now
            self._ask(self._got_stats, "stats")
        for message in self.admin.arrived():
            if message.get("method") == "event":
                self._on_event(message["params"])
            elif "error" in message:
                raise Failed(f"node {self.id}: {message['error']}")
            elif (then := self._answers.pop(message.get("id"), None)) is not None:
                then(message["result"])

    def _got_stats(self, stats):
        self.stats, self.stats_at, self._stats_waiting = stats, time.monotonic(), False

    def _on_event(self, event):
        if event["event"] == "publish_failed":
            # The address of its tap may still be held by the process before this one.
            options = self._published.pop(event["handle"])
            self._later.append((time.monotonic() + AGAIN_S, lambda: self._publish(**options)))
            return
        acquisition = self._by_handle.get(event["handle"])
        if acquisition is None:
            return
        event["at"] = time.monotonic()
        acquisition.event = event
        if event["event"] == "ended" or event.get("outcome", "OK") != "OK":
            acquisition.endings += 1
            if acquisition.again:
                ended = event["event"] == "ended"
                acquisition.ask_at = event["at"] + (0.0 if ended else AGAIN_S)
        elif not acquisition.again:
            self._ask(None, "release", handle=acquisition.handle)

    def link(self, peer):
        """(state, text, when it came to be so) as of the last statistics."""
        found = next((l for l in self.stats["links"] if l["node"] == peer), None) if self.stats else None
        return (found["state"], found["text"], self.stats_at - found["for_ms"] * 1e-3) if found else ("?", "", 0.0)


class Wires:
    """Five network namespaces on one switch, and the configuration of a node in each."""

    SIDES = {"left": LEFT, "right": RIGHT}

    def __init__(self, bench, loss=LOSS):
        self.bench, self.loss = bench, loss
        self.homes = {i: bench.namespace() for i in NODES}
        self.switch = bench.namespace()
        with self.switch:
            lab.ip("link", "add", "cable-left", "type", "veth", "peer", "name", "cable-right")
            for side in self.SIDES:
                lab.ip("link", "add", side, "type", "bridge")
                lab.ip("link", "set", side, "up")
                lab.ip("link", "set", f"cable-{side}", "master", side, "up")
        for i, home in self.homes.items():
            with home:
                lab.ip("link", "add", "wire", "address", self._hardware(i), "type", "veth", "peer", "name",
                       f"port-{i}", "netns", self.switch.path)
                lab.ip("address", "add", f"{address(i)}/24", "dev", "wire")
                lab.ip("link", "set", "wire", "up")
                for other in NODES:  # between regions there are routers, which outlive every outage here
                    if other != i:
                        lab.ip("neighbour", "add", address(other), "lladdr", self._hardware(other), "dev", "wire",
                               "nud", "permanent")
            with self.switch:
                side = next(name for name, members in self.SIDES.items() if i in members)
                lab.ip("link", "set", f"port-{i}", "master", side, "up")

    @staticmethod
    def _hardware(i):
        return f"02:00:00:00:00:{i:02x}"

    def cable(self, plugged):
        """Nothing passes between the two sides without it. Returns when the change had been made: the kernel may let one
        of its network devices wait for seconds while it takes others away."""
        with self.switch:
            lab.ip("link", "set", "cable-left", *(("master", "left") if plugged else ("nomaster",)))
        return time.monotonic()

    def config(self, i, **wire):
        peers = [(j, f"{address(j)}:{NODE_PORT}") for j in NODES if j != i]
        config = lab.node_config(i, f"{address(i)}:{NODE_PORT}", peers)
        config["wire"] |= wire
        config["lab"] = {"seed": i, "impair": [
            {"to": to, "delay_ms": one_way_ms(i, j), "jitter_ms": JITTER_MS, "loss": self.loss} for j, to in peers]}
        return config


class Cloud(Wires):
    """Wires, live media from each node to each, and whatever nodes run at the moment."""

    def __init__(self, bench):
        super().__init__(bench)
        self._meter = hiccup.Meter()
        self._meter.__enter__()
        bench.defer(lambda: self._meter.__exit__(None, None, None))
        self.nodes, self.hosts = {}, {}
        self.media = live_media.LiveMedia()
        bench.defer(self.media.close)
        for i in NODES:
            with self.homes[i]:
                self.media.sender(media.udp_socket(), {
                    track_number(i, k): ("127.0.0.1", MEDIA_PORT + 2 * k) for k in range(len(TRACKS))}, PERIOD_S)
                self.media.receiver(media.udp_socket(port=TAP_PORT), f"n{i}")
        self.media.start()

    # --- nodes

    def start(self, i, **wire):
        self.nodes[i] = self.bench.node(self.config(i, **wire), self.homes[i])
        self.hosts[i] = Host(i, self.nodes[i].admin)

    def stop(self, i):
        """In order, as a deployment does. Others are served meanwhile."""
        self.nodes[i].send(signal.SIGTERM)
        self.gone(i, 3.0)

    def gone(self, i, limit_s=1.0):
        """Node i was told to end: waits until it has."""
        self.hosts.pop(i).admin.close()
        self.until(f"node {i} has ended", limit_s, lambda: self.nodes[i].exit_code() is not None)
        del self.nodes[i]

    def restart(self, members, **wire):
        for i in members:
            self.stop(i)
        for i in members:
            self.start(i, **wire)

    # --- time

    def hiccup_s(self):
        """The machine's own largest lateness so far: what every limit in milliseconds is lengthened by."""
        return 1e-6 * self._meter.worst_us

    def pump(self, naps_s=0.005):
        """Serves every host once, and naps."""
        for host in list(self.hosts.values()):
            host.pump(time.monotonic())
        select.select([host.admin for host in self.hosts.values()], [], [], naps_s)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()

    def until(self, what, limit_s, look):
        """As lab.wait_until, while the cloud goes on."""
        end = time.monotonic() + limit_s
        while True:
            self.pump()
            value = look()
            if value:
                return value
            check(time.monotonic() < end, f"not within {limit_s} s: {what() if callable(what) else what}")

    def fresh_stats(self, members):
        """Statistics of these nodes that were taken after now."""
        begin = time.monotonic() + STATS_EVERY_S  # an answer that is under way may be older than the question
        self.until("statistics", 5, lambda: all(self.hosts[i].stats_at > begin for i in members))
        return {i: self.hosts[i].stats for i in members}

    # --- judgement

    def missing(self, members, since):
        """What is not well among these nodes, as text; empty: all is. Statistics older than `since` say nothing."""
        for i in members:
            if self.hosts[i].stats_at <= since:
                return f"node {i} has not said how it is"
            for j in members:
                if i != j and (state := self.hosts[i].link(j)[0]) != "UP":
                    return f"the link of node {i} to node {j} is {state}"
            for wanted in self.hosts[i].wanted:
                if int(wanted.track[1]) in members and not wanted.ok:
                    return f"node {i} has no {wanted.track}: {wanted.event}"
        ages = self.media.ages()
        for i in members:
            for j in members:
                for k, track in enumerate(TRACKS):
                    if i != j and ages.get((f"n{i}", track_number(j, k)), 1e9) > FLOWS_S:
                        return f"n{j}-{track} does not flow at node {i}"
        return ""

    def well(self, timeline, healed_at, members=NODES, limit_s=WELL_WITHIN_S):
        """All links up, all tracks acquired and flowing, within limit_s of the heal."""
        self.until(lambda: f"all is well: {self.missing(members, healed_at)}",
                   limit_s - (time.monotonic() - healed_at), lambda: not self.missing(members, healed_at))
        took = time.monotonic() - healed_at
        check(took <= limit_s, f"well again only {took:.2f} s after the heal")
        links, streams = len(members) * (len(members) - 1), len(members) * (len(members) - 1) * len(TRACKS)
        timeline.note("well", f"{links} link ends UP, {streams} acquisitions OK, {streams} streams flow: "
                      f"{took:.2f} s after the heal (limit {limit_s:.0f} s)")

    def watch(self, members):
        """Opens a window over what these nodes, whom nothing happens to, receive of each other."""
        return Window(self, list(members))


class Window:
    """Media among nodes that an outage must not touch, from now until judge()."""

    def __init__(self, cloud, members):
        self.cloud, self.members = cloud, members
        self._before = cloud.fresh_stats(members)
        # A node may be fed by another that carries the track: then what happens to that one happens to the stream too.
        self._feeders = {(i, w.track): w.event["node"] for i in members for w in cloud.hosts[i].wanted if w.ok}
        self._endings = self._count_endings()
        self._begin = time.monotonic()
        cloud.media.mark()

    def _count_endings(self):
        return sum(w.endings for i in self.members for w in self.cloud.hosts[i].wanted
                   if int(w.track[1]) in self.members)

    def _senders(self, i, j, track):
        """Who sends the stream from node j on its way to node i, as it was when this began; None if it passed a node that
        something happened to."""
        at, senders = i, []
        for _ in self.members:  # bounded: a path has no loop
            at = self._feeders.get((at, track))
            senders.append(at)
            if at == j:
                return senders
        return None

    def judge(self, timeline):
        """Fails unless those nodes' links, acquisitions and media went on as if nothing had been."""
        cloud, members, late_s = self.cloud, self.members, self.cloud.hiccup_s()
        after = cloud.fresh_stats(members)
        lost = {i: lab.total(after[i], "port", "impaired_lost") - lab.total(self._before[i], "port", "impaired_lost")
                for i in members}
        # What a node that was late finds waiting leaves in one datagram.
        in_datagram = 1 + math.ceil(late_s / PERIOD_S)
        totals, silence, rerouted, longest = collections.Counter(), 0.0, 0, 0.0
        report = cloud.media.report()
        for i, j, k in itertools.product(members, members, range(len(TRACKS))):
            if i == j:
                continue
            track = f"n{j}-{TRACKS[k]}"
            seen = report[f"n{i}", track_number(j, k)]
            limit_s = SILENCE_S + late_s
            senders = self._senders(i, j, track)
            if senders is not None:
                totals.update({name: seen[name] for name in ("sent", "missing", "twice")})
                silence = max(silence, seen["silence_s"])
                most = in_datagram * sum(lost[sender] for sender in senders)
                check(seen["missing"] <= most, f"{seen['missing']} packets of {track} are missing at node {i}, which "
                      f"nothing happened to; the wires of nodes {senders} lost {most} at most")
            else:
                limit_s, rerouted = FAILOVER_S + late_s, rerouted + 1
                longest = max(longest, seen["silence_s"])
            check(seen["silence_s"] <= limit_s, f"{track} was silent at node {i} for {seen['silence_s']:.3f} s "
                  f"(limit {limit_s:.3f} s)")
        totals["lost"] = sum(lost.values())
        check(totals["twice"] == 0, f"{totals['twice']} packets arrived twice")
        check(self._count_endings() == self._endings, "an acquisition ended between nodes that nothing happened to")
        for i in members:
            for j in members:
                state, _, since = cloud.hosts[i].link(j) if i != j else ("UP", "", 0.0)
                check(state == "UP" and since < self._begin, f"the link of node {i} to node {j} changed: {state}")
        names = ", ".join(str(i) for i in members)
        timeline.note("others", f"nodes {names} noticed nothing: {totals['sent']} packets among them, "
                      f"{totals['missing']} missing ({totals['lost']} datagrams lost by their impaired wires), "
                      f"0 twice, longest silence {1e3 * silence:.0f} ms")
        if rerouted:
            timeline.note("", f"{rerouted} streams among them came by way of another node, and took another way: longest "
                          f"silence {1e3 * longest:.0f} ms (limit {1e3 * (FAILOVER_S + late_s):.0f} ms)")
