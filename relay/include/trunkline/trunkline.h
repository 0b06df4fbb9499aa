/* libtrunkline: the trunk between SFU nodes, as a C library (C11; no macro or inline function is needed to
 * bind it).
 *
 * A host opens a node from a TOML configuration, opens one queue per thread that moves media, publishes the
 * tracks of its own clients, acquires tracks that live on other servers, and moves RTP and RTCP in batches.
 *
 *   tl_node    one running node: data cores, one mesh thread, one service thread. Several may live in one
 *              process.
 *   tl_queue   the door of ONE host thread: commands, outcomes, packets. Not thread-safe: one thread at a
 *              time.
 *
 * Rules that hold everywhere
 *   - No function blocks, except tl_open (start-up) and tl_close (bounded by its argument), and
 *     tl_explain_json and tl_flights_json (bounded by a second).
 *   - No callback on the data path. The only callback is the log line, called on the service thread.
 *   - Functions return 0 or a count >= 0, or a negative TL_E... code; tl_last_error() then has one sentence
 *     for people: what, where, and what to do. Short counts are normal, never errors.
 *   - Every acquire ends exactly once with a TL_OUTCOME_..., at or before its deadline plus 1 ms.
 *   - Structures that start with `size` are filled in by the caller with sizeof(the structure): later
 *     versions append members, and a zeroed member means its default. tl_packet is frozen at 64 bytes.
 *
 * Threads    tl_queue_...: the queue's thread. All others: any thread, tl_close apart: nobody uses the node
 *            meanwhile or later.
 * Fork       a child of fork() must not touch a node of its parent; it may open its own.
 * Signals    the library installs no handler; its threads block all signals.
 * Memory     reserved at tl_open from [limits]; never grows beyond that. The library never frees what the
 *            host allocated, and vice versa.
 */
#ifndef TRUNKLINE_H
#define TRUNKLINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TL_API __attribute__((visibility("default")))
#else
#define TL_API
#endif

#define TL_ABI_VERSION 1u
#define TL_TRACK_ID_BYTES 16u
#define TL_DESCRIPTOR_BYTES_MAX 512u

typedef struct tl_node tl_node;
typedef struct tl_queue tl_queue;

/* Error codes: distinct, append-only, negative. */
enum {
  TL_EINVAL = -1,  /* an argument is wrong; the text says which */
  TL_ECONFIG = -2, /* the configuration is wrong or incomplete; the text names file:line:column and the key */
  TL_ESYSTEM = -3, /* the operating system refused something; the text says what and the remedy */
  TL_EABI = -4,    /* the caller was built against a newer or unknown ABI */
  TL_EFULL = -5,   /* a bounded table or ring is full now; try again after draining outcomes or packets */
  TL_ENOHANDLE = -6, /* no publication or acquisition of this queue has this handle */
  TL_ENOTREADY = -7, /* the publication is not confirmed yet: wait for TL_EVENT_PUBLISHED */
  TL_EINUSE = -8,    /* the queue is open already, or the node still has open queues */
  TL_ETOOBIG = -9,   /* a packet or text does not fit; the text says the limit */
  TL_ECLOSED = -10,  /* the node is closing */
  TL_ETIMEOUT = -11  /* the node's mesh thread did not answer within a second */
};
/* "TL_EINVAL", ...; never NULL. */
TL_API const char* tl_error_name(int code);
/* The sentence for the last failed call of the calling thread; never NULL, valid until that thread's next
 * call. */
TL_API const char* tl_last_error(void);
/* "0.1.0". */
TL_API const char* tl_version(void);

/* ---- nodes ---- */

enum { TL_LOG_DEBUG = 0, TL_LOG_INFO = 1, TL_LOG_WARN = 2, TL_LOG_ERROR = 3 };

typedef struct tl_options {
  uint32_t size;           /* sizeof(tl_options) */
  uint32_t abi;            /* TL_ABI_VERSION */
  const char* config_path; /* a TOML file; or NULL and: */
  const char* config_text; /* TOML text, zero-terminated; `config_path` or "config" names it in errors */
  /* Log lines, one call per line, on the service thread; it may block without harm to media or acquires.
     NULL: lines go to stderr. */
  void (*log)(void* user, int level, const char* line);
  void* log_user;
} tl_options;

