// The few bpf(2) calls that reading and filling the maps of an attached program take: the kernel's headers
// are all they need.
//
// Every call returns 0 or an errno, or a descriptor that is empty with errno set. Control path, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/udp_socket.h"

namespace trunkline::io {

struct BpfProgramInfo {
  uint32_t id = 0;
  std::string name;
  std::vector<uint32_t> map_ids;
};
struct BpfMapInfo {
  uint32_t id = 0;
  uint32_t type = 0;  // BPF_MAP_TYPE_...
  std::string name;
  uint32_t key_bytes = 0;
  uint32_t value_bytes = 0;
  uint32_t entries_max = 0;
};

int read_program_info(int program, BpfProgramInfo& out);
int read_map_info(int map, BpfMapInfo& out);

// Descriptors for a program or map by its id. One that this process holds already (a library of ours loaded
// it) is duplicated; another process' takes CAP_SYS_ADMIN.
FileDescriptor bpf_program_by_id(uint32_t id);
FileDescriptor bpf_map_by_id(uint32_t id);

int bpf_map_lookup(int map, const void* key, void* value) noexcept;
// `flags`: BPF_ANY, BPF_NOEXIST.
int bpf_map_update(int map, const void* key, const void* value, uint64_t flags) noexcept;
int bpf_map_erase(int map, const void* key) noexcept;
// The key after `key`, the first one of nullptr; ENOENT at the end.
int bpf_map_next(int map, const void* key, void* next) noexcept;

// What probes try: a map of `type` with 4-byte keys and values, and an XDP program that passes everything.
FileDescriptor bpf_make_map(uint32_t type, uint32_t entries);
FileDescriptor bpf_make_pass_program();

// Processes other than those whose /proc we may not read that hold program `id`, by their descriptors.
std::vector<int> processes_holding_program(uint32_t id);

}  // namespace trunkline::io
