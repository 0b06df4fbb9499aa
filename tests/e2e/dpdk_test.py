"""Nodes that drive devices of their own through DPDK: with an ordinary kernel at the other end of the wire, with each
other in shared memory, killed and back.

    namespace a                                       namespace b
    sender -> 127.0.0.1 [[ingest]] node 1 == device == node 2 [[egress]] 127.0.0.1 -> receiver

Shown for each device: every RTP packet arrives once and byte-identical in both directions, the wire's host answers ping
and resolves its neighbours, and a node that was killed is back within a second. Devices that this machine or build
lacks are named and left out.
"""
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import lab
from lab import Failed, check, say, total, wait_until

A, B = "198.18.0.1", "198.18.0.2"
A6, B6 = "2001:2::1", "2001:2::2"
NODE_A, NODE_B = f"{A}:7000", f"{B}:7000"
PACKETS = 2000
PER_MS = 4
BACK_WITHIN_S = 1.0
# Ordinary pages: what any machine has.
SMALL = {"pages": "small", "memory_mib": 128, "buffers": 4096, "verify_udp_checksum": False}


def rtp(number):
    """A packet whose every byte follows from its number; sizes from small audio to large video."""
    size = 12 + (number * 37) % 1150
    head = struct.pack("!BBHII", 0x80, 96, number & 0xFFFF, number * 960 & 0xFFFFFFFF, 0x5EED)
    return head + bytes((number * 131 + i * 7) & 0xFF for i in range(size - 12))


def udp(port=0):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    made.bind(("127.0.0.1", port))
    return made


class End:
    """A namespace with a node, an ingest tap, and a receiver behind an egress tap."""

    def __init__(self, bench, number):
        self.number, self.namespace = number, bench.namespace()
        with self.namespace:
            self.receiver, self.sender = udp(), udp()
        bench.defer(self.receiver.close)
        bench.defer(self.sender.close)

    def config(self, device=None, port="auto", cores=1):
        listen, peer = (NODE_A, NODE_B) if self.number == 1 else (NODE_B, NODE_A)
        other = 3 - self.number
        config = lab.node_config(self.number, listen, [(other, peer)], port="dpdk" if device else port, data_cores=cores)
        if device:
            mine = (A, A6) if self.number == 1 else (B, B6)
            config["dpdk"] = {"device": device, "addresses": [f"{mine[0]}/24", f"{mine[1]}/64"], **SMALL}
        config["ingest"] = [{"track": f"track-{self.number}", "listen": "127.0.0.1:5004", "class": "video"}]
        config["egress"] = [{"track": f"track-{other}", "to": f"127.0.0.1:{self.receiver.getsockname()[1]}",
                             "deadline_ms": 10_000, "rendezvous_ms": 9_000}]
        return config

    def send(self, numbers):
        for n, number in enumerate(numbers):
            self.sender.sendto(rtp(number), ("127.0.0.1", 5004))
            if n % PER_MS == PER_MS - 1:
                time.sleep(0.001)

    def receive(self, count, limit_s):
        got, end = [], time.monotonic() + limit_s
        while len(got) < count and (left := end - time.monotonic()) > 0:
            if select.select([self.receiver], [], [], left)[0]:
                got.append(self.receiver.recv(1 << 16))
        return got


def exchange(a, b, first=0, count=PACKETS):
    """Every packet once, byte-identical, in order, both ways."""
    for sender, receiver in ((a, b), (b, a)):
        sender.send(range(first, first + count))
        got = receiver.receive(count, 5)
        wanted = [rtp(n) for n in range(first, first + count)]
        check(len(got) == count, f"{count - len(got)} of {count} packets of node {sender.number} did not arrive")
        check(got == wanted, f"packets of node {sender.number} arrived with other bytes or in another order")


