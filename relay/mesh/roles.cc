// What certificates allow (relay/certificate.h): what a peer may say, ask and give, by the certificate of the
// session in use; and what this node may do, by its own. Suites without certificates allow everything.
//
//   publish   announce tracks, and give what it announces
//   acquire   ask for tracks, for subscribers of its own
//   relay     ask for tracks on behalf of others, be asked to, and give what others publish
//
// Each of these is judged where it would have its effect, and what is refused is counted there. A path is its
// sender's word: a node that lies about it can use relay as if it were publish or acquire, and the other way
// round, but a node without any right to ask gets nothing, and one without any to give is not believed.
#include <algorithm>
#include <cstdio>

#include "relay/mesh/mesh_state.h"

namespace trunkline::relay::mesh {

bool MeshState::may(Role role) const {
  const Certificate* const own = crypto.own();
  return own == nullptr || own->has(role);
}

// A session begins. What a former certificate allowed and this one does not ends at once: what the peer has
// announced and asked for counts only as far as it says it again; feeds are looked at when they are asked for
// again (pump_asks).
void MeshState::take_roles(Link& l) {
  const Certificate* const holder = l.handshake->peer();
  const uint32_t roles = holder != nullptr ? holder->roles : kAllRoles;
  if ((l.roles & ~roles) != 0) l.view_valid = l.view;
  l.roles = roles;
  l.roles_missed = 0;
  l.role_text = {};
}

// The peer did what its certificate does not allow. The log has it once per session and role.
void MeshState::missed_role(Link& l, Role role, MeshCounter counter) {
  counters.add(counter);
  const auto bit = static_cast<uint32_t>(role);
  if ((l.roles_missed & bit) != 0) return;
  l.roles_missed |= bit;
  if (!may_log(l)) return;
  log(LogLevel::kWarn, "%s: what it does without is refused (%s)", lack_text({l.node, role}).data(),
      mesh_counter_name(counter));
}

RoleText MeshState::lack_text(const Lack& lack) {
  RoleText text{};
  static_assert(std::tuple_size_v<RoleText> > kMaxAnswerText, "it goes into an ANSWER");
  std::snprintf(text.data(), kMaxAnswerText + 1,
                "the certificate of node %llu has no role '%s' (trunkline keys node --role %s)",
                static_cast<unsigned long long>(lack.node.value), role_name(lack.role), role_name(lack.role));
  return text;
}

// For itself, or on behalf of the others that its path names.
Role MeshState::role_to_ask(const Link& l, const Acquire& m) {
  const auto path = m.nodes();
  const bool alone = std::all_of(path.begin(), path.end(), [&](core::NodeId node) { return node == l.node; });
  return alone ? Role::kAcquire : Role::kRelay;
}

// Of its own, or of others that the path names.
Role MeshState::role_to_feed(const Link& l, std::span<const core::NodeId> path) {
  const bool own = path.empty() || (path.size() == 1 && path.front() == l.node);
  return own ? Role::kPublish : Role::kRelay;
}

// What it offers is not taken: counted, and remembered for whoever asks why.
void MeshState::refuse_feed(Link& l, std::span<const core::NodeId> path) {
  const Role role = role_to_feed(l, path);
  missed_role(l, role, MeshCounter::answers_unauthorized);
  l.role_text = lack_text({l.node, role});
}

}  // namespace trunkline::relay::mesh