/* Starts a node; returns when its sockets are bound and its threads run. On failure *node is NULL, and
   nothing is left behind. Errors: TL_EINVAL, TL_ECONFIG, TL_ESYSTEM, TL_EABI. */
TL_API int tl_open(const tl_options* options, tl_node** node);
/* Ends a node: publications are withdrawn (peers answer GONE), then threads stop. Takes at most `drain_ms` +
   100 ms. Every queue must have been closed (TL_EINUSE). NULL is allowed. */
TL_API int tl_close(tl_node* node, uint32_t drain_ms);

/* Validates a configuration without opening a socket. On error writes the text, zero-terminated, to `text`
   (may be NULL with 0) and returns TL_ECONFIG. */
TL_API int tl_check_config(const char* config_path, const char* config_text, char* text, size_t text_bytes);

/* The 16-byte id of a track's name in a namespace: BLAKE2b-128, see docs/protocol.md for test vectors. All
   nodes of a cluster use the same namespace (wire.track_namespace is compared before a link comes up).
   Errors: TL_EINVAL. */
TL_API int tl_track_id(const char* track_namespace, const char* name, uint8_t id[16]);
/* The same with the node's own namespace. */
TL_API int tl_node_track_id(const tl_node* node, const char* name, uint8_t id[16]);

/* Every counter and histogram, as one JSON object, zero-terminated. Returns its length without the zero
   (which may be larger than `bytes`: then nothing useful was written; call again with more room). */
TL_API int64_t tl_stats_json(const tl_node* node, char* json, size_t bytes);
/* Why does a track (not) flow on this node? One JSON object: `line`, one sentence with the one cause; `cause`
   and `cause_node`; `next`, what to do; `text`, all of it for a terminal; and the facts. `name` is what
   people call the track, and may be NULL. Waits for the node's mesh thread, normally a fraction of a
   millisecond, never more than a second. Length and `bytes` as tl_stats_json. Errors: TL_EINVAL, TL_ETIMEOUT,
   TL_EINUSE (another thread is asking this node). */
TL_API int64_t tl_explain_json(tl_node* node, const uint8_t track[16], const char* name, char* json,
                               size_t bytes);
/* The last `n` acquires, the newest first: those of `track`, or of all tracks when it is NULL. One JSON
   object per line: when, for how long, the outcome, and whom it asked. At most the last 1 000 are kept. Waits
   and fails as tl_explain_json. */
TL_API int64_t tl_flights_json(tl_node* node, const uint8_t* track, uint32_t n, char* json, size_t bytes);
/* One sentence each about the ports in use and why; for a start-up message. */
TL_API int64_t tl_describe(const tl_node* node, char* text, size_t bytes);
/* The UDP address of data core 0, "127.0.0.1:7000", with the port the kernel chose. */
TL_API int64_t tl_listen_address(const tl_node* node, char* text, size_t bytes);

/* ---- queues ---- */

/* Opens queue `index` (0 .. host_queues - 1 of the configuration). Errors: TL_EINVAL, TL_EINUSE. */
TL_API int tl_queue_open(tl_node* node, uint32_t index, tl_queue** queue);
/* Releases and unpublishes everything of this queue. NULL is allowed. */
TL_API int tl_queue_close(tl_queue* queue);

/* An eventfd that is readable when tl_queue_events or tl_rx_burst may have something. Poll it; before
   sleeping call tl_queue_arm(), which returns 1 if something is there already (do not sleep), else 0. Reading
   the eventfd clears it. The descriptor belongs to the queue. */
TL_API int tl_queue_fd(const tl_queue* queue);
TL_API int tl_queue_arm(tl_queue* queue);

/* ---- tracks ---- */

enum { TL_CLASS_REST = 0, TL_CLASS_VIDEO_BASE = 1, TL_CLASS_AUDIO = 2 };

typedef struct tl_publish_options {
  uint32_t size;
  uint32_t traffic_class; /* TL_CLASS_...: what is dropped last when there is no room */
  uint8_t track[16];
  uint64_t generation;    /* grows per publication of a track; 0: one above the highest seen */
  const void* descriptor; /* opaque, handed to who acquires (codec, SSRCs); at most 512 bytes */
  uint32_t descriptor_bytes;
  uint32_t ssrc;      /* of an ingest tap: 0: any */
  const char* ingest; /* NULL: packets come through this queue; else "host:port" to receive plain RTP on */
  const char* codec;  /* of an ingest tap: "vp8" and "h264" let keyframes be seen; may be NULL */
  const char* ingest_from; /* of an ingest tap: NULL: whoever sends is heard; else "host:port"; port 0: any */
} tl_publish_options;

