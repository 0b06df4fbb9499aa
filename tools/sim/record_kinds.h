// Which kinds of records are in a datagram: a bit per RecordKind. The model suite leaves them readable on the
// wire; of real ones they are read before they are sealed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "relay/wire.h"

namespace trunkline::sim {

// Calls each(record header, payload) for every record of `records`, which may be anything.
template <class Each>
void for_each_record(std::span<const uint8_t> records, Each&& each) {
  while (records.size() >= relay::kRecordHeaderBytes) {
    const relay::RecordHeader record = relay::decode_record(records.data());
    if (record.kind == relay::RecordKind::kPadding || static_cast<size_t>(record.kind) > 5) return;
    records = records.subspan(relay::kRecordHeaderBytes);
    if (record.length > records.size()) return;
    each(record, records.first(record.length));
    records = records.subspan(record.length);
  }
}

using RecordKinds = uint8_t;

constexpr RecordKinds kinds_bit(relay::RecordKind kind) {
  return static_cast<RecordKinds>(1u << static_cast<unsigned>(kind));
}

inline RecordKinds kinds_in(std::span<const uint8_t> records) {
  RecordKinds kinds = 0;
  for_each_record(records, [&](const relay::RecordHeader& record, std::span<const uint8_t>) {
    kinds = static_cast<RecordKinds>(kinds | kinds_bit(record.kind));
  });
  return kinds;
}

}  // namespace trunkline::sim
