"""A laboratory on one machine: network namespaces, nodes as processes, and the admin socket's client.

The idea: everything that a test makes hangs on one `Lab`, and leaving it takes everything away again: processes by
their pid, each wait with a limit, then the directory. Namespaces have no name in /run/netns: they live as long as a
descriptor of this process or a process inside them, so that even a killed test leaves none behind. Addresses are of
198.18.0.0/15 (RFC 2544). Nodes are sealed, with keys made for the test. Used from one thread; needs Python 3, iproute2 and, for
namespaces, root.
"""
import collections
import contextlib
import ctypes
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # meson's and automake's exit code for a test that cannot run here
CLONE_NEWNET = 0x40000000  # linux/sched.h
libc = ctypes.CDLL(None, use_errno=True)
# A shell's background job ignores SIGINT, and so would every child of a test that it runs: who is to end by it could not.
signal.signal(signal.SIGINT, signal.default_int_handler)


def skip(reason):
    """Ends the test as skipped: the reason is its last line."""
    print(reason, flush=True)
    sys.exit(SKIPPED)


def need_root():
    if os.geteuid() != 0:
        skip("needs root: it makes network namespaces")
    if shutil.which("ip") is None:
        skip("needs iproute2: apt-get install iproute2")


def say(text):
    print(text, flush=True)


class Failed(Exception):
    """What a test expected and did not find."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def wait_until(what, limit_s, look, pause_s=0.01):
    """The first true value of look(); after limit_s the test has failed on `what`."""
    end = time.monotonic() + limit_s
    while True:
        value = look()
        if value:
            return value
        check(time.monotonic() < end, f"not within {limit_s} s: {what}")
        time.sleep(pause_s)


def toml(config):
    """TOML of nested dicts, with keys where a suite seals. A list of dicts is an array of tables; values are written as JSON, whose strings,
    numbers, booleans and flat lists are TOML too. Empty lists are left out."""
    out = []

    def table(path, content, header):
        nested = [(k, v) for k, v in content.items() if isinstance(v, dict) or
                  (isinstance(v, list) and v and isinstance(v[0], dict))]
        flat = [(k, v) for k, v in content.items() if (k, v) not in nested and v != []]
        if path and (flat or not nested):
            out.append(header)
        out.extend(f"{k} = {json.dumps(v)}" for k, v in flat)
        for key, value in nested:
            inner = f"{path}.{key}" if path else key
            if isinstance(value, dict):
                table(inner, value, f"[{inner}]")
            else:
                for element in value:
                    table(inner, element, f"[[{inner}]]")

    table("", with_keys(config), "")
    return "\n".join(out) + "\n"


class Keys:
    """Keys of every node and cluster that a test names, made by `trunkline keys` when they are first asked for."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="trunkline-keys-")
        self._public = {}

    def _make(self, *words):
        done = subprocess.run([trunkline(), "keys", *map(str, words)], capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"trunkline keys {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout.strip()

    def _cluster(self, name):
        place = pathlib.Path(self._directory.name, name)
        if not place.exists():
            self._make("cluster", "--name", name, "--out", place)
        return place

    def _node(self, node_id):
        """The node's secret; its certificates, one per cluster and region, are for the same key."""
        place = pathlib.Path(self._directory.name, f"node-{node_id}")
        if not place.exists():
            self._make("node", "--cluster-key", self._cluster("first") / "cluster.secret", "--node", node_id,
                       "--region", "first", "--out", place)
        return place / f"node-{node_id}.secret"

    def security(self, node_id, cluster, region):
        """The table [security]."""
        secret = self._node(node_id)
        place = secret.parent / f"{cluster} {region}"
        if not place.exists():
            self._make("node", "--cluster-key", self._cluster(cluster) / "cluster.secret", "--node", node_id,
                       "--region", region, "--node-key", secret, "--out", place)
        return {"secret": str(secret), "certificate": str(place / f"node-{node_id}.certificate"),
                "anchors": [str(self._cluster(cluster) / "cluster.public")]}

    def serial(self, node_id, cluster, region):
        """As `revoked` names that certificate."""
        shown = self._make("show", self.security(node_id, cluster, region)["certificate"])
        return next(line.split()[1] for line in shown.splitlines() if line.startswith("serial"))

    def give_to(self, user):
        """Everything that was made so far: a node reads its secret only where it belongs to its own user."""
        for directory, _, files in os.walk(self._directory.name):
            for path in [directory, *(os.path.join(directory, f) for f in files)]:
                os.chown(path, user, -1)

    def public_key(self, node_id):
        if node_id not in self._public:
            self._public[node_id] = self._make("public", self._node(node_id))
        return self._public[node_id]


@functools.cache
def keys():
    return Keys()


def with_keys(config):
    """A configuration whose suite seals, with the keys that it needs; what it says itself stays."""
    if config.get("wire", {}).get("suite", "null") == "null" or "id" not in config.get("node", {}):
        return config
    node = config["node"]
    security = config.get("security") or keys().security(node["id"], node["cluster"], node["region"])
    peers = [{"public_key": keys().public_key(p["id"]), **p} for p in config.get("peer", [])]
    return {**config, "security": security, "peer": peers}


def node_config(node_id, listen, peers=(), one_way_ms=0.0, **node):
    """The configuration of one laboratory node, as nested dicts for a test to change: [(id, address)] are its
    peers, and what it sends to each of them takes one_way_ms."""
    config = {
        "node": {"id": node_id, "cluster": "lab-e2e", "region": f"region-{node_id}", "lab": True,
                 "listen": listen, "host_queues": 1, **node},
        "wire": {"track_namespace": "e2e", "mtu": 1500, "suite": "aes-128-gcm"},
        # Small enough that a few nodes fit beside anything else; large enough for every test here.
        "limits": {"max_tracks": 4096, "max_acquires": 4096, "max_requests": 4096, "max_flows_per_core": 2048,
                   "max_outputs_per_core": 4096, "max_egress_per_core": 64, "transmit_buffers": 64},
        "peer": [{"id": i, "address": a} for i, a in peers],
    }
    if one_way_ms:
        config["lab"] = {"impair": [{"to": a, "delay_ms": float(one_way_ms)} for _, a in peers]}
    return config


def free_udp_ports(count, address="127.0.0.1"):
    """Ports that nobody used a moment ago, in the calling thread's namespace."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for s in held:
        s.bind((address, 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Namespace:
    """A network namespace. Inside `with namespace:` this thread's new sockets and processes belong to it."""

    def __init__(self):
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if libc.unshare(CLONE_NEWNET) != 0:
            os.close(home)
            skip(f"needs network namespaces: unshare: {os.strerror(ctypes.get_errno())}")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"  # what `ip ... netns` takes
        self._homes = [home]
        self.__exit__()
        with self:
            ip("link", "set", "lo", "up")

    def __enter__(self):
        self._homes.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        check(libc.setns(self.fd, CLONE_NEWNET) == 0, "setns")
        return self

    def __exit__(self, *_):
        home = self._homes.pop()
        check(libc.setns(home, CLONE_NEWNET) == 0, "setns back")
        os.close(home)

    def close(self):
        os.close(self.fd)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    check(done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}")


def join(a, address_a, b, address_b):
    """Joins two namespaces by a veth pair with these addresses, both of one /24."""
    with a:
        ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b.path)
    for namespace, address in ((a, address_a), (b, address_b)):
        with namespace:
            ip("address", "add", f"{address}/24", "dev", "wire")
            ip("link", "set", "wire", "up")


