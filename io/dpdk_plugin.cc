// See dpdk_plugin.h.
#include "io/dpdk_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace trunkline::io {
namespace {

constexpr const char* kName = "libtrunkline-dpdk.so";
constexpr const char* kSymbol = "trunkline_dpdk_plugin";
constexpr const char* kInstall =
    "it comes with a build where libdpdk-dev is installed (apt-get install libdpdk-dev)";

// Directory of the library or program that holds this function.
std::string own_directory() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&load_dpdk_plugin), &info) == 0 || info.dli_fname == nullptr) return ".";
  std::string path = info.dli_fname;
  char program[4096];
  if (path.find('/') == std::string::npos) {  // the program, as it was called
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
    if (length > 0) path.assign(program, static_cast<size_t>(length));
  }
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::vector<std::string> candidates(const std::string& path) {
  if (!path.empty()) return {path};
  const std::string here = own_directory();
  std::vector<std::string> found;
  for (const char* below : {"/", "/trunkline/", "/../io/dpdk/", "/../../io/dpdk/", "/../lib/trunkline/"})
    found.push_back(here + below + kName);
  found.push_back(std::string(TRUNKLINE_PLUGIN_DIR "/") + kName);
  return found;
}

core::Error refusal(const std::string& what) {
  return core::Error{0, "port = \"dpdk\": " + what};
}

}  // namespace

core::Result<const DpdkPlugin*> load_dpdk_plugin(const std::string& path) {
  std::string looked;
  void* library = nullptr;
  std::string file;
  for (const std::string& candidate : candidates(path)) {
    looked += (looked.empty() ? "" : ", ") + candidate;
    if (access(candidate.c_str(), R_OK) != 0) continue;
    file = candidate;
    library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    break;
  }
  if (file.empty()) return refusal("no plug-in at " + looked + "; " + kInstall);
  if (library == nullptr) {
    const char* why = dlerror();
    return refusal("the plug-in does not load: " + std::string(why == nullptr ? "no reason given" : why) +
                   "; install DPDK's libraries (apt-get install libdpdk-dev)");
  }
  const auto* plugin = static_cast<const DpdkPlugin*>(dlsym(library, kSymbol));
  if (plugin == nullptr) return refusal(file + " is not a plug-in of Trunkline");
  if (plugin->interface_number != DpdkPlugin::kInterface || plugin->options_bytes != sizeof(DeviceOptions) ||
      std::strcmp(plugin->build, TRUNKLINE_VERSION) != 0)
    return refusal(file + " is of another build than this library; install both from the same one");
  return plugin;
}

core::Result<std::unique_ptr<Device>> open_device(const DeviceOptions& options) {
  const auto plugin = load_dpdk_plugin(options.plugin);
  if (!plugin) return plugin.error();
  return (*plugin)->open(options);
}

Feature probe_dpdk() {
  const auto plugin = load_dpdk_plugin("");
  if (!plugin) return {false, plugin.error().text, "apt-get install libdpdk-dev, then build again"};
  return (*plugin)->probe();
}

Feature probe_af_xdp(const std::string& interface) {
  const auto plugin = load_dpdk_plugin("");
  if (!plugin) return {false, "it needs the DPDK plug-in", "apt-get install libdpdk-dev, then build again"};
  return (*plugin)->probe_interface(interface);
}

}  // namespace trunkline::io
