"""Real media for the end-to-end tests: GStreamer's command line as publisher and subscriber, and an edge between each
and its node that passes every datagram on and remembers it.

The idea: GStreamer sends RTP and RTCP from sockets of its own; an SFU's tap speaks from one. The edge joins the two
sides as an SFU would (RFC 5761: both on one port), and is where a test counts: what the encoder sent, byte for byte,
and what reached the decoder. One thread serves all edges; a few hundred packets per second cost it little.
"""
import selectors
import socket
import struct
import threading
import time

BUFFER_BYTES = 8 << 20
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python does not name it

WIDTH, HEIGHT, FRAMES_PER_S = 320, 240, 30
OPUS_FRAME_MS = 20
# Frames leave the decoder as pictures of this size, so that counting them is a file's length.
SHRUNK = 16


def is_rtcp(packet):
    """RFC 5761, section 4: RTCP's packet types are 192 to 223, which RTP avoids."""
    return len(packet) >= 2 and 192 <= packet[1] <= 223


def rtp_key(packet):
    """(SSRC, sequence number), RFC 3550, section 5.1."""
    sequence, = struct.unpack_from("!H", packet, 2)
    ssrc, = struct.unpack_from("!I", packet, 8)
    return ssrc, sequence


def rtp_timestamp(packet):
    return struct.unpack_from("!I", packet, 4)[0]


def rtp_payload(packet):
    at = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:  # header extension
        at += 4 + 4 * struct.unpack_from("!H", packet, at + 2)[0]
    return packet[at:]


def starts_vp8_keyframe(packet):
    """RFC 7741, sections 4.2 and 4.3: the first packet of partition 0 whose frame header has P = 0."""
    payload = rtp_payload(packet)
    at = 1
    if payload[0] & 0x80:  # X
        extension = payload[1]
        at = 2
        if extension & 0x80:  # I
            at += 2 if payload[at] & 0x80 else 1
        at += bool(extension & 0x40)  # L
        at += bool(extension & 0x30)  # T or K
    return bool(payload[0] & 0x10) and payload[0] & 7 == 0 and payload[at] & 1 == 0


def picture_losses(packet):
    """Media SSRCs of the PLIs in an RTCP compound (RFC 4585, section 6.3.1)."""
    found = []
    while len(packet) >= 12:
        length = 4 * (struct.unpack_from("!H", packet, 2)[0] + 1)
        if packet[1] == 206 and packet[0] & 31 == 1:
            found.append(struct.unpack_from("!I", packet, 8)[0])
        packet = packet[length:]
    return found


