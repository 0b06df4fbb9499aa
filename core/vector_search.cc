// See vector_search.h.
#include "core/vector_search.h"

#include <array>
#include <bit>
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRUNKLINE_TSAN
#endif
#endif
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(TRUNKLINE_TSAN)
#define TRUNKLINE_VECTORS
#ifndef __clang__  // GCC 12 warns of its own intrinsics (its bug 105593)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace trunkline::core {

namespace {

// 1 in the first n of 64 bits.
constexpr uint64_t first_bits(uint32_t n) noexcept {
  return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
}

}  // namespace

#ifdef TRUNKLINE_VECTORS

namespace {

using Line = TableLine<StdSync>;
using Control = LineControl<VersionBits>;
static_assert(sizeof(Line) == kCacheLine && offsetof(Line, control) == 48);

constexpr uint32_t kGroup = VectorSearch::kGroup;

// Everything here is compiled for the processors that it runs on, and inlined into run().
#define TRUNKLINE_VECTOR_CODE \
  __attribute__((target("avx512f,avx512dq,avx512vl,aes,vaes,bmi,bmi2"), always_inline)) inline

TRUNKLINE_VECTOR_CODE __m512i wide(const KeyedHash::RoundKey& key) {
  return _mm512_broadcast_i64x2(_mm_load_si128(reinterpret_cast<const __m128i*>(key.data())));
}

// KeyedHash of eight keys.
struct Hasher {
  __m512i k0, k1, k2, k3, k4, in_order;

  TRUNKLINE_VECTOR_CODE explicit Hasher(const KeyedHash& hash)
      : k0(wide(hash.round_keys()[0])),
        k1(wide(hash.round_keys()[1])),
        k2(wide(hash.round_keys()[2])),
        k3(wide(hash.round_keys()[3])),
        k4(wide(hash.round_keys()[4])),
        in_order(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7)) {}

  TRUNKLINE_VECTOR_CODE __m512i four(const uint8_t* keys) const {
    __m512i state = _mm512_xor_si512(_mm512_loadu_si512(keys), k0);
    state = _mm512_aesenc_epi128(state, k1);
    state = _mm512_aesenc_epi128(state, k2);
    state = _mm512_aesenc_epi128(state, k3);
    return _mm512_aesenc_epi128(state, k4);
  }
  TRUNKLINE_VECTOR_CODE __m512i operator()(const uint8_t* keys) const {
    // The lower halves: 0 4 1 5 2 6 3 7.
    return _mm512_permutexvar_epi64(in_order, _mm512_unpacklo_epi64(four(keys), four(keys + 64)));
  }
};

// One key's line: which of its words equal the key's, bit 2e the first word of entry e, 2e + 1 the second;
// the control words before that, and how they differ after it.
struct Compared {
  uint64_t equal;
  __m128i control;
  __m128i changed;
};

TRUNKLINE_VECTOR_CODE Compared compare(const Line& line, const uint8_t* key) {
  const auto* control = reinterpret_cast<const __m128i*>(&line.control);
  const __m512i wanted = _mm512_broadcast_i64x2(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key)));
  const __m128i before = _mm_load_si128(control);
  asm volatile("" ::: "memory");  // for the compiler: it keeps the three loads in this order
  const uint64_t equal = _mm512_cmpeq_epi64_mask(wanted, _mm512_load_si512(&line));
  asm volatile("" ::: "memory");
  const __m128i after = _mm_load_si128(control);
  return {equal & 0b111111, before, _mm_xor_si128(before, after)};
}

// The word pairs of four keys.
TRUNKLINE_VECTOR_CODE __m512i pairs(__m128i a, __m128i b, __m128i c, __m128i d) {
  const __m512i ab = _mm512_inserti64x2(_mm512_castsi128_si512(a), b, 1);
  return _mm512_inserti64x2(_mm512_inserti64x2(ab, c, 2), d, 3);
}

struct Search {
  const Line* lines;
  const uint8_t* keys;
  uint32_t* records;
  Hasher hasher;
  __m512i line_count;
  uint32_t* first;

