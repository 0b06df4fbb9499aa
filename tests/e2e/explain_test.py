"""`trunkline explain` and `trunkline flights` as an operator runs them, against real nodes on loopback: in each
situation the first line says the true cause.
"""
import contextlib
import json
import re
import signal
import socket
import subprocess
import time

import lab
from lab import check, say, wait_until


def run(*words):
    """(exit code, standard output, standard error) of a trunkline command that ends by itself."""
    done = subprocess.run([lab.trunkline(), *map(str, words)], capture_output=True, text=True, timeout=10, check=False)
    return done.returncode, done.stdout, done.stderr


def first_line(node, track="room/cam"):
    code, text, errors = run("explain", "--config", node.config_path, track)
    check(code == 0 and errors == "", f"exit code {code}: {errors}")
    return text.splitlines()[0]


def says(pattern, line):
    check(re.fullmatch(pattern, line) is not None, f"the first line is\n  {line}\nand not\n  {pattern}")
    say(f"  {line}")


def eventually_says(pattern, node, limit_s=5, track="room/cam"):
    """Within limit_s the first line is `pattern`, and nothing is lost on the way: the last one is shown."""
    seen = [""]

    def look():
        seen[0] = first_line(node, track)
        return re.fullmatch(pattern, seen[0])
    with contextlib.suppress(lab.Failed):
        wait_until("the first line", limit_s, look, pause_s=0.05)
    says(pattern, seen[0])


def mesh(bench, count):
    """`count` nodes that are all peers of each other, links up."""
    addresses = [f"127.0.0.1:{port}" for port in lab.free_udp_ports(count)]
    everybody = list(enumerate(addresses, 1))
    nodes = [bench.node(lab.node_config(i, a, [p for p in everybody if p[0] != i])) for i, a in everybody]
    for i, node in enumerate(nodes, 1):
        node.wait_up(*[other for other, _ in everybody if other != i])
    return nodes


def publish(node, **how):
    handle = node.admin.call("publish", track="room/cam", **how)["handle"]
    return handle, node.admin.event(handle=handle, event="published")


def acquire(node, track="room/cam", **how):
    handle = node.admin.call("acquire", track=track, **how)["handle"]
    return handle, node.admin.event(handle=handle, event="outcome")