def up(*nodes):
    """Links up, and each node serves its track to the other."""
    for node, peer in zip(nodes, (2, 1)):
        node.wait_up(peer)
    for node in nodes:
        wait_until(f"{node.config_path.stem} serves its track", 5,
                   lambda node=node: node.stats()["usage"]["subscriptions_down"] == 1)


def back(bench, config, end, other):
    """A killed node starts again: link and track are up within a second after it serves its admin socket."""
    node = bench.node(config, end.namespace)
    began = time.monotonic()
    up(*sorted((node, other), key=lambda one: one.config_path.stem))
    took = time.monotonic() - began
    say(f"  node {config['node']['id']} is back after {1e3 * took:.0f} ms")
    check(took < BACK_WITHIN_S, "the killed node is not back within a second")
    return node


def no_drops(*nodes):
    for node in nodes:
        for core in node.stats()["cores"]:
            drops = {k: v for k, v in core["drops"].items() if v and k != "feedback_ended"}
            check(not drops, f"{node.config_path.stem} dropped: {drops}")


def stop(node):
    """In order; the driver has given back every buffer."""
    code, _ = node.stop(3)
    check(code == 0, f"{node.config_path.stem} ended with {code}")
    check("not given back" not in node.text(), f"{node.config_path.stem} leaks buffers")


def veth(bench, kernel_address=True):
    """Two ends joined by a veth. The kernel at end b sends no GSO runs: they would leave segmented by nobody."""
    a, b = End(bench, 1), End(bench, 2)
    with a.namespace:
        lab.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b.namespace.path)
        lab.ip("link", "set", "wire", "up", "gso_max_segs", "1")
        for family in ("4", "6"):
            lab.ip(f"-{family}", "address", "flush", "dev", "wire")
    with b.namespace:
        lab.ip("link", "set", "wire", "up", "gso_max_segs", "1")
        if kernel_address:
            lab.ip("address", "add", f"{B}/24", "dev", "wire")
            lab.ip("address", "add", f"{B6}/64", "dev", "wire", "nodad")
    return a, b


def ping(namespace, address):
    """One echo request by a raw socket: (answered, seconds)."""
    v6 = ":" in address
    body = struct.pack("!HH", 77, 1) + b"trunkline"
    with namespace:
        if v6:
            s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.getprotobyname("ipv6-icmp"))
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with s:
        head = struct.pack("!BBH", 128 if v6 else 8, 0, 0)
        if not v6:
            words = head + body + b"\0"
            sum_ = sum(struct.unpack(f"!{len(words) // 2}H", words))
            sum_ = (sum_ & 0xFFFF) + (sum_ >> 16)
            head = struct.pack("!BBH", 8, 0, ~(sum_ + (sum_ >> 16)) & 0xFFFF)
        begin = time.monotonic()
        s.sendto(head + body, (address, 0))
        while (left := begin + 2 - time.monotonic()) > 0:
            if not select.select([s], [], [], left)[0]:
                break
            answer = s.recv(2048)
            if not v6:
                answer = answer[4 * (answer[0] & 15):]
            if answer[0] == (129 if v6 else 0) and answer[4:4 + len(body)] == body:
                return time.monotonic() - begin
    raise Failed(f"{address} does not answer an echo request")


def beside_a_kernel():
    """net_af_packet on a veth whose other end is Linux with sockets: ARP, NDP, echo, and media both ways."""
    with lab.Lab() as bench:
        a, b = veth(bench)
        node_a = bench.node(a.config("net_af_packet0,iface=wire"), a.namespace)
        node_b = bench.node(b.config(), b.namespace)
        up(node_a, node_b)
        exchange(a, b)
        no_drops(node_a, node_b)
        say(f"  echo: {1e3 * ping(b.namespace, A):.1f} ms, IPv6 {1e3 * ping(b.namespace, A6):.1f} ms")
        ports = node_a.stats()["cores"][0]["port"]
        check(ports["name"] == "dpdk", f"the port is {ports['name']}")
        host = {k: v for k, v in ports["ip"].items() if v}
        check(host.get("echo_answers") == 2 and host.get("nd_answers") and host.get("resolutions"), f"{host}")
        stop(node_a)


