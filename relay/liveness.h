// Liveness: heartbeats out, evidence in. Data cores send and count; MeshNode judges.
//
// A heartbeat is one record, on each lane in use of each link that has an active session: lane 0 -> core 0
// always, others while outputs use them. It carries our clock, an echo of the newest one heard on that lane,
// and how long ago anything authentic was heard, so either end learns the round trip and that it is being
// heard. It shares a datagram with whatever else goes out in the same run of the loop. But for the first one
// of a session, the beats of all links fall on one grid, counted from the first of all: a node wakes once per
// interval, however many peers it has, and no two nodes have the same grid.
//
// What was heard is written on a board, where the mesh thread looks before it calls a peer silent
// (relay/evidence_board.h): that all is well wakes nobody. It is told, by an event, what it must act on: the
// words on a session until it is active (the peer's proof of the keys), a word after a silence that it may
// have noticed, that the peer does not hear us, and that it does again. Events come at most once per 5 ms and
// session; what was heard in between is told when those have passed.
//
// Owned by one data core. Cost: a comparison per run of the loop until something is due, then one per link.
#pragma once

#include <algorithm>

#include "relay/evidence_board.h"
#include "relay/host_queue.h"
#include "relay/lane_writer.h"
#include "relay/session_table.h"

namespace trunkline::relay {

class Liveness {
 public:
  static constexpr Nanos kEvidenceInterval = core::from_ms(5);

  Liveness(const NodeConfig& config, CoreId core, SessionTable& sessions, LaneWriter& lanes,
           core::SpscRing<CoreEvent>& events, EvidenceBoard& board, Accounting& accounting);

  // ---- commands
  bool set_pace(const LinkPace& pace) noexcept;
  void lane_used(LinkId link, uint8_t remote_core) noexcept;    // one more output
  void lane_unused(LinkId link, uint8_t remote_core) noexcept;  // one less
  // The link's session changed: the first heartbeat on it goes out in this run.
  void restart(LinkId link) noexcept;

  // The slot is about to get another session, or none.
  void forget(uint32_t slot) noexcept;

  // ---- per run of the loop
  // So many authentic datagrams arrived on this lane.
  void heard(Session& session, uint8_t lane, Nanos now, uint32_t count = 1) noexcept {
    session.lanes[lane].heard += count;
    if (!session.report_due) {
      session.report_due = true;
      reports_[report_count_++] = session.slot;
      reports_at_ = {};
      // A session that is not active waits for the mesh thread to hear of it.
      const bool waited_for = session.state != Session::State::kActive || !session.heard_anything;
      if (waited_for || now - session.last_heard > silence_) session.pressing = true;
    }
    session.heard_anything = true;
    session.last_heard = now;
  }
  // A heartbeat record; false when it is too short.
  bool take_heartbeat(Session& session, uint8_t lane, const uint8_t* payload, uint32_t length,
                      Nanos now) noexcept;
  void send_due(Nanos now) noexcept;
  void report_due(Nanos now) noexcept;
  Nanos next_due() const noexcept { return std::min(heartbeats_at_, reports_at_); }
  // The next beat of this interval after `now`; other things that recur are best done then, too.
  Nanos beat_after(Nanos now, Nanos interval) const noexcept {
    return first_beat_ + interval * ((now - first_beat_).ns / interval.ns + 1);
  }

 private:
  struct Lane {
    Nanos next;     // heartbeat
    uint32_t uses;  // outputs
  };
  Lane& lane(LinkId link, uint8_t remote) noexcept { return lanes_of_[remote * due_.size() + link]; }
  Nanos beat(LinkId link, Nanos now) noexcept;
  static Nanos report_at(const Session& session) noexcept {
    return session.reported ? session.last_report + kEvidenceInterval : Nanos{};
  }
  void report_worn(Session& session) noexcept;
  void send(LinkId link, uint8_t remote_core, Session& session, Nanos now) noexcept;
  bool report(Session& session, Nanos now) noexcept;

  CoreId core_;
  Nanos default_interval_;
  Nanos silence_;  // longer ones than this the mesh thread may have noticed (it does at 6/5 of a heartbeat)
  uint64_t rekey_datagrams_;
  Nanos down_after_;  // a peer that has not heard us for so long is told of
  SessionTable& sessions_;
  LaneWriter& lanes_;
  core::SpscRing<CoreEvent>& events_;
  EvidenceBoard& board_;
  Accounting& accounting_;
  LazyArray<Nanos> intervals_;   // by link; 0: the default
  LazyArray<Nanos> due_;         // by link: its first beat; 0: to be found out
  LazyArray<Lane> lanes_of_;     // by peer core, then link: those in use lie side by side
  LazyArray<uint32_t> reports_;  // slots with evidence that is not on the board, or not yet told
  uint32_t report_count_ = 0;
  Nanos first_beat_{};
  Nanos heartbeats_at_ = core::kNever;
  Nanos reports_at_ = core::kNever;
};

}  // namespace trunkline::relay
