// Three network namespaces in a row, for measuring a relay on one machine without leaving it:
//
//   generator (g0) ---- (r0) relay (r1) ---- (s0) sink            198.18.1.0/24, 198.18.2.0/24 (RFC 2544
//   range)
//
// s0's neighbour entry on r1 carries a wrong MAC address in black-hole mode: the relay pays for its transmit
// in full, and the sink costs nothing. Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN). Everything is removed by
// the destructor.
#pragma once

#include <string>

namespace trunkline::bench {

class VethLab {
 public:
  // Makes the namespaces; `error` says what failed and what to do. black_hole: see above.
  static bool make(bool black_hole, VethLab& lab, std::string& error);
  VethLab() = default;
  ~VethLab();
  VethLab(const VethLab&) = delete;
  VethLab& operator=(const VethLab&) = delete;

  enum class Place { kGenerator, kRelay, kSink };
  // Moves the calling process into a namespace. Call in a forked child.
  bool enter(Place place) const;
  // `ip -n NAMESPACE words`. False: it failed.
  bool ip(Place place, const std::string& words) const;

  static constexpr const char* kGeneratorIp = "198.18.1.1";
  static constexpr const char* kRelayIp = "198.18.1.2";  // where the generator sends to
  static constexpr const char* kRelayOutIp = "198.18.2.1";
  static constexpr const char* kSinkIp = "198.18.2.2";  // where the relay sends to

 private:
  std::string name_of(Place place) const;

  std::string prefix_;
};

}  // namespace trunkline::bench