  // BoundedTable::first_line of a group, and the lines on their way.
  TRUNKLINE_VECTOR_CODE void fetch(uint32_t from) {
    const __m512i hash = hasher(keys + 16 * from);
    const __m512i line = _mm512_srli_epi64(_mm512_mul_epu32(hash, line_count), 32);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(&first[from]), _mm512_cvtepi64_epi32(line));
    for (uint32_t i = from; i < from + kGroup; ++i) __builtin_prefetch(&lines[first[i]]);
  }

  // Bit i: key from + i is settled.
  TRUNKLINE_VECTOR_CODE uint32_t settle(uint32_t from) {
    std::array<Compared, kGroup> c;
    uint64_t equals = 0;
    for (uint32_t i = 0; i < kGroup; ++i) {
      c[i] = compare(lines[first[from + i]], keys + 16 * (from + i));
      equals |= c[i].equal << (8 * i);
    }
    // From here on a lane per key.
    const __m512i even = pairs(c[0].control, c[2].control, c[4].control, c[6].control),
                  odd = pairs(c[1].control, c[3].control, c[5].control, c[7].control),
                  c0 = _mm512_unpacklo_epi64(even, odd), c1 = _mm512_unpackhi_epi64(even, odd),
                  even_changed = pairs(c[0].changed, c[2].changed, c[4].changed, c[6].changed),
                  odd_changed = pairs(c[1].changed, c[3].changed, c[5].changed, c[7].changed),
                  changed = _mm512_or_si512(_mm512_unpacklo_epi64(even_changed, odd_changed),
                                            _mm512_unpackhi_epi64(even_changed, odd_changed));
    const __m512i equal = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(static_cast<int64_t>(equals))),
                  matches = _mm512_and_si512(_mm512_and_si512(equal, _mm512_srli_epi64(equal, 1)),
                                             _mm512_set1_epi64(0b010101)),
                  one = _mm512_set1_epi64(1);
    __m512i field = c0;
    field =
        _mm512_mask_srli_epi64(field, _mm512_test_epi64_mask(matches, _mm512_set1_epi64(0b000100)), c0, 32);
    field = _mm512_mask_mov_epi64(field, _mm512_test_epi64_mask(matches, _mm512_set1_epi64(0b010000)), c1);
    const __m512i record_and_1 = _mm512_and_si512(field, _mm512_set1_epi64(Control::kRecordMask));
    const __mmask8 hit = _mm512_mask_test_epi64_mask(_mm512_test_epi64_mask(matches, matches), record_and_1,
                                                     record_and_1),
                   at_most_one = _mm512_testn_epi64_mask(matches, _mm512_sub_epi64(matches, one)),
                   quiet = _mm512_mask_testn_epi64_mask(at_most_one, changed, changed),
                   at_home =
                       _mm512_testn_epi64_mask(c1, _mm512_set1_epi64(static_cast<int64_t>(Control::kAway)));
    const __m512i record = _mm512_mask_sub_epi64(_mm512_set1_epi64(-1), hit, record_and_1, one);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(records + from), _mm512_cvtepi64_epi32(record));
    return quiet & (hit | at_home);
  }
};

}  // namespace

bool VectorSearch::available() noexcept {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  const bool vaes = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & bit_VAES) != 0;
  return vaes && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("bmi2");
}

__attribute__((target("avx512f,avx512dq,avx512vl,aes,vaes,bmi,bmi2"))) uint64_t VectorSearch::run(
    const KeyedHash& hash, const TableLine<StdSync>* lines, uint32_t line_count, const uint8_t* keys,
    uint32_t n, uint32_t* first, uint32_t* records) noexcept {
  static_assert(kNoRecord == UINT32_MAX);
  Search search{lines, keys, records, Hasher(hash), _mm512_set1_epi64(line_count), first};
  const uint32_t whole = n - n % kGroup;
  uint64_t settled = 0;
  for (uint32_t i = 0; i < whole; i += kGroup) search.fetch(i);
  for (uint32_t i = 0; i < whole; i += kGroup) settled |= uint64_t{search.settle(i)} << i;
  return ~settled & first_bits(whole);
}

#else

bool VectorSearch::available() noexcept {
  return false;
}
uint64_t VectorSearch::run(const KeyedHash&, const TableLine<StdSync>*, uint32_t, const uint8_t*, uint32_t n,
                           uint32_t*, uint32_t*) noexcept {
  return first_bits(n);
}

#endif

}  // namespace trunkline::core
