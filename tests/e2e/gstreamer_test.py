"""Real media end to end: GStreamer's VP8 and Opus, through a node's ingest tap, over an impaired wire between two
network namespaces, out of the other node's egress tap, into GStreamer's decoders.

    namespace a                                                namespace b
    encoder -> edge -> [[ingest]] node 1 == veth, delay ==> node 2 [[egress]] -> edge -> decoder
    encoder <- edge <---- RTCP ---------------------------------- RTCP -------- edge <- decoder

Shown for each port, and for nodes that drive the wire themselves (AF_XDP beside the kernel): every RTP packet arrives once and byte-identical, every frame decodes, and a late joiner's PLI
reaches the encoder, which answers with a keyframe. Then, with 1 % loss on the wire: exactly that loss, counted.
TRUNKLINE_E2E_SECONDS is how long each case sends media.
"""
import collections
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import lab
import media
from lab import Failed, check, say, total, wait_until

SECONDS = int(os.environ.get("TRUNKLINE_E2E_SECONDS", "5"))
ONE_WAY_MS = 20
A, B = "198.18.0.1", "198.18.0.2"
NODE_A, NODE_B = f"{A}:7000", f"{B}:7000"
VIDEO_IN, AUDIO_IN = 5004, 5006
LOSS, LOSS_SEED = 0.01, 20231102
KEYFRAME_WITHIN_S = 1.0
IO_URING_SETUP = 425  # its number on every architecture
# What an encoder's and a decoder's reports end in at the hop, by design; every other drop is a fault here.
HARMLESS_DROPS = {"feedback_ended", "feedback_merged"}


def on_the_wire(config):
    """With port = "dpdk": the veth, shared with the kernel. Its other end leaves checksums to an offload of nobody's."""
    if config["node"]["port"] == "dpdk":
        config["dpdk"] = {"interface": "wire", "pages": "small", "memory_mib": 128, "buffers": 4096,
                          "verify_udp_checksum": False}
    return config


class Stage:
    """Two namespaces, two nodes, an edge for each stream and side, all running; and GStreamer's processes."""

    def __init__(self, bench, ports, loss=0.0):
        self.bench = bench
        self.a, self.b = bench.namespace(), bench.namespace()
        lab.join(self.a, A, self.b, B)
        with self.a:
            self.video_in = media.Edge(("127.0.0.1", VIDEO_IN))
            self.audio_in = media.Edge(("127.0.0.1", AUDIO_IN))
            self.encoder_rtcp, = lab.free_udp_ports(1)
        with self.b:
            self.video_out, self.audio_out, self.late_out = media.Edge(), media.Edge(), media.Edge()
        self.edges = [self.video_in, self.audio_in, self.video_out, self.audio_out, self.late_out]
        for edge in self.edges:
            bench.defer(edge.close)
        self.video_in.rtcp_to = ("127.0.0.1", self.encoder_rtcp)
        self.node_a = bench.node(self._config_a(ports[0], loss), self.a)
        self.node_b = bench.node(self._config_b(ports[1]), self.b)
        self.node_a.wait_up(2)
        self.node_b.wait_up(1)
        wait_until("node 1 serves both tracks to node 2", 5,
                   lambda: self.node_a.stats()["usage"]["subscriptions_down"] == 2)

    def _config_a(self, port, loss):
        config = on_the_wire(lab.node_config(1, NODE_A, [(2, NODE_B)], ONE_WAY_MS, port=port))
        config["lab"]["seed"] = LOSS_SEED
        config["lab"]["impair"][0]["loss"] = loss
        config["ingest"] = [
            {"track": "video", "listen": f"127.0.0.1:{VIDEO_IN}", "class": "video", "codec": "vp8"},
            {"track": "audio", "listen": f"127.0.0.1:{AUDIO_IN}", "class": "audio", "codec": "opus"}]
        return config

    def _config_b(self, port):
        config = on_the_wire(lab.node_config(2, NODE_B, [(1, NODE_A)], ONE_WAY_MS, port=port))
        config["egress"] = [
            {"track": track, "to": f"127.0.0.1:{edge.tap_port}", "deadline_ms": 10_000, "rendezvous_ms": 9_000}
            for track, edge in (("video", self.video_out), ("audio", self.audio_out))]
        return config

    def decode_video(self, edge, name):
        """A decoder behind `edge`; returns (process, file of its frames)."""
        with self.b:
            rtp, rtcp = lab.free_udp_ports(2)
        frames = self.bench.directory / f"{name}.gray"
        process = self.bench.process(media.video_subscriber(edge, rtp, rtcp, frames), name, self.b)
        edge.rtp_to, edge.rtcp_to = ("127.0.0.1", rtp), ("127.0.0.1", rtcp)
        return process, frames

    def decode_audio(self, edge, name):
        with self.b:
            rtp, = lab.free_udp_ports(1)
        samples = self.bench.directory / f"{name}.pcm"
        process = self.bench.process(media.audio_subscriber(rtp, samples), name, self.b)
        edge.rtp_to = ("127.0.0.1", rtp)
        return process, samples

    def publish(self):
        """Starts both encoders; returns what ends when both have sent everything."""
        video = self.bench.process(media.video_publisher(self.video_in, self.encoder_rtcp, SECONDS), "encoder", self.a)
        audio = self.bench.process(media.audio_publisher(self.audio_in, SECONDS), "audio-encoder", self.a)

        def finish():
            wait_until("the encoder sends its last frame", SECONDS + 10, lambda: frames_complete(self.video_in) >=
                       SECONDS * media.FRAMES_PER_S, pause_s=0.05)
            video.stop(3, signal.SIGINT)  # by itself it would wait for its turn to say goodbye by RTCP
            check(audio.wait(10) == 0, "the audio encoder failed")
        return finish


