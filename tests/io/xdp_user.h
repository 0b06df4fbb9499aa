// What a port does with the XDP program, in its smallest form: loads and attaches it as net_af_xdp would
// (through netlink, never in place of another one), and an AF_XDP socket in copy mode that only receives.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "io/udp_socket.h"
#include "tests/io/namespace_world.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace trunkline::io {

// The program as the build made it, attached to the interface until its scope ends.
class AttachedProgram {
 public:
  // `mode_flag`: XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE. In the calling thread's namespace.
  AttachedProgram(const char* interface, uint32_t mode_flag)
      : interface_index_(static_cast<int>(::if_nametoindex(interface))), mode_flag_(mode_flag) {
    object_ = bpf_object__open_file(std::getenv("TRUNKLINE_STEER"), nullptr);
    EXPECT_EQ(libbpf_get_error(object_), 0);
    EXPECT_EQ(bpf_object__load(object_), 0);
    error_ = bpf_xdp_attach(interface_index_, bpf_program__fd(bpf_object__next_program(object_, nullptr)),
                            mode_flag | XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr);
  }
  ~AttachedProgram() {
    if (error_ == 0 && !left_) bpf_xdp_detach(interface_index_, mode_flag_, nullptr);
    bpf_object__close(object_);
  }
  AttachedProgram(const AttachedProgram&) = delete;
  AttachedProgram& operator=(const AttachedProgram&) = delete;

  int error() const { return error_; }
  int sockets() const { return bpf_object__find_map_fd_by_name(object_, "xsks_map"); }
  // As if the process had been killed.
  void leave() { left_ = true; }

 private:
  int interface_index_;
  uint32_t mode_flag_;
  bpf_object* object_ = nullptr;
  int error_ = 0;
  bool left_ = false;
};

class XdpSocket {
 public:
  // Bound to queue 0 of the interface and put into the map of sockets.
  XdpSocket(const char* interface, int sockets) {
    fd_ = FileDescriptor(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    EXPECT_GE(fd_.get(), 0) << std::strerror(errno);
    memory_ = static_cast<uint8_t*>(
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    xdp_umem_reg region{};
    region.addr = reinterpret_cast<uintptr_t>(memory_);
    region.len = kBytes;
    region.chunk_size = kFrameBytes;
    set(XDP_UMEM_REG, region);
    for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING}) set(ring, kFrames);
    socklen_t size = sizeof offsets_;
    EXPECT_EQ(getsockopt(fd_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets_, &size), 0);
    fill_ = map(offsets_.fr.desc + kFrames * sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
    receive_ = map(offsets_.rx.desc + kFrames * sizeof(xdp_desc), XDP_PGOFF_RX_RING);
    for (uint32_t i = 0; i < kFrames; ++i) give(i, uint64_t{i} * kFrameBytes);
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_flags = XDP_COPY;
    address.sxdp_ifindex = ::if_nametoindex(interface);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    const uint32_t queue = 0;
    const int fd = fd_.get();
    EXPECT_EQ(bpf_map_update_elem(sockets, &queue, &fd, 0), 0) << std::strerror(errno);
  }
  ~XdpSocket() {
    ::munmap(fill_, offsets_.fr.desc + kFrames * sizeof(uint64_t));
    ::munmap(receive_, offsets_.rx.desc + kFrames * sizeof(xdp_desc));
    fd_.reset();
    ::munmap(memory_, kBytes);
  }
  XdpSocket(const XdpSocket&) = delete;
  XdpSocket& operator=(const XdpSocket&) = delete;

  // The next frame as it was on the wire; empty when none comes within the limit.
  std::string receive(int limit_ms) {
    const uint32_t consumer = __atomic_load_n(word(receive_, offsets_.rx.consumer), __ATOMIC_RELAXED);
    if (__atomic_load_n(word(receive_, offsets_.rx.producer), __ATOMIC_ACQUIRE) == consumer &&
        !readable(fd_.get(), limit_ms))
      return "";
    EXPECT_NE(__atomic_load_n(word(receive_, offsets_.rx.producer), __ATOMIC_ACQUIRE), consumer);
    const xdp_desc got = reinterpret_cast<xdp_desc*>(receive_ + offsets_.rx.desc)[consumer % kFrames];
    std::string frame(reinterpret_cast<const char*>(memory_ + got.addr), got.len);
    __atomic_store_n(word(receive_, offsets_.rx.consumer), consumer + 1, __ATOMIC_RELEASE);
    give(*word(fill_, offsets_.fr.producer), got.addr / kFrameBytes * kFrameBytes);
    return frame;
  }

 private:
  static constexpr uint32_t kFrames = 64;
  static constexpr uint32_t kFrameBytes = 4096;
  static constexpr size_t kBytes = size_t{kFrames} * kFrameBytes;

  template <class T>
  void set(int option, const T& value) {
    EXPECT_EQ(setsockopt(fd_.get(), SOL_XDP, option, &value, sizeof value), 0) << std::strerror(errno);
  }
  uint8_t* map(size_t bytes, off_t offset) {
    void* ring = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), offset);
    EXPECT_NE(ring, MAP_FAILED) << std::strerror(errno);
    return static_cast<uint8_t*>(ring);
  }
  static uint32_t* word(uint8_t* ring, uint64_t offset) { return reinterpret_cast<uint32_t*>(ring + offset); }
  void give(uint32_t place, uint64_t frame) {
    reinterpret_cast<uint64_t*>(fill_ + offsets_.fr.desc)[place % kFrames] = frame;
    __atomic_store_n(word(fill_, offsets_.fr.producer), place + 1, __ATOMIC_RELEASE);
  }

  FileDescriptor fd_;
  uint8_t* memory_ = nullptr;
  uint8_t* fill_ = nullptr;
  uint8_t* receive_ = nullptr;
  xdp_mmap_offsets offsets_{};
};

}  // namespace trunkline::io