/* Asks for a publication; TL_EVENT_PUBLISHED or TL_EVENT_PUBLISH_FAILED follows. `*handle` names it until
   TL_EVENT_UNPUBLISHED or TL_EVENT_PUBLISH_FAILED. Errors: TL_EINVAL, TL_EFULL, TL_ETOOBIG.
   An `ingest_from` without `ingest`, of another family, or 0.0.0.0, :: or multicast is TL_EINVAL. */
TL_API int tl_publish(tl_queue* queue, const tl_publish_options* options, uint64_t* handle);
TL_API int tl_unpublish(tl_queue* queue, uint64_t handle);

typedef struct tl_acquire_options {
  uint32_t size;
  uint32_t deadline_ms; /* 0: the configured default */
  uint8_t track[16];
  int32_t rendezvous_ms; /* how long to wait for an announcement when nobody has it; 0: the default; -1: do
                            not wait */
  uint32_t reserved;
  const char* egress; /* NULL: packets arrive through this queue; else "host:port" to send plain RTP to */
} tl_acquire_options;

/* Asks for a track; exactly one TL_EVENT_OUTCOME follows, at or before the deadline plus 1 ms. After outcome
   OK the handle stands for the subscription until TL_EVENT_ENDED; after any other outcome it is free.
   TL_EVENT_ENDED comes by itself with GONE, when the track is no longer published; MOVED, when a newer
   generation of it is, and the event's node says where; LINK_DOWN, when its source has been silent for ten
   seconds and nobody else has the track; LOOP, when nodes came to feed each other. Acquire again to go on. A
   source that dies while another node has the track is replaced without an event. Errors:
   TL_EINVAL, TL_EFULL (more outcomes outstanding than limits.max_acquires: take some). */
TL_API int tl_acquire(tl_queue* queue, const tl_acquire_options* options, uint64_t* handle);
/* Ends an acquire (outcome CANCELLED) or a subscription (TL_EVENT_ENDED with CANCELLED). */
TL_API int tl_release(tl_queue* queue, uint64_t handle);
/* Says that node `node_id` has the track: a location from elsewhere (a room service, a database). It may be
 * wrong. */
TL_API int tl_hint(tl_queue* queue, const uint8_t track[16], uint64_t node_id);

/* Before a node ends: with `on` 1 new requests of peers are answered DRAINING and referred to the node
   `successor` (0: to nobody), with 0 they are served again. What is served goes on, and so does everything
   this node's own hosts ask for. Errors: TL_EINVAL (the node itself as successor), TL_EFULL. */
TL_API int tl_drain(tl_queue* queue, int on, uint64_t successor);

/* ---- events ---- */

enum {
  TL_EVENT_PUBLISHED = 0,
  TL_EVENT_PUBLISH_FAILED = 1,
  TL_EVENT_UNPUBLISHED = 2,
  TL_EVENT_OUTCOME = 3,
  TL_EVENT_ENDED = 4,
  TL_EVENT_TOO_BIG = 5
};

/* How an acquire ends; the numbers are those of docs/protocol.md. */
enum {
  TL_OUTCOME_OK = 0,
  TL_OUTCOME_NOT_HERE = 1,
  TL_OUTCOME_MOVED = 2,
  TL_OUTCOME_GONE = 3,
  TL_OUTCOME_STALE_EPOCH = 4,
  TL_OUTCOME_FUTURE_EPOCH = 5,
  TL_OUTCOME_LOOP = 6,
  TL_OUTCOME_BUSY = 7,
  TL_OUTCOME_DRAINING = 8,
  TL_OUTCOME_UNSUPPORTED = 9,
  TL_OUTCOME_CONFIG_MISMATCH = 10,
  TL_OUTCOME_UNAUTHORIZED = 11,
  TL_OUTCOME_DEADLINE = 12,
  TL_OUTCOME_INTERNAL = 13,
  TL_OUTCOME_NO_REPLY = 32,
  TL_OUTCOME_LINK_DOWN = 33,
  TL_OUTCOME_CANCELLED = 34,
  TL_OUTCOME_LOCAL_LIMIT = 35,
  TL_OUTCOME_STALLED = 36
};
/* "NOT_HERE"; "?" for a number that is none. */
TL_API const char* tl_outcome_name(uint32_t outcome);

