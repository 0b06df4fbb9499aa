// MeshState: the inside of MeshNode. One struct of fixed slabs, and the functions that work on it, grouped by
// the file in which they are written. Included by relay/mesh/*.cc only.
//
// How work is bounded. An input is handled at once if that takes a bounded number of outputs; everything that
// may fan out (a peer's death, an answer that 10 000 waiters are after) only marks records and puts them into
// lists. work() then takes from the lists while the step has outputs left; what remains is taken in the next
// step, which next_deadline() asks for at once.
#pragma once

#include <span>
#include <vector>

#include "core/bounded_table.h"
#include "core/timer_wheel.h"
#include "relay/explain.h"
#include "relay/mesh/link.h"

namespace trunkline::relay::mesh {

inline constexpr Nanos kLongestRetry = core::from_s(1);  // a link is up at most 3 s after its wire is whole
// Whoever answered a msg1 waits this long for the proof, then asks itself: three of the longest round trips.
// Not longer, because two nodes that answered each other's msg1 crosswise both wait.
inline constexpr Nanos kProof = core::from_s(1);

struct MeshState {
  MeshState(const NodeConfig& config, uint64_t own_incarnation, std::span<const uint16_t> core_ports,
            core::Rng& random, Crypto& crypto_suite);

  void step(Nanos at, const MeshInput& input, MeshSink& to);
  Nanos next_deadline() const { return next_step; }

  // ---- mesh_state.cc: the step, its budget, timers
  void work();
  void plan();
  void expire_timers();
  bool room() const { return outputs_left >= kReserve && units_left > 0; }
  void spend() { units_left -= units_left > 0 ? 1 : 0; }
  void command(CoreId core, const CoreCommand& c);
  void command_all(const CoreCommand& c);  // to every data core
  void event(const HostEvent& e);
  void on_core_event(const CoreEvent& e);
  void on_drain(const HostCommand& c);

  // ---- explain.cc
  void explain(Nanos at, const core::TrackId& id, Explanation& e) const;
  void explain_track(uint32_t t, Explanation& e) const;
  void explain_peers(uint32_t t, Explanation& e) const;
  PeerView view_of(const Link& l, uint32_t t) const;
  void record_flight(const HostEvent& e);
  [[gnu::format(printf, 3, 4)]] void log(LogLevel level, const char* format, ...);
  void arm_waiter(uint32_t w, Nanos deadline) { wheel.arm(w, deadline); }
  void arm_track(uint32_t t, Nanos deadline) { wheel.arm(waiters.capacity() + t, deadline); }
  void arm_publication(uint32_t p, Nanos deadline) {
    wheel.arm(waiters.capacity() + tracks.capacity() + p, deadline);
  }

  // ---- handshake.cc
  void on_handshake(const Frame& frame);
  void on_msg1(const Frame& frame);
  void on_msg2(const Frame& frame);
  void on_confirm(const Frame& frame);
  void answer_msg1(Link& l, const Frame& frame, const Hello& theirs, uint64_t hash);
  void refuse_answer(Link& l, const Frame& frame, const Hello& theirs);
  void send_refusal(Link& l, const Frame& frame, const Refusal& refusal, uint64_t hash);
  void begin_handshake(Link& l);
  void send_message(Link& l, const UdpAddress& to);
  void handshake_timer(Link& l);
  void refused(Link& l, const Refusal& refusal);
  uint32_t prepare_session(Link& l, Hello& hello);  // draws receive indexes; returns the slot's parity
  void install_session(Link& l, int8_t parity, const Hello& theirs, const SessionKeys& keys);
  void activate_session(Link& l, int8_t parity, uint64_t peer_incarnation, uint8_t peer_cores,
                        Nanos first_word);
  void remove_session(Link& l, int8_t parity);
  void proven(Link& l);  // the peer has the keys of the session that was made
  size_t write_message(Link& l, DatagramType type, uint32_t index, std::span<const uint8_t> payload);

