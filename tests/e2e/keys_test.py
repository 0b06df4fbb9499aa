"""`trunkline keys`: what an operator does with it, from an empty directory to a replaced cluster key, and what it refuses.
No network, no root; a directory of its own, which goes at the end.
"""
import base64
import contextlib
import os
import re
import stat
import subprocess
import tempfile

import lab
from lab import check

ALL = {"publish", "acquire", "relay"}


def keys(*args, code=0):
    """Runs `trunkline keys ARGS`, wants this exit code, and returns what was printed."""
    run = subprocess.run([lab.trunkline(), "keys", *map(str, args)], capture_output=True, text=True, timeout=20)
    check(run.returncode == code, f"keys {args}: exit code {run.returncode}, not {code}: {run.stdout}{run.stderr}")
    check(code == 0 or args[0] == "show" or run.stdout == "", f"keys {args} failed and printed {run.stdout!r}")
    return run.stderr if code else run.stdout


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def shown(*args, code=0):
    run = subprocess.run([lab.trunkline(), "keys", "show", *args], capture_output=True, text=True, timeout=20)
    check(run.returncode == code, f"show {args}: exit code {run.returncode}: {run.stdout}{run.stderr}")
    return dict(re.split(r"  +", line, maxsplit=1) if "  " in line else line.split(" ", 1)
                for line in run.stdout.splitlines())


def payload(path):
    line = [text for text in open(path).read().splitlines() if not text.startswith("#")][-1]
    return base64.b64decode(line.split()[1])


@contextlib.contextmanager
def a_cluster_and_a_node():
    """A directory with the keys of cluster prod and of its node 7."""
    with tempfile.TemporaryDirectory(prefix="trunkline-keys-") as above:
        where = f"{above}/keys"
        keys("cluster", "--name", "prod", "--out", where)
        keys("node", "--cluster-key", f"{where}/cluster.secret", "--node", 7, "--region", "ams", "--out", where)
        yield where


def keys_of_a_cluster_and_a_node_are_private_and_accepted():
    with tempfile.TemporaryDirectory(prefix="trunkline-keys-") as above:
        makes_keys(f"{above}/keys")


def makes_keys(where):
    out = keys("cluster", "--name", "prod", "--out", where).split()
    check(out == [f"{where}/cluster.secret", f"{where}/cluster.public"], f"files named: {out}")
    check(mode(f"{where}/cluster.secret") == 0o600, "the secret file is not 0600")
    check(mode(where) == 0o700, "the new directory is open to others")
    check(payload(f"{where}/cluster.secret")[32:] == b"prod", "the secret file does not carry the cluster's name")

    out = keys("node", "--cluster-key", f"{where}/cluster.secret", "--node", 7, "--region", "ams", "--role", "publish",
               "--role", "relay", "--days", 3, "--out", where).split()
    check(out == [f"{where}/node-7.secret", f"{where}/node-7.certificate"], f"files named: {out}")
    check(mode(f"{where}/node-7.secret") == 0o600, "the node's secret file is not 0600")
    check(len(payload(f"{where}/node-7.certificate")) == 240, "a certificate is 240 bytes")

    facts = shown(f"{where}/node-7.certificate", "--trust", f"{where}/cluster.public")
    check(facts["node"] == "7" and facts["region"] == "ams" and facts["cluster"] == "prod", str(facts))
    check(facts["roles"] == "publish, relay", str(facts))
    check(facts["verdict"] == "the certificate is accepted", str(facts))
    check(facts["signer"] == shown(f"{where}/cluster.secret")["signer"], "the signer's number differs")


def of_secrets_only_the_public_half_is_shown():
    with a_cluster_and_a_node() as where:
        shows_no_secret(where)


def shows_no_secret(where):
    for name in ("cluster.secret", "node-7.secret"):
        secret = base64.b64encode(payload(f"{where}/{name}")[:32]).decode()
        printed = keys("show", f"{where}/{name}") + keys("public", f"{where}/{name}")
        check(secret[:20] not in printed, f"{name}: the secret was printed")
    public = keys("public", f"{where}/node-7.secret")
    check(public == keys("public", f"{where}/node-7.certificate"), "the key and its certificate do not fit")
    check(keys("public", f"{where}/cluster.secret").split() ==
          open(f"{where}/cluster.public").read().splitlines()[-1].split(), "the cluster's two files do not fit")


