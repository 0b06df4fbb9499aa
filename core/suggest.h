// "did you mean ...?": the nearest of a few known names, by edit distance. For error texts only: it
// allocates.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace trunkline::core {

// How many single-character edits (insert, delete, replace) turn `a` into `b` (Levenshtein, one row).
inline size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// The one of `known` that was probably meant: a third of the word may be wrong, two characters of a short
// one. Empty: none is near; of equally near ones the first.
template <class Words>
std::string_view nearest_word(std::string_view word, const Words& known) {
  std::string_view nearest;
  size_t distance = 1 + std::max<size_t>(2, word.size() / 3);
  for (const auto& candidate : known) {
    const size_t d = edit_distance(word, candidate);
    if (d < distance) {
      distance = d;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace trunkline::core