class AdminError(Exception):
    """The node's answer was an error object."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.message = error["code"], error["message"]


class Admin:
    """A client of the admin socket: newline-delimited JSON-RPC 2.0. Events that arrive are kept until taken."""

    def __init__(self, path, limit_s=10):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(limit_s)
        self._socket.connect(str(path))
        self._pending = b""
        self._next_id = 1
        self._events = collections.deque()
        self.hello = self.read()

    def close(self):
        self._socket.close()

    def fileno(self):
        return self._socket.fileno()

    def send_raw(self, data):
        self._socket.sendall(data)

    def read(self, limit_s=10):
        """The next line, as an object."""
        end = time.monotonic() + limit_s
        while b"\n" not in self._pending:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            more = self._socket.recv(1 << 16)
            check(more, "the node closed its admin connection")
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def arrived(self):
        """Every message that is here already, without waiting; for those who ask() and never read()."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                more = self._socket.recv(1 << 18)
                check(more, "the node closed its admin connection")
                self._pending += more
        self._socket.settimeout(10)
        *lines, self._pending = self._pending.split(b"\n")
        return [json.loads(line) for line in lines]

    def ask(self, method, **params):
        """Sends a request and returns its id; several may be on their way."""
        number, self._next_id = self._next_id, self._next_id + 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.send_raw(json.dumps(request).encode() + b"\n")
        return number

    def answer(self, number):
        """The result of request `number`; raises AdminError. Events before it are kept."""
        while True:
            message = self.read()
            if message.get("method") == "event":
                self._events.append(message["params"])
            elif message.get("id") == number:
                if "error" in message:
                    raise AdminError(message["error"])
                return message["result"]

    def call(self, method, **params):
        return self.answer(self.ask(method, **params))

    def event(self, limit_s=10, **wanted):
        """The first event whose members equal `wanted`, removed; earlier ones of another kind stay."""
        end = time.monotonic() + limit_s
        while True:
            for event in self._events:
                if all(event.get(k) == v for k, v in wanted.items()):
                    self._events.remove(event)
                    return event
            try:
                message = self.read(max(0.001, end - time.monotonic()))
            except TimeoutError:
                raise Failed(f"no event {wanted} within {limit_s} s; waiting: {list(self._events)}") from None
            if message.get("method") == "event":
                self._events.append(message["params"])

    def link(self, node):
        """What `stats` says about the link to a node: state, text, ..."""
        return next((l for l in self.call("stats")["links"] if l["node"] == node), {"state": "?", "text": ""})


