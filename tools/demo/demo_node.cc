// Inside one demo process: a host that publishes, sends on schedule, receives and checks, in one thread.
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/demo/demo_media.h"
#include "tools/demo/demo_process.h"
#include "trunkline/trunkline.h"

namespace trunkline::tools::demo {
namespace {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

class Host {
 public:
  Host(const Place& place, int fd) : place_(place), fd_(fd) {}
  ~Host() {
    tl_queue_close(queue_);
    tl_close(node_, 100);
  }

  int open(const std::string& config) {
    tl_options options{};
    options.size = sizeof options;
    options.abi = TL_ABI_VERSION;
    options.config_text = config.c_str();
    options.log = [](void*, int, const char*) {};  // the parent tells the story
    int result = tl_open(&options, &node_);
    if (result == 0) result = tl_queue_open(node_, 0, &queue_);
    NewsMessage news;
    news.news = result == 0 ? News::kReady : News::kFailed;
    if (result == 0) {
      tl_describe(node_, news.text.data(), news.text.size());
    } else {
      std::snprintf(news.text.data(), news.text.size(), "%s", tl_last_error());
    }
    tell(news);
    return result;
  }

  // Until kQuit or the parent is gone.
  void serve() {
    for (bool going = true; going;) {
      pollfd descriptors[2] = {{fd_, POLLIN, 0}, {tl_queue_fd(queue_), POLLIN, 0}};
      const int timeout_ms = tl_queue_arm(queue_) == 1 ? 0 : sending_ ? 1 : 100;
      poll(descriptors, 2, timeout_ms);
      if (descriptors[1].revents != 0) {
        uint64_t count = 0;
        (void)!read(tl_queue_fd(queue_), &count, sizeof count);
      }
      take_events();
      take_packets();
      if (sending_) send_due();
      if (descriptors[0].revents != 0) going = take_order();
    }
  }

 private:
  struct Published {
    int track;
    uint64_t handle = 0;
    bool ready = false;
    uint64_t counter = 0;
    int64_t next_ns = 0;
  };

  void tell(const NewsMessage& news) const { (void)!send(fd_, &news, sizeof news, MSG_NOSIGNAL); }

  bool take_order() {
    OrderMessage order;
    if (recv(fd_, &order, sizeof order, 0) != static_cast<ssize_t>(sizeof order)) return false;
    switch (order.order) {
      case Order::kPublishAll:
        publish_all(static_cast<int>(order.tracks));
        break;
      case Order::kAcquireAll:
        acquire_all(static_cast<int>(order.tracks));
        break;
      case Order::kSend:
        start_sending();
        break;
      case Order::kStopSending:
        sending_ = false;
        break;
      case Order::kCounts:
        report(News::kCounts);
        break;
      case Order::kSummary:
        report(News::kSummary);
        break;
      case Order::kHint: {
        uint8_t id[16];
        tl_node_track_id(node_, order.track.data(), id);
        tl_hint(queue_, id, order.node);
        break;
      }
      case Order::kAcquire:
        acquire(order.track.data(), order.deadline_ms);
        break;
      case Order::kLinks:
        report_links(order.node);
        break;
      case Order::kRequests:
        report_requests();
        break;
      case Order::kQuit:
        return false;
    }
    return true;
  }

  void publish_all(int tracks) {
    for (int t = 0; t < tracks; ++t) {
      if (home_of(t) != place_.id) continue;
      tl_publish_options options{};
      options.size = sizeof options;
      options.traffic_class = is_video(t) ? TL_CLASS_VIDEO_BASE : TL_CLASS_AUDIO;
      tl_node_track_id(node_, track_name(t).c_str(), options.track);
      Published p{t};
      if (tl_publish(queue_, &options, &p.handle) == 0) published_.push_back(p);
    }
    waiting_for_published_ = true;
  }

  uint64_t acquire(const char* name, uint32_t deadline_ms) {
    tl_acquire_options options{};
    options.size = sizeof options;
    options.deadline_ms = deadline_ms;
    tl_node_track_id(node_, name, options.track);
    uint64_t handle = 0;
    return tl_acquire(queue_, &options, &handle) == 0 ? handle : 0;
  }

