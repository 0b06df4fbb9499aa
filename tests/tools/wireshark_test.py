"""tools/wireshark: each field that the dissector shows is the one that was encoded.

Frames are made here, by hand from docs/protocol.md, and sealed by another implementation of the ciphers; tshark reads
them. The last test asks which fields the dissector knows: one that nothing above looked at fails it. Skipped, and says
so, where tshark or python3-cryptography is not installed.
"""
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "wireshark" / "trunkline.lua"
if shutil.which("tshark") is None:
    print("needs tshark: apt-get install tshark")
    sys.exit(77)
try:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
except ImportError:
    print("needs another implementation of the ciphers: apt-get install python3-cryptography")
    sys.exit(77)

PORT = 45_678  # no dissector of Wireshark's own claims it
MEDIA, FEEDBACK, CONTROL, HEARTBEAT, PROBE = 1, 2, 3, 4, 5
SUITES = {1: ("aes-128-gcm", 16, AESGCM), 2: ("aes-256-gcm", 32, AESGCM), 3: ("chacha20-poly1305", 32, ChaCha20Poly1305)}
SECRET = bytes(range(32))
looked_at = set()


# ---- frames, by hand

def header(kind=0, lane=0, counter=0, session=0, version=1, phase=0):
    return struct.pack(">BBHII", version << 5 | kind << 2 | phase, lane, counter >> 32, counter & 0xffffffff, session)


def record(kind, payload=b"", label=0, traffic_class=0, keyframe=0, frame_end=0, ttl=0, layer=0):
    flags = kind << 4 | traffic_class << 2 | keyframe << 1 | frame_end
    return struct.pack(">IBBH", label, flags, ttl << 4 | layer, len(payload)) + payload


def sealed(suite, secret, head, plain):
    _, key_bytes, cipher = SUITES[suite]
    info = b"trunkline lane" + bytes([suite, head[1], head[8] >> 4])
    out = HKDFExpand(hashes.SHA256(), key_bytes + 12, info).derive(secret)
    nonce = int.from_bytes(out[key_bytes:], "big") ^ int.from_bytes(head[2:8], "big")
    return head + cipher(out[:key_bytes]).encrypt(nonce.to_bytes(12, "big"), plain, head)


def null(head, plain):
    return head + plain + b"x" * 16


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return struct.pack(">I", crc ^ 0xffffffff)


def null_message(number, payload, size=0):
    body = bytes(range(32)) + struct.pack(">H", len(payload)) + payload
    body = body.ljust(size - 4, b"\0")
    return body + crc32c(bytes([number]) + body)


def text8(text):
    return bytes([len(text)]) + text.encode()


def hello():
    def tlv(tag, body):
        return struct.pack(">BH", tag, len(body)) + body
    setting = text8("mtu") + text8("1500") + b"\2" + text8("1500") + text8("9000")
    return b"\1" + b"".join([
        tlv(1, b"\1\2"), tlv(2, struct.pack(">QQ", 0x30, 0x10)), tlv(3, b"lab-one"), tlv(4, struct.pack(">Q", 7)),
        tlv(5, b"ams-1"), tlv(6, struct.pack(">Q", 1_795_385_299_299)), tlv(7, b"ams"), tlv(8, b""),
        tlv(9, struct.pack(">HIHI", 7000, 0x00010002, 7001, 0x10030004)), tlv(10, setting),
        tlv(11, struct.pack(">BQ", 1, 0xf8136803cb7ac31f)), tlv(12, b"later")])


def segment(seq, ack, received, messages):
    body = struct.pack(">IIQB", seq, ack, received, 1 if messages else 0) + messages
    return body + crc32c(body)


def message(kind, body):
    return struct.pack(">BH", kind, len(body)) + body


def pcap_head():
    return struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65_535, 228)  # LINKTYPE_IPV4


