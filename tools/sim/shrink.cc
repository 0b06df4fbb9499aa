// See shrink.h.
#include "tools/sim/shrink.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <sstream>

#include "tools/sim/world.h"

namespace trunkline::sim {

// ---- recipes

namespace {

// The first so many nodes, and what stands between them.
void keep_nodes(Options& o, uint32_t count) {
  o.nodes.resize(count);
  o.builds.resize(count);
  o.small.resize(count);
  if (o.wrong.nodes.size() > count) o.wrong.nodes.resize(count);
  std::erase_if(o.unserved, [&](const auto& pair) { return pair.first >= count || pair.second >= count; });
  LinkSet links(count);
  for (NodeIndex a = 0; a < count; ++a) {
    for (const NodeIndex b : o.links.peers(a)) {
      if (a < b && b < count) links.link(a, b);
    }
  }
  o.links = links;
}

}  // namespace

Options Recipe::options() const {
  Options o = draw_options(seed);
  o.rules = rules;
  if (nodes != 0 && nodes < o.nodes.size()) keep_nodes(o, nodes);
  if (tracks != 0) o.tracks = std::min(o.tracks, tracks);
  o.acquire_every = o.acquire_every * thinner;
  o.change_every = o.change_every * thinner;
  if (rekey_ms != 0) o.rekey = core::from_ms(rekey_ms);
  o.sealed = sealed;
  if (alone) o.faults &= ~(1u << static_cast<uint32_t>(Fault::stranger));
  if (faults_ms != 0) o.phases.faults = std::min(o.phases.faults, core::from_ms(faults_ms));
  return o;
}

// The seed's own schedule, less what was taken out, and less what is beyond its nodes or its phase.
std::vector<FaultEvent> Recipe::schedule() const {
  const Options all = draw_options(seed), now = options();
  const std::vector<FaultEvent> drawn = draw_faults(all);
  const auto first = [](const Phases& p) { return p.warm_up + p.faults; };
  const Nanos drawn_end = first(all.phases), end = first(now.phases);
  const Nanos before = drawn_end + all.phases.heal + all.phases.liveness;
  const Nanos after = end + now.phases.heal + now.phases.liveness;
  std::vector<FaultEvent> kept;
  for (uint32_t i = 0; i < drawn.size(); ++i) {
    if (!all_faults && !std::binary_search(faults.begin(), faults.end(), i)) continue;
    FaultEvent e = drawn[i];
    if (e.a >= now.nodes.size() || e.b >= now.nodes.size()) continue;
    // What breaks for good does so in a phase of its own, which comes the sooner the shorter the others are.
    const auto moved = [&](Nanos time) {
      return time > drawn_end ? time - (before - after)
                              : std::min(time, end - Nanos{1});  // the heal is at `end`
    };
    e.time = moved(e.time);
    if (e.until.ns != 0) e.until = moved(e.until);
    e.track = std::min(e.track, now.tracks - 1);
    kept.push_back(e);
  }
  return kept;
}

std::string to_text(const Recipe& r) {
  std::ostringstream out;
  out << "# a run of trunkline-sim: tools/dev sim --replay FILE\n";
  out << "seed " << r.seed << "\n";
  if (!r.all_faults) {
    out << "faults";
    for (const uint32_t i : r.faults) out << " " << i;
    out << "\n";
  }
  const auto number = [&](const char* key, int64_t value, int64_t otherwise) {
    if (value != otherwise) out << key << " " << value << "\n";
  };
  number("nodes", r.nodes, 0);
  number("tracks", r.tracks, 0);
  number("thinner", r.thinner, 1);
  number("faults_ms", r.faults_ms, 0);
  number("rekey_ms", r.rekey_ms, 0);
  number("sealed", r.sealed ? 1 : 0, 0);
  number("alone", r.alone ? 1 : 0, 0);
#define X(name, text) \
  if (!r.rules.name) out << "without " #name "\n";
  TRUNKLINE_RULES(X)
#undef X
  return out.str();
}

namespace {

bool take_rule(Recipe& r, const std::string& rule) {
#define X(name, text)     \
  if (rule == #name) {    \
    r.rules.name = false; \
    return true;          \
  }
  TRUNKLINE_RULES(X)
#undef X
  return false;
}

// One line of a recipe. False: it is not one.
bool take_line(Recipe& r, const std::string& key, std::istringstream& rest) {
  if (key == "faults") {
    r.all_faults = false;
    for (uint32_t i; rest >> i;) r.faults.push_back(i);
    std::sort(r.faults.begin(), r.faults.end());
    return rest.eof();
  }
  if (key == "without") {
    std::string rule;
    return rest >> rule && take_rule(r, rule);
  }
  uint64_t value = 0;
  if (!(rest >> value)) return false;
  const auto number = static_cast<int64_t>(std::min<uint64_t>(value, 1u << 30));
  if (key == "seed") r.seed = value;
  if (key == "nodes") r.nodes = std::max(2u, static_cast<uint32_t>(number));
  if (key == "tracks") r.tracks = static_cast<uint32_t>(number);
  if (key == "thinner") r.thinner = std::clamp<int64_t>(number, 1, 1'000);
  if (key == "faults_ms") r.faults_ms = number;
  if (key == "rekey_ms") r.rekey_ms = number;
  if (key == "sealed") r.sealed = value != 0;
  if (key == "alone") r.alone = value != 0;
  constexpr const char* kKeys[] = {"seed",      "nodes",    "tracks", "thinner",
                                   "faults_ms", "rekey_ms", "sealed", "alone"};
  return std::any_of(std::begin(kKeys), std::end(kKeys), [&](const char* known) { return key == known; });
}

}  // namespace

std::optional<Recipe> parse_recipe(const std::string& text, std::string& why) {
  Recipe r;
  bool has_seed = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string key;
    words >> key;
    has_seed = has_seed || key == "seed";
    if (take_line(r, key, words)) continue;
    why = "no line of a recipe: " + line;
    return std::nullopt;
  }
  if (has_seed) return r;
  why = "no seed";
  return std::nullopt;
}

// ---- runs

RunResult run_recipe(const Recipe& recipe, std::FILE* trace) {
  Report report;
  return run_world(recipe.options(), recipe.schedule(), report, trace);
}

std::string promise_of(const std::vector<Violation>& violations) {
  if (violations.empty()) return {};
  return violations.front().text.substr(0, violations.front().text.find(':'));
}

// ---- shrinking

namespace {

class Shrinker {
 public:
  Shrinker(const Recipe& recipe, uint32_t most_runs) : best_{recipe, {}, 0, 0, 0}, most_runs_(most_runs) {
    best_.run = run_recipe(recipe);
    promise_ = promise_of(best_.run.violations);
    best_.faults_before = recipe.schedule().size();
    if (!best_.recipe.all_faults) return;
    best_.recipe.all_faults = false;
    best_.recipe.faults.resize(draw_faults(draw_options(recipe.seed)).size());
    std::iota(best_.recipe.faults.begin(), best_.recipe.faults.end(), 0u);
  }

