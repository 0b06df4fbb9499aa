// See relay/ipsec_mb.h.
#include "relay/ipsec_mb.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>

namespace trunkline::relay {
namespace {

// The functions that make a manager, of one copy. What a manager does is in its own table.
struct Library {
  decltype(&imb_get_mb_mgr_size) manager_bytes = imb_get_mb_mgr_size;
  decltype(&imb_set_pointers_mb_mgr) prepare = imb_set_pointers_mb_mgr;
  decltype(&init_mb_mgr_auto) init = init_mb_mgr_auto;
  decltype(&imb_get_errno) error_of = imb_get_errno;
};

constexpr std::size_t kCopies = 4;  // the ordinary one included

template <class Function>
bool find(void* copy, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(copy, name));
  return out != nullptr;
}

// Once more, from the file that this process has it from; the ordinary one where that does not work.
Library load_again() {
  Dl_info file{};
  if (dladdr(reinterpret_cast<void*>(&init_mb_mgr_auto), &file) == 0) return {};
  void* const copy = dlmopen(LM_ID_NEWLM, file.dli_fname, RTLD_NOW | RTLD_LOCAL);
  if (copy == nullptr) return {};
  Library library;
  const bool whole = find(copy, "imb_get_mb_mgr_size", library.manager_bytes) &&
                     find(copy, "imb_set_pointers_mb_mgr", library.prepare) &&
                     find(copy, "init_mb_mgr_auto", library.init) &&
                     find(copy, "imb_get_errno", library.error_of);
  if (whole) return library;
  dlclose(copy);
  return {};
}

const Library& library_of(core::CoreId core, uint32_t data_cores) {
  static const Library ordinary;
  if (data_cores == 1) return ordinary;
  static const std::array<Library, kCopies> copies{ordinary, load_again(), load_again(), load_again()};
  return copies[core.value % kCopies];
}

}  // namespace

core::Error sealed_suites_error(const std::string& text) {
  return {0, "sealed suites: " + text};
}

core::Result<Manager> make_manager(core::CoreId core, uint32_t data_cores) {
  const Library& library = library_of(core, data_cores);
  constexpr std::size_t kAlign = 64;  // the library's own
  void* const memory = std::aligned_alloc(kAlign, (library.manager_bytes() + kAlign - 1) / kAlign * kAlign);
  if (memory == nullptr) return sealed_suites_error("no memory for 52 KiB of Intel's multi-buffer library");
  Manager manager(library.prepare(memory, 0, 1));
  library.init(manager.get(), nullptr);
  if (const int code = library.error_of(manager.get()); code != 0) {
    return sealed_suites_error("Intel's multi-buffer library does not start on this CPU: " +
                               std::string(imb_get_strerror(code)) + "; it needs x86-64 with SSE4.2");
  }
  if ((manager->features & IMB_FEATURE_SELF_TEST) == 0) {
    return sealed_suites_error(
        "this build of Intel's multi-buffer library has no self-test; install Debian's libipsec-mb1");
  }
  if ((manager->features & IMB_FEATURE_SELF_TEST_PASS) == 0) {
    return sealed_suites_error(
        "the self-test of Intel's multi-buffer library fails: it computes wrong results on this machine; "
        "reinstall libipsec-mb1, and do not use the machine if it fails again");
  }
  return manager;
}

}  // namespace trunkline::relay
