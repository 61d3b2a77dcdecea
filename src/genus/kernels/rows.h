// Loops over the numbers of one row, each of which a compiler vectorises.

#pragma once

#include "words.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace genus {

// e^x to a few units in the last place, without a branch: 2ⁿ times Taylor's polynomial over half
// an octave to either side of 1.
inline float exponential(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // log 2 in two parts
  float sum = 1.0f / 5040;
  for (const float term : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    sum = sum * r + term;
  }
  const Word bits = bits_of(sum) + (static_cast<Word>(static_cast<std::int32_t>(n)) << 23);
  std::memcpy(&sum, &bits, sizeof sum);
  return sum;
}

// field ← σ(field + bias).
inline void means(float* __restrict field, const float* __restrict bias, Size number) {
  for (Size i = 0; i < number; ++i) field[i] = 1.0f / (1.0f + exponential(-field[i] - bias[i]));
}

// field ← σ(field); gives Σ log(1 + exp(field)). As each 1 + exp(−|x|) is at most 2, a hundred may
// be multiplied before their logarithm is taken.
inline double means_and_softplus(float* __restrict field, Size number) {
  double sum = 0.0;
  for (Size begin = 0; begin < number; begin += 96) {
    const Size end = std::min(begin + 96, number);
    float linear = 0.0f, product = 1.0f;
#pragma omp simd reduction(+ : linear) reduction(* : product)
    for (Size i = begin; i < end; ++i) {
      const float x = field[i];
      const float small = exponential(-std::fabs(x));
      const float larger = 1.0f / (1.0f + small);
      field[i] = x < 0.0f ? small * larger : larger;
      linear += std::max(x, 0.0f);
      product *= 1.0f + small;
    }
    sum += linear + std::log(product);
  }
  return sum;
}

inline void add_to(float* __restrict sums, const float* __restrict row, Size number) {
  for (Size i = 0; i < number; ++i) sums[i] += row[i];
}

inline float dot(const float* __restrict a, const float* __restrict b, Size number) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (Size i = 0; i < number; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace genus
