// The measured matrix, and nothing else.
#include "tools/sim/regions.h"

namespace trunkline::sim {

namespace {

constexpr const char* kNames[kRegions] = {"dallas", "toronto", "washington", "frankfurt", "london",
                                          "madrid", "osaka",   "sydney",     "tokyo",     "sao-paulo"};

// Average round-trip time in ms, row: measured from, column: to; 28 Sep to 27 Oct 2024. Source: IBM Cloud VPC
// documentation, "Network latency" (repository ibm-cloud-docs/vpc, _include-segments/network-latency.md).
constexpr uint16_t kRoundTripMs[kRegions][kRegions] = {
    // dal tor  was  fra  lon  mad  osa  syd  tok  sao
    {0, 34, 31, 123, 113, 119, 150, 185, 141, 144},    // dallas
    {34, 0, 19, 93, 84, 108, 169, 214, 162, 131},      // toronto
    {31, 19, 0, 90, 76, 89, 175, 213, 169, 119},       // washington
    {123, 92, 92, 0, 13, 29, 232, 250, 231, 197},      // frankfurt
    {114, 84, 76, 13, 0, 27, 244, 261, 242, 188},      // london
    {119, 107, 90, 29, 27, 0, 259, 275, 255, 207},     // madrid
    {150, 171, 176, 234, 245, 259, 0, 122, 9, 292},    // osaka
    {184, 214, 214, 250, 261, 275, 122, 0, 115, 328},  // sydney
    {143, 164, 167, 231, 243, 257, 9, 115, 0, 283},    // tokyo
    {144, 131, 119, 198, 188, 206, 291, 327, 287, 0},  // sao-paulo
};

}  // namespace

const char* region_name(Region region) {
  return kNames[static_cast<uint32_t>(region)];
}

core::Nanos one_way_delay(Region from, Region to) {
  if (from == to) return core::from_us(250);
  return core::from_us(kRoundTripMs[static_cast<uint32_t>(from)][static_cast<uint32_t>(to)] * 500);
}

}  // namespace trunkline::sim
