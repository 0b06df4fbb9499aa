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
#include "relay/mesh/flight_recorder.h"
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
  bool may_log(Link& l);  // what a peer brings about, which could be at any rate
  void arm_waiter(uint32_t w, Nanos deadline) { wheel.arm(w, deadline); }
  void arm_track(uint32_t t, Nanos deadline) { wheel.arm(waiters.capacity() + t, deadline); }
  void arm_publication(uint32_t p, Nanos deadline) {
    wheel.arm(waiters.capacity() + tracks.capacity() + p, deadline);
  }

  // ---- handshake.cc
  void on_handshake(const Frame& frame);
  void on_cookie(const Frame& frame);
  void on_msg1(const Frame& frame);
  void on_msg2(const Frame& frame);
  void on_confirm(const Frame& frame);
  bool admit_msg1(const Frame& frame, std::span<const uint8_t> message);
  void refuse_stranger(const Frame& frame, const Refusal& refusal);
  void answer_stranger(const Frame& msg1, DatagramType type, std::array<uint8_t, kMaxFrameBytes>& datagram,
                       size_t length);
  void answer_msg1(Link& l, const Frame& frame, const Hello& theirs, uint64_t order, uint64_t hash);
  UdpAddress address_of(const Link& l, const Frame& frame, const Hello& theirs) const;
  void refuse_answer(Link& l, const Frame& frame, const Hello& theirs);
  void begin_handshake(Link& l);
  void send_message(Link& l, const UdpAddress& to);
  void send_handshake(const UdpAddress& to, std::span<const uint8_t> datagram);
  const Link* exchange_of(const Frame& frame, HandshakeStep step);
  void handshake_timer(Link& l);
  void refused(Link& l, const Refusal& refusal);
  void refused_by_us(Link& l, const Refusal& refusal);
  void ask_seldom(Link& l, const Refusal& refusal);
  bool incompatible(Link& l, const Refusal& refusal);
  uint32_t prepare_session(Link& l, Hello& hello);  // draws receive indexes; returns the slot's parity
  void install_session(Link& l, int8_t parity, const Hello& theirs, const SessionKeys& keys,
                       const UdpAddress& address);
  void activate_session(Link& l, int8_t parity, uint64_t peer_incarnation, uint8_t peer_cores,
                        Nanos first_word);
  void remove_session(Link& l, int8_t parity);
  void proven(Link& l);  // the peer has the keys of the session that was made
  size_t write_message(Link& l, DatagramType type, uint32_t index, std::span<const uint8_t> payload);

  // ---- liveness.cc
  void on_evidence(const CoreEvent& e);
  void heard_by_peer(Link& l, Nanos at);
  Nanos doubt(const Link& l) const;
  void listen(Link& l);  // takes over what the data cores have heard
  void listen_to_due();
  void heard(Link& l, Nanos at);
  void link_timer(Link& l);
  Nanos quiet_deadline(const Link& l) const;  // when silence will count
  bool wants_new_stream(const Link& l) const;
  bool wants_new_keys(const Link& l) const;
  Nanos other_deadline(const Link& l) const;
  Nanos link_deadline(const Link& l) const { return std::min(quiet_deadline(l), other_deadline(l)); }
  void set_alive(Link& l, bool alive);
  void fence_self();
  void show_state(Link& l);
  void pace(Link& l, bool fast);
  Link* find_link(core::NodeId node);
  const Link* find_link(core::NodeId node) const;
  Nanos lease() const;
  void end_lease(Link& l);
  void forget_peer(Link& l);
  void link_news(Link& l);  // those who asked it, or could, look again

  // ---- roles.cc
  bool may(Role role) const;  // this node
  static bool may(const Link& l, Role role) { return (l.roles & static_cast<uint32_t>(role)) != 0; }
  void take_roles(Link& l);
  void missed_role(Link& l, Role role, MeshCounter counter);
  static RoleText lack_text(const Lack& lack);
  static Role role_to_ask(const Link& l, const Acquire& m);
  static Role role_to_feed(const Link& l, std::span<const core::NodeId> path);
  static bool may_feed(const Link& l, std::span<const core::NodeId> path) {
    return may(l, role_to_feed(l, path));
  }
  void refuse_feed(Link& l, std::span<const core::NodeId> path);

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
  bool pump_removals(Link& l);
  Acquire request(const Link& l, const Ask& ask, const Serve* serve) const;
  const Serve* asks_for(const Track& track, core::NodeId node) const;
  static bool has_passed(const Serve* serve, core::NodeId node);
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
  bool tell_location(uint32_t t, LinkId link, uint64_t generation);
  void supersede(uint32_t t, uint64_t generation, core::NodeId node);
  const Publication* source_publication(const Track& track) const;
  uint64_t newest_announced(const Track& track) const;
  uint64_t newest_announced(uint32_t t) const { return newest_announced(tracks[t]); }
  void unlink_location(uint32_t loc);
  void drop_location(uint32_t loc);
  uint32_t candidates(uint32_t t, std::span<uint32_t> out) const;  // greatest epoch first

  // ---- publish.cc
  void on_publish(const HostCommand& c);
  void on_unpublish(const HostCommand& c);
  void end_publication(uint32_t p);
  void go_live(uint32_t p);
  void publish_failed(const HostCommand& c, const char* text, Outcome outcome = Outcome::internal);
  void close_publication(uint32_t p);
  bool changes_told() const;
  void leave_untold(bool all);
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
  void detach(uint32_t w);
  bool source_lives(const Waiter& waiter) const;
  void tell_ok(uint32_t w);
  Verdict seen_from_here(uint32_t t, const Verdict& verdict) const;
  void finish(uint32_t w, const Verdict& found);
  void end_acquisition(uint32_t w, Outcome reason);
  void egress_failed(const CoreEvent& e);
  void forget_waiter(uint32_t w);
  HostEvent waiter_event(uint32_t w, HostEventKind kind) const;
  void refuse_acquire(const HostCommand& c, Outcome outcome, const char* text);
  void count_outcome(Outcome outcome, Nanos elapsed);
  void describe(const Verdict& verdict, HostEvent& e) const;

  // ---- search.cc
  void visit(uint32_t t);
  bool suspect(const Track& track) const;  // its feed's link is down, and silent
  bool wants_replacement(const Track& track) const;
  bool seeks_replacement(const Track& track) const;
  bool wants_search(const Track& track) const;
  bool wanted(const Track& track) const;
  void settle_all(uint32_t t);
  void start_search(uint32_t t);
  bool remembers_no(const Track& track) const;
  void arm_search(uint32_t t);
  void track_timer(uint32_t t);
  bool leads_elsewhere(const Ask& asked) const;
  bool has_denied(uint32_t t, LinkId link) const;
  Verdict verdict_of(uint32_t t) const;
  Verdict verdict_at_deadline(uint32_t t) const;
  Verdict unreachable(const Link& l) const;
  void conclude(uint32_t t, const Verdict& verdict);
  bool holds_for_anybody(uint32_t t) const;
  void believe_denials(uint32_t t);
  void end_search(uint32_t t);
  bool drop_asks(uint32_t t, uint32_t except);  // true: somebody may still send on its label

  // ---- candidates.cc
  void advance(uint32_t t);
  bool overdue(const Ask& asked) const;
  void forget_old_answers(uint32_t t);
  bool forget_stalls(uint32_t t);
  void blame_the_silent(uint32_t t);
  void ask_for_longer(uint32_t t);
  void ask_for_others(uint32_t t);
  bool ask_anew(uint32_t a);
  void eject(Link& l, const char* why);
  void returned(Link& l);
  bool shunned(const Link& l) const;
  bool feeds(const Track& track, LinkId link) const;
  bool ask_named(uint32_t t);  // true: wait
  bool all_views_complete() const;
  bool denied_by_all_named(uint32_t t) const;
  void ask_everyone(uint32_t t);
  void retry_busy(uint32_t a);
  uint8_t relay_hops(const Track& track) const;
  void put_off_serves(uint32_t t, uint8_t hops);
  bool could_relay(const Track& track, const Ask& asked) const;
  bool better_relay(const Ask& asked, const Ask& than) const;
  bool ask_relay(uint32_t t);
  bool take_reserve(uint32_t t);
  uint32_t find_reserve(uint32_t t) const;
  bool ask(uint32_t t, Link& l, bool named);
  void rename_ask(uint32_t a);
  void ask_again(uint32_t a);
  bool may_repeat();
  void queue_ask(uint32_t a);
  Nanos attempt_time(const Track& track, const Link& l) const;
  uint32_t find_ask(uint32_t t, LinkId link) const;
  uint64_t believed_generation(const Ask& asked) const;

  // ---- answers.cc
  void on_answer(Link& l, const Answer& m);
  void on_ended(Link& l, const Ended& m);
  void take_details(Ask& asked, const Answer& m);
  void pending_answer(uint32_t a, const Answer& m);
  Outcome refused_path(const Link& l, const Answer& m) const;
  Outcome fence(uint32_t t, const Link& l, const Answer& m) const;
  void refuse_answer(uint32_t a, Outcome outcome);
  void ok_again(uint32_t a, const Answer& m);
  void over(uint32_t a, Outcome reason, core::NodeId moved_to);
  void negative_answer(uint32_t a, const Answer& m);
  bool later(uint32_t a, Nanos wait);
  void follow(uint32_t a, const Answer& m);
  uint32_t find_ask_by_id(const Link& l, uint64_t id) const;

  // ---- feed.cc
  Nanos media_time(const Link& l) const;
  void accept(uint32_t t);
  void open_flow(uint32_t t, const Ask& asked);
  void begin_feed(uint32_t t, uint32_t a);
  void redirect_flow(uint32_t t);
  void end_feed(uint32_t t, Outcome reason);
  void media_started(uint32_t t);
  void media_stopped(uint32_t t);
  void watch(uint32_t t);
  void feed_changed(uint32_t t, bool relabelled);
  void watched_in_vain(uint32_t t);
  void stalled(uint32_t t);
  void let_go(uint32_t a);
  void drop_ask(uint32_t t, uint32_t a);
  void release_ask(uint32_t a);
  void unlink_ask(uint32_t a);
  void free_ask_if_done(uint32_t a);

  // ---- serve.cc
  struct Denial {
    Outcome outcome = Outcome::not_here;
    uint64_t generation = 0;
    core::NodeId node{};
    bool certain = true;  // of NOT_HERE and GONE: we would know
    Lack lack{};
  };
  static std::optional<Denial> other_epoch(uint64_t believed, uint64_t generation);
  uint64_t generation_here(uint32_t t) const;
  bool loops_back(const Track& track, core::NodeId node) const;
  bool too_far(const Track& track) const;
  bool may_be_nearer(uint32_t t, const Link& l, const Acquire& m) const;
  void on_acquire_request(Link& l, const Acquire& m);
  void on_release_request(Link& l, const Release& m);
  static bool has_ended(const Link& l, const Link::EndedRequest& request);
  static void remember_ended(Link& l, const Serve& serve);
  void repeat_serve(Link& l, uint32_t s, const Acquire& m);
  void answer_request(Link& l, const Acquire& m, uint32_t t);
  Denial denial(uint32_t t, const Link& l, const Acquire& m) const;
  void decline_relaying(Link& l, const Acquire& m, uint32_t t);
  bool pass_on(Link& l, const Acquire& m, uint32_t t);
  void busy(Link& l, uint64_t request_id);
  uint32_t new_serve(Link& l, const Acquire& m, uint32_t t);
  uint32_t find_serve(uint32_t t, LinkId link) const;
  void answer_negative(Link& l, const Acquire& m, const Denial& denial);
  void add_serve(uint32_t s);
  void settle_serves(uint32_t t);
  Denial passed_on(const Verdict& verdict) const;
  void deny(uint32_t s, const Denial& denial);
  void unhook_serve(uint32_t s);
  void end_serves(uint32_t t, bool carried, Outcome reason, uint64_t generation);
  void move_serve(uint32_t s, uint64_t generation);
  void tell_serves(uint32_t t);
  void set_serve(uint32_t s, ServeState state);
  void queue_serve(uint32_t s);
  void serve_due(uint32_t s);
  void forget_serve(uint32_t s);
  uint32_t serve_timer(uint32_t s) const {
    return waiters.capacity() + tracks.capacity() + publications.capacity() + s;
  }

  // ---- serve_pump.cc
  bool pump_serve(Link& l, uint32_t s);
  bool send_negative(Link& l, const Serve& serve);
  bool send_pending(Link& l, uint32_t s);
  bool send_ok(Link& l, uint32_t s);
  Answer ok_answer(const Serve& serve) const;
  void change_output(Serve& serve, bool add);

  const NodeConfig& config;
  core::Rng& rng;
  Crypto& crypto;
  Nanos msg1_since{};  // msg1_count counts from then
  uint32_t msg1_count = 0;
  bool msg1_load_before = false;  // the window before had too many
  uint64_t incarnation;
  const uint64_t started_as;  // what it was at first
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

  RetryBudget retry_budget;
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
  Nanos links_due{};  // when the first link is to be looked at, as the last step left them
  Nanos next_step{};  // when the next step is due, as the last one left things
};

// Locations of one track: the publisher, the one before, and two hints.
inline constexpr uint32_t kMaxLocations = 4;
// What BUSY asks for: a few round trips of a region; records free up that fast.
inline constexpr uint32_t kBusyRetryUs = 20'000;

uint32_t outcome_index(Outcome outcome);  // its place in TRUNKLINE_OUTCOMES
core::TrackId handle_key(uint8_t kind, uint16_t queue, uint64_t handle);
inline constexpr uint8_t kWaiterHandle = 1, kPublicationHandle = 2;

}  // namespace trunkline::relay::mesh
