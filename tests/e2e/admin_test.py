"""The admin socket as its users meet it, against a real node: for each mistake the code and the text they see, and
after each mistake a connection that still serves. Clients that vanish, never read or are one too many hurt nobody.
"""
import json
import pathlib
import socket
import subprocess

import lab
from lab import Admin, check, say, wait_until

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, REFUSED = -32700, -32600, -32601, -32602, -32000
CLIENTS_MAX, LINE_BYTES_MAX = 64, 64 * 1024
INT64_MAX = 2**63 - 1

# The line as sent (text), or (method, params); the code; the text.
NAME_IT = "give either 'track' (a name) or 'track_id' (32 hexadecimal digits)"
HANDLE = "'handle' is missing: give the number that publish or acquire returned"
NESTED = "nested deeper than 16 levels: no request needs that"
MISTAKES = [
    ("hello?", PARSE_ERROR, "not JSON: send one JSON-RPC 2.0 object per line"),
    ('{"id":1,"method":"ping"', PARSE_ERROR, "not JSON: send one JSON-RPC 2.0 object per line"),
    ('{"id":1,"method":"\\ud800"}', PARSE_ERROR, "not JSON: send one JSON-RPC 2.0 object per line"),
    ("[]", INVALID_REQUEST, "not an object: batches are not supported, send one request per line"),
    ("17", INVALID_REQUEST, "not an object: batches are not supported, send one request per line"),
    ("[" * 20_000 + "]" * 20_000, INVALID_REQUEST, NESTED),
    ('{"method":"ping","id":' + "[" * 32_000 + "]" * 32_000 + "}", INVALID_REQUEST, NESTED),
    ('{"method":"ping","params":' + '{"a":' * 16 + "1" + "}" * 17, INVALID_REQUEST, NESTED),
    ('{"id":1}', INVALID_REQUEST, "'method' is missing or not a string"),
    ('{"id":1,"method":7}', INVALID_REQUEST, "'method' is missing or not a string"),
    ('{"id":1,"method":"ping","params":[1]}', INVALID_REQUEST, "'params' must be an object with named members"),
    ("x" * (LINE_BYTES_MAX + 1), INVALID_REQUEST, "the line is longer than 65536 bytes: it was skipped"),
    (("frobnicate", {}), NO_METHOD, "no method 'frobnicate'"),
    (("aquire", {}), NO_METHOD, "no method 'aquire' - did you mean 'acquire'?"),
    (("", {}), NO_METHOD, "no method ''"),
    (("stats", {"verbose": True}), INVALID_PARAMS, "unknown member 'verbose'"),
    (("publish", {}), INVALID_PARAMS, NAME_IT),
    (("acquire", {"track": "a", "track_id": "0" * 32}), INVALID_PARAMS, NAME_IT),
    (("acquire", {"track": ""}), INVALID_PARAMS, NAME_IT),
    (("acquire", {"track": 5}), INVALID_PARAMS, "'track' must be a string"),
    (("acquire", {"track": "a\0b"}), INVALID_PARAMS, "'track' must not contain \\u0000"),
    (("acquire", {"track": "[[[[[[[[[[[[[[[[[[\\\"", "egress": "\0"}), INVALID_PARAMS, "'egress' must not contain \\u0000"),
    (("acquire", {"track_id": "abc"}), INVALID_PARAMS, "'track_id' must be 32 hexadecimal digits, not 3"),
    (("acquire", {"track_id": "g" * 32}), INVALID_PARAMS,
     "'track_id' has a character that is not a hexadecimal digit"),
    (("publish", {"trak": "a"}), INVALID_PARAMS, "unknown member 'trak' - did you mean 'track'?"),
    (("acquire", {"track": "a", "ingest": "127.0.0.1:1"}), INVALID_PARAMS, "unknown member 'ingest'"),
    (("publish", {"track": "a", "class": "vidoe"}), INVALID_PARAMS,
     "'class' is 'vidoe': it must be \"audio\", \"video\" or \"rest\""),
    (("publish", {"track": "a", "generation": "1"}), INVALID_PARAMS, "'generation' must be a whole number"),
    (("publish", {"track": "a", "generation": -1}), INVALID_PARAMS,
     f"'generation' must be between 0 and {INT64_MAX}"),
    (("publish", {"track": "a", "generation": 2**64 - 1}), INVALID_PARAMS,
     f"'generation' must be between 0 and {INT64_MAX}"),
    (("publish", {"track": "a", "ssrc": 2**32}), INVALID_PARAMS, "'ssrc' must be between 0 and 4294967295"),
    (("publish", {"track": "a", "ssrc": 1.5}), INVALID_PARAMS, "'ssrc' must be a whole number"),
    (("acquire", {"track": "a", "deadline_ms": -1}), INVALID_PARAMS, "'deadline_ms' must be between 0 and 3600000"),
    (("acquire", {"track": "a", "rendezvous_ms": -2}), INVALID_PARAMS,
     "'rendezvous_ms' must be between -1 and 3600000"),
    (("acquire", {"track": "a", "detached": "yes"}), INVALID_PARAMS, "'detached' must be true or false"),
    (("release", {}), INVALID_PARAMS, HANDLE),
    (("release", {"handle": -1}), INVALID_PARAMS, HANDLE),
    (("release", {"handle": 999}), INVALID_PARAMS,
     "no acquisition has handle 999: it has ended, or it belongs to another method (see list)"),
    (("unpublish", {"handle": 999}), INVALID_PARAMS,
     "no publication has handle 999: it has ended, or it belongs to another method (see list)"),
    (("hint", {"track": "a"}), INVALID_PARAMS, "'node' is missing: the id of the node that is said to have the track"),
    (("hint", {"track": "a", "node": 0}), INVALID_PARAMS, f"'node' must be between 1 and {INT64_MAX}"),
    (("drain", {"node": 0}), INVALID_PARAMS, f"'node' must be between 1 and {INT64_MAX}"),
    (("undrain", {"node": 2}), INVALID_PARAMS, "unknown member 'node'"),
]
# What only the library can judge: the code is REFUSED, the text begins with the call and the library's error name.
REFUSALS = [
    (("publish", {"track": "a", "ingest": "localhost"}), "publish: TL_EINVAL: "),
    (("publish", {"track": "a", "ingest": "127.0.0.1:0", "ingest_from": "anybody"}), "publish: TL_EINVAL: "),
    (("publish", {"track": "a", "ingest": "127.0.0.1:0", "ingest_from": "[::1]:0"}),
     "publish: TL_EINVAL: tl_publish: ingest_from '[::1]:0' is not of the family"),
    (("publish", {"track": "a", "ingest": "[::1]:0", "ingest_from": "[::]:0"}),
     "publish: TL_EINVAL: tl_publish: ingest_from '[::]:0' names no host"),
    (("publish", {"track": "a", "ingest_from": "127.0.0.1:0"}),
     "publish: TL_EINVAL: tl_publish: ingest_from is '127.0.0.1:0', and ingest is NULL"),
    (("acquire", {"track": "a", "egress": "127.0.0.1"}), "acquire: TL_EINVAL: "),
    (("publish", {"track": "a", "descriptor": "x" * 513}), "publish: TL_ETOOBIG: "),
    (("drain", {"node": 1}), "drain: TL_EINVAL: tl_drain: successor 1 is this node"),
]