  // ---- liveness.cc
  void on_evidence(const CoreEvent& e);
  void heard(Link& l, Nanos at);
  void link_timer(Link& l);
  Nanos link_deadline(const Link& l) const;
  void set_alive(Link& l, bool alive);
  void fence_self();
  void show_state(Link& l);
  void pace(Link& l, bool fast);
  Link* find_link(core::NodeId node);
  void link_news(Link& l);  // those who asked it, or could, look again

  // ---- pump.cc
  void on_control(const Frame& frame);
  void on_messages(Link& l, std::span<const uint8_t> bytes);
  void on_message(Link& l, const Message& message);
  void pump(Link& l);
  bool pump_messages(Link& l);  // false: the window is full
  bool pump_serves(Link& l);
  bool pump_asks(Link& l);
  bool pump_releases(Link& l);
  bool pump_changes(Link& l);
  void sweep(Link& l);  // what the peer's last view does not contain
  template <class M>
  bool append(Link& l, const M& message);
  bool has_work(const Link& l) const;
  Nanos flush_deadline(const Link& l) const;

  // ---- locations.cc
  uint32_t find_track(const core::TrackId& id) const;
  uint32_t get_track(const core::TrackId& id);  // kNil: no room
  void free_track_if_idle(uint32_t t);
  void mark(uint32_t t);  // dirty
  uint32_t find_location(uint32_t t, LinkId link) const;
  void on_announce(Link& l, const Announce& m);
  void on_withdraw(Link& l, const Withdraw& m);
  void hint(const core::TrackId& id, core::NodeId node);
  void unlink_location(uint32_t loc);
  void drop_location(uint32_t loc);
  uint32_t candidates(uint32_t t, std::span<uint32_t> out) const;  // greatest epoch first

  // ---- publish.cc
  void on_publish(const HostCommand& c);
  void on_unpublish(const HostCommand& c);
  void end_publication(uint32_t p);
  void go_live(uint32_t p);
  void publish_failed(const HostCommand& c, const char* text);
  void close_publication(uint32_t p);
  void forget_publication(uint32_t p);
  void publication_timer(uint32_t p);
  void changed(uint32_t p);
  void on_tap(uint32_t p, const CoreEvent& e);
  void on_too_big(uint32_t p, const CoreEvent& e);
  Publication* live_publication(const Track& t);

  // ---- acquire.cc
  void on_acquire(const HostCommand& c);
  void on_release(const HostCommand& c);
  void waiter_timer(uint32_t w);
  void settle(uint32_t w);
  enum class Attached : uint8_t { kYes, kNothingThere, kRefused };
  Attached attach(uint32_t w);  // to whatever feeds the track now; kRefused: it has ended
  void attach_output(uint32_t w, CoreCommandKind kind);
  void detach(uint32_t w, bool flow_lives);
  bool source_lives(const Waiter& waiter) const;
  void tell_ok(uint32_t w);
  void finish(uint32_t w, const Verdict& verdict);
  void end_acquisition(uint32_t w, Outcome reason);
  void egress_failed(const CoreEvent& e);
  void forget_waiter(uint32_t w);
  HostEvent waiter_event(uint32_t w, HostEventKind kind) const;
  void refuse_acquire(const HostCommand& c, Outcome outcome, const char* text);
  void count_outcome(Outcome outcome, Nanos elapsed);
  void describe(const Verdict& verdict, HostEvent& e) const;

  // ---- search.cc
  void visit(uint32_t t);
  void settle_all(uint32_t t);
  void start_search(uint32_t t);
  void advance(uint32_t t);
  bool ask_named(uint32_t t);  // true: wait
  bool all_views_complete() const;
  bool denied_by_all_named(uint32_t t) const;
  void ask_everyone(uint32_t t);
  bool ask(uint32_t t, Link& l, bool named);
  void ask_again(uint32_t a);
  void queue_ask(uint32_t a);
  Nanos attempt_time(const Track& t, const Link& l) const;
  uint32_t find_ask(uint32_t t, LinkId link) const;
  Verdict verdict_of(uint32_t t) const;
  Verdict verdict_at_deadline(uint32_t t) const;
  Verdict unreachable(const Link& l) const;
  void conclude(uint32_t t, const Verdict& verdict);
  void end_search(uint32_t t);
  bool drop_asks(uint32_t t, uint32_t except);  // true: somebody may still send on its label
  void arm_search(uint32_t t);
  void track_timer(uint32_t t);

