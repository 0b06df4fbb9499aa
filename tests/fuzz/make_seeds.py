"""Writes the seeds of the fuzz targets into tests/fuzz/corpus: one small file for each shape that a parser tells
apart, by hand. The other files there are what fuzzing found beyond them (`tools/dev fuzz`), the smallest for each
branch; those below corpus/regress once ended a target.

Usage: make_seeds.py. Overwrites its own files (seed-*), and nothing else.
"""
import base64
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
ROOT = CORPUS.parents[2]


def seed(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def tlv(tag, body):
    return struct.pack(">BH", tag, len(body)) + body


def text8(text):
    return bytes([len(text)]) + text.encode()


def hello(mtu="1500", cluster=b"lab-one", fingerprint=0xf8136803cb7ac31f, settings=3, required=0):
    named = [("mtu", mtu), ("suite", "null"), ("track_namespace", "a")][:settings]
    return b"\1" + b"".join([
        tlv(1, b"\1\1"), tlv(2, struct.pack(">QQ", 0, required)), tlv(3, cluster), tlv(4, struct.pack(">Q", 9)),
        tlv(5, b"ams-1"), tlv(6, struct.pack(">Q", 5)), tlv(7, b"ams"), tlv(8, b""),
        tlv(9, struct.pack(">HIHI", 7000, 0x10002, 7001, 0x10030004))] +
        [tlv(10, text8(n) + text8(v) + b"\2" + text8(v) + text8("9000")) for n, v in named] +
        [tlv(11, struct.pack(">BQ", 1, fingerprint))])


def messages():
    track, path = bytes(range(16)), b"\2" + struct.pack(">QQ", 1, 2)
    yield "announce", tlv(1, track + struct.pack(">QBB", 5, 1, 2))
    yield "withdraw", tlv(2, track + struct.pack(">Q", 6))
    yield "end", tlv(3, b"")
    yield "acquire", tlv(4, struct.pack(">Q", 100) + track + struct.pack(">IBIBQ", 0x401, 2, 900_000, 3, 4) + path)
    yield "answer", tlv(5, struct.pack(">QBBQQIBII", 101, 7, 6, 8, 9, 0x802, 1, 50_000, 60_000) + path +
                        struct.pack(">H", 2) + b"ab" + struct.pack(">H", 2) + b"\xde\xad")
    yield "release", tlv(6, struct.pack(">QI", 102, 0x403) + track)
    yield "ended", tlv(7, struct.pack(">Q", 103) + track + struct.pack(">IBQ", 0x404, 36, 10))
    yield "unknown", tlv(9, b"new")


RTP = {
    "plain": "8060 1234 01020304 deadbeef 10 50 01 02",
    "one-byte": "90e0 1234 01020304 deadbeef bede 0002 10aa 00 21bbcc 0000 65 88 84 00",
    "two-byte": "b260 1234 01020304 deadbeef 00000001 00000002 1000 0002 0502aabb 0600 0000 7c85 0000 0004",
    "vp8": "90e0 8505 07 40 10 02 00", "stap": "78 0002 6742 0002 68ce 0002 6588", "fu": "7c85 00",
}
RTCP = {
    "sr": "81c8 000c 0000000a 1111111122222222 33333333 00000010 00000400 0000000b 40fffffe 00010005 00000007 00000008"
          " 00000009 81ca 0003 0000000a 01026162 00000000",
    "rr": "81c9 0007 0000000a 0000000b 80000102 00010005 00000007 00000008 00000009 81ce 0002 0000000a 0000000b",
    "sdes": "82ca 0006 0000000a 01016100 0000000b 01026162 00000000 00000000 81cb 0002 0000000a 03627965",
    "xr": "80cc 0002 0000000a 4e414d45 80cf 0004 0000000a 04000002 1122334455667788",
    "nack": "81cd 0004 0000000a 0000000b fffe 0005 0100 8001",
    "fir": "84ce 0006 0000000a 00000000 0000000b 01000000 0000000c 02000000",
    "remb": "8fce 0006 0000000a 00000000 52454d42 020bf423 0000000b 0000000c",
    "twcc": "8fcd 0006 0000000a 0000000b 0001 0003 000002 07 2003 040404 000000",
    "twcc-vector": "8fcd 0007 0000000a 0000000b 0001 0015 000002 07 9000 d800 04040404 00000000",
    "empty": "", "body-of-nothing": "80ca 0000", "bye-of-nothing": "80cb 0000",
    "pli": "81ce 0002 0000000a 0000000b", "other-feedback": "82ce 0002 0000000a 0000000b",
    "fir-odd": "84ce 0003 0000000a 00000000 0000000b",
    "odd-transport": "82cd 0002 0000000a 0000000b", "afb": "8fce 0002 0000000a 0000000b",
    "no-remb": "8fce 0003 0000000a 0000000b 52454d43", "named": "8ece 0003 0000000a 0000000b 52454d42",
    "many": "80d1 0000" * 65, "other": "80d1 0000 80d2 0001 00000000", "fir-none": "84ce 0002 0000000a 00000000",
    "padded": "80c9 0001 0000000a a1ce 0004 0000000a 0000000b 0000000000000008",
}
CONFIG = """[node]
id = 1
cluster = "lab-x"
region = "a"
lab = true
listen = "127.0.0.1:7000"
[wire]
track_namespace = "t"
mtu = 1500
suite = "null"
"""
DPDK = CONFIG.replace("lab = true", 'lab = true\nport = "dpdk"') + """[dpdk]
device = "net_ring0"
addresses = ["127.0.0.1/8", "::1/128"]
gateway = "127.0.0.2"
gateway6 = "::2"
eal = ["-v"]
"""
TRACK = 'track = "t"\n'
# Each a change to CONFIG: in [node] ("lab = true" is where it goes), or behind the last table.
IN_NODE = [
    'pin = [0, 1]', 'pin = [-1]', 'pin = [9999]', 'pin = ["a"]', 'data_cores = 17', 'port = "x"',
    'collour = "x"', 'idle = "busy"', 'bundle_wait_us = -1', 'name = 5', 'full_mesh = 1', 'host_queues = 2',
]
BEHIND = [
    '[[peer]]\nid = 1\naddress = "127.0.0.1:1"\n',
    '[[peer]]\nid = 2\naddress = "127.0.0.1:1"\n[[peer]]\nid = 2\naddress = "127.0.0.1:1"\n',
    '[[peer]]\nid = 2\naddress = "x"\n', '[peer]\nid = 2\n', 'peer = [1]\n', '[[peer]]\nname = "n"\nserve = 3\n',
    '[[location]]\n' + TRACK + 'node = 2\n', '[[location]]\ntrack_id = "00112233445566778899aabbccddeeff"\nnode = 2\n',
    '[[location]]\ntrack_id = "0011"\nnode = 2\n', '[[location]]\nnode = 0\n',
    '[[location]]\ntrack_id = "0011223344556677889Xaabbccddeeff"\nnode = 2\n',
    '[[ingest]]\n' + TRACK + 'listen = "127.0.0.1:2"\n[[ingest]]\n' + TRACK + 'listen = "127.0.0.1:2"\n',
    '[[ingest]]\n' + TRACK + 'listen = "127.0.0.1:0"\n[[ingest]]\ntrack = "u"\nlisten = "127.0.0.1:0"\n',
    '[[egress]]\n' + TRACK + 'to = "127.0.0.1:0"\n', '[[egress]]\n' + TRACK + 'to = "127.0.0.1:3"\ndeadline_ms = 0\n',
    '[lab]\nwithout = ["required_settings"]\nseed = 2\n',
    '[lab]\nwithout = ["deadlines", "negative_answers", "versions", 1, "x"]\n',
    '[[lab.impair]]\nto = "127.0.0.1:0"\nloss = 2\n', '[lab]\nimpair = [1]\n',
    '[limits]\nqueue_depth = 65\nmax_peers = 2\n',
    '[link]\nheartbeat_ms = 5.5\n', '[acquire]\ndeadline_ms = 1\nrendezvous_ms = 1\n', '[dpdk]\ndevice = "x"\n',
    '[strange]\n',
    '[wire.accept]\nmtu = [1500, "x", 1]\nsuite = ["null", "", 5]\n', '[wire.accept]\nmtu = 5\n',
    'x = { a = [1, 2.5, true] }\n',
    '[node]\n', '[wire.x]\n', "x = 1979-05-27T07:32:00Z\n", 'x = """a\n"""\n', "x = 0x1f\ny = inf\nz = 'l'\n",
]
WIRE = [
    'mtu = 1279', 'mtu = 9217', 'mtu = "x"', '', 'mtu = 1500\nversion_min = 2', 'mtu = 1500\nversion_max = 1',
]
IN_DPDK = [
    'addresses = ["x/24"]', 'addresses = ["127.0.0.1"]', 'addresses = ["127.0.0.1/33", "127.0.0.1/a"]',
    'addresses = [5]', 'addresses = ["127.0.0.1/"]', 'gateway = "::1"', 'gateway = "x"', 'eal = [5]',
    'device = "d"\ninterface = "e"', 'pages = "huge"\nmemory_mib = 16', 'addresses = ["::1/129"]',
    'addresses = ["127.0.0.1/1234"]',
]
ADMIN = [
    '{"id":1,"method":"ping"}\n{"id":"a","method":"describe"}\n{"method":"list"}\n{"method":"stats"}\nx\n[1]\n{}',
    '{"id":2,"method":"publish","params":{"track":"t","class":"audio","generation":3,"descriptor":"d","ssrc":1,'
    '"detached":true}}\n{"method":"unpublish","params":{"handle":1}}',
    '{"id":3,"method":"acquire","params":{"track_id":"00112233445566778899aAbBcCdDeEfF","deadline_ms":5,'
    '"rendezvous_ms":-1}}\n{"method":"release","params":{"handle":2}}',
    '{"method":"hint","params":{"track":"t","node":2}}\n{"method":"drain","params":{"node":2}}\n{"method":"undrain"}',
    '{"method":"explain","params":{"track":"t"}}\n{"method":"flights","params":{"track":"t","count":3}}\n'
    '{"method":"flights"}',
    '{"method":"publish","params":{"track":"t","ingest":"127.0.0.1:0","codec":"vp8","clas":1}}\n'
    '{"method":"acquire","params":{"track":"t","egress":"127.0.0.1:9"}}\n{"method":"pubish"}',
]
ADMIN += [f'{{"method":"{method}","params":{{{params}}}}}' for method, params in [
    ("publish", ""), ("publish", '"track":5'), ("publish", '"track":"a","track_id":"b"'),
    ("publish", '"track_id":"00"'), ("acquire", '"track_id":"g0112233445566778899aabbccddeeff"'),
    ("acquire", '"track_id":"0g112233445566778899aabbccddeeff"'), ("publish", '"track":"a","class":"vidoe"'),
    ("publish", '"track":"a","class":"video"'), ("publish", '"track":"a","class":"rest"'),
    ("publish", '"track":"a","generation":"1"'), ("publish", '"track":"a","generation":-1'),
    ("undrain", '"node":1'), ("publish", '"track":"a","generation":18446744073709551615'),
    ("acquire", '"track":"a","detached":5'), ("publish", '"track":"a","ssrc":4294967296'),
    ("acquire", '"track":"a","deadline_ms":1,"rendezvous_ms":3600001'), ("release", ""),
    ("release", '"handle":-1'), ("release", '"handle":999'), ("hint", '"track":"t"'), ("drain", '"node":1'),
    ("publish", '"track":"a","ingest":"localhost"'), ("flights", '"count":0'), ("stats", '"x":1'),
    ("flights", '"track_id":"5"'), ("explain", '"trak":"t"'), ("publish", '"track":"a","egress\\u0000":1'),
    ("publish", '"track":"\\u0000"'),
]]
ADMIN += [
    '{"id":1}', '{"method":7}', '{"method":"ping","params":[1]}', '{"method":"ping","params":5}', "17",
    '"' + "[" * 20 + '\\""', "[" * 20,
    '{"method":"acquire","params":{"track":"a","detached":true}}\n{"method":"list"}\n'
    '{"method":"release","params":{"handle":1}}',
    '{"method":"publish","params":{"track":"a"}}\n{"method":"acquire","params":{"track":"a"}}\n{"method":"flights"}\n'
    '{"method":"acquire","params":{"track":"b","deadline_ms":1}}\n{"method":"flights","params":{"track":"b"}}\n'
    '{"method":"list"}',
]


def certificate(flags=1, serial=7, unix_s=None, cluster=b"prod", **changed):
    fields = {"version": 1, "roles": 7, "node": 5, "before": 1_799_000_000, "expires": 1_801_000_000} | changed
    head = struct.pack(">BBBBIQQQQQ", fields["version"], len(cluster), 3, 0, fields["roles"], fields["node"], serial,
                       fields["before"], fields["expires"], 0)
    time = b"" if unix_s is None else struct.pack(">Q", unix_s)
    return bytes([flags | (2 if time else 0)]) + time + (
        head + b"\x11" * 32 + cluster.ljust(64, b"\0") + b"ams".ljust(32, b"\0") + bytes(64))


def key_files():
    def line(kind, payload):
        return f"# a comment\ntrunkline-{kind}-1 {base64.b64encode(payload).decode()}\n".encode()
    key = bytes(range(32))
    yield "node-secret", b"\0" + line("node-secret", key)
    yield "readable-secret", b"\1" + line("node-secret", key)
    yield "node-public", b"\1" + line("node-public", key)
    yield "cluster-secret", b"\0" + line("cluster-secret", key + b"prod")
    yield "cluster-public", b"\0" + line("cluster-public", key + b"prod")
    yield "certificate", b"\0" + line("certificate", certificate()[1:])
    yield "twice", b"\0" + line("node-public", key) * 2
    yield "short", b"\0" + line("node-public", key[1:])
    yield "no-base64", b"\0trunkline-node-public-1 !"
    yield "unknown", b"\0 trunkline-x \t AA==\r\n"
    yield "empty", b"\0# nothing"


def main():
    for name, digits in RTP.items():
        seed("rtp", name, bytes.fromhex(digits))
    for name, digits in RTCP.items():
        seed("rtcp", name, bytes.fromhex(digits))
    for name, digits in {"one-byte": "00 10aa 00 21bbcc 00", "two-byte": "01 0502aabb 0600 00", "stop": "00 f0 11",
                         "cut": "00 1f aa", "cut-two": "01 05", "opaque": "03 1234"}.items():
        seed("rtp_extensions", name, bytes.fromhex(digits))
    for kind in range(8):
        seed("datagram_header", f"type-{kind}", bytes(range(1, 61)) + bytes([5, kind]) * 8)
    media = "ff000000 17 30 0010 8060 0001 00000000 00000007 01020304"
    for name, choices, records in (("media", 3, media), ("two", 5, media + media), ("padding", 1, media + "00" * 9),
                                   ("cut", 0, media[:-4]), ("link", 0, "00000000 5c 00 0004 01020304"),
                                   ("dirty", 0, media + "0001")):
        data = bytes.fromhex(records)
        seed("records", name, bytes([choices]) + struct.pack(">H", len(data)) + data)
    for name, body in messages():
        seed("messages", name, body)
    seed("messages", "all", b"".join(body for _, body in messages()))
    for name, payload in {
            "equal": hello(), "mtu": hello("9000"), "cluster": hello(cluster=b"lab-two"),
            "schema": hello(fingerprint=1), "absent": hello(settings=1), "required": hello(required=1),
            "later": hello() + tlv(12, b"x"),
            "refusal": b"\2\4" + text8("wire.mtu") + text8("1500") + text8(""),
    }.items():
        seed("hello", name, b"\0" + payload)
    seed("hello", "rules", b"\3" + hello(settings=1))
    for code in range(0, 10):
        seed("hello", f"refusal-{code}", bytes([0, 2, code]) + text8("s") + text8("m") + text8("t"))
    for name, payload in {
            "no-name": b"\2\4" + text8("") + text8("m") + text8("t"),
            "control": b"\2\4" + text8("s\t") + b"\0\0", "rest": b"\2\4" + text8("s") + b"\0\0\0",
            "ranges": hello().replace(b"\1\0\2\1\1", b"\1\0\2\2\3"),
            "backward": hello().replace(b"\1\0\2\1\1", b"\1\0\2\3\2"),
            "no-port": hello().replace(struct.pack(">H", 7001), b"\0\0"),
            "wide": hello().replace(b"\1\0\2\1\1", b"\1\0\2\1\7") + tlv(11, struct.pack(">BQ", 2, 5)),
            "odd-cores": b"\1" + tlv(9, b"12345"), "no-cores": b"\1" + tlv(9, b""),
            "node-0": b"\1" + tlv(4, bytes(8)), "many-cores": b"\1" + tlv(9, b"\1" * 6 * 17),
            "no-tag": b"\1" + tlv(0, b""), "twice": b"\1" + tlv(4, b"1" * 8) * 2,
            "descending": b"\1" + tlv(4, b"1" * 8) + tlv(3, b"a"), "long": b"\1" + tlv(3, b"a" * 65),
            "unknown": b"\3", "empty": b"", "text": b"\1" + tlv(3, b"a\x7f"),
    }.items():
        seed("hello", name, b"\0" + payload)
    nine = hello(settings=0)[:-12] + b"".join(tlv(10,
                                                  text8(f"n{i}") + text8("v") + b"\1" + text8("v")) for i in range(9))
    seed("hello", "nine-settings", b"\0" + nine)
    for name, value in {
            "none-accepted": b"\0", "nine-accepted": b"\x09" + text8("v") * 9, "cut": b"\2" + text8("v"),
            "rest": b"\1" + text8("v") + b"x", "empty-value": b"\1" + text8(""),
    }.items():
        seed("hello", f"setting-{name}", b"\0" + hello(settings=0)[:-12] + tlv(10, text8("n") + text8("v") + value))
    for name, body in {
            "again": struct.pack(">BQ", 1, 5), "zero": bytes([2]) + bytes(8),
            "version": struct.pack(">BQ", 8, 5), "long": struct.pack(">BQ", 2, 5) + b"x", "short": b"\2",
    }.items():
        seed("hello", f"fingerprint-{name}", b"\0" + hello() + tlv(11, body))
    for name, data in {
            "whole": certificate(serial=8), "unsigned": certificate(0), "revoked": certificate(),
            "cluster": certificate(cluster=b"other"), "late": certificate(serial=8, unix_s=1_900_000_000),
            "early": certificate(serial=8, unix_s=1), "version": certificate(version=2),
            "roles": certificate(roles=8), "node": certificate(node=0), "short": certificate()[:100],
            "long": certificate() + b"x",
    }.items():
        seed("certificate", name, data)
    for name, text in {"least": CONFIG, "dpdk": DPDK, "example": (ROOT / "tools/examples/node.toml").read_text(),
                       "interface": DPDK[:DPDK.index("device")] + 'interface = "eth1"\n'}.items():
        seed("config", name, text.encode())
    changed = [CONFIG.replace("lab = true", "lab = true\n" + line) for line in IN_NODE]
    changed += [CONFIG + text for text in BEHIND] + [CONFIG.replace("mtu = 1500", line) for line in WIRE]
    changed += [DPDK.replace(f"{line.split(' ')[0]} = ",
                             f"x{line.split(' ')[0]} = ") + line + "\n" for line in IN_DPDK]
    changed += [DPDK.replace(DPDK[DPDK.index("[dpdk]"):], "[dpdk]\n" + line + "\n") for line in IN_DPDK]
    changed += [CONFIG.replace("lab = true", "lab = false") + "[lab]\nseed = 1\n", "", "[node]\nid = 0\n", "x"]
    changed += [CONFIG.replace("[wire]", "[lab]\nwithout = [\"required_settings\"]\n[wire]").replace("mtu = 1500\n",
                                                                                                     "")]
    for number, text in enumerate(changed):
        seed("config", f"changed-{number:02}", text.encode())
    for name, data in key_files():
        seed("key_file", name, data)
    for number, lines in enumerate(ADMIN):
        seed("admin", str(number), lines.encode())
    for target in ("sealed_msg1", "sealed_msg2", "sealed_confirm", "null_handshake", "control_stream", "replay_window",
                   "session_table", "packet_path", "mesh_node"):
        seed(target, "short", bytes(range(64)))
    for which in range(5):  # certificates, by number: plaintexts of an authenticated peer
        seed("sealed_msg1", f"anybody-{which}", bytes([2, 0, which, 2, 1, 2, 0, 0]))
        for target in ("sealed_msg1", "sealed_msg2"):
            seed(target, f"shows-{which}", bytes([0, 0, which, 2, 1, 2, 0, 0]))
    for target in ("sealed_msg1", "sealed_msg2"):
        seed(target, "strange", bytes([0, 1, 0, 1, 0, 5, 1, 9, 0, 1]))


if __name__ == "__main__":
    main()