def beside_the_kernel():
    """AF_XDP on one end of a veth: only the node's datagrams are taken, the kernel keeps the rest. Killed, and back."""
    with lab.Lab() as bench:
        a, b = End(bench, 1), End(bench, 2)
        lab.join(a.namespace, A, b.namespace, B)
        for end, address in ((a, A6), (b, B6)):
            with end.namespace:
                lab.ip("address", "add", f"{address}/64", "dev", "wire", "nodad")
        config = a.config("an interface")
        config["dpdk"] = {"interface": "wire", **SMALL}
        node_a = bench.node(config, a.namespace)
        node_b = bench.node(b.config(), b.namespace)
        up(node_a, node_b)
        exchange(a, b)
        no_drops(node_a, node_b)
        received = node_a.stats()["cores"][0]["port"]["ip"]["rx_datagrams"]
        wait_until("every datagram is counted as redirected", 3,
                   lambda: node_a.stats()["cores"][0]["port"]["ip"]["xdp_redirected"] >= received)
        ours = node_a.stats()["cores"][0]["port"]["ip"]
        say(f"  {received} datagrams received, then {ours['xdp_redirected']} redirected by the XDP program")
        for counter in ("questions_lost", "answers_lost", "news_lost", "xdp_no_socket", "xdp_unsteered"):
            check(ours[counter] == 0, f"{counter} is {ours[counter]}")
        say(f"  echo by the kernel: {1e3 * ping(b.namespace, A):.1f} ms, IPv6 {1e3 * ping(b.namespace, A6):.1f} ms")
        with a.namespace:
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            other.bind((A, 9000))
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                stranger.bind((A, 7000))
                raise Failed("the node's port is to be had by others")
            except OSError:
                stranger.close()
        with b.namespace, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"for the kernel", (A, 9000))
        check(select.select([other], [], [], 2)[0] and other.recv(100) == b"for the kernel",
              "another port's datagram did not reach the kernel")
        other.close()

        node_a.send(signal.SIGKILL)
        node_a.wait(2)
        ping(b.namespace, A)
        wait_until("node 2 sees the link down", 2, lambda: node_b.admin.link(1)["state"] != "UP")
        time.sleep(1)  # the kernel lets go of a queue that AF_XDP had within a second
        node_a = back(bench, config, a, node_b)
        exchange(a, b, first=10_000)
        stop(node_a)
        ping(b.namespace, A)


def in_shared_memory():
    """net_memif between two processes; then one of them is killed, and is back within a second."""
    with lab.Lab() as bench:
        a, b = End(bench, 1), End(bench, 2)
        wire = f"socket={bench.directory}/memif.sock,socket-abstract=no"
        configs = [a.config(f"net_memif0,role=server,{wire}"),
                   b.config(f"net_memif1,role=client,mac=02:00:00:00:00:02,{wire}")]
        node_a, node_b = bench.node(configs[0], a.namespace), bench.node(configs[1], b.namespace)
        up(node_a, node_b)
        exchange(a, b)
        no_drops(node_a, node_b)

        node_b.send(signal.SIGKILL)
        node_b.wait(2)
        wait_until("node 1 sees the link down", 2, lambda: node_a.admin.link(2)["state"] != "UP")
        node_b = back(bench, configs[1], b, node_a)
        exchange(a, b, first=10_000)

        time.sleep(1.2)  # media that ended less than a second ago is still said to flow
        node_a.send(signal.SIGKILL)  # the server: its client connects again by itself
        node_a.wait(2)
        wait_until("node 2 sees the link down", 2, lambda: node_b.admin.link(1)["state"] != "UP")
        node_a = back(bench, configs[0], a, node_b)
        exchange(a, b, first=20_000)
        stop(node_b)
        stop(node_a)