typedef struct tl_event {
  uint32_t kind;    /* TL_EVENT_... */
  uint32_t outcome; /* TL_OUTCOME_...: of TL_EVENT_OUTCOME; the reason, of TL_EVENT_ENDED */
  uint64_t handle;
  uint8_t track[16];
  uint64_t node_id; /* who answered, or is named; 0: nobody */
  uint64_t generation;
  uint64_t elapsed_us;   /* since the host asked */
  uint32_t attempts;     /* requests sent to peers for it */
  uint8_t authoritative; /* NOT_HERE, GONE: said by the node that would know */
  uint8_t flowing; /* OK: media arrives; 0: the track is muted, packets follow when its publisher sends */
  uint8_t local;   /* OK: published on this node */
  uint8_t reserved0;
  uint32_t size, size_max;   /* TL_EVENT_TOO_BIG: what came, and the largest payload that fits */
  uint32_t descriptor_bytes; /* OK: of `descriptor` */
  uint32_t reserved1;
  char address[56]; /* TL_EVENT_PUBLISHED with an ingest tap: the bound address */
  char text[192]; /* one sentence where there is more to say: the setting that differs and both values, ... */
  uint8_t descriptor[512];
} tl_event;

/* Takes up to n events; returns how many. An outcome stays until it is taken: it cannot be lost. */
TL_API int tl_queue_events(tl_queue* queue, tl_event* events, uint32_t n);

/* ---- packets ---- */

enum {
  TL_PACKET_KEYFRAME = 1u,  /* starts a keyframe */
  TL_PACKET_FRAME_END = 2u, /* last packet of a frame; for video the RTP marker says the same and sets it */
  TL_PACKET_FEEDBACK = 4u   /* RTCP that travels against the media: from a subscriber to the publisher */
};

/* One RTP or RTCP packet, byte for byte. Frozen: 64 bytes, for ever. */
typedef struct tl_packet {
  void* data;
  uint32_t length;   /* bytes of RTP or RTCP */
  uint32_t capacity; /* tl_tx_claim: room at `data` */
  uint64_t handle;   /* the publication (media out, feedback in) or acquisition (media in, feedback out) */
  uint32_t flags;    /* TL_PACKET_... */
  uint8_t layer;     /* 0..15, opaque */
  uint8_t traffic_class; /* TL_CLASS_...; 0 with a publication of a higher class: the publication's */
  uint16_t reserved0;
  uint64_t time_ns; /* received: arrival at this node, CLOCK_MONOTONIC */
  uint64_t reserved1[3];
} tl_packet;

/* Sends copies of n packets of publications of this queue (or feedback for its acquisitions). Returns how
   many were taken, from the front; the rest found the ring full. A packet that names no ready publication or
   acquisition ends the burst: if it is the first, TL_ENOHANDLE or TL_ENOTREADY. Malformed RTP is taken and
   counted as a drop (stats: drops.bad_rtp). */
TL_API int tl_tx_burst(tl_queue* queue, const tl_packet* packets, uint32_t n);
/* Zero-copy form: claim up to n slots for `handle` (data, capacity, handle are filled in), write the packets,
   set length and flags, commit the first n of them. One claim at a time. */
TL_API int tl_tx_claim(tl_queue* queue, uint64_t handle, tl_packet* packets, uint32_t n);
TL_API int tl_tx_commit(tl_queue* queue, const tl_packet* packets, uint32_t n);

/* Received packets; `data` points into the queue's ring and stays valid until the next tl_rx_release of this
   queue. Call again only after tl_rx_release. */
TL_API int tl_rx_burst(tl_queue* queue, tl_packet* packets, uint32_t n);
/* Returns all packets of the last tl_rx_burst. */
TL_API int tl_rx_release(tl_queue* queue);

#ifdef __cplusplus
}
#endif
#endif /* TRUNKLINE_H */