  Shrunk take() {
    // Each makes the next one cheaper; what one took away may let another go further.
    for (uint32_t round = 0; round < 2; ++round) {
      less_faults();
      less_time();
      less_work();
      less_keys();
      less_nodes();
    }
    best_.faults_after = best_.recipe.schedule().size();
    return best_;
  }

 private:
  // Keeps `next` if it breaks the same promise.
  bool accept(const Recipe& next) {
    if (best_.runs >= most_runs_) return false;
    ++best_.runs;
    const RunResult run = run_recipe(next);
    if (run.violations.empty() || promise_of(run.violations) != promise_) return false;
    best_.recipe = next;
    best_.run = run;
    return true;
  }

  // Leaves out ever smaller pieces of the list, from halves to single faults.
  void less_faults() {
    for (size_t piece = std::max<size_t>(1, best_.recipe.faults.size()); piece > 0; piece /= 2) {
      for (size_t at = 0; at < best_.recipe.faults.size();) {
        Recipe next = best_.recipe;
        const auto begin = next.faults.begin() + static_cast<std::ptrdiff_t>(at);
        const size_t count = std::min(piece, next.faults.size() - at);
        next.faults.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
        if (!accept(next)) at += count;
      }
    }
  }

  void less_time() {
    for (const int64_t ms : {100, 250, 500, 1'000, 2'000}) {
      Recipe next = best_.recipe;
      next.faults_ms = ms;
      if (accept(next)) break;
    }
  }

  void less_work() {
    for (const uint32_t tracks : {1u, 2u, 3u, 6u}) {
      Recipe next = best_.recipe;
      next.tracks = tracks;
      if (accept(next)) break;
    }
    for (const int64_t thinner : {64, 16, 4, 2}) {
      Recipe next = best_.recipe;
      next.thinner = thinner;
      if (accept(next)) break;
    }
  }

  void less_keys() {
    Recipe next = best_.recipe;
    next.rekey_ms = relay::LinkTiming{}.rekey.ms();
    accept(next);
    next = best_.recipe;
    next.sealed = false;
    if (best_.recipe.sealed) accept(next);
  }

  void less_nodes() {
    const auto now = static_cast<uint32_t>(best_.recipe.options().nodes.size());
    for (uint32_t nodes = 2; nodes < now; ++nodes) {
      Recipe next = best_.recipe;
      next.nodes = nodes;
      if (accept(next)) return;
    }
  }

  Shrunk best_;
  std::string promise_;
  uint32_t most_runs_;
};

}  // namespace

Shrunk shrink(const Recipe& recipe, uint32_t most_runs) {
  return Shrinker(recipe, most_runs).take();
}

std::string short_trace(const Recipe& recipe, uint32_t lines) {
  char* text = nullptr;
  size_t length = 0;
  std::FILE* memory = open_memstream(&text, &length);
  if (memory == nullptr) return {};
  const RunResult run = run_recipe(recipe, memory);
  std::fclose(memory);
  std::vector<std::string> all;
  std::istringstream trace(std::string(text, length));
  std::free(text);
  for (std::string line; std::getline(trace, line);) {
    // Heartbeats are most of a trace and the least of its story.
    if (line.find(" data heartbeat ") == std::string::npos) all.push_back(line);
  }
  std::vector<std::string> kept;
  // All faults, as far as half of the lines go; the rest is what happened last.
  for (const std::string& line : all) {
    if (line.find(" fault: ") != std::string::npos && kept.size() < lines / 2) kept.push_back(line);
  }
  const size_t left = lines - kept.size() - 2;
  kept.push_back("        ...");
  for (size_t i = all.size() > left ? all.size() - left : 0; i < all.size(); ++i) {
    if (all[i].find(" fault: ") == std::string::npos) kept.push_back(all[i]);
  }
  std::string out;
  for (const std::string& line : kept) out += line.substr(0, 160) + "\n";
  if (!run.violations.empty())
    out += "  at " + std::to_string(run.ended.us()) + " us: " + run.violations.front().text + "\n";
  return out;
}

}  // namespace trunkline::sim
