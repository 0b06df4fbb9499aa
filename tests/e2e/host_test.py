"""tools/examples/host.py drives two nodes from Python: it publishes on one, acquires on the other, and RTP that goes
in at the first's ingest tap comes out at the second's egress tap, byte for byte.
"""
import json
import pathlib
import signal
import struct
import sys
import time

import lab
import media
from lab import check, say, wait_until

HOST = pathlib.Path(__file__).resolve().parents[2] / "tools" / "examples" / "host.py"
LINES_MAX = 40
PACKETS, PACE_S = 50, 0.005


def rtp(sequence):
    """RFC 3550, section 5.1: version 2, payload type 97, and 100 bytes that differ from packet to packet."""
    return struct.pack("!BBHII", 0x80, 97, sequence, 960 * sequence, 0x1234) + bytes([sequence & 255]) * 100


def event_of(process, name):
    """The first event of this name that the host printed."""
    def look():
        check(process.exit_code() is None, f"the host ended: {process.text()}")
        return next((json.loads(line.split(" ", 1)[1]) for line in process.text().splitlines()
                     if line.startswith(name + " ")), None)
    return wait_until(f"the host prints '{name}'", 5, look)


def host(bench, node, *words):
    return bench.process([sys.executable, HOST, node.socket_path, *words], f"host-{words[0]}")


def a_python_host_of_forty_lines_moves_media():
    lines = len(HOST.read_text(encoding="utf-8").splitlines())
    check(lines <= LINES_MAX, f"host.py has {lines} lines; its promise is {LINES_MAX}")
    addresses = [f"127.0.0.1:{port}" for port in lab.free_udp_ports(2)]
    with lab.Lab() as bench:
        nodes = [bench.node(lab.node_config(1, addresses[0], [(2, addresses[1])])),
                 bench.node(lab.node_config(2, addresses[1], [(1, addresses[0])]))]
        nodes[1].wait_up(1)
        publisher = host(bench, nodes[0], "publish", "room/cam", "127.0.0.1:0")
        listens = event_of(publisher, "published")["address"]
        out = media.Edge()
        bench.defer(out.close)
        with media.Edges(out):
            wait_until("node 2 has heard of the track", 2, lambda: nodes[1].stats()["mesh"]["announcements_received"])
            subscriber = host(bench, nodes[1], "acquire", "room/cam", f"127.0.0.1:{out.tap_port}")
            outcome = event_of(subscriber, "outcome")
            check(outcome["outcome"] == "OK" and outcome["node"] == 1, f"the acquire: {outcome}")
            address, port = listens.rsplit(":", 1)
            source = media.udp_socket()
            bench.defer(source.close)
            for sequence in range(PACKETS):
                source.sendto(rtp(sequence), (address, int(port)))
                time.sleep(PACE_S)
            wait_until("the packets come out", 2, lambda: len(out.from_node) >= PACKETS)
            check([data for _, data in out.from_node] == [rtp(i) for i in range(PACKETS)],
                  "other bytes, or another order")
            publisher.stop(2, signal.SIGINT)
            check(subscriber.wait(2) == 0, "the subscriber's host ended badly")
            check(subscriber.text().splitlines()[-1].startswith("ended ") and '"GONE"' in subscriber.text(),
                  f"the track is gone: {subscriber.text()}")
        say(f"  published at {listens}, acquired from node {outcome['node']} in {outcome['elapsed_us']} us, {PACKETS} "
            "packets in order, GONE when the publisher left")


def a_wrong_request_ends_the_host_with_the_nodes_words():
    port, = lab.free_udp_ports(1)
    with lab.Lab() as bench:
        node = bench.node(lab.node_config(1, f"127.0.0.1:{port}"))
        wrong = host(bench, node, "acquire", "room/cam", "nowhere")
        check(wrong.wait(5) == 1 and "acquire: TL_EINVAL: " in wrong.text(), f"the host says: {wrong.text()}")
        nobody = host(bench, node, "acquire", "nobody has it", "127.0.0.1:9")
        check(nobody.wait(5) == 0 and "NOT_HERE" in nobody.text(), f"the host says: {nobody.text()}")


if __name__ == "__main__":
    lab.trunkline()
    lab.run(a_python_host_of_forty_lines_moves_media, a_wrong_request_ends_the_host_with_the_nodes_words)
