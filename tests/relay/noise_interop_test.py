"""relay/noise.h against an independent implementation of Noise, dissononce: both get the same keys and payloads, and
must write the same bytes, read each other's, and end with the same keys and transcript. Both roles, hundreds of
random sessions; every tenth message is damaged, and must be refused.

Usage: noise_interop_test.py NOISE_PEER [SESSIONS]. Skipped, and says so, where python3-dissononce is not installed.
"""
import os
import random
import subprocess
import sys

DEBIAN_PYTHON = "/usr/bin/python3"
SKIPPED = 77  # meson's convention
SEED = 20261129

try:
    from dissononce.cipher.chachapoly import ChaChaPolyCipher
    from dissononce.dh.keypair import KeyPair
    from dissononce.dh.x25519.private import PrivateKey
    from dissononce.dh.x25519.public import PublicKey
    from dissononce.dh.x25519.x25519 import X25519DH
    from dissononce.hash.sha256 import SHA256Hash
    from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
    from dissononce.processing.impl.cipherstate import CipherState
    from dissononce.processing.impl.handshakestate import HandshakeState
    from dissononce.processing.impl.symmetricstate import SymmetricState
except ImportError:
    # Debian's packages belong to Debian's Python, which need not be the one that runs the tests.
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN_PYTHON) and os.path.exists(DEBIAN_PYTHON):
        os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, "-B", *sys.argv])
    print("skipped: needs dissononce, another implementation of Noise: apt-get install python3-dissononce")
    sys.exit(SKIPPED)


class GivenKeys(X25519DH):
    """X25519 that gives out the ephemeral key it was told, so that both implementations use the same."""

    ephemeral = None

    def generate_keypair(self, privatekey=None):
        return super().generate_keypair(privatekey or self.ephemeral)


def pair(secret):
    return X25519DH().generate_keypair(PrivateKey(secret))


class Reference:
    """One end, by dissononce."""

    def __init__(self, initiator, prologue, static, ephemeral, peer=None):
        dh = GivenKeys()
        dh.ephemeral = PrivateKey(ephemeral)
        self.state = HandshakeState(SymmetricState(CipherState(ChaChaPolyCipher()), SHA256Hash()), dh)
        self.state.initialize(IKHandshakePattern(), initiator, prologue, s=pair(static), rs=peer and PublicKey(peer))
        self.split = None

    def write(self, payload):
        out = bytearray()
        self.split = self.state.write_message(payload, out)
        return bytes(out)

    def read(self, message):
        out = bytearray()
        self.split = self.state.read_message(message, out)
        return bytes(out)

    def result(self):
        keys = [cipher._key for cipher in self.split]  # which it has no accessor for
        return [*keys, self.state.symmetricstate.get_handshake_hash()]


class Ours:
    """The other end, by relay/noise.h, in a process of its own."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *words):
        print(*[w if isinstance(w, str) else (w.hex() or "-") for w in words], file=self.process.stdin, flush=True)

    def hear(self):
        line = self.process.stdout.readline().strip()
        if line == "refused":
            return None
        return [b"" if word == "-" else bytes.fromhex(word) for word in line.split()]


def damaged(message, rng):
    out = bytearray(message)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def we_initiate(ours, rng, harm):
    prologue, payload1, payload2 = (rng.randbytes(rng.choice((0, 1, 16, 31, 240, 1000))) for _ in range(3))
    keys = [rng.randbytes(32) for _ in range(4)]
    reference = Reference(False, prologue, keys[2], keys[3])
    ours.say("i", prologue, keys[0], keys[1], pair(keys[2]).public.data, payload1)
    [message1] = ours.hear()
    twin = Reference(True, prologue, keys[0], keys[1], pair(keys[2]).public.data)
    assert twin.write(payload1) == message1, "message 1 differs"
    assert reference.read(message1) == payload1
    assert reference.state.rs.data == pair(keys[0]).public.data
    message2 = reference.write(payload2)
    ours.say(damaged(message2, rng) if harm else message2)
    heard = ours.hear()
    assert heard == (None if harm else [payload2, *reference.result()]), "message 2 is read differently"


def we_respond(ours, rng, harm):
    prologue, payload1, payload2 = (rng.randbytes(rng.choice((0, 1, 16, 31, 240, 1000))) for _ in range(3))
    keys = [rng.randbytes(32) for _ in range(4)]
    reference = Reference(True, prologue, keys[0], keys[1], pair(keys[2]).public.data)
    message1 = reference.write(payload1)
    ours.say("r", prologue, keys[2], keys[3], damaged(message1, rng) if harm else message1, payload2)
    heard = ours.hear()
    if harm:
        assert heard is None, "a damaged message 1 was accepted"
        return
    peer, read1, message2, *result = heard
    assert (peer, read1) == (pair(keys[0]).public.data, payload1)
    twin = Reference(False, prologue, keys[2], keys[3])
    twin.read(message1)
    assert twin.write(payload2) == message2, "message 2 differs"
    assert reference.read(message2) == payload2
    assert result == reference.result() == twin.result()


def main():
    ours = Ours(sys.argv[1])
    sessions = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    rng = random.Random(SEED)
    for i in range(sessions):
        harm = i % 10 == 9
        we_initiate(ours, rng, harm)
        we_respond(ours, rng, harm)
    ours.process.stdin.close()
    assert ours.process.wait() == 0
    print(f"{sessions} sessions in each role agree with dissononce, byte for byte")


if __name__ == "__main__":
    main()
