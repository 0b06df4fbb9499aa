// The XDP program that shares an interface with the kernel: datagrams to our endpoints go to the AF_XDP
// socket of the queue that received them, everything else goes on into the kernel as if nobody were here.
//
// The idea: the answer to any doubt is XDP_PASS. VLAN tags, IPv4 fragments, IPv6 extension headers, lengths
// that do not fit and a queue without a socket are the kernel's; so are ARP, neighbour discovery, ICMP and
// every port that is not in the maps. The maps are empty when the program is attached, so it does nothing
// until it is told to (xdp_steering.h), and nothing again when the process that told it is gone, since its
// sockets leave the map with it.
//
// It looks at headers only: neither checksums nor the UDP length. Who reads the socket takes lengths from
// what arrived and trusts only what is authenticated.
//
// Runs on the CPU and in the NAPI context of the receiving queue. Cost: for a packet that is not UDP some
// loads; for UDP to a foreign port one array look-up more; for ours one or two hash look-ups of 20 bytes on
// top. Needs Linux 5.3 (the fallback in bpf_redirect_map's flags).
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "io/dpdk/steering/steer_maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, TRUNKLINE_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, TRUNKLINE_PORT_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} trunkline_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TRUNKLINE_MAX_BINDS);
  __type(key, struct trunkline_bind);
  __type(value, __u32);
} trunkline_binds SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, TRUNKLINE_COUNTS);
  __type(key, __u32);
  __type(value, __u64);
} trunkline_count SEC(".maps");

static __always_inline void count(__u32 which) {
  __u64* packets = bpf_map_lookup_elem(&trunkline_count, &which);
  if (packets) *packets += 1;
}

static __always_inline int is_our_port(__u16 port) {
  __u32 word = port / 64;
  const __u64* bits = bpf_map_lookup_elem(&trunkline_ports, &word);
  return bits && (*bits >> (port % 64) & 1);
}

// `to` is where the packet goes; its address is lost.
static __always_inline int steer(const struct xdp_md* packet, struct trunkline_bind* to) {
  if (!bpf_map_lookup_elem(&trunkline_binds, to)) {
    __builtin_memset(to->ip, 0, sizeof to->ip);
    if (!bpf_map_lookup_elem(&trunkline_binds, to)) return XDP_PASS;
  }
  const long verdict = bpf_redirect_map(&xsks_map, packet->rx_queue_index, XDP_PASS);
  count(verdict == XDP_REDIRECT ? TRUNKLINE_REDIRECTED : TRUNKLINE_NO_SOCKET);
  return (int)verdict;
}

// Without CAP_PERFMON the kernel takes no sum of a packet pointer and a variable, nor one's comparison with
// 0. It needs neither: a header of 5 to 15 words is one of eleven constants. The barrier, different in each
// case, keeps the compiler from making one sum of them again.
#define HEADER_OF(words)                      \
  case words:                                 \
    at = (const void*)ip + 4 * words;         \
    asm volatile("" : "+r"(at) : "i"(words)); \
    break

static __always_inline const struct udphdr* behind(const struct iphdr* ip) {
  const void* at = (const void*)(ip + 1);  // five
  switch (ip->ihl) {
    HEADER_OF(6);
    HEADER_OF(7);
    HEADER_OF(8);
    HEADER_OF(9);
    HEADER_OF(10);
    HEADER_OF(11);
    HEADER_OF(12);
    HEADER_OF(13);
    HEADER_OF(14);
    HEADER_OF(15);
  }
  return at;
}

// RFC 791. Options are skipped; a fragment, also the first, is not looked into.
static __always_inline int ipv4(const struct xdp_md* packet, const struct iphdr* ip, const void* end) {
  if ((const void*)(ip + 1) > end || ip->version != 4 || ip->protocol != IPPROTO_UDP) return XDP_PASS;
  if (ip->frag_off & bpf_htons(0x3fff)) {  // "more fragments" or an offset
    count(TRUNKLINE_FRAGMENTS);
    return XDP_PASS;
  }
  if (ip->ihl < 5) return XDP_PASS;
  const struct udphdr* udp = behind(ip);
  if ((const void*)(udp + 1) > end) return XDP_PASS;
  const __u16 port = bpf_ntohs(udp->dest);
  if (!is_our_port(port)) return XDP_PASS;

  struct trunkline_bind to = {.family = 4, .port = port};
  __builtin_memcpy(to.ip, &ip->daddr, sizeof ip->daddr);
  return steer(packet, &to);
}

// RFC 8200. UDP directly behind the fixed header, or it is not ours.
static __always_inline int ipv6(const struct xdp_md* packet, const struct ipv6hdr* ip, const void* end) {
  if ((const void*)(ip + 1) > end || ip->version != 6) return XDP_PASS;
  if (ip->nexthdr == IPPROTO_FRAGMENT) count(TRUNKLINE_FRAGMENTS);
  if (ip->nexthdr != IPPROTO_UDP) return XDP_PASS;
  const struct udphdr* udp = (const void*)(ip + 1);
  if ((const void*)(udp + 1) > end) return XDP_PASS;
  const __u16 port = bpf_ntohs(udp->dest);
  if (!is_our_port(port)) return XDP_PASS;

  struct trunkline_bind to = {.family = 6, .port = port};
  __builtin_memcpy(to.ip, &ip->daddr, sizeof ip->daddr);
  return steer(packet, &to);
}

SEC("xdp")
int trunkline_steer(struct xdp_md* packet) {
  const void* begin = (const void*)(long)packet->data;
  const void* end = (const void*)(long)packet->data_end;
  const struct ethhdr* ethernet = begin;
  if ((const void*)(ethernet + 1) > end) return XDP_PASS;
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) return ipv4(packet, (const void*)(ethernet + 1), end);
  if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) return ipv6(packet, (const void*)(ethernet + 1), end);
  return XDP_PASS;
}

// Nothing here calls a helper that asks for the GPL.
char trunkline_licence[] SEC("license") = "Apache-2.0";