def one_node(bench):
    port, = lab.free_udp_ports(1)
    return bench.node(lab.node_config(1, f"127.0.0.1:{port}"))


def line_of(request):
    if isinstance(request, str):
        return request.encode() + b"\n"
    method, params = request
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


def every_mistake_is_answered_with_its_text():
    with lab.Lab() as bench:
        node = one_node(bench)
        wrong = []
        for request, code, text in MISTAKES + [(request, REFUSED, begin) for request, begin in REFUSALS]:
            node.admin.send_raw(line_of(request))
            error = node.admin.read().get("error", {})
            said = error.get("message", "")
            matches = said.startswith(text) and len(said) > len(text) if code == REFUSED else said == text
            if error.get("code") != code or not matches:
                wrong.append(f"{str(request)[:60]}: wanted {code} '{text}', got {error}")
            check(node.admin.call("ping") == {}, f"after {str(request)[:60]} the connection no longer serves")
        check(not wrong, "\n".join(wrong))
        check(node.admin.call("list") == [], "a mistake left something behind")
        say(f"  {len(MISTAKES) + len(REFUSALS)} mistakes")


def a_request_is_answered_under_its_own_id():
    with lab.Lab() as bench:
        admin = one_node(bench).admin
        check(admin.hello["method"] == "hello" and admin.hello["params"]["api"] == 1, f"greeting: {admin.hello}")
        for number in (7, "seven", None):
            admin.send_raw(json.dumps({"id": number, "method": "ping"}).encode() + b"\n")
            check(admin.read()["id"] == number, f"another id than {number!r}")
        # Requests may come in pieces, and several at once; empty lines are nothing.
        admin.send_raw(b'{"id":1,"meth')
        admin.send_raw(b'od":"ping"}\n\n{"id":2,"method":"ping"}\n')
        check([admin.read()["id"], admin.read()["id"]] == [1, 2], "two requests, two answers, in order")


