"""What must not start does not start, and who must not work together does not, named, on loopback as any user.

Peers whose wire-relevant settings differ refuse each other within one round trip, both naming setting and values,
while everybody else's media stays; a legitimate change (accept everywhere, then use) passes. A node without a setting
that its wire version requires does not start; --check-config says the same and opens no socket. SIGTERM ends a node
cleanly and soon, whatever it was doing.
"""
import signal
import subprocess
import time

import lab
import media
import sockets_forbidden
from lab import check, say, wait_until

ONE_WAY_MS = 20
REFUSED_WITHIN_S = 2e-3 * ONE_WAY_MS + 1.0
ENDED_WITHIN_S = 2.0


def loopback_configs(count):
    """Nodes 1, 2, ... that are all peers of each other."""
    addresses = [f"127.0.0.1:{port}" for port in lab.free_udp_ports(count)]
    everybody = list(enumerate(addresses, 1))
    return [lab.node_config(i, address, [p for p in everybody if p[0] != i], ONE_WAY_MS) for i, address in everybody]


def refused_at(node, peer, wanted):
    """Waits until the link is INCOMPATIBLE; its text must then be `wanted`."""
    def look():
        link = node.admin.link(peer)
        return link["text"] if link["state"] == "INCOMPATIBLE" else None
    text = wait_until(f"node {peer} is refused", REFUSED_WITHIN_S, look, pause_s=0.005)
    check(text == wanted, f"the refusal of node {peer} says '{text}', not '{wanted}'")
    return text


def differing(setting, value, usual):
    """Nodes 1 and 3 agree; node 2 differs in one setting."""
    at_others = f"wire.{setting}: mine '{usual}', theirs '{value}'"
    at_second = f"wire.{setting}: mine '{value}', theirs '{usual}'"
    configs = loopback_configs(3)
    configs[1]["wire"][setting] = value
    with lab.Lab() as bench:
        first, third = bench.node(configs[0]), bench.node(configs[2])
        first.wait_up(3)
        third.wait_up(1)
        published = third.admin.call("publish", track="elsewhere")["handle"]
        third.admin.event(handle=published, event="published")
        begin = time.monotonic()
        second = bench.node(configs[1])
        here, there = refused_at(first, 2, at_others), refused_at(second, 1, at_second)
        took = time.monotonic() - begin
        say(f"  after {1e3 * took:.0f} ms, start included: node 1 says '{here}'; node 2 says '{there}'")
        check(took <= REFUSED_WITHIN_S, f"refused after {took:.3f} s, later than one round trip and 1 s")
        refused_at(third, 2, at_others)
        # Acquires go elsewhere at once, and the link between those who agree never noticed.
        first.admin.call("hint", track="elsewhere", node=2)
        asked = first.admin.call("acquire", track="elsewhere", deadline_ms=1000)["handle"]
        outcome = first.admin.event(handle=asked, event="outcome")
        check(outcome["outcome"] == "OK" and outcome["node"] == 3, f"the track is at node 3: {outcome}")
        for node, peer in ((first, 3), (third, 1)):
            check(node.admin.link(peer)["state"] == "UP", f"the link to node {peer} is no longer up")
            check(node.stats()["mesh"]["links_down"] == 0, f"the link to node {peer} went down in between")


def peers_with_another_mtu_refuse_each_other_by_name():
    differing("mtu", 1400, 1500)


def peers_with_another_namespace_refuse_each_other_by_name():
    differing("track_namespace", "other", "e2e")


def a_value_that_each_accepts_of_the_other_is_no_difference():
    configs = loopback_configs(2)
    configs[1]["wire"]["mtu"] = 1400
    for config in configs:
        config["wire"]["accept"] = {"mtu": [1400, 1500]}
    with lab.Lab() as bench:
        nodes = [bench.node(config) for config in configs]
        nodes[0].wait_up(2)
        nodes[1].wait_up(1)