def pcap_packet(datagram, port=PORT):
    udp = struct.pack(">HHHH", port, port, 8 + len(datagram), 0) + datagram
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0, bytes([198, 18, 0, 1]),
                     bytes([198, 18, 0, 2])) + udp
    return struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip


# ---- asking tshark

def tshark(*args):
    return ["tshark", "-X", f"lua_script:{SCRIPT}", *args]


class Capture:
    """Datagrams in a file, and a key log beside it. The last one made is the one that there is."""
    directory = None  # of all, while tests run

    def __init__(self, datagrams, key_log="", ports=PORT):
        self.file = pathlib.Path(self.directory, "frames.pcap")
        self.file.write_bytes(pcap_head() + b"".join(map(pcap_packet, datagrams)))
        self.options = ["-o", f"trunkline.ports:{ports}"]
        if key_log:
            log = pathlib.Path(self.directory, "keys.log")
            log.write_text(key_log, encoding="ascii")
            self.options += ["-o", f"trunkline.key_log:{log}"]

    def read(self, *names):
        """Per datagram: a list of the values of each field, as text."""
        looked_at.update(names)
        done = subprocess.run(
            tshark(*self.options, "-r", str(self.file), "-T", "fields", "-E", "aggregator=;", "-E", "separator=/t",
                   *[arg for name in names for arg in ("-e", name)]),
            check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Lua" not in done.stderr, done.stderr
        lines = done.stdout.removesuffix("\n").split("\n")
        return [[field.split(";") if field else [] for field in line.split("\t")] for line in lines]


def key_line(session, suite, secret):
    return f"TRUNKLINE_SESSION {session:08x} {suite} {secret.hex()}\n"


def setUpModule():
    directory = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(directory.cleanup)
    Capture.directory = directory.name


class Wireshark(unittest.TestCase):
    maxDiff = None

    def shows(self, capture, expected, frame=0):
        """`expected`: field -> values, numbers in any notation."""
        def plain(value):
            value = {"True": "1", "False": "0"}.get(str(value), str(value))
            try:
                return int(value, 0)
            except ValueError:
                return value
        names = ["trunkline." + name if not name.startswith(("rtp.", "rtcp.", "udp.")) else name for name in expected]
        shown = dict(zip(expected, capture.read(*names)[frame]))
        wanted = {name: values if isinstance(values, list) else [values] for name, values in expected.items()}
        self.assertEqual({n: [plain(v) for v in values] for n, values in shown.items()},
                         {n: [plain(v) for v in values] for n, values in wanted.items()})

    def test_a_header_is_shown_bit_for_bit(self):
        head = header(lane=3, counter=0x1234_56789abc, session=0xa1bc1234, phase=2)
        self.shows(Capture([null(head, record(MEDIA, b"\x80" + bytes(19), label=5))]), {
            "version": 1, "type": 0, "phase": 2, "lane": 3, "counter": 0x1234_56789abc, "session": 0xa1bc1234,
            "session.core": 10, "session.slot": 0x1bc, "session.random": 0x1234, "tag": "78" * 16})

    def test_records_of_the_null_suite_are_shown_with_their_media(self):
        rtp = struct.pack(">BBHII", 0x80, 0x80 | 96, 4711, 90_000, 0xcafe) + b"picture"
        pli = struct.pack(">BBHII", 0x81, 206, 2, 0xa, 0xb)
        plain = record(MEDIA, rtp, 41 << 10 | 7, 1, 1, 1, 3, 9) + record(FEEDBACK, pli, 1 << 10 | 1, 2, 0, 0, 0, 0)
        self.shows(Capture([null(header(), plain + bytes(13))]), {
            "suite": "null", "label": [41 << 10 | 7, 1 << 10 | 1], "label.index": [41, 1], "label.generation": [7, 1],
            "kind": [1, 2], "class": [1, 2], "keyframe": [1, 0], "frame_end": [1, 0], "ttl": [3, 0], "layer": [9, 0],
            "length": [len(rtp), len(pli)], "payload": [rtp.hex(), pli.hex()], "padding": "00" * 13, "rtp.seq": 4711,
            "rtp.ssrc": 0xcafe, "rtp.p_type": 96, "rtp.marker": 1, "rtcp.pt": 206, "rtcp.senderssrc": 0xa})

    def test_a_record_of_a_kind_that_is_not_known_is_skipped_by_its_length(self):
        plain = record(9, b"later", label=7) + record(15, b"", label=0) + record(PROBE, b"??")
        self.shows(Capture([null(header(), plain)]), {
            "suite": "null", "kind": [9, 15, 5], "label": [7, 0, 0], "length": [5, 0, 2],
            "payload": [b"later".hex(), b"??".hex()], "probe.answer": 0, "malformed": []})
        cut = null(header(), record(9, b"later", label=7)[:-1])
        self.shows(Capture([cut]), {"suite": "sealed", "kind": []})

    def test_heartbeats_and_path_probes_are_shown(self):
        beat = struct.pack(">QQIIQ", 1 << 40, 2, 3, 0xffffffff, 1 << 50)
        plain = record(HEARTBEAT, beat, traffic_class=3) + record(PROBE, b"??") + record(PROBE, b"!!", layer=1)
        self.shows(Capture([null(header(), plain)]), {
            "kind": [4, 5, 5], "heartbeat.sent_us": 1 << 40, "heartbeat.echo_us": 2, "heartbeat.echo_hold_us": 3,
            "heartbeat.heard_age_us": 0xffffffff, "heartbeat.received": 1 << 50, "probe.answer": [0, 1]})

    def test_each_control_message_is_shown(self):
        track = bytes(range(16))
        path = b"\2" + struct.pack(">QQ", 11, 12)
        messages = [
            message(1, track + struct.pack(">QBB", 5, 1, 2)),
            message(2, track + struct.pack(">Q", 6)),
            message(3, b""),
            message(4, struct.pack(">Q", 100) + track + struct.pack(">IBIBQ", 0x401, 2, 900_000, 3, 4) + path),
            message(5, struct.pack(">QBBQQIBII", 101, 7, 6, 8, 9, 0x802, 1, 50_000, 60_000) + path +
                    struct.pack(">H", 5) + b"a; b." + struct.pack(">H", 2) + b"\xde\xad"),
            message(6, struct.pack(">QI", 102, 0x403) + track),
            message(7, struct.pack(">Q", 103) + track + struct.pack(">IBQ", 0x404, 36, 10)),
            message(9, b"new")]
        capture = Capture([null(header(), record(CONTROL, segment(8, 9, 1 << 63, b"".join(messages)))),
                           null(header(), record(CONTROL, segment(10, 11, 0, b"")))])
        m = "message."
        self.shows(capture, {
            "segment.seq": 8, "segment.ack": 9, "segment.received": 1 << 63, "segment.flags": 1,
            "segment.has_messages": 1, "segment.crc": int(segment(8, 9, 1 << 63, b"".join(messages))[-4:].hex(), 16),
            "segment.crc_ok": 1, m + "type": [1, 2, 3, 4, 5, 6, 7, 9], m + "length": [len(x) - 3 for x in messages],
            m + "track": [track.hex()] * 5, m + "generation": [5, 6, 8, 10], m + "flags": [1, 6],
            m + "announce.flowing": 1, m + "class": 2, m + "request": [100, 101, 102, 103],
            m + "media_label": [0x401, 0x403, 0x404], m + "owner_core": 2, m + "budget_us": 900_000,
            m + "hop_limit": 3, m + "believed_generation": 4, m + "path_count": [2, 2], m + "path": [11, 12, 11, 12],
            m + "outcome": 7, m + "answer.authoritative": 0, m + "answer.flowing": 1, m + "answer.pending": 1,
            m + "moved_to": 9, m + "feedback_label": 0x802, m + "feedback_core": 1, m + "retry_after_us": 50_000,
            m + "next_by_us": 60_000, m + "text": ["a", " b."], m + "descriptor": "dead", m + "reason": 36,
            m + "unknown": b"new".hex(), "malformed": []})
        self.shows(capture, {"segment.seq": 10, "segment.ack": 11, "segment.has_messages": 0, "segment.crc_ok": 1,
                             "message.type": [], "malformed": []}, frame=1)

    def test_a_null_handshake_shows_hello_and_refusal(self):
        refusal = b"\2\4" + text8("wire.mtu") + text8("1500") + text8("9000")
        msg1, confirm = null_message(1, hello(), 1184), null_message(3, b"")
        capture = Capture([header(1) + msg1, header(2, session=5) + null_message(2, refusal),
                           header(3, session=6) + confirm])
        h = "hello."
        self.shows(capture, {
            "type": 1, "handshake.suite": "null", "handshake.nonce": bytes(range(32)).hex(),
            "handshake.length": len(hello()), "handshake.fill": "00" * (1184 - 38 - len(hello())),
            "handshake.crc": int(msg1[-4:].hex(), 16), h + "tag": list(range(1, 13)),
            h + "length": [2, 16, 7, 8, 5, 8, 3, 0, 12, 20, 9, 5], h + "version_min": 1, h + "version_max": 2,
            h + "supported": 0x30, h + "required": 0x10, h + "cluster": "lab-one", h + "node": 7, h + "name": "ams-1",
            h + "incarnation": 1_795_385_299_299, h + "region": "ams", h + "colour": [], h + "port": [7000, 7001],
            h + "session": [0x00010002, 0x10030004], h + "setting": "mtu", h + "current": "1500",
            h + "accepted": ["1500", "9000"], h + "schema_version": 1, h + "fingerprint": 0xf8136803cb7ac31f,
            h + "unknown": b"later".hex(), "malformed": []})
        self.shows(capture, {"type": 2, "session": 5, "refusal.code": 4, "refusal.setting": "wire.mtu",
                             "refusal.mine": "1500", "refusal.theirs": "9000", "malformed": []}, frame=1)
        self.shows(capture, {"type": 3, "handshake.suite": "null", "handshake.length": 0, "malformed": []}, frame=2)

    def test_a_sealed_handshake_shows_what_lies_around_it(self):
        e, s, mac1, mac2 = b"\x11" * 32, b"\x22" * 48, b"\x33" * 16, b"\x44" * 16
        capture = Capture([
            header(1, counter=0x00070008) + e + s + b"\x55" * 1072 + mac1 + mac2,
            header(2, session=7) + e + b"\x66" * 300 + mac1 + bytes(16),
            header(3, session=8) + b"\x77" * 16 + mac1,
            header(7, session=9) + b"\x88" * 24 + b"\x99" * 32])
        self.shows(capture, {
            "type": 1, "counter": 0x00070008, "handshake.suite": "sealed", "handshake.ephemeral": e.hex(),
            "handshake.static": s.hex(), "handshake.sealed": "55" * 1072, "handshake.mac1": mac1.hex(),
            "handshake.mac2": mac2.hex(), "malformed": []})
        self.shows(capture, {"type": 2, "handshake.ephemeral": e.hex(), "handshake.sealed": "66" * 300,
                             "handshake.mac2": "00" * 16, "malformed": []}, frame=1)
        self.shows(capture, {"type": 3, "handshake.sealed": "77" * 16, "handshake.mac1": mac1.hex(),
                             "malformed": []}, frame=2)
        self.shows(capture, {"type": 7, "handshake.nonce": "88" * 24, "handshake.cookie": "99" * 32,
                             "malformed": []}, frame=3)

    def test_the_examples_of_the_document_open(self):
        head = header(lane=3, counter=0x123456, session=0x50071234)
        behind = {1: "0eadbcbfa0b9dfcb958dd39ad6f8fc7114de612d1e2a798455a2a489f986069e30cf0b9e4d15e43f",
                  2: "ded8f46970867bb96057cfb3da699c52ce6df7fa1ea692e057e65168f8eb7ca8aa79f0c2ab7b7383",
                  3: "44fa4870048ee485b1031a9eecbda833be121c4bedc89630c4e95b0c76ecb5a452e5076de258dcc3"}
        for suite, text in behind.items():
            plain = bytes.fromhex("00000401 14 30 0010 7369787465656e206f66206d65646961")
            self.assertEqual(sealed(suite, SECRET, head, plain).hex(), head.hex() + text)
            self.shows(Capture([head + bytes.fromhex(text)], key_line(0x50071234, suite, SECRET)), {
                "suite": SUITES[suite][0], "label": 0x401, "ttl": 3, "payload": b"sixteen of media".hex(),
                "tag": text[-32:], "not_authentic": []})

    def test_sealed_datagrams_of_every_length_open(self):
        session = 0x90010203
        for suite in SUITES:
            frames, payloads = [], []
            for i in list(range(1, 70)) + [255, 256, 257, 1200, 1443]:
                payload = bytes((i * 7 + j * j) % 251 for j in range(i))
                head = header(lane=i % 16, counter=i << 30 | i, session=session)
                frames.append(sealed(suite, SECRET[::-1], head, record(PROBE, payload)))
                payloads.append(payload.hex())
            frames.append(sealed(suite, SECRET[::-1], header(session=session), b""))
            capture = Capture(frames, key_line(session, suite, SECRET[::-1]))
            shown = capture.read("trunkline.suite", "trunkline.payload", "trunkline.not_authentic")
            name = SUITES[suite][0]
            self.assertEqual(shown, [[[name], [p], []] for p in payloads] + [[[name], [], []]])

    def test_what_no_key_opens_is_shown_as_it_is(self):
        head = header(counter=5, session=0x00010001)
        frame = sealed(1, SECRET, head, record(PROBE, bytes(40)))
        damaged = frame[:-1] + bytes([frame[-1] ^ 1])
        self.shows(Capture([frame]), {"suite": "sealed", "sealed": frame[12:-16].hex(), "tag": frame[-16:].hex(),
                                      "kind": [], "not_authentic": []})
        for datagram, log in ((damaged, key_line(0x00010001, 1, SECRET)), (frame, key_line(0x00010001, 1, bytes(32))),
                              (frame, key_line(0x00010001, 2, SECRET)), (frame, key_line(0x00010001, 3, SECRET))):
            shown = Capture([datagram], log).read("trunkline.suite", "trunkline.kind", "trunkline.not_authentic")
            self.assertEqual(shown[0][:2], [["sealed"], []])
            self.assertNotEqual(shown[0][2], [])

    def test_an_index_that_came_twice_opens_with_either_secret_and_rubbish_in_the_log_is_skipped(self):
        first, second = (sealed(suite, secret, header(session=0x10020003), record(PROBE, b"hello"))
                         for suite, secret in ((1, SECRET), (3, bytes(32))))
        log = ("# a comment\nTRUNKLINE_SESSION 1 1 00\nTRUNKLINE_SESSION 10020003 9 " + "00" * 32 + "\n" +
               key_line(0x10020003, 1, SECRET) + "CLIENT_RANDOM 00 11\n" + key_line(0x10020003, 3, bytes(32)) +
               "TRUNKLINE_SESSION 10020003 1 cut")
        self.assertEqual(Capture([first, second], log).read("trunkline.suite"),
                         [[["aes-128-gcm"]], [["chacha20-poly1305"]]])

    def test_keys_that_are_appended_while_a_capture_runs_are_used(self):
        frame = sealed(2, SECRET, header(session=0x20030004), record(PROBE, b"hello"))
        with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
            command = tshark("-o", f"trunkline.ports:{PORT}", "-o", f"trunkline.key_log:{log.name}", "-r", "-", "-l",
                             "-T", "fields", "-e", "trunkline.suite")
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as reader:
                def say(data):
                    reader.stdin.write(data)
                    reader.stdin.flush()
                say(pcap_head() + pcap_packet(frame))
                self.assertEqual(reader.stdout.readline(), b"sealed\n")
                log.write(key_line(0x20030004, 2, SECRET))
                log.flush()
                say(pcap_packet(frame))
                self.assertEqual(reader.stdout.readline(), b"aes-256-gcm\n")
                reader.stdin.close()
                self.assertEqual(reader.wait(30), 0)

    def test_ports_that_nobody_named_are_recognised_by_what_they_carry(self):
        head = header(lane=1, session=0x00010001)
        ours = [null(head, record(MEDIA, b"\x80" + bytes(30), label=9)), header(1) + null_message(1, hello(), 1184),
                header(7, session=9) + bytes(56), header(3, session=9) + bytes(32),
                sealed(1, SECRET, head, record(PROBE, bytes(40)))]
        foreign = [sealed(1, SECRET, header(session=0x00010002), record(PROBE, bytes(40))), b"\x20" + bytes(60),
                   null(header(lane=1, session=0x00010002), record(9, bytes(30), label=9)),
                   header(1) + bytes(100), header(5) + bytes(100), bytes(12), b"\x20"]
        shown = Capture(ours + foreign, key_line(0x00010001, 1, SECRET), ports="1").read("trunkline.version")
        self.assertEqual(shown, [[["1"]]] * len(ours) + [[[]]] * len(foreign))

    def test_what_is_cut_or_wrong_is_marked_and_nothing_ends_the_reader(self):
        beat = null(header(), record(HEARTBEAT, bytes(31)))
        bad_crc = bytearray(null(header(), record(CONTROL, segment(1, 2, 3, message(3, b"")))))
        bad_crc[-17] ^= 1
        whole = header(1) + null_message(1, hello(), 1184)
        acquire = message(4, bytes(12))
        marked = [beat, bytes(bad_crc), header(), header() + bytes(15), header(5) + bytes(60),
                  null(header(), record(CONTROL, segment(1, 2, 3, acquire))),
                  null(header(), record(CONTROL, segment(1, 2, 3, acquire[:9]))),
                  null(header(), record(CONTROL, b"short")), header(2) + null_message(2, b"\3"),
                  header(2) + null_message(2, b"\1\1\0\5\1"), header(3) + b"x", header(7) + bytes(60),
                  header(2) + null_message(2, b"\2\4\5abc")]
        for shown in Capture(marked).read("trunkline.malformed"):
            self.assertNotEqual(shown, [[]])
        # Every prefix of real frames: tshark ends well, and Lua met no error.
        frames = [whole[:n] for n in range(0, 300, 3)]
        control = null(header(), record(CONTROL, segment(1, 2, 3, message(1, bytes(26)) + message(5, bytes(40)))))
        frames += [control[:n] for n in range(len(control))]
        capture = Capture(frames)
        done = subprocess.run(tshark(*capture.options, "-r", str(capture.file), "-V"), check=True, capture_output=True,
                              text=True, timeout=60)
        self.assertNotIn("Lua Error", done.stdout + done.stderr)

    def test_zz_no_field_was_forgotten(self):
        done = subprocess.run(["tshark", "-G", "fields", *tshark()[1:]], check=True, capture_output=True, text=True,
                              timeout=60)
        known = {line.split("\t")[2] for line in done.stdout.splitlines() if "\ttrunkline." in line}
        self.assertGreater(len(known), 80)
        self.assertEqual(known - looked_at, set())


if __name__ == "__main__":
    unittest.main()
