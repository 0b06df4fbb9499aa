// Replay: a script's hand on a small fleet. What the scenarios have in common: five nodes in three regions,
// one of the rules taken away or none, hosts that publish, acquire and send a packet each 20 ms, and the
// figures by which a row is judged.
//
// The idea: a scenario is a straight piece of code. It does something to the fleet, lets virtual time pass,
// and compares figures with what was promised; nothing in it runs by itself but the media. The auditor
// watches all along, so that "ours" fails on any broken promise, also on one that the script does not ask
// for.
//
// One thread. A situation of a minute costs some tens of milliseconds.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tools/sim/fleet.h"
#include "tools/sim/scenario.h"

namespace trunkline::sim {

// Where the nodes stand: in three regions; or all in one, with the product's own impaired wire before each
// port, which makes it look like three; or all in one, and nothing else.
enum class Ground : uint8_t { kThreeRegions, kVirtualWan, kOneRegion };

// Ours, or ours with exactly one named rule taken away.
struct Variant {
  std::string name = "ours";
  relay::Rules rules{};
  Ground ground = Ground::kThreeRegions;
  bool ours() const { return name == "ours"; }
};
// Contract: `rule` is one of TRUNKLINE_RULES.
Variant minus(const char* rule, Ground ground = Ground::kThreeRegions);

[[gnu::format(printf, 1, 2)]] std::string text(const char* format, ...);
inline double ms(Nanos time) {
  return static_cast<double>(time.ns) * 1e-6;
}

// Nodes 1 and 2 are in Washington, 3 and 4 in London, 5 in Tokyo; here they are counted from 0.
inline constexpr NodeIndex kWashington1 = 0, kWashington2 = 1, kLondon1 = 2, kLondon2 = 3, kTokyo = 4;

class Replay {
 public:
  static constexpr Nanos kWarmUp = core::from_s(2);
  static constexpr Nanos kPacketEvery = core::from_ms(20);  // an Opus packet
  static constexpr Nanos kDeadline = core::from_ms(1'000);  // what an acquire gets if nothing else is said

  explicit Replay(const Variant& variant);
  // Ours, with nodes of the caller's: what the figures need (stuck.h).
  explicit Replay(Options options);

  static core::TrackId id_of(uint32_t track, const char* track_namespace = "sim");
  // Contract: it is down. What it is made of from its next start on.
  void rebuild(NodeIndex node, const Build& build);
  // All nodes, and the time until their links are up.
  void start();
  void run_for(Nanos time) { run_until(fleet.now() + time); }
  void run_until(Nanos time);
  // There and back, between two nodes; the longest of all.
  Nanos round_trip(NodeIndex a, NodeIndex b) const;
  Nanos largest_round_trip() const;
  // Ends when `done` says so, looked at each millisecond, or after `most`. How long it took; kNever: it did
  // not.
  Nanos run_until(const std::function<bool()>& done, Nanos most);

  // ---- hosts
  // Its media flows from when the node confirms it until the node lets go of it, unless `muted`.
  uint64_t publish(NodeIndex node, uint32_t track, uint64_t generation = 1, bool muted = false);
  uint64_t publish(NodeIndex node, uint32_t track, const core::TrackId& id, uint64_t generation);
  void begin_media(uint64_t publication) { publishing_.push_back(publication); }  // of one that was muted
  void unpublish(uint64_t publication);
  uint64_t acquire(NodeIndex node, uint32_t track, Nanos deadline = kDeadline);
  // Nothing, if it is over already. Contract: its node can act.
  void release(uint64_t acquisition);

  // ---- figures of the acquires since begin_group()
  void begin_group() { group_ = handles_.size(); }
  std::span<const uint64_t> handles() const { return std::span(handles_).subspan(group_); }
  uint32_t asked() const { return static_cast<uint32_t>(handles_.size() - group_); }
  uint32_t count(relay::Outcome outcome);
  // Said OK, and not over since.
  uint32_t fed();
  uint32_t without_media();  // of those, and not one packet came
  uint32_t unresolved();
  Nanos longest();  // of those that ended

  // ---- media: the longest time between two packets of any acquisition that is or was fed, since
  // reset_gaps(). What nothing happened to has kPacketEvery; one lost packet makes it twice that.
  void reset_gaps();
  Nanos longest_gap(NodeIndex node);  // of those on this node
  Nanos longest_gap();                // anywhere

  // ---- links
  // Ends of links, of 2 for each pair of `size()` nodes, that are in this state.
  uint32_t link_ends(relay::LinkState state) const;
  void cut_off(NodeIndex node, bool cut);  // both ways, from all others

  // ---- the row
  // `kept`: ours kept its promise; it also takes an auditor without complaint, whose first one is shown.
  // `failed`: what the naive variant must have done.
  ScenarioRow row(const char* situation, std::string happened, bool kept, bool failed);

 private:
  struct Fed {
    uint64_t handle = 0;
    uint32_t publication = UINT32_MAX;
    uint32_t highest = 0;
    Nanos since{};  // when it made progress last
    Nanos longest{};
  };

  void send_media();
  void watch_media();
  void impair(NodeIndex node);
  static Options options_of(const Variant& variant);

  Variant variant_;
  Options options_;
  Report report_;
  std::vector<uint64_t> handles_;  // acquisitions, oldest first
  size_t group_ = 0;
  std::vector<uint64_t> publishing_;
  std::vector<Fed> fed_;  // by position in handles_

 public:
  Fleet fleet;
};

}  // namespace trunkline::sim
