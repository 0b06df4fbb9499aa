// Every fuzz target without libFuzzer: the inputs that the repository keeps, which each stood for something
// when they were kept, and then mutations of them for a moment.
//
//   TRUNKLINE_FUZZ_MS=n         milliseconds of mutations per target (default 150); 0: the kept inputs only
//   TRUNKLINE_FUZZ_CORPUS=dir   further inputs, from dir/TARGET
//   TRUNKLINE_FUZZ_SEED=n       of the mutations; printed, with the input, when one fails
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

namespace trunkline::fuzz {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Buffer = std::vector<uint8_t>;

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string as_hex(Bytes bytes) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

// In the order of their names, so that a seed means the same everywhere.
void read_inputs(const fs::path& directory, std::vector<Buffer>& out) {
  std::vector<fs::path> files;
  if (fs::is_directory(directory)) {
    for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
}

class TargetTest : public testing::Test {
 public:
  explicit TargetTest(const Target& target) : target_(target) {}

  void TestBody() override {
    const fs::path kept = fs::path(TRUNKLINE_SOURCE_DIR) / "tests" / "fuzz" / "corpus";
    std::vector<Buffer> inputs;
    read_inputs(kept / target_.name, inputs);
    ASSERT_FALSE(inputs.empty()) << "a target keeps its seeds in " << kept / target_.name;
    read_inputs(kept / "regress" / target_.name, inputs);
    if (const char* more = std::getenv("TRUNKLINE_FUZZ_CORPUS"))
      read_inputs(fs::path(more) / target_.name, inputs);
    for (const Buffer& input : inputs) {
      run(input);
      if (HasFailure()) return;
    }
    const uint64_t seed = number_from(
        "TRUNKLINE_FUZZ_SEED", static_cast<uint64_t>(testing::UnitTest::GetInstance()->random_seed()) + 1);
    const auto end = Clock::now() + std::chrono::milliseconds(number_from("TRUNKLINE_FUZZ_MS", 150));
    Mutator mutator(seed);
    uint64_t runs = 0;
    for (; Clock::now() < end; ++runs) {
      run(mutator.below(16) == 0 ? mutator.random(512)
                                 : mutator.mutate(inputs[mutator.below(inputs.size())]));
      if (HasFailure()) {
        std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
        return;
      }
    }
    std::printf("%zu kept inputs, %llu mutations\n", inputs.size(), static_cast<unsigned long long>(runs));
  }

 private:
  void run(const Buffer& input) {
    target_.run(copy_.of(input));
    if (HasFailure()) std::printf("%s fails on %s\n", target_.name, as_hex(input).c_str());
  }

  const Target target_;
  ExactCopy copy_;
};

}  // namespace
}  // namespace trunkline::fuzz

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (const trunkline::fuzz::Target& target : trunkline::fuzz::targets()) {
    testing::RegisterTest("Fuzz", target.name, nullptr, nullptr, __FILE__, __LINE__,
                          [&target]() -> testing::Test* { return new trunkline::fuzz::TargetTest(target); });
  }
  return RUN_ALL_TESTS();
}
