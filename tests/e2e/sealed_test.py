"""Sealed links between real processes on loopback, as any user.

Keys are replaced while media flows, by time and by count, and no packet is lost, repeated or out of order. A peer that
was killed is back on new keys within a second. Who is not of the cluster, or has a certificate that is not accepted,
gets no link, and both ends say why. A cluster goes from one suite to another on a live mesh. Nothing readable is on the
wire.
"""
import select
import socket
import struct
import threading
import time

import lab
import media
from lab import check, say, wait_until

PER_SECOND = 2000
BACK_WITHIN_S = 1.15 + 1.0  # detection, two round trips on loopback, and a second


class Stream:
    """RTP of one video track into node 1, and what node 2 makes of it, at a steady rate until it is stopped."""

    def __init__(self):
        self.source, self.sink = media.udp_socket(), media.udp_socket()
        self.ingest = lab.free_udp_ports(1)[0]
        self.sent, self.got = 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def tables(self, configs):
        configs[0]["ingest"] = [{"track": "cam", "listen": f"127.0.0.1:{self.ingest}", "class": "video"}]
        configs[1]["egress"] = [{"track": "cam", "to": f"127.0.0.1:{self.sink.getsockname()[1]}", "deadline_ms": 5000,
                                 "rendezvous_ms": 4000}]

    @staticmethod
    def packet(number):
        return struct.pack(">BBHII", 0x80, 96, number & 0xffff, number * 45, 7) + number.to_bytes(8, "big") * 60

    def _send(self):
        begin = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - begin) * PER_SECOND)
            while self.sent < due:
                self.source.sendto(self.packet(self.sent), ("127.0.0.1", self.ingest))
                self.sent += 1
            time.sleep(0.001)

    def _receive(self):
        idle_since = time.monotonic()
        while not self._stop.is_set() or time.monotonic() - idle_since < 0.3:
            if select.select([self.sink], [], [], 0.05)[0]:
                data = self.sink.recv(1 << 16)
                if not media.is_rtcp(data):
                    self.got.append(int.from_bytes(data[12:20], "big"))
                idle_since = time.monotonic()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def check_whole(self, what):
        """From the first that arrived to the last that was sent: each once, in order."""
        check(len(self.got) > PER_SECOND // 2, f"{what}: only {len(self.got)} packets arrived")
        wanted = list(range(self.got[0], self.sent))
        check(self.got == wanted, f"{what}: {len(wanted) - len(set(self.got))} of {len(wanted)} packets lost, "
                                  f"{len(self.got) - len(set(self.got))} repeated, "
                                  f"order kept: {self.got == sorted(self.got)}")


def pair(**link):
    ports = lab.free_udp_ports(2)
    everybody = [(i, f"127.0.0.1:{port}") for i, port in enumerate(ports, 1)]
    configs = [lab.node_config(i, address, [p for p in everybody if p[0] != i]) for i, address in everybody]
    for config in configs:
        if link:
            config["link"] = link
    return configs


def rekeyed(seconds, least, what, **link):
    stream = Stream()
    configs = pair(**link)
    stream.tables(configs)
    with lab.Lab() as bench:
        nodes = [bench.node(config) for config in configs]
        nodes[0].wait_up(2)
        wait_until("node 1 serves the track", 5, lambda: nodes[0].stats()["usage"]["subscriptions_down"] == 1)
        with stream:
            time.sleep(seconds)
        rekeys = [node.stats()["mesh"]["rekeys"] for node in nodes]
        check(sum(rekeys) >= least, f"{what}: keys were replaced {rekeys} times, at least {least} are due")
        check(all(node.stats()["mesh"]["links_down"] == 0 for node in nodes), f"{what}: a link went down")
        stream.check_whole(what)
        say(f"  {what}: keys replaced {sum(rekeys)} times in {seconds} s; {len(stream.got)} packets, each once, in order")


def keys_are_replaced_each_second_under_traffic():
    rekeyed(8, 6, "each second", rekey_s=1)


def keys_are_replaced_after_so_many_datagrams():
    rekeyed(6, 4, "each 1 000 datagrams", rekey_s=3600, rekey_datagrams=1000)


def a_killed_peer_is_back_on_new_keys():
    configs = pair()
    with lab.Lab() as bench:
        first, second = (bench.node(config) for config in configs)
        first.wait_up(2)
        second.kill()
        began = time.monotonic()
        second = bench.node(configs[1])
        second.wait_up(1)
        first.wait_up(2)
        took = time.monotonic() - began
        say(f"  up again {1e3 * took:.0f} ms after its start")
        check(took <= BACK_WITHIN_S, f"the link took {took:.3f} s to come back")


def says(node, peer, *words):
    """The link is INCOMPATIBLE, and its text has the words."""
    def look():
        link = node.admin.link(peer)
        return link["text"] if link["state"] == "INCOMPATIBLE" else None
    text = wait_until(f"node {peer} is refused", 4, look)
    for word in words:
        check(word in text, f"'{word}' is not in '{text}'")
    return text


def a_revoked_certificate_is_named_at_both_ends():
    configs = pair()
    serial = lab.keys().serial(2, "lab-e2e", "region-2")
    configs[0]["security"] = {**lab.keys().security(1, "lab-e2e", "region-1"), "revoked": [serial]}
    with lab.Lab() as bench:
        first, second = (bench.node(config) for config in configs)
        say(f"  node 1: {says(first, 2, 'certificate', 'revoked')}")
        say(f"  node 2: {says(second, 1, 'certificate', 'revoked')}")


def who_is_not_of_the_cluster_gets_no_link():
    """The same names, other cluster keys: nothing that either says is worth an answer."""
    configs = pair()
    foreign = lab.Keys()
    configs[1]["security"] = foreign.security(2, "lab-e2e", "region-2")
    configs[1]["peer"][0]["public_key"] = lab.keys().public_key(1)
    configs[0]["peer"][0]["public_key"] = foreign.public_key(2)  # even where the key itself is known
    with lab.Lab() as bench:
        nodes = [bench.node(config) for config in configs]
        time.sleep(2)
        for node, peer in zip(nodes, (2, 1)):
            check(node.admin.link(peer)["state"] not in ("UP", "INCOMPATIBLE"), f"node {peer} was believed something")
            check(node.stats()["mesh"]["handshakes_ignored"] > 0, "nothing was ignored")


def a_cluster_goes_from_one_suite_to_another():
    """Accept it everywhere, use it, stop accepting the old one: each step one node at a time, the others in service."""
    ports = lab.free_udp_ports(3)
    everybody = [(i, f"127.0.0.1:{port}") for i, port in enumerate(ports, 1)]
    configs = [lab.node_config(i, address, [p for p in everybody if p[0] != i]) for i, address in everybody]
    old, new = "aes-128-gcm", "chacha20-poly1305"
    steps = [({"suite": old, "accept": {"suite": [old, new]}}, "accepts both"),
             ({"suite": new, "accept": {"suite": [old, new]}}, "uses the new one"), ({"suite": new}, "knows no other")]
    with lab.Lab() as bench:
        nodes = [bench.node(config) for config in configs]
        for node, (number, _) in zip(nodes, everybody):
            node.wait_up(*[i for i, _ in everybody if i != number])
        for wire, what in steps:
            for i, config in enumerate(configs):
                config["wire"] = {"track_namespace": "e2e", "mtu": 1500, **wire}
                nodes[i].stop()
                nodes[i] = bench.node(config)
                nodes[i].wait_up(*[n for n, _ in everybody if n != config["node"]["id"]])
            say(f"  every node {what}: all links up at each step")
        for node, (number, _) in zip(nodes, everybody):
            node.wait_up(*[i for i, _ in everybody if i != number])


def nothing_readable_is_on_the_wire():
    """What a listener between the two sees has neither the track's name, nor the cluster's, nor a byte of payload."""
    stream = Stream()
    configs = pair()
    stream.tables(configs)
    real = configs[1]["node"]["listen"]
    wire = media.udp_socket()  # node 1 sends to it, thinking that it is node 2
    configs[0]["peer"][0]["address"] = f"127.0.0.1:{wire.getsockname()[1]}"
    configs[1]["peer"][0]["address"] = f"127.0.0.1:{wire.getsockname()[1]}"
    one, two = (tuple_of(configs[0]["node"]["listen"]), tuple_of(real))
    seen, stop = [], threading.Event()

    def listen():
        while not stop.is_set():
            if select.select([wire], [], [], 0.05)[0]:
                data, source = wire.recvfrom(1 << 16)
                seen.append(data)
                wire.sendto(data, two if source == one else one)
    listener = threading.Thread(target=listen)
    listener.start()
    try:
        with lab.Lab() as bench:
            nodes = [bench.node(config) for config in configs]
            nodes[0].wait_up(2)
            wait_until("node 1 serves the track", 5, lambda: nodes[0].stats()["usage"]["subscriptions_down"] == 1)
            with stream:
                time.sleep(1)
    finally:
        stop.set()
        listener.join()
    check(len(stream.got) > PER_SECOND // 2, f"only {len(stream.got)} packets arrived through the listener")
    for word in (b"lab-e2e", b"region-1", b"aes-128-gcm", b"track_namespace", Stream.packet(PER_SECOND // 2)[12:60]):
        check(not any(word in datagram for datagram in seen), f"{word!r} can be read on the wire")
    say(f"  {len(seen)} datagrams were looked through")


def a_key_log_has_a_line_for_each_index_and_only_its_owner_reads_it():
    configs = pair()
    with lab.Lab() as bench:
        for i, config in enumerate(configs, 1):
            config["security"] = {**lab.keys().security(i, "lab-e2e", f"region-{i}"),
                                  "key_log": str(bench.directory / f"{i}.keys")}
        nodes = [bench.node(config) for config in configs]
        nodes[0].wait_up(2)
        nodes[1].wait_up(1)
        logs = [(bench.directory / f"{i}.keys") for i in (1, 2)]
        lines = [log.read_text(encoding="ascii").splitlines() for log in logs]
        check(set(lines[0]) & set(lines[1]), f"the two ends log different keys: {lines}")
        check(all(line.split()[0] == "TRUNKLINE_SESSION" and line.split()[2] == "1" for line in lines[0]), lines[0])
        check(all(log.stat().st_mode & 0o777 == 0o600 for log in logs), "a key log may be read by others")
        check("WARNING" in nodes[0].text(), "a node with a key log does not say so")


def tuple_of(address):
    host, port = address.rsplit(":", 1)
    return (socket.gethostbyname(host), int(port))


if __name__ == "__main__":
    lab.run(keys_are_replaced_each_second_under_traffic, keys_are_replaced_after_so_many_datagrams,
            a_killed_peer_is_back_on_new_keys, a_revoked_certificate_is_named_at_both_ends,
            who_is_not_of_the_cluster_gets_no_link, a_cluster_goes_from_one_suite_to_another,
            a_key_log_has_a_line_for_each_index_and_only_its_owner_reads_it, nothing_readable_is_on_the_wire)
