// The names and sentences behind the enums of relay: each switch comes from the same list as its enum, so
// none can be forgotten. A number that is none of the list (from a peer, from a caller) is "?".
#include "relay/drop_reason.h"
#include "relay/mesh/mesh_node.h"
#include "relay/outcome.h"

namespace trunkline::relay {

const char* drop_reason_name(DropReason reason) noexcept {
  switch (reason) {
#define X(name, text)    \
  case DropReason::name: \
    return #name;
    TRUNKLINE_DROP_REASONS(X)
#undef X
    case DropReason::kCount:
      break;
  }
  return "?";
}

const char* drop_reason_text(DropReason reason) noexcept {
  switch (reason) {
#define X(name, text)    \
  case DropReason::name: \
    return text;
    TRUNKLINE_DROP_REASONS(X)
#undef X
    case DropReason::kCount:
      break;
  }
  return "?";
}

const char* outcome_name(Outcome outcome) noexcept {
  switch (outcome) {
#define X(name, number, label, text) \
  case Outcome::name:                \
    return label;
    TRUNKLINE_OUTCOMES(X)
#undef X
  }
  return "?";
}

const char* outcome_text(Outcome outcome) noexcept {
  switch (outcome) {
#define X(name, number, label, text) \
  case Outcome::name:                \
    return text;
    TRUNKLINE_OUTCOMES(X)
#undef X
  }
  return "?";
}

const char* link_state_name(LinkState state) noexcept {
  switch (state) {
    case LinkState::kDown:
      return "DOWN";
    case LinkState::kConnecting:
      return "CONNECTING";
    case LinkState::kUp:
      return "UP";
    case LinkState::kIncompatible:
      return "INCOMPATIBLE";
  }
  return "?";
}

const char* mesh_counter_name(MeshCounter counter) noexcept {
  switch (counter) {
#define X(name, text)     \
  case MeshCounter::name: \
    return #name;
    TRUNKLINE_MESH_COUNTERS(X)
#undef X
    case MeshCounter::kCount:
      break;
  }
  return "?";
}

const char* mesh_counter_text(MeshCounter counter) noexcept {
  switch (counter) {
#define X(name, text)     \
  case MeshCounter::name: \
    return text;
    TRUNKLINE_MESH_COUNTERS(X)
#undef X
    case MeshCounter::kCount:
      break;
  }
  return "?";
}

}  // namespace trunkline::relay