def beside_a_paused_server():
    """It accepts nobody, so that connecting to it would wait for good: the client's data core goes on, the client ends in
    order, and another server has it back."""
    with lab.Lab() as bench:
        a, b = End(bench, 1), End(bench, 2)
        wire = f"socket={bench.directory}/memif.sock,socket-abstract=no"
        server = a.config(f"net_memif0,role=server,{wire}")
        client = b.config(f"net_memif1,role=client,mac=02:00:00:00:00:02,{wire}")
        node_a = bench.node(server, a.namespace)
        node_a.send(signal.SIGSTOP)
        for life in range(2):  # the second finds the queue of the server's socket full from the start
            node_b = bench.node(client, b.namespace)
            time.sleep(2)
            turns = total(node_b.stats(), "port", "wakeups")
            wait_until(f"the data core of life {life} runs its loop", 1,
                       lambda: total(node_b.stats(), "port", "wakeups") > turns)
            if life == 0:
                stop(node_b)
        # Gone on, it might abort: DPDK's server forgets a descriptor of a client that left before it was accepted.
        node_a.send(signal.SIGKILL)
        node_a.wait(2)
        node_a = back(bench, server, a, node_b)
        exchange(a, b)
        stop(node_b)
        stop(node_a)


def on_many_cores():
    """Two data cores a node, two queues of net_memif. Queue i of one end is queue i of the other, whatever port a datagram
    is for: what arrives on the wrong core is handed over."""
    with lab.Lab() as bench:
        a, b = End(bench, 1), End(bench, 2)
        wire = f"socket={bench.directory}/memif.sock,socket-abstract=no"
        devices = [f"net_memif0,role=server,{wire}", f"net_memif1,role=client,mac=02:00:00:00:00:02,{wire}"]
        nodes = [bench.node(end.config(device, cores=2), end.namespace) for end, device in zip((a, b), devices)]
        up(*nodes)
        # More tracks, until both cores own some: each core announces to, and receives from, both of the peer's.
        for n in range(6):
            nodes[0].admin.call("publish", track=f"more-{n}")
            nodes[1].admin.call("acquire", track=f"more-{n}")
        exchange(a, b)
        handed = [total(node.stats(), "counters", "handed_over") for node in nodes]
        taken = [total(node.stats(), "counters", "taken_over") for node in nodes]
        check(sum(handed) > 0, "nothing arrived on another core than its lane's")
        say(f"  handed over {handed}, taken over {taken}")
        no_drops(*nodes)
        for node in nodes:
            stop(node)


def through_a_tap():
    """net_tap: the kernel of the same namespace is the other host."""
    with lab.Lab() as bench:
        a = End(bench, 1)
        b = End(bench, 2)
        b.namespace = a.namespace
        with a.namespace:
            b.receiver, b.sender = udp(), udp()
        node_a = bench.node(a.config("net_tap0,iface=wire"), a.namespace)
        with a.namespace:
            lab.ip("link", "set", "wire", "up")
            lab.ip("address", "add", f"{B}/24", "dev", "wire")
        config = b.config()
        config["ingest"][0]["listen"] = "127.0.0.1:5005"
        node_b = bench.node(config, b.namespace)
        up(node_a, node_b)
        a.send(range(PACKETS))
        got = b.receive(PACKETS, 5)
        check(got == [rtp(n) for n in range(PACKETS)], f"{len(got)} of {PACKETS} packets arrived as they were sent")
        stop(node_a)


