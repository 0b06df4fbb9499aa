// See weakened.h.
#include "tests/model/weakened.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace trunkline::model {

namespace {

bool in_core(const Site& site) {
  return site.file.find("core/") != std::string::npos;
}

// What the programs find, one after the other, until one does: "executions program: finding".
std::string find_in(const std::vector<NamedProgram>& programs, const std::vector<size_t>& users,
                    const Weakening& weakening) {
  for (const size_t p : users) {
    const Exploration all = explore_weakened(programs[p].program, weakening.site, weakening.weaker);
    if (all.finding.empty()) continue;
    return std::to_string(all.executions) + "\n" + programs[p].name + "\n" + all.finding;
  }
  return {};
}

}  // namespace

std::string name_of(Order order) {
  if (order.acquire && order.release) return "acq_rel";
  return order.acquire ? "acquire" : order.release ? "release" : "relaxed";
}

Orders::Orders(std::vector<NamedProgram> programs) : programs_(std::move(programs)) {
  for (size_t p = 0; p < programs_.size(); ++p) {
    for (const Site& site : sites_of(programs_[p].program)) {
      if (!in_core(site)) continue;
      auto known = std::find(sites_.begin(), sites_.end(), site);
      if (known == sites_.end()) known = sites_.insert(sites_.end(), site);
      users_.resize(sites_.size());
      users_[static_cast<size_t>(known - sites_.begin())].push_back(p);
    }
  }
}

std::vector<Weakening> Orders::weakenings() const {
  std::vector<Weakening> all;
  for (const Site& site : sites_) {
    const auto add = [&](Order weaker) {
      all.push_back({site, weaker, name_of(site.order) + " -> " + name_of(weaker)});
    };
    if (site.order.acquire) add({false, site.order.release});
    if (site.order.release) add({site.order.acquire, false});
  }
  return all;
}

Caught Orders::judge(const Weakening& weakening) const {
  const auto at =
      static_cast<size_t>(std::find(sites_.begin(), sites_.end(), weakening.site) - sites_.begin());
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    const std::string found = find_in(programs_, users_[at], weakening);
    const bool told = write(ends[1], found.data(), found.size()) == static_cast<ssize_t>(found.size());
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  std::string found;
  std::array<char, 4096> bytes;
  for (ssize_t n = 0; (n = read(ends[0], bytes.data(), bytes.size())) > 0;)
    found.append(bytes.data(), static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    return {programs_[users_[at].front()].name + " or one after it",
            "a contract breaks, and ends the process", 0};
  if (found.empty()) return {};
  const size_t first = found.find('\n'), second = found.find('\n', first + 1);
  return {found.substr(first + 1, second - first - 1), found.substr(second + 1), std::stoull(found)};
}

}  // namespace trunkline::model
