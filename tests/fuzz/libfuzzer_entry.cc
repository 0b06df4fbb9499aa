// libFuzzer's way into the one target that is linked with this file. An expectation that does not hold ends
// the process, which libFuzzer takes for a crash and keeps the input.
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/target.h"

namespace {

class EndAtFailure : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "%s:%d: %s\n", result.file_name(), result.line_number(), result.summary());
    std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  int count = 1;
  char name[] = "fuzzer";
  char* arguments[] = {name, nullptr};
  testing::InitGoogleTest(&count, arguments);
  testing::UnitTest::GetInstance()->listeners().Append(new EndAtFailure);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static trunkline::fuzz::ExactCopy copy;
  trunkline::fuzz::targets().front().run(copy.of({data, size}));
  return 0;
}