def as_an_ordinary_user():
    """net_memif with ordinary pages takes no rights: two nodes of user nobody, each in a directory that it may write."""
    with lab.Lab() as bench:
        bench.directory.chmod(0o777)
        a, b = End(bench, 1), End(bench, 2)
        wire = f"socket={bench.directory}/memif.sock,socket-abstract=no"
        devices = [f"net_memif0,role=server,{wire}", f"net_memif1,role=client,mac=02:00:00:00:00:02,{wire}"]
        configs = [end.config(device) for end, device in zip((a, b), devices)]
        configs = [lab.with_keys(config) for config in configs]
        lab.keys().give_to(65534)
        nodes = [bench.node(config, end.namespace, user=65534, env={**os.environ, "XDG_RUNTIME_DIR": "/tmp"})
                 for end, config in zip((a, b), configs)]
        up(*nodes)
        exchange(a, b, count=500)
        for node in nodes:
            stop(node)
    lab.keys.cache_clear()  # whoever comes next makes keys of its own


def the_acceptance_script_accepts_what_works():
    """tests/e2e/nic_acceptance.py, both its sides, over net_memif."""
    with lab.Lab() as bench:
        script = pathlib.Path(__file__).with_name("nic_acceptance.py")
        wire = f"socket={bench.directory}/memif.sock,socket-abstract=no"
        sides = []
        for side, here, there, device in (("--near", A, B, f"net_memif0,role=server,{wire}"),
                                          ("--far", B, A, f"net_memif1,role=client,mac=02:00:00:00:00:02,{wire}")):
            sides.append(bench.process([sys.executable, "-B", script, side, "--device", device, "--here", here, "--there",
                                        there, "--cores", "2", "--seconds", "1", "--pages", "small"], side.strip("-"),
                                       bench.namespace()))
        for side in sides:
            check(side.wait(30) == 0, f"{side.log.stem}: {side.text()}")
        say("".join(f"  {line}\n" for line in sides[0].text().splitlines() if line.startswith("PASS")).rstrip())


def refuses(config, *words):
    """The node does not start, and one line says what, where and what to do."""
    with lab.Lab() as bench:
        path = bench.directory / "node.toml"
        path.write_text(lab.toml(config), encoding="utf-8")
        process = bench.process([lab.trunkline(), "node", "--config", path], "refused")
        check(process.wait(10) != 0, f"a node started with {config['dpdk']}")
        said = process.text().strip()
        for word in words:
            check(word in said, f"'{word}' is not in: {said}")
        say(f"  {said.splitlines()[-1]}")


def refuses_in_one_sentence():
    with lab.Lab() as bench:
        end = End(bench, 1)
        refuses(end.config("net_af_packet0,iface=none-such"), "none-such")
        refuses(end.config("net_nonsense0"), "net_nonsense0", "driver")
        config = end.config("net_null0")
        config["dpdk"]["pages"] = "huge"
        config["dpdk"]["memory_mib"] = 1 << 20
        refuses(config, "pages of 2 MiB", "nr_hugepages")
        config = end.config("net_null0")
        config["dpdk"]["plugin"] = "/nowhere/libtrunkline-dpdk.so"
        refuses(config, "/nowhere/libtrunkline-dpdk.so", "apt-get install")
        config = end.config("net_null0")
        config["dpdk"]["addresses"] = ["198.18.0.9/24"]
        refuses(config, "node.listen", "dpdk.addresses")


def plugin_is_there():
    doctor = subprocess.run([lab.trunkline(), "doctor"], capture_output=True, text=True, timeout=20, check=False)
    line = next((l for l in doctor.stdout.splitlines() if " dpdk " in l), "")
    if not line.startswith("PASS"):
        lab.skip(f"needs the DPDK plug-in: {line.strip() or 'this build has none'}")


if __name__ == "__main__":
    lab.need_root()
    plugin_is_there()
    cases = [refuses_in_one_sentence, beside_a_kernel, beside_the_kernel, in_shared_memory, beside_a_paused_server, on_many_cores, through_a_tap, as_an_ordinary_user,
             the_acceptance_script_accepts_what_works]
    wanted = sys.argv[1:]
    lab.run(*[c for c in cases if not wanted or c.__name__ in wanted])