def frames_complete(edge):
    """Frames of which the last packet (RTP marker, RFC 7741, section 4.1) was sent."""
    return sum(data[1] >> 7 for _, data in media.media_packets(edge.from_program))


def compare(name, sent_records, received_records):
    """Both sides' RTP packets by (SSRC, sequence number). Returns (sent, received) after checking that what arrived
    arrived once and byte-identical."""
    sent = {media.rtp_key(data): data for _, data in media.media_packets(sent_records)}
    check(len(sent) == len(media.media_packets(sent_records)), f"{name}: the encoder repeated a sequence number")
    received = collections.Counter()
    for _, data in media.media_packets(received_records):
        key = media.rtp_key(data)
        received[key] += 1
        check(key in sent, f"{name}: a packet arrived that nobody sent: SSRC {key[0]} sequence {key[1]}")
        check(data == sent[key], f"{name}: packet {key} arrived with other bytes")
    twice = [key for key, times in received.items() if times > 1]
    check(not twice, f"{name}: {len(twice)} packets arrived more than once: {twice[:5]}")
    return sent, received


def wait_for_packets(condition):
    """They may be on their way yet. If they never come, what is checked next says it better."""
    try:
        wait_until("", 2, condition)
    except Failed:
        pass


def everything_arrived(name, sent_records, received_records):
    wait_for_packets(lambda: len(media.media_packets(received_records)) >= len(media.media_packets(sent_records)))
    sent, received = compare(name, sent_records, received_records)
    check(len(received) == len(sent), f"{name}: {len(sent) - len(received)} of {len(sent)} packets did not arrive")
    return len(sent)


def complete_from_its_first(name, stage):
    """A late joiner misses what was before it, and nothing after. Returns how many packets it got."""
    def missing():
        sent, received = compare(name, stage.video_in.from_program, stage.late_out.from_node)
        order = list(sent)
        first = next(i for i, key in enumerate(order) if key in received)
        return [at for at, key in enumerate(order[first:]) if key not in received], len(received)
    wait_for_packets(lambda: not missing()[0])
    gaps, received = missing()
    check(not gaps, f"{name}: of {received + len(gaps)} packets since its first {len(gaps)} are missing: {gaps[:10]}")
    return received


