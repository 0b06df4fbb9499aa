/* What the XDP program and the process that fills its maps agree on: names, keys, values and their order.
 * Plain C, read by clang for BPF and by the C++ compiler. Names have at most 15 characters: the kernel keeps
 * no more (BPF_OBJ_NAME_LEN), and they are how an attached program is recognised as ours. */
#pragma once

#include <linux/types.h>

/* The program, and its maps:
 *   xsks_map         queue -> AF_XDP socket; the name is what DPDK's net_af_xdp asks of a custom program
 *   trunkline_ports  UDP ports with an endpoint, as a bit set: word port / 64, bit port % 64
 *   trunkline_binds  the endpoints themselves: struct trunkline_bind -> 1
 *   trunkline_count  enum trunkline_count -> packets, per CPU
 */
#define TRUNKLINE_PROGRAM "trunkline_steer"
#define TRUNKLINE_SOCKETS "xsks_map"
#define TRUNKLINE_PORTS "trunkline_ports"
#define TRUNKLINE_BINDS "trunkline_binds"
#define TRUNKLINE_COUNT "trunkline_count"

#define TRUNKLINE_QUEUES 256u      /* more than network cards have queues for; 8 bytes each */
#define TRUNKLINE_PORT_WORDS 1024u /* 65 536 ports */
#define TRUNKLINE_MAX_BINDS 256u   /* 64 ports on four addresses */

/* A local address and port, as core::UdpAddress lays it out. The address may be unspecified (all zero): any
 * address of that family. */
struct trunkline_bind {
  __u16 family; /* 4 or 6 */
  __u16 port;   /* host order */
  __u8 ip[16];  /* network order; IPv4 in the first 4 bytes, the rest zero */
};

enum trunkline_count {
  TRUNKLINE_REDIRECTED, /* to the AF_XDP socket of the queue that received it */
  TRUNKLINE_NO_SOCKET,  /* ours, but that queue has no socket: passed to the kernel */
  TRUNKLINE_FRAGMENTS,  /* a fragment: passed; one UDP datagram in several never is ours */
  TRUNKLINE_COUNTS,
};
