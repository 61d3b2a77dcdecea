// Draws of binary units: the random numbers that genus.inference.gibbs would take, in its order.

#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

namespace genus {

using Size = std::int64_t;

using Level [[gnu::may_alias]] = std::int16_t;  // a quarter of a word of random bits

constexpr Size MANY = 1 << 15;

// The random numbers of one draw: all units of one side, for every row.
struct Draw {
  Size number = 0;                   // of units
  std::vector<float> shift;          // −(2¹⁵ + s) of each row
  std::vector<std::uint64_t> words;  // 16 bits of each unit, where these are few
  std::uint64_t key = 0;             // from which they are hashed, where these are many
};

// Takes what a draw needs from torch's generator, which is its only serial part.
inline void take(Draw& draw, Size rows, Size number) {
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard<std::mutex> lock(generator.mutex());
  auto* source = at::check_generator<at::CPUGeneratorImpl>(generator);
  const auto word = [&] { return source->random64() % ~0ULL + (1ULL << 63); };
  draw.number = number;
  draw.shift.resize(rows);
  for (float& shift : draw.shift) {
    shift = (source->random() % 256 + 256.0f * MANY) * (-1.0f / 256);
  }
  const bool few = rows * number < MANY;
  draw.words.resize(few ? (rows * number + 3) / 4 : 0);
  for (std::uint64_t& each : draw.words) each = word();
  if (!few) draw.key = word();
}

// The 16 random bits of some units of a row, from −2¹⁵ on. Source: SplitMix64, Steele, Lea & Flood
// 2014. There must be room for two words more than the units fill.
inline const Level* levels(const Draw& draw, Size first, Size number, std::uint64_t* room) {
  const Size begin = first / 4, end = (first + number + 3) / 4;
  if (draw.words.empty()) {
    for (Size place = begin; place < end; ++place) {
      std::uint64_t z = draw.key + (place + 1) * 0x9E3779B97F4A7C15ULL;
      z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
      z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
      room[place - begin] = z ^ z >> 31;
    }
  } else {
    std::copy(draw.words.begin() + begin, draw.words.begin() + end, room);
  }
  return reinterpret_cast<const Level*>(room) + first % 4;
}

// x = 1 with probability p, for some units of a row from one on; x may be p.
inline void draw_units(const Draw& draw, Size row, Size begin, Size number, const float* p,
                       float* x, std::uint64_t* room) {
  const Level* level = levels(draw, row * draw.number + begin, number, room);
  const float shift = draw.shift[row];
  for (Size i = 0; i < number; ++i) x[i] = level[i] < shift + 65536.0f * p[i] ? 1.0f : 0.0f;
}

}  // namespace genus
