// See bpf_call.h.
#include "io/dpdk/steering/bpf_call.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace trunkline::io {
namespace {

// bpf(2) reads the whole union, so what a command does not use must be zero, padding included.
struct Call {
  Call() noexcept { std::memset(&attributes, 0, sizeof attributes); }
  long operator()(bpf_cmd command) noexcept {
    return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
  }
  bpf_attr attributes;
};

uint64_t address_of(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

template <class Info>
int info_of(int fd, Info& info) {
  Call call;
  call.attributes.info.bpf_fd = static_cast<uint32_t>(fd);
  call.attributes.info.info_len = sizeof info;
  call.attributes.info.info = address_of(&info);
  return call(BPF_OBJ_GET_INFO_BY_FD) == 0 ? 0 : errno;
}

int element(bpf_cmd command, int map, const void* key, const void* value, uint64_t flags) noexcept {
  Call call;
  call.attributes.map_fd = static_cast<uint32_t>(map);
  call.attributes.key = address_of(key);
  call.attributes.value = address_of(value);
  call.attributes.flags = flags;
  return call(command) == 0 ? 0 : errno;
}

// Calls look(name) for each entry of a directory whose name is a number, until it returns true.
template <class Look>
void each_number(const std::string& path, Look&& look) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    char* end = nullptr;
    const long number = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == 0 && look(static_cast<int>(number))) break;
  }
  ::closedir(directory);
}

// Whether descriptor `fd` of a process (a number or "self") has the line "`field`:\t`id`" in its fdinfo.
bool descriptor_is(const std::string& process, int fd, const std::string& field, uint32_t id) {
  const std::string directory = "/proc/" + process;
  char kind[64];
  const std::string link = directory + "/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), kind, sizeof kind);
  if (length <= 0 ||
      std::string_view(kind, static_cast<size_t>(length)).find("bpf") == std::string_view::npos)
    return false;
  const FileDescriptor file(
      ::open((directory + "/fdinfo/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char text[4096];
  const ssize_t got = ::read(file.get(), text, sizeof text);
  if (got <= 0) return false;
  const std::string line = "\n" + field + ":\t" + std::to_string(id) + "\n";
  return std::string_view(text, static_cast<size_t>(got)).find(line) != std::string_view::npos;
}

FileDescriptor held_by_us(const char* field, uint32_t id) {
  int found = -1;
  each_number("/proc/self/fd", [&](int fd) {
    if (!descriptor_is("self", fd, field, id)) return false;
    found = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return true;
  });
  return FileDescriptor(found);
}

FileDescriptor by_id(bpf_cmd command, const char* field, uint32_t id) {
  FileDescriptor held = held_by_us(field, id);
  if (held) return held;
  Call call;
  call.attributes.prog_id = id;  // the same field for maps
  return FileDescriptor(static_cast<int>(call(command)));
}

std::string name_of(const char (&name)[BPF_OBJ_NAME_LEN]) {
  return std::string(name, ::strnlen(name, sizeof name));
}

}  // namespace

int read_program_info(int program, BpfProgramInfo& out) {
  bpf_prog_info info{};
  out.map_ids.assign(64, 0);  // the kernel's own limit of maps in a program (MAX_USED_MAPS)
  info.nr_map_ids = 64;
  info.map_ids = address_of(out.map_ids.data());
  if (const int error = info_of(program, info)) return error;
  out.id = info.id;
  out.name = name_of(info.name);
  out.map_ids.resize(std::min<size_t>(info.nr_map_ids, 64));
  return 0;
}

int read_map_info(int map, BpfMapInfo& out) {
  ::bpf_map_info info{};
  if (const int error = info_of(map, info)) return error;
  out = {info.id, info.type, name_of(info.name), info.key_size, info.value_size, info.max_entries};
  return 0;
}

FileDescriptor bpf_program_by_id(uint32_t id) {
  return by_id(BPF_PROG_GET_FD_BY_ID, "prog_id", id);
}

FileDescriptor bpf_map_by_id(uint32_t id) {
  return by_id(BPF_MAP_GET_FD_BY_ID, "map_id", id);
}

int bpf_map_lookup(int map, const void* key, void* value) noexcept {
  return element(BPF_MAP_LOOKUP_ELEM, map, key, value, 0);
}

int bpf_map_update(int map, const void* key, const void* value, uint64_t flags) noexcept {
  return element(BPF_MAP_UPDATE_ELEM, map, key, value, flags);
}

int bpf_map_erase(int map, const void* key) noexcept {
  return element(BPF_MAP_DELETE_ELEM, map, key, nullptr, 0);
}

int bpf_map_next(int map, const void* key, void* next) noexcept {
  return element(BPF_MAP_GET_NEXT_KEY, map, key, next, 0);
}

FileDescriptor bpf_make_map(uint32_t type, uint32_t entries) {
  Call call;
  call.attributes.map_type = type;
  call.attributes.key_size = 4;
  call.attributes.value_size = 4;
  call.attributes.max_entries = entries;
  return FileDescriptor(static_cast<int>(call(BPF_MAP_CREATE)));
}

FileDescriptor bpf_make_pass_program() {
  bpf_insn program[2]{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = XDP_PASS
  program[0].imm = XDP_PASS;
  program[1].code = BPF_JMP | BPF_EXIT;
  Call call;
  call.attributes.prog_type = BPF_PROG_TYPE_XDP;
  call.attributes.insns = address_of(program);
  call.attributes.insn_cnt = 2;
  call.attributes.license = address_of("Apache-2.0");
  return FileDescriptor(static_cast<int>(call(BPF_PROG_LOAD)));
}

std::vector<int> processes_holding_program(uint32_t id) {
  std::vector<int> found;
  each_number("/proc", [&](int process) {
    const std::string name = std::to_string(process);
    each_number("/proc/" + name + "/fd", [&](int fd) {
      if (!descriptor_is(name, fd, "prog_id", id)) return false;
      found.push_back(process);
      return true;
    });
    return false;
  });
  return found;
}

}  // namespace trunkline::io