  // ---- subscription.cc
  void on_answer(Link& l, const Answer& m);
  void on_ended(Link& l, const Ended& m);
  void negative_answer(uint32_t a, const Answer& m);
  void accept(uint32_t t);
  void end_subscription(uint32_t t, Outcome reason);
  void close_flow(uint32_t t);
  void stalled(uint32_t t);
  void first_media(uint32_t t);
  void release_ask(uint32_t a);
  void unlink_ask(uint32_t a);
  void free_ask_if_done(uint32_t a);
  uint32_t find_ask_by_id(const Link& l, uint64_t id) const;

  // ---- serve.cc
  void on_acquire_request(Link& l, const Acquire& m);
  void on_release_request(Link& l, const Release& m);
  uint32_t new_serve(Link& l, const Acquire& m);
  uint32_t find_serve(const Publication& p, LinkId link) const;
  void answer_negative(Link& l, const Acquire& m, Outcome outcome, uint64_t generation);
  void set_serve(uint32_t s, ServeState state);
  void forget_serve(uint32_t s);
  bool pump_serve(Link& l, uint32_t s);

  const NodeConfig& config;
  core::Rng& rng;
  Crypto& crypto;
  uint64_t incarnation;
  std::vector<uint16_t> ports;
  uint32_t cores;

  Slab<Track> tracks;
  Slab<Location> locations;
  Slab<Publication> publications;
  Slab<Waiter> waiters;
  Slab<Ask> asks;
  Slab<Serve> serves;
  Labels labels;
  core::BoundedTable<> track_table;
  core::BoundedTable<> handle_table;
  core::TimerWheel wheel;
  Links links;
  std::unique_ptr<Handshake> stranger;  // reads msg1 before it is known whose it is
  std::array<std::vector<uint16_t>, core::kMaxCores> free_egress;
  std::array<uint32_t, core::kMaxCores> outputs_used{};
  // Descriptors apart from their records, so that records stay small and unused ones untouched.
  using Descriptor = std::array<uint8_t, kMaxDescriptorBytes>;
  std::unique_ptr<Descriptor[]> published_descriptor;  // by publication
  std::unique_ptr<Descriptor[]> received_descriptor;   // by track

  MeshNode::Draining draining;  // peers' new requests are answered DRAINING, naming the successor

  LazyArray<AttemptLog> attempt_logs;  // by track

  ListHead dirty;    // tracks
  ListHead changes;  // publications
  ListHead gone;     // tombstones
  uint64_t ask_serial;
  uint32_t fed = 0;     // tracks fed by a peer
  uint32_t served = 0;  // serves with an output
  uint32_t pump_from = 0;

  FlightRecorder flights;

  MeshCounters counters;
  std::array<core::Counter, kOutcomeNumbers> outcome_counts;
  std::unique_ptr<core::Histogram[]> acquire_times;  // one per name in TRUNKLINE_OUTCOMES, in its order

  // ---- of the step under way
  static constexpr uint32_t kReserve = 8;    // the most outputs of one unit of work
  static constexpr uint32_t kUnits = 2'048;  // units per step: those without outputs are bounded too
  Nanos now{};
  MeshSink* sink = nullptr;
  uint32_t outputs_left = 0;
  uint32_t units_left = 0;
  bool more = false;  // work is left
  Nanos next_step{};  // when the next step is due, as the last one left things
};

uint32_t outcome_index(Outcome outcome);  // its place in TRUNKLINE_OUTCOMES
core::TrackId handle_key(uint8_t kind, uint16_t queue, uint64_t handle);
inline constexpr uint8_t kWaiterHandle = 1, kPublicationHandle = 2;

}  // namespace trunkline::relay::mesh