def command(bench, config, *options, **popen):
    """Runs `trunkline node` on a configuration to its end."""
    path = bench.directory / "checked.toml"
    path.write_text(lab.toml(config), encoding="utf-8")
    return path, subprocess.run([lab.trunkline(), "node", "--config", path, *options], capture_output=True, text=True,
                                timeout=5, check=False, **popen)


def a_node_without_a_required_setting_does_not_start():
    for setting in ("track_namespace", "mtu", "suite"):
        config, = loopback_configs(1)
        del config["wire"][setting]
        with lab.Lab() as bench:
            path, started = command(bench, config)
            _, checked = command(bench, config, "--check-config")
            wanted = f"wire.{setting}: is required and absent: wire version 1 has no default for it"
            for name, done in (("node", started), ("--check-config", checked)):
                check(done.returncode == 1, f"{name} without wire.{setting} ended with {done.returncode}")
                check(wanted in done.stderr and f"{path}:" in done.stderr, f"{name} says: {done.stderr}")


def check_config_opens_no_socket():
    if sockets_forbidden.SYS_SOCKET is None:
        say("  not shown: the number of socket(2) on this machine is not known here")
        return
    config, = loopback_configs(1)
    with lab.Lab() as bench:
        path, done = command(bench, config, "--check-config", preexec_fn=sockets_forbidden.forbid)
        check(done.returncode == 0 and done.stdout == f"{path}: OK\n", f"--check-config: {done}")
        # The proof can fail: the same filter ends a node that starts.
        _, started = command(bench, config, preexec_fn=sockets_forbidden.forbid)
        check(started.returncode == -signal.SIGSYS, f"a node without sockets ended with {started.returncode}")


def ends_cleanly(which, peer_is_stopped):
    configs = loopback_configs(2)
    with lab.Lab() as bench:
        nodes = [bench.node(config) for config in configs]
        nodes[0].wait_up(2)
        edge = media.Edge()
        bench.defer(edge.close)
        tap = f"127.0.0.1:{edge.tap_port}"
        published = nodes[0].admin.call("publish", track="out", ingest="127.0.0.1:0")["handle"]
        nodes[0].admin.event(handle=published, event="published")
        nodes[1].admin.call("publish", track="in")
        asked = nodes[0].admin.call("acquire", track="in", egress=tap, rendezvous_ms=1000)["handle"]
        check(nodes[0].admin.event(handle=asked, event="outcome")["outcome"] == "OK", "the acquire")
        nodes[0].admin.call("acquire", track="nobody has it", rendezvous_ms=60_000, deadline_ms=60_000)
        if peer_is_stopped:
            nodes[1].send(signal.SIGSTOP)
        code, took = nodes[0].stop(ENDED_WITHIN_S + 1, which)
        check(code == 0, f"the node ended with {code}")
        check(took <= ENDED_WITHIN_S, f"the node took {took:.2f} s to end")
        check(not nodes[0].socket_path.exists(), "the admin socket's file is still there")
        say(f"  {which.name}{', its peer stopped' * peer_is_stopped}: exit code 0 after {1e3 * took:.0f} ms")


def signals_end_a_busy_node_cleanly():
    ends_cleanly(signal.SIGTERM, False)
    ends_cleanly(signal.SIGINT, False)
    ends_cleanly(signal.SIGTERM, True)


def a_port_in_use_is_said_and_nothing_is_left():
    config, = loopback_configs(1)
    with lab.Lab() as bench:
        bench.node(config)
        del config["node"]["admin"]
        _, second = command(bench, config)
        check(second.returncode == 3, f"a second node on the same address ended with {second.returncode}")
        check(config["node"]["listen"] in second.stderr, f"it does not name the address: {second.stderr}")


if __name__ == "__main__":
    lab.trunkline()
    lab.run(peers_with_another_mtu_refuse_each_other_by_name, peers_with_another_namespace_refuse_each_other_by_name,
            a_value_that_each_accepts_of_the_other_is_no_difference, a_node_without_a_required_setting_does_not_start,
            check_config_opens_no_socket, signals_end_a_busy_node_cleanly, a_port_in_use_is_said_and_nothing_is_left)