def wrong_use_is_refused_with_what_to_do_and_changes_nothing():
    with a_cluster_and_a_node() as where:
        refuses(where)


def refuses(where):
    secret = f"{where}/cluster.secret"
    node = ("node", "--cluster-key", secret, "--region", "ams", "--out", where, "--node")
    before = {name: open(f"{where}/{name}").read() for name in os.listdir(where)}
    for args, text in {
        ("cluster", "--name", "prod", "--out", where): "exists already, and is not overwritten",
        ("cluster", "--name", "x" * 65, "--out", where): "--name: a cluster's name has 1 to 64 bytes",
        ("cluster", "--name", "prod", "--out", f"{where}/a/b"): "cannot be made: No such file or directory",
        (*node, 7): "exists already, and is not overwritten",
        (*node, 0): "--node: a node id is a number from 1",
        (*node, 8, "--role", "king"): "--role: 'king' is none; give publish, acquire or relay",
        ("show", f"{where}/absent"): "absent: cannot be opened: No such file or directory",
        ("public", "/etc/hostname"): "/etc/hostname:1: begins with no known kind of key",
        ("node", "--cluster-key", f"{where}/cluster.public", "--node", 8, "--region", "ams", "--out", where):
            "holds a 'trunkline-cluster-public-1', and 'trunkline-cluster-secret-1' is needed here",
    }.items():
        said = keys(*args, code=1)
        check(text in said, f"keys {args} said {said!r}")
    # A certificate's file in the way: the secret that was made first goes again.
    open(f"{where}/node-9.certificate", "w").close()
    keys(*node, 9, code=1)
    check(not os.path.exists(f"{where}/node-9.secret"), "half of a node's files was left")
    os.unlink(f"{where}/node-9.certificate")

    os.chmod(secret, 0o640)
    said = keys(*node, 8, code=1)
    check(f"run: chmod 600 '{secret}'" in said, said)
    os.chmod(secret, 0o600)
    after = {name: open(f"{where}/{name}").read() for name in os.listdir(where)}
    check(before == after, "a refused command changed a file")


def a_cluster_key_is_replaced_while_every_certificate_in_use_is_accepted():
    with a_cluster_and_a_node() as where:
        replaces_a_cluster_key(where)


def replaces_a_cluster_key(where):
    """Two trusted keys, new certificates for the same node key, then one trusted key."""
    later = f"{where}/later"
    keys("cluster", "--name", "prod", "--out", later)
    old, new = f"{where}/cluster.public", f"{later}/cluster.public"
    open(f"{later}/node.public", "w").write(keys("public", f"{where}/node-7.secret"))
    for given in (f"{later}/node.public", f"{where}/node-7.secret"):
        keys("node", "--cluster-key", f"{later}/cluster.secret", "--node", 7, "--region", "ams", "--node-key", given,
             "--out", later)
        check(not os.path.exists(f"{later}/node-7.secret"), "the given key was written again")
        renewed = f"{later}/node-7.certificate"
        check(keys("public", renewed) == keys("public", f"{where}/node-7.secret"), "the node's key has changed")
        check(set(shown(renewed)["roles"].split(", ")) == ALL, "no --role means all")
        for certificate in (f"{where}/node-7.certificate", renewed):
            shown(certificate, "--trust", old, "--trust", new)
        check("does not trust" in shown(renewed, "--trust", old, code=1)["verdict"], "the old key alone accepts it")
        check("does not trust" in shown(f"{where}/node-7.certificate", "--trust", new, code=1)["verdict"], "gap")
        os.unlink(renewed)
    foreign = f"{where}/foreign"
    keys("cluster", "--name", "stage", "--out", foreign)
    said = keys("show", f"{where}/node-7.certificate", "--trust", old, "--trust", f"{foreign}/cluster.public", code=1)
    check("is of another cluster than the key before it" in said, said)


if __name__ == "__main__":
    lab.trunkline()
    lab.run(keys_of_a_cluster_and_a_node_are_private_and_accepted, of_secrets_only_the_public_half_is_shown,
            wrong_use_is_refused_with_what_to_do_and_changes_nothing,
            a_cluster_key_is_replaced_while_every_certificate_in_use_is_accepted)