def a_node_that_drains_says_so():
    with lab.Lab() as bench:
        admin = one_node(bench).admin

        def draining():
            node = admin.call("stats")["node"]
            return node["draining"], node["successor"]
        check(draining() == (False, 0), "a node does not drain by itself")
        for request, wanted in (({"node": 3}, (True, 3)), ({}, (True, 0))):
            admin.call("drain", **request)
            wait_until(f"it says {wanted}", 2, lambda: draining() == wanted)
        admin.call("undrain")
        wait_until("it is over", 2, lambda: draining() == (False, 0))


def a_client_that_leaves_takes_its_handles_along():
    with lab.Lab() as bench:
        node = one_node(bench)
        guest = Admin(node.socket_path)
        guest.call("publish", track="guest")
        guest.call("acquire", track="nobody", rendezvous_ms=60_000, deadline_ms=60_000)
        guest.call("publish", track="stays", detached=True)
        check(len(node.admin.call("list")) == 3, "three handles")
        guest.close()
        wait_until("the guest's handles are gone", 2,
                   lambda: [h["track"] for h in node.admin.call("list")] == ["stays"])
        stays = node.admin.call("list")[0]["handle"]
        node.admin.call("unpublish", handle=stays)
        wait_until("anybody may end what is detached", 2, lambda: node.admin.call("list") == [])


def a_client_that_never_reads_is_cut_off_and_hurts_nobody():
    with lab.Lab() as bench:
        node = one_node(bench)
        deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deaf.connect(str(node.socket_path))
        deaf.settimeout(10)
        request = b'{"id":1,"method":"stats"}\n'
        asked = 0
        try:
            while asked < 100_000:  # bounded: one answer is over 1 KB, so 8 MiB are full long before
                deaf.sendall(request)
                asked += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        check(asked < 100_000, "a client that never reads was never cut off")
        check(node.admin.call("ping") == {}, "others are still served")
        deaf.close()


def one_client_too_many_is_told_so():
    with lab.Lab() as bench:
        node = one_node(bench)
        others = [Admin(node.socket_path) for _ in range(CLIENTS_MAX - 1)]
        refused = Admin(node.socket_path)
        said = refused.hello.get("error", {}).get("message")
        check(said == "64 clients are connected already: close one and connect again", f"the 65th hears: {said}")
        others.pop().close()

        def connects():
            again = Admin(node.socket_path)
            served = again.hello.get("method") == "hello"
            again.close()
            return served
        wait_until("there is room again", 2, connects)
        for client in others + [refused]:
            client.close()


def start_with_admin(bench, path):
    port, = lab.free_udp_ports(1)
    config = lab.node_config(1, f"127.0.0.1:{port}", admin=str(path))
    file = bench.directory / "other.toml"
    file.write_text(lab.toml(config), encoding="utf-8")
    return subprocess.run([lab.trunkline(), "node", "--config", file], capture_output=True, text=True, timeout=5,
                          check=False)


def a_path_that_cannot_be_a_socket_is_said():
    with lab.Lab() as bench:
        node = one_node(bench)
        file = bench.directory / "a file"
        file.write_text("precious", encoding="utf-8")
        nowhere = bench.directory / "no such directory" / "x.sock"
        for path, text in (
                (file, f"node.admin: '{file}' exists and is not a socket: choose another path"),
                (node.socket_path, f"node.admin: another process listens on '{node.socket_path}': stop it, or choose "
                                   "another path"),
                (nowhere, f"node.admin: cannot listen on '{nowhere}': No such file or directory; the directory must "
                          "exist and be writable by this user")):
            done = start_with_admin(bench, path)
            check(done.returncode == 3, f"{path}: exit code {done.returncode}")
            check(f"trunkline node: {text}" in done.stderr.splitlines(), f"{path}: {done.stderr}")
        check(file.read_text(encoding="utf-8") == "precious", "the file was touched")
        check(node.admin.call("ping") == {}, "the node whose socket was wanted no longer serves")


def a_socket_file_that_nobody_serves_is_replaced():
    with lab.Lab() as bench:
        stale = pathlib.Path(bench.directory, "node-1.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as abandoned:
            abandoned.bind(str(stale))
        check(stale.exists(), "closing a Unix socket leaves its file")
        check(one_node(bench).admin.call("ping") == {}, "the node serves in its place")


if __name__ == "__main__":
    lab.trunkline()
    lab.run(every_mistake_is_answered_with_its_text, a_request_is_answered_under_its_own_id,
            a_node_that_drains_says_so,
            a_client_that_leaves_takes_its_handles_along, a_client_that_never_reads_is_cut_off_and_hurts_nobody,
            one_client_too_many_is_told_so, a_path_that_cannot_be_a_socket_is_said,
            a_socket_file_that_nobody_serves_is_replaced)