def no_drops(*nodes):
    for node in nodes:
        name = node.config_path.stem
        for core in node.stats()["cores"]:
            drops = {k: v for k, v in core["drops"].items() if v and k not in HARMLESS_DROPS}
            check(not drops, f"{name} dropped packets: {drops}")
        # received = forwarded + drops + held, and at rest nothing is held.
        wait_until(f"{name} holds nothing", 2, lambda node=node: total(node.stats(), "conservation", "held") == 0)


def end(process):
    """Ctrl-C is how one ends gst-launch."""
    process.stop(3, signal.SIGINT)


def join_late(stage):
    """A second subscriber, in the middle of a stream whose only keyframe is long gone."""
    process, frames = stage.decode_video(stage.late_out, "late-decoder")
    time.sleep(0.5)  # the decoder listens
    requests_before, asked = len(stage.video_in.from_node), time.monotonic()
    handle = stage.node_b.admin.call("acquire", track="video", egress=f"127.0.0.1:{stage.late_out.tap_port}")["handle"]
    outcome = stage.node_b.admin.event(handle=handle, event="outcome")
    check(outcome["outcome"] == "OK" and outcome["flowing"], f"the late joiner's acquire: {outcome}")

    def request():
        return next((at for at, data in stage.video_in.from_node[requests_before:] if media.picture_losses(data)), None)
    requested = wait_until("the late joiner's PLI reaches the encoder", 2, request)
    keyframe = wait_until("the encoder answers the PLI with a keyframe", KEYFRAME_WITHIN_S, lambda: next(
        (at for at in media.keyframe_times(stage.video_in.from_program) if at > requested), None))
    wait_until("the late joiner decodes", 3, lambda: media.decoded_frames(frames) > 0)
    say(f"  late joiner: PLI at the encoder {1e3 * (requested - asked):.0f} ms after its acquire, "
        f"keyframe {1e3 * (keyframe - requested):.0f} ms later")
    return process, frames


def lossless(*ports):
    with lab.Lab() as bench:
        stage = Stage(bench, ports)
        for port, node in zip(ports, (stage.node_a, stage.node_b)):
            used = node.stats()["cores"][0]["port"]["name"]
            check(port in used or port == "auto", f"the configuration says port = '{port}', and '{used}' is in use")
        with media.Edges(*stage.edges):
            decoder, frames = stage.decode_video(stage.video_out, "decoder")
            audio_decoder, samples = stage.decode_audio(stage.audio_out, "audio-decoder")
            time.sleep(0.7)  # both listen
            finish_publishing = stage.publish()
            time.sleep(SECONDS / 2)
            late, late_frames = join_late(stage)
            finish_publishing()
            videos = everything_arrived("video", stage.video_in.from_program, stage.video_out.from_node)
            audios = everything_arrived("audio", stage.audio_in.from_program, stage.audio_out.from_node)
            sent_frames = len(media.timestamps(stage.video_in.from_program))
            check(sent_frames == SECONDS * media.FRAMES_PER_S, f"the encoder made {sent_frames} frames")
            wait_until(f"every one of {sent_frames} frames decodes", 3,
                       lambda: media.decoded_frames(frames) == sent_frames)
            wait_until(f"every one of {audios} Opus packets decodes", 3,
                       lambda: media.decoded_opus_ms(samples) == audios * media.OPUS_FRAME_MS)
            late_packets = complete_from_its_first("late joiner", stage)
            say(f"  {videos} video packets ({sent_frames} frames) and {audios} audio packets, each once, "
                f"byte-identical and decoded; late joiner {late_packets} packets, "
                f"{media.decoded_frames(late_frames)} frames")
            for process in (decoder, audio_decoder, late):
                end(process)
        no_drops(stage.node_a, stage.node_b)


