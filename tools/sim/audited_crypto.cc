// See audited_crypto.h.
#include "tools/sim/audited_crypto.h"

#include <array>
#include <vector>

#include "core/check.h"
#include "relay/wire.h"

namespace trunkline::sim {

namespace {

uint64_t last_word(const uint8_t* end) {
  uint64_t word;
  std::memcpy(&word, end - sizeof word, sizeof word);
  return word;
}

class AuditedHandshake final : public relay::Handshake {
 public:
  AuditedHandshake(std::unique_ptr<relay::Handshake> inner, KeyAuditor& auditor, KeyAuditor::Life life)
      : inner_(std::move(inner)), auditor_(auditor), life_(life) {}

  void begin() noexcept override { inner_->begin(); }
  std::size_t write(uint8_t message, std::span<const uint8_t> payload,
                    std::span<uint8_t> out) noexcept override {
    const size_t length = inner_->write(message, payload, out);
    if (length != 0) auditor_.wrote(life_, message, out.first(length));
    return length;
  }
  Read read(uint8_t message, std::span<uint8_t> in) noexcept override {
    const uint64_t hash = KeyAuditor::message_hash(message, in);  // it may be decrypted in place
    const Read read = inner_->read(message, in);
    auditor_.read(life_, message, hash, read.ok);
    return read;
  }
  void take_over(relay::Handshake& reader) noexcept override {
    inner_->take_over(*static_cast<AuditedHandshake&>(reader).inner_);
  }
  relay::SessionKeys keys() const noexcept override { return inner_->keys(); }
  void expect(const relay::ExpectedPeer& peer) noexcept override { inner_->expect(peer); }
  void use(relay::Suite suite) noexcept override { inner_->use(suite); }
  const relay::Certificate* peer() const noexcept override { return inner_->peer(); }
  Admission admit(std::span<const uint8_t> msg1, const core::UdpAddress& from, core::Nanos now,
                  std::span<uint8_t> reply) noexcept override {
    return inner_->admit(msg1, from, now, reply);
  }
  bool read_cookie(std::span<const uint8_t> in, core::Nanos now) noexcept override {
    return inner_->read_cookie(in, now);
  }
  void stamp(std::span<uint8_t> msg1, core::Nanos now) noexcept override { inner_->stamp(msg1, now); }

 private:
  std::unique_ptr<relay::Handshake> inner_;
  KeyAuditor& auditor_;
  KeyAuditor::Life life_;
};

class AuditedSession final : public relay::SessionCrypto {
 public:
  AuditedSession(std::unique_ptr<relay::SessionCrypto> inner, KeyAuditor& auditor)
      : inner_(std::move(inner)), auditor_(auditor) {}

  relay::SessionCrypto& inner() { return *inner_; }
  void key(KeyAuditor::Direction& send, KeyAuditor::Direction& receive) {
    send_ = &send;
    receive_ = &receive;
  }
  void seal(core::CoreId from, core::CoreId to, std::span<relay::SealJob> jobs) noexcept override {
    std::vector<RecordKinds> kinds;
    for (size_t i = 0; auditor_.notes_kinds() && i < jobs.size(); ++i)
      kinds.push_back(kinds_in(plain(jobs[i])));
    inner_->seal(from, to, jobs);
    for (size_t i = 0; i < jobs.size(); ++i) {
      const std::span<const uint8_t> datagram(jobs[i].data, size_t{jobs[i].length} + relay::kTagBytes);
      auditor_.sealed(*send_, from, to, datagram);
      if (!kinds.empty()) auditor_.note(datagram, kinds[i]);
    }
  }
  void open(core::CoreId from, core::CoreId to, std::span<relay::OpenJob> jobs) noexcept override {
    constexpr size_t kMost = 64;
    std::array<uint64_t, kMost> tags;  // opening may overwrite them
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(jobs.size(), kMost))) {
      const auto some = jobs.first(std::min(jobs.size(), kMost));
      for (size_t i = 0; i < some.size(); ++i) tags[i] = last_word(some[i].data + some[i].length);
      inner_->open(from, to, some);
      for (size_t i = 0; i < some.size(); ++i) {
        if (!some[i].authentic) {
          auditor_.refused();
          continue;
        }
        auditor_.opened(*receive_, from, to, relay::decode_header(some[i].data).counter, tags[i]);
      }
    }
  }

 private:
  static std::span<const uint8_t> plain(const relay::SealJob& job) {
    const uint8_t* records = job.records != nullptr ? job.records : job.data + relay::kHeaderBytes;
    return {records, job.length - relay::kHeaderBytes};
  }

  std::unique_ptr<relay::SessionCrypto> inner_;
  KeyAuditor& auditor_;
  KeyAuditor::Direction* send_ = nullptr;
  KeyAuditor::Direction* receive_ = nullptr;
};

}  // namespace

std::unique_ptr<relay::Handshake> AuditedCrypto::make_handshake() {
  return std::make_unique<AuditedHandshake>(inner_->make_handshake(), auditor_, life_);
}

std::unique_ptr<relay::SessionCrypto> AuditedCrypto::make_session() {
  return std::make_unique<AuditedSession>(inner_->make_session(), auditor_);
}

void AuditedCrypto::key_session(relay::SessionCrypto& session, const relay::SessionKeys& keys) noexcept {
  auto& audited = static_cast<AuditedSession&>(session);
  inner_->key_session(audited.inner(), keys);
  audited.key(auditor_.sends(life_, keys.suite, keys.send_secret),
              auditor_.receives(life_, keys.suite, keys.receive_secret));
}

void AuditedCrypto::forget_session(relay::SessionCrypto& session) noexcept {
  inner_->forget_session(static_cast<AuditedSession&>(session).inner());
}

}  // namespace trunkline::sim