def udp_socket(address="127.0.0.1", port=0):
    """In the calling thread's namespace."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    made.bind((address, port))
    made.setblocking(False)
    return made


class Edge:
    """Joins a program's RTP and RTCP ports with one socket towards a node.

    `program` is where the program sends to; what comes from the node goes to the program's ports. `node` is where
    the node listens; None: learned from what arrives. Both lists hold (time, datagram) and only grow."""

    def __init__(self, node=None):
        self.program, self.tap = udp_socket(), udp_socket()
        self.program_port = self.program.getsockname()[1]
        self.tap_port = self.tap.getsockname()[1]
        self.rtp_to = self.rtcp_to = None  # ("127.0.0.1", port) of the program; None: nobody there
        self.node = node
        self.from_program, self.from_node = [], []

    def close(self):
        self.program.close()
        self.tap.close()

    def program_readable(self):
        data = self.program.recv(1 << 16)
        self.from_program.append((time.monotonic(), data))
        if self.node:
            self.tap.sendto(data, self.node)

    def tap_readable(self):
        data, self.node = self.tap.recvfrom(1 << 16)
        self.from_node.append((time.monotonic(), data))
        to = self.rtcp_to if is_rtcp(data) else self.rtp_to
        if to:
            self.program.sendto(data, to)


class Edges:
    """The thread that serves edges, from the first to the last line of a `with`."""

    def __init__(self, *edges):
        self._selector = selectors.DefaultSelector()
        for edge in edges:
            self._selector.register(edge.program, selectors.EVENT_READ, edge.program_readable)
            self._selector.register(edge.tap, selectors.EVENT_READ, edge.tap_readable)
        self._ending = False
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending = True
        self._thread.join()
        self._selector.close()

    def _serve(self):
        while not self._ending:
            for key, _ in self._selector.select(timeout=0.05):
                for _ in range(64):
                    try:
                        key.data()
                    except BlockingIOError:
                        break
                    except ConnectionRefusedError:
                        pass  # an ICMP answer to an earlier datagram: its receiver is not there yet, or any more


def media_packets(records):
    return [(at, data) for at, data in records if not is_rtcp(data)]


def timestamps(records):
    """One per frame."""
    return {rtp_timestamp(data) for _, data in media_packets(records)}


def keyframe_times(records):
    return [at for at, data in media_packets(records) if starts_vp8_keyframe(data)]


# --- GStreamer -------------------------------------------------------------------------------------------------------

VP8_CAPS = ("application/x-rtp,media=video,clock-rate=90000,encoding-name=VP8,payload=96,"
            "rtcp-fb-nack-pli=(boolean)true")
OPUS_CAPS = "application/x-rtp,media=audio,clock-rate=48000,encoding-name=OPUS,payload=97"


def gst(*words):
    return ["gst-launch-1.0", "-q", *" ".join(words).split()]


def udp_in(port):
    return f"udpsrc address=127.0.0.1 port={port} buffer-size={BUFFER_BYTES}"


def udp_out(port):
    return f"udpsink host=127.0.0.1 port={port} sync=false async=false"


def video_publisher(edge, rtcp_port, seconds):
    """VP8 with no keyframe but the first, unless somebody asks: what a PLI causes is then plain to see."""
    return gst("rtpbin name=r rtp-profile=avpf",
               f"videotestsrc is-live=true pattern=snow num-buffers={seconds * FRAMES_PER_S}",
               f"! video/x-raw,width={WIDTH},height={HEIGHT},framerate={FRAMES_PER_S}/1",
               "! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=1000000 target-bitrate=1500000",
               "! rtpvp8pay pt=96 mtu=1200 picture-id-mode=15-bit ! r.send_rtp_sink_0",
               f"r.send_rtp_src_0 ! {udp_out(edge.program_port)}",
               f"r.send_rtcp_src_0 ! {udp_out(edge.program_port)}",
               f"{udp_in(rtcp_port)} ! r.recv_rtcp_sink_0")


def audio_publisher(edge, seconds):
    packets = seconds * 1000 // OPUS_FRAME_MS
    return gst(f"audiotestsrc is-live=true samplesperbuffer={48 * OPUS_FRAME_MS} num-buffers={packets}",
               "! audio/x-raw,rate=48000,channels=1",
               f"! opusenc frame-size={OPUS_FRAME_MS} bitrate=64000 ! rtpopuspay pt=97",
               f"! {udp_out(edge.program_port)}")


def video_subscriber(edge, rtp_port, rtcp_port, frames_file):
    """Decodes into small grey pictures; asks for a keyframe (PLI) until it has one."""
    return gst("rtpbin name=r rtp-profile=avpf latency=100",
               f'{udp_in(rtp_port)} caps="{VP8_CAPS}" ! r.recv_rtp_sink_0'.replace('"', ""),
               f"{udp_in(rtcp_port)} ! r.recv_rtcp_sink_0",
               f"r.send_rtcp_src_0 ! {udp_out(edge.program_port)}",
               "r. ! rtpvp8depay request-keyframe=true wait-for-keyframe=true ! vp8dec ! videoconvert ! videoscale",
               f"! video/x-raw,format=GRAY8,width={SHRUNK},height={SHRUNK}",
               f"! filesink location={frames_file} sync=false buffer-mode=unbuffered")


def audio_subscriber(rtp_port, samples_file):
    return gst(f"{udp_in(rtp_port)} caps={OPUS_CAPS} ! rtpjitterbuffer latency=100 ! rtpopusdepay ! opusdec",
               "! audio/x-raw,format=S16LE,rate=48000,channels=1",
               f"! filesink location={samples_file} sync=false buffer-mode=unbuffered")


def decoded_frames(frames_file):
    return frames_file.stat().st_size // (SHRUNK * SHRUNK) if frames_file.exists() else 0


def decoded_opus_ms(samples_file):
    return samples_file.stat().st_size // 2 // 48 if samples_file.exists() else 0