  void acquire_all(int tracks) {
    for (int t = 0; t < tracks; ++t) {
      if (home_of(t) == place_.id) continue;
      const uint64_t handle = acquire(track_name(t).c_str(), 2'000);
      const int64_t one_way_ns = round_trip_ms(home_of(t), place_.id) * 500'000LL;
      checks_[handle] = std::make_unique<TrackCheck>(static_cast<uint16_t>(t), one_way_ns);
    }
    waiting_for_acquired_ = true;
  }

  void start_sending() {
    const int64_t now = now_ns();
    for (std::size_t i = 0; i < published_.size(); ++i) {
      published_[i].next_ns = now + static_cast<int64_t>(i) * 700'000;  // tracks do not tick in step
    }
    sending_ = true;
  }

  void send_due() {
    uint8_t bytes[kVideoBytes];
    for (Published& p : published_) {
      const uint32_t length = is_video(p.track) ? kVideoBytes : kAudioBytes;
      const auto period =
          static_cast<int64_t>(1e9 / (is_video(p.track) ? kVideoPacketsPerS : kAudioPacketsPerS));
      for (int64_t now = now_ns(); p.ready && p.next_ns <= now; p.next_ns += period) {
        make_packet(bytes, length, static_cast<uint16_t>(p.track), p.counter, now);
        tl_packet packet{};
        packet.data = bytes;
        packet.length = length;
        packet.handle = p.handle;
        if (tl_tx_burst(queue_, &packet, 1) != 1) break;  // no room: the packet goes out a little later
        ++p.counter;
        ++counts_.sent;
        counts_.expected += 2;  // every track has a subscriber at both other nodes
      }
    }
  }

  void take_packets() {
    tl_packet packets[64];
    for (int rounds = 0; rounds < 16; ++rounds) {
      const int n = tl_rx_burst(queue_, packets, 64);
      if (n <= 0) return;
      const int64_t now = now_ns();
      for (int i = 0; i < n; ++i) {
        const auto check = checks_.find(packets[i].handle);
        if (check == checks_.end()) continue;
        check->second->packet({static_cast<const uint8_t*>(packets[i].data), packets[i].length}, now);
      }
      tl_rx_release(queue_);
    }
  }

  void take_events() {
    tl_event events[16];
    const int n = tl_queue_events(queue_, events, 16);
    for (int i = 0; i < n; ++i) take_event(events[i]);
    const auto ready = [](const Published& p) { return p.ready; };
    if (waiting_for_published_ && std::all_of(published_.begin(), published_.end(), ready)) {
      waiting_for_published_ = false;
      done();
    }
    if (waiting_for_acquired_ && ended_ == checks_.size()) {
      waiting_for_acquired_ = false;
      done();
    }
  }

  void done() {
    NewsMessage news;
    news.news = News::kDone;
    tell(news);
  }

  void take_event(const tl_event& e) {
    if (e.kind == TL_EVENT_PUBLISHED) {
      for (Published& p : published_) p.ready |= p.handle == e.handle;
      return;
    }
    if (e.kind != TL_EVENT_OUTCOME) return;
    if (checks_.count(e.handle) != 0) {
      ++ended_;
      if (e.outcome == TL_OUTCOME_OK) ++counts_.acquired;
      return;
    }
    NewsMessage news;
    news.news = News::kOutcome;
    news.outcome = e.outcome;
    news.elapsed_us = e.elapsed_us;
    news.attempts = e.attempts;
    news.node = e.node_id;
    std::memcpy(news.text.data(), e.text, std::min(sizeof e.text, news.text.size() - 1));
    tell(news);
  }

  nlohmann::json stats() const {
    std::vector<char> text(1 << 18);
    tl_stats_json(node_, text.data(), text.size());
    return nlohmann::json::parse(text.data(), nullptr, false);
  }

  void report(News kind) {
    NewsMessage news;
    news.news = kind;
    core::Histogram added;
    news.counts = counts_;
    for (const auto& [handle, check] : checks_) {
      news.counts.received += check->received();
      news.counts.repeated += check->repeated();
      news.counts.damaged += check->damaged();
      added.merge(check->added_ns());
    }
    if (kind == News::kSummary) {
      const nlohmann::json s = stats();
      for (const nlohmann::json& core : s.value("cores", nlohmann::json::array())) {
        news.counts.datagrams += core.value("/counters/datagrams_sealed"_json_pointer, uint64_t{0});
        news.counts.media_sent += core.value("/counters/media_to_links"_json_pointer, uint64_t{0});
      }
    }
    added.for_each_bucket([&](int64_t low, int64_t high, uint64_t count) {
      if (news.buckets < kBucketsMax) news.histogram[news.buckets++] = {low + (high - low) / 2, count};
    });
    tell(news);
  }

  void report_links(uint64_t node) {
    NewsMessage news;
    news.news = News::kLinks;
    const nlohmann::json s = stats();
    for (const nlohmann::json& link : s.value("links", nlohmann::json::array())) {
      if (node != 0 && link.value("node", uint64_t{0}) != node) continue;
      const std::string state = link.value("state", std::string());
      if (state == "UP") ++news.number;
      std::snprintf(news.text.data(), news.text.size(), "%s: %s", state.c_str(),
                    link.value("text", std::string()).c_str());
    }
    tell(news);
  }

  void report_requests() {
    NewsMessage news;
    news.news = News::kRequests;
    news.number = stats().value("/mesh/requests_received"_json_pointer, uint64_t{0});
    tell(news);
  }

  Place place_;
  int fd_;
  tl_node* node_ = nullptr;
  tl_queue* queue_ = nullptr;
  bool sending_ = false, waiting_for_published_ = false, waiting_for_acquired_ = false;
  std::size_t ended_ = 0;
  Counts counts_;
  std::vector<Published> published_;
  std::map<uint64_t, std::unique_ptr<TrackCheck>> checks_;
};

}  // namespace

int run_demo_node(const Place& place, const std::string& config, int fd) {
  Host host(place, fd);
  if (host.open(config) != 0) return 1;
  host.serve();
  return 0;
}

}  // namespace trunkline::tools::demo