class Publisher:
    """Sends small RTP packets to a tap, on demand."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sequence = 0

    def send(self, count=5):
        for _ in range(count):
            self._sequence += 1
            header = bytes([0x80, 111]) + self._sequence.to_bytes(2, "big") + (self._sequence * 960).to_bytes(4, "big")
            self._socket.sendto(header + b"\x00\x00\x00\x07" + b"x" * 80, self._to)
            time.sleep(0.002)

    def close(self):
        self._socket.close()


def a_track_flows_is_muted_and_flows_again():
    with lab.Lab() as bench:
        here, there = mesh(bench, 2)
        _, published = publish(there, ingest="127.0.0.1:0")
        publisher = Publisher(published["address"])
        bench.defer(publisher.close)
        says("track 'room/cam' is muted: it is published here and its publisher sends nothing", first_line(there))
        eventually_says("track 'room/cam' does not flow: nobody on this node asks for it; node 2 has it", here)
        check(acquire(here)[1]["outcome"] == "OK", "acquired")
        says("track 'room/cam' is muted: node 2 serves it and its publisher sends nothing", first_line(here))
        publisher.send()
        says(r"track 'room/cam' flows from node 2 \(direct\), last packet [0-9.]+ ms ago", first_line(here))
        says("track 'room/cam' flows: it is published here, last packet [0-9.]+ ms ago", first_line(there))
        eventually_says(r"track 'room/cam' is muted: node 2 serves it and its publisher sends nothing "
                        r"\(no packet for [0-9.]+ s\)", here)


def a_refused_peer_is_named_with_the_setting():
    with lab.Lab() as bench:
        addresses = list(enumerate([f"127.0.0.1:{port}" for port in lab.free_udp_ports(2)], 1))
        configs = [lab.node_config(i, a, [p for p in addresses if p[0] != i]) for i, a in addresses]
        configs[1]["wire"]["track_namespace"] = "staging"
        here, there = [bench.node(config) for config in configs]
        for node, peer, values in ((here, 2, "mine 'e2e', theirs 'staging'"), (there, 1, "mine 'staging', theirs 'e2e'")):
            eventually_says(f"track 'room/cam' does not flow: node {peer} refuses this node: "
                            f"wire.track_namespace: {values}", node)


def an_absent_track_is_denied_by_all():
    with lab.Lab() as bench:
        here, _, _ = mesh(bench, 3)
        check(acquire(here)[1]["outcome"] == "NOT_HERE", "nobody has it")
        says("track 'room/cam' does not flow: nobody has it: 2 of 2 nodes said so, [0-9.]+ m?s ago", first_line(here))


def a_peer_that_drains_is_named():
    with lab.Lab() as bench:
        here, there = mesh(bench, 2)
        publish(there)
        there.admin.call("drain")
        check(acquire(here)[1]["outcome"] == "DRAINING", "it drains")
        says("track 'room/cam' does not flow: node 2 has it and is draining: it takes no new subscribers, .* ago",
             first_line(here))


def a_dead_and_a_stopped_publisher_are_links_that_are_down():
    with lab.Lab() as bench:
        here, there, _ = mesh(bench, 3)
        publish(there)
        check(acquire(here)[1]["outcome"] == "OK", "acquired")
        there.send(signal.SIGSTOP)
        eventually_says("track 'room/cam' does not flow: the link to node 2, which feeds it, is down since [0-9.]+ m?s: "
                        "nothing heard; being retried", here)
        there.send(signal.SIGCONT)
        eventually_says("track 'room/cam' is muted: node 2 serves it and its publisher sends nothing", here)
        there.kill()
        eventually_says("track 'room/cam' does not flow: the link to node 2, which (feeds|has|had) it, is down since "
                        "[0-9.]+ m?s: nothing heard; being retried", here)


def a_node_without_its_required_setting_is_named_by_it():
    with lab.Lab() as bench:
        port, = lab.free_udp_ports(1)
        config = lab.node_config(1, f"127.0.0.1:{port}", admin=str(bench.directory / "node-1.sock"))
        path = bench.directory / "node-1.toml"
        path.write_text(lab.toml(config), encoding="utf-8")
        code, text, _ = run("explain", "--config", path, "room/cam")
        check(code == 3, f"exit code {code}")
        says("track 'room/cam' does not flow: no node runs here: there is no socket '.*node-1.sock'",
             text.splitlines()[0])
        del config["wire"]["track_namespace"]
        path.write_text(lab.toml(config), encoding="utf-8")
        code, text, _ = run("explain", "--config", path, "room/cam")
        check(code == 1, f"exit code {code}")
        says("track 'room/cam' does not flow: no node can start from this configuration: .*node-1.toml:[0-9]+:[0-9]+: "
             "wire.track_namespace: is required and absent: .*", text.splitlines()[0])
        code, text, _ = run("explain", "--json", "--config", path, "room/cam")
        check(json.loads(text)["cause"] == "NOT_RUNNING" and code == 1, text)


def a_node_that_runs_on_says_that_its_file_has_become_wrong():
    with lab.Lab() as bench:
        node, = mesh(bench, 1)
        text = node.config_path.read_text(encoding="utf-8")
        node.config_path.write_text(re.sub("track_namespace = .*\n", "", text), encoding="utf-8")
        code, text, _ = run("explain", "--config", node.config_path, "--admin", node.socket_path, "room/cam")
        check(code == 0, f"exit code {code}")
        says("track 'room/cam' does not flow: it is not published here, and this node has no peers",
             text.splitlines()[0])
        says("  warning      the node would not start again: .*wire.track_namespace: is required and absent: .*",
             text.splitlines()[-1])


def a_stopped_node_is_said_not_to_answer():
    with lab.Lab() as bench:
        node, = mesh(bench, 1)
        node.send(signal.SIGSTOP)
        begin = time.monotonic()
        code, text, _ = run("explain", "--config", node.config_path, "room/cam")
        check(code == 3 and time.monotonic() - begin < 5, f"exit code {code}")
        says("track 'room/cam' does not flow: the node does not say why: the process behind '.*' takes connections and "
             "does not answer: it is stopped, or busy beyond measure", text.splitlines()[0])
        node.send(signal.SIGCONT)


def the_last_acquires_are_remembered():
    with lab.Lab() as bench:
        here, there = mesh(bench, 2)
        publish(there)
        for track in ("room/cam", "nowhere", "room/cam"):
            handle, _ = acquire(here, track, deadline_ms=300)
            if track == "room/cam":
                here.admin.call("release", handle=handle)
                here.admin.event(handle=handle, event="ended")
        code, text, _ = run("flights", "--config", here.config_path, 10)
        flights = [json.loads(line) for line in text.splitlines()]
        check(code == 0 and [f["outcome"] for f in flights] == ["OK", "NOT_HERE", "OK"], text)
        check([f["deadline_us"] for f in flights] == [300_000] * 3 and flights[0]["node"] == 2, text)
        check(all(0 <= f["elapsed_us"] <= 301_000 for f in flights), text)
        code, text, _ = run("flights", "--config", here.config_path, 10, "nowhere")
        check(code == 0 and len(text.splitlines()) == 1, text)
        code, text, _ = run("flights", "--config", here.config_path, 1)
        check(code == 0 and len(text.splitlines()) == 1, text)
        code, _, errors = run("flights", 10)
        check(code == 1 and "where is the node?" in errors, errors)


def questions_that_are_wrong_are_answered_with_their_text():
    with lab.Lab() as bench:
        admin = mesh(bench, 1)[0].admin
        for method, params, text in (
                ("explain", {}, "give either 'track' (a name) or 'track_id' (32 hexadecimal digits)"),
                ("explain", {"trak": "a"}, "unknown member 'trak' - did you mean 'track'?"),
                ("flights", {"count": 0}, "'count' must be between 1 and 1000"),
                ("flights", {"count": 1001}, "'count' must be between 1 and 1000"),
                ("explian", {}, "no method 'explian' - did you mean 'explain'?")):
            try:
                admin.call(method, **params)
                check(False, f"{method} {params} was accepted")
            except lab.AdminError as error:
                check(text in str(error), f"{method} {params}: {error}")
        check(admin.call("flights") == [], "a node that was asked for nothing remembers nothing")
        check(admin.call("explain", track_id="0" * 31 + "1")["track_id"] == "0" * 31 + "1", "by id")


if __name__ == "__main__":
    lab.trunkline()
    lab.run(a_track_flows_is_muted_and_flows_again, a_refused_peer_is_named_with_the_setting,
            an_absent_track_is_denied_by_all, a_peer_that_drains_is_named,
            a_dead_and_a_stopped_publisher_are_links_that_are_down, a_node_without_its_required_setting_is_named_by_it,
            a_node_that_runs_on_says_that_its_file_has_become_wrong, a_stopped_node_is_said_not_to_answer,
            the_last_acquires_are_remembered, questions_that_are_wrong_are_answered_with_their_text)
