// libsrtp2, where it is installed: an SRTP hop of its two calls, and the witness of the other one.
#include "bench/seal/srtp.h"

#ifdef HAVE_LIBSRTP
#include <srtp2/srtp.h>

#include <string>

#include "io/page_source.h"
#endif

namespace trunkline::bench {

#ifdef HAVE_LIBSRTP
namespace {

void must(srtp_err_status_t status, const char* what) {
  if (status != srtp_err_status_ok)
    give_up(std::string("libsrtp: ") + what + " fails: " + std::to_string(status));
}

// One direction.
class Session {
 public:
  Session(const SrtpMasterKey& master, srtp_ssrc_type_t direction) {
    static const srtp_err_status_t started = srtp_init();
    must(started, "srtp_init");
    SrtpMasterKey key = master;
    srtp_policy_t policy{};
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    policy.ssrc.type = direction;
    policy.key = key.data();
    policy.window_size = 128;
    must(srtp_create(&session_, &policy), "srtp_create");
  }
  ~Session() { srtp_dealloc(session_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void protect(uint8_t* rtp, uint32_t length) {
    int bytes = static_cast<int>(length);
    must(srtp_protect(session_, rtp, &bytes), "srtp_protect");
  }
  void unprotect(uint8_t* srtp, uint32_t length) {
    int bytes = static_cast<int>(length);
    must(srtp_unprotect(session_, srtp, &bytes), "srtp_unprotect");
  }

 private:
  srtp_t session_ = nullptr;
};

class Witness final : public SrtpWitness {
 public:
  void protect(uint8_t* rtp, uint32_t length) override { sender_.protect(rtp, length); }
  void unprotect(uint8_t* srtp, uint32_t length) override { receiver_.unprotect(srtp, length); }

 private:
  Session sender_{kSrtpIn, ssrc_any_outbound}, receiver_{kSrtpOut, ssrc_any_inbound};
};

class LibsrtpHop final : public Hop {
 public:
  explicit LibsrtpHop(uint32_t payload) : payload_(payload), frames_(kHopSlice, pages_) {}

  void prepare() override {
    for (uint32_t i = 0; i < kHopSlice; ++i) {
      write_rtp(frames_.payload(i), counter_++, kFlows);
      sender_.protect(frames_.payload(i), payload_);
    }
  }
  void run() override {
    for (uint32_t i = 0; i < kHopSlice; ++i) {
      in_.unprotect(frames_.payload(i), payload_ + relay::kTagBytes);
      out_.protect(frames_.payload(i), payload_);
    }
  }
  void check() override {}  // every call was

 private:
  static constexpr uint32_t kFlows = 16;

  uint32_t payload_;
  io::MmapPageSource pages_;
  Frames frames_;
  Session sender_{kSrtpIn, ssrc_any_outbound}, in_{kSrtpIn, ssrc_any_inbound},
      out_{kSrtpOut, ssrc_any_outbound};
  uint64_t counter_ = 0;
};

}  // namespace

std::unique_ptr<SrtpWitness> make_srtp_witness() {
  return std::make_unique<Witness>();
}
std::unique_ptr<Hop> make_libsrtp_hop(uint32_t payload) {
  return std::make_unique<LibsrtpHop>(payload);
}
#else
std::unique_ptr<SrtpWitness> make_srtp_witness() {
  return nullptr;
}
std::unique_ptr<Hop> make_libsrtp_hop(uint32_t) {
  return nullptr;
}
#endif

}  // namespace trunkline::bench