def total(stats, part, name):
    """A counter of `stats`, over all data cores: part is "counters", "drops", "conservation" or "port"."""
    return sum((core["port"]["counters"] if part == "port" else core[part])[name] for core in stats["cores"])


class Process:
    """A child with its output in a file; ended by its pid."""

    def __init__(self, command, log, stdin=subprocess.DEVNULL, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as sink:
            self._process = subprocess.Popen([str(c) for c in command], stdin=stdin, stdout=sink,
                                             stderr=subprocess.STDOUT, **options)
        self.pid = self._process.pid

    def send(self, which):
        self._process.send_signal(which)

    def feed(self, data):
        """Writes to its input, made with stdin=subprocess.PIPE."""
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def exit_code(self):
        """None while it runs."""
        return self._process.poll()

    def wait(self, limit_s):
        """Its exit code; killed, and the test failed, after limit_s."""
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"process {self.pid} ({self.log.stem}) did not end within {limit_s} s") from None

    def stop(self, limit_s=2, which=signal.SIGTERM):
        """Asks it to end; returns (exit code, seconds)."""
        begin = time.monotonic()
        self.send(which)
        return self.wait(limit_s), time.monotonic() - begin

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()  # also ends a stopped one
            self._process.wait()

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")


def trunkline():
    """The command under test, as the build names it."""
    path = os.environ.get("TRUNKLINE") or shutil.which("trunkline")
    if not path:
        skip("needs the trunkline command: set TRUNKLINE to its path")
    return path


class Node(Process):
    """One `trunkline node`, ready to be asked."""

    def __init__(self, directory, config, limit_s=5, **options):
        name = f"node-{config['node']['id']}"
        self.socket_path = pathlib.Path(directory, f"{name}.sock")
        config["node"]["admin"] = str(self.socket_path)
        self.config_path = pathlib.Path(directory, f"{name}.toml")
        self.config_path.write_text(toml(config), encoding="utf-8")
        super().__init__([trunkline(), "node", "--config", self.config_path], pathlib.Path(directory, f"{name}.log"),
                         **options)
        self.admin = wait_until(f"{name} serves its admin socket", limit_s, self._connect)

    def _connect(self):
        check(self.exit_code() is None, f"{self.config_path.stem} ended with {self.exit_code()}: {self.text()}")
        try:
            return Admin(self.socket_path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def wait_up(self, *peers, limit_s=5):
        for peer in peers:
            wait_until(f"{self.config_path.stem} has its link to node {peer}", limit_s,
                       lambda peer=peer: self.admin.link(peer)["state"] == "UP")

    def stats(self):
        return self.admin.call("stats")


class Lab:
    """Everything a test makes. Leaving it ends and removes all; leaving it by a failure prints the logs first."""

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tl-"))
        self._processes = []
        self._stack = contextlib.ExitStack()
        return self

    def __exit__(self, kind, value, _):
        for process in self._processes:
            process.kill()
        if kind is not None and kind is not SystemExit:
            for log in sorted(self.directory.glob("*.log")):
                text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
                say("".join(f"{log.stem}: {line}\n" for line in text).rstrip("\n"))
        self._stack.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def namespace(self):
        made = Namespace()
        self._stack.callback(made.close)
        return made

    def defer(self, function):
        self._stack.callback(function)

    def node(self, config, inside=contextlib.nullcontext(), **options):
        with inside:
            made = Node(self.directory, config, **options)
        self._processes.append(made)
        return made

    def process(self, command, name, inside=contextlib.nullcontext(), **options):
        with inside:
            made = Process(command, self.directory / f"{name}.log", **options)
        self._processes.append(made)
        return made


def run(*cases):
    """Runs test functions in order; the exit code says whether all passed."""
    failed = 0
    for case in cases:
        begin = time.monotonic()
        try:
            case()
            say(f"ok   {case.__name__} ({time.monotonic() - begin:.1f} s)")
        except Failed as failure:
            failed += 1
            say(f"FAIL {case.__name__}: {failure}")
    sys.exit(1 if failed else 0)
