// See host_channel.h.
#include "relay/host_channel.h"

#include <bit>

namespace trunkline::relay {

namespace {

bool is_last(HostEventKind kind) {
  return kind == HostEventKind::kUnpublished || kind == HostEventKind::kPublishFailed ||
         kind == HostEventKind::kEnded;
}

}  // namespace

HostChannel::HostChannel(uint32_t index, uint32_t command_depth, uint32_t handle_count)
    : commands(std::bit_ceil(command_depth)),
      handles(handle_count),
      index_(index),
      slots_(size_t{2} * handle_count, Contents::kUnwritten),  // I2: written before they are read
      numbers_(std::bit_ceil(2 * handle_count)),
      notices_(kNotices) {}

bool HostChannel::open() noexcept {
  // A read-modify-write, because two threads may try at once and one must lose.
  uint32_t expected = kClosed;
  if (!state_.compare_exchange_acq_rel(expected, kOpen)) return false;  // A2
  // What the former host did not read is nobody's any more.
  for (HostEvent unread; take(unread);) {
  }
  handles.free_all();
  host.event.drain();
  return true;
}

void HostChannel::close() noexcept {
  state_.store_release(kClosing);  // R1
}

bool HostChannel::take(HostEvent& event) noexcept {
  uint32_t number = 0;
  if (numbers_.try_pop(number)) {
    event = slots_[number];
    return true;
  }
  return notices_.try_pop(event);
}

void HostChannel::post(const HostEvent& event) noexcept {
  if (event.kind == HostEventKind::kTooBig) {
    if (!notices_.try_push(event)) notices_lost_.add();
    return;
  }
  const uint32_t number = 2 * handle_slot(event.handle) + (is_last(event.kind) ? 1 : 0);
  slots_[number] = event;
  TL_CHECK(numbers_.try_push(number));  // I3
}

}  // namespace trunkline::relay
