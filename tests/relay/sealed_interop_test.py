"""The sealed handshake, computed a second time from docs/protocol.md: with another implementation of Noise, Python's
hashes, and the keys that an exchange of relay/sealed_handshake.h says it used. Every byte of every message, the
certificates and the session's secrets must come out the same.

Usage: sealed_interop_test.py SEALED_PEER. Skipped, and says so, where python3-dissononce is not installed.
"""
import hashlib
import hmac
import struct
import subprocess
import sys

import noise_interop_test as noise
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PROLOGUE = b"trunkline handshake 1"
SUITE = bytes([2])  # aes-256-gcm
MSG1, MSG2, CONFIRM = 1, 2, 3


def mac(key, message, covered):
    return hashlib.blake2b(bytes([message]) + covered, digest_size=16, key=key).digest()


def mac1(public_key, message, covered):
    return mac(hashlib.sha256(b"trunkline mac1 1" + public_key).digest(), message, covered)


def derived(key, label):
    return hmac.new(key, label, "sha256").digest()


def hchacha20(key, nonce):
    """The key of XChaCha20 (draft-irtf-cfrg-xchacha, 2.2): twenty rounds of ChaCha20, first and last row."""
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for into, by, other, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[into] = (x[into] + x[by]) & 0xffffffff
            x[other] ^= x[into]
            x[other] = ((x[other] << turn) | (x[other] >> (32 - turn))) & 0xffffffff

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *x[:4], *x[12:])


def cookie_in(reply, responder, answered_mac1):
    key = hashlib.sha256(b"trunkline cookie 1" + responder).digest()
    nonce, sealed = reply[:24], reply[24:]
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], sealed, answered_mac1)


def check_certificate(certificate, node, key, cluster):
    signer = hashlib.sha256(b"trunkline signer 1" + cluster).digest()[:8]
    head = struct.pack(">BBBBIQQQQ", 1, 4, 3, 0, 7, node, 1_000 + node, 1_799_996_400, 1_800_003_600)
    fields = head + signer + key + b"prod".ljust(64, b"\0") + b"ams".ljust(32, b"\0")
    assert certificate[:176] == fields, "the certificate's fields differ"
    Ed25519PublicKey.from_public_bytes(cluster).verify(certificate[176:], b"trunkline certificate 1" + fields)


def ephemeral(said, end):
    """At time 0, the first of its node."""
    return hashlib.blake2b(said[f"{end}_secret"] + struct.pack(">QQ", 0, 1), key=said[f"{end}_drawn"], digest_size=32).digest()


def check_exchange(said):
    a_key, b_key = (noise.pair(said[f"{end}_secret"]).public.data for end in "ab")
    for node, end, key in ((1, "a", a_key), (2, "b", b_key)):
        check_certificate(said[f"{end}_certificate"], node, key, said["cluster_public"])

    a = noise.Reference(True, PROLOGUE, said["a_secret"], ephemeral(said, "a"), b_key)
    b = noise.Reference(False, PROLOGUE, said["b_secret"], ephemeral(said, "b"))
    payload1 = said["a_certificate"] + struct.pack(">QH", 1, 12) + b"hello from a"
    msg1 = a.write(payload1.ljust(1056, b"\0"))
    first = mac1(b_key, MSG1, msg1)
    msg1 += first
    cookie = cookie_in(said["cookie_reply"], b_key, first)
    msg1 += mac(cookie, MSG1, msg1)
    assert len(msg1) == 1184 and msg1 == said["msg1"], "msg1 differs"

    assert b.read(msg1[:-32]) == payload1.ljust(1056, b"\0")
    msg2 = b.write(said["b_certificate"] + struct.pack(">QH", 0, 12) + b"hello from b")
    msg2 += mac1(a_key, MSG2, msg2) + bytes(16)
    assert len(msg2) == 330 + 12 and msg2 == said["msg2"], "msg2 differs"

    initiator, responder, transcript = b.result()
    confirm = ChaCha20Poly1305(derived(initiator, b"trunkline confirm 1")).encrypt(bytes(12), b"a refusal", transcript)
    confirm += mac1(b_key, CONFIRM, confirm)
    assert confirm == said["confirm"], "the confirm differs"
    assert said["a_sends"] == derived(initiator, b"trunkline session 1" + SUITE), "the initiator's secret differs"
    assert said["b_sends"] == derived(responder, b"trunkline session 1" + SUITE), "the responder's secret differs"


if __name__ == "__main__":
    output = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True, timeout=20).stdout
    check_exchange({name: bytes.fromhex(value) for name, value in (line.split() for line in output.splitlines())})
    print("every byte of an exchange is as docs/protocol.md says")