def settled(stage):
    """The statistics of both nodes at an instant at which nothing is on the wire from node 1 to node 2."""
    def quiet():
        before = stage.node_a.stats()
        time.sleep(ONE_WAY_MS * 1e-3 + 0.005)
        there = stage.node_b.stats()
        after = stage.node_a.stats()
        return (after, there) if sent_datagrams(before) == sent_datagrams(after) else None
    return wait_until("an instant without a datagram on its way", 10, quiet)


def sent_datagrams(stats):
    return total(stats, "counters", "datagrams_sealed") + stats["mesh"]["handshakes_sent"]


def received_datagrams(stats):
    return total(stats, "counters", "datagrams_opened") + stats["mesh"]["handshakes_received"]


def one_percent_loss_is_counted_exactly():
    with lab.Lab() as bench:
        stage = Stage(bench, ("auto", "auto"), LOSS)
        with media.Edges(*stage.edges):
            # From here on: what was sent before the peer's socket was open is lost too, and nobody's loss model.
            here_before, there_before = settled(stage)
            stage.publish()()
            time.sleep(0.3)
            here, there = settled(stage)
            datagrams = sent_datagrams(here) - sent_datagrams(here_before)
            lost_datagrams = total(here, "port", "impaired_lost") - total(here_before, "port", "impaired_lost")
            missing = datagrams - (received_datagrams(there) - received_datagrams(there_before))
            check(missing == lost_datagrams, f"{missing} datagrams are missing, and {lost_datagrams} counted as lost")
            sent = lost = 0
            for name, before, after in (("video", stage.video_in, stage.video_out),
                                        ("audio", stage.audio_in, stage.audio_out)):
                packets, arrived = compare(name, before.from_program, after.from_node)
                sent, lost = sent + len(packets), lost + len(packets) - len(arrived)
        # The publisher's own RTCP (SR, SDES, BYE) travels with its media, and is lost like it.
        reports = total(here, "counters", "rtcp_downstream") - sum(
            media.is_rtcp(data) for edge in (stage.video_out, stage.audio_out) for _, data in edge.from_node)
        records = total(here, "counters", "media_to_links") - total(there, "counters", "media_in")
        check(lost + reports == records, f"{lost} packets and {reports} reports are missing at the edge, and {records} "
              "records between the nodes' counters")
        deviation = (sent * LOSS * (1 - LOSS)) ** 0.5
        check(0 < lost and abs(lost - sent * LOSS) < 5 * deviation + 1, f"{lost} of {sent} packets lost is not 1 %")
        say(f"  {lost} of {sent} packets lost ({100 * lost / sent:.2f} %), {lost_datagrams} of {datagrams} "
            "datagrams: counted exactly; the rest byte-identical")


def media_over_mmsg_arrives_once_and_identical():
    lossless("mmsg", "mmsg")


def media_over_uring_arrives_once_and_identical():
    if lab.libc.syscall(IO_URING_SETUP, 1, None) < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
        say("  not shown: this kernel or container forbids io_uring")
        return
    lossless("uring", "uring")


def media_from_a_device_to_sockets_arrives_once_and_identical():
    lossless("dpdk", "auto")


def media_between_devices_arrives_once_and_identical():
    lossless("dpdk", "dpdk")


def needs_the_plugin():
    doctor = subprocess.run([lab.trunkline(), "doctor"], capture_output=True, text=True, timeout=20, check=False)
    if not any(line.startswith("PASS  dpdk ") for line in doctor.stdout.splitlines()):
        lab.skip("needs the DPDK plug-in: this build has none")


if __name__ == "__main__":
    lab.need_root()
    if shutil.which("gst-launch-1.0") is None:
        lab.skip("needs GStreamer: tools/dev setup")
    lab.trunkline()
    if sys.argv[1:] == ["dpdk"]:
        needs_the_plugin()
        lab.run(media_from_a_device_to_sockets_arrives_once_and_identical, media_between_devices_arrives_once_and_identical)
    lab.run(media_over_mmsg_arrives_once_and_identical, media_over_uring_arrives_once_and_identical,
            one_percent_loss_is_counted_exactly)
