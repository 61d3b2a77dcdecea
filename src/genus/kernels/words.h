// Matrices whose products run in float32 or in bfloat16, as 32-bit words.
//
// A word holds one float, or two numbers in bfloat16: of a left factor two that stand one after
// the other in a row, of a right factor two that stand one below the other in a column. Where a
// number has no partner the other half is 0.

#pragma once

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace genus {

using Size = std::int64_t;
using Word = std::uint32_t;

enum class Precision { float32, bf16 };

template <Precision P>
constexpr Size PER_WORD = P == Precision::bf16 ? 2 : 1;

// How many words hold so many numbers.
template <Precision P>
constexpr Size words_for(Size number) {
  return (number + PER_WORD<P> - 1) / PER_WORD<P>;
}

inline Word bits_of(float x) {
  Word bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// A number rounded to bfloat16, ties to even, in the upper half of a word.
inline Word upper(float x) {
  const Word bits = bits_of(x);
  return (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
}

template <Precision P>
inline Word word(float first, float second) {
  return P == Precision::float32 ? bits_of(first) : upper(first) >> 16 | upper(second);
}

// A row of a left factor.
template <Precision P>
void along(const float* row, Size number, Word* __restrict to) {
  constexpr Size STEP = PER_WORD<P>;
  for (Size i = 0; i < number / STEP; ++i) to[i] = word<P>(row[STEP * i], row[STEP * i + STEP - 1]);
  if (number % STEP) to[number / STEP] = word<P>(row[number - 1], 0.0f);
}

// C (m, n) = A (m, k) B (k, n) for k words; rows of B are so many words wide.
template <Precision P>
void multiply(Size m, Size n, Size k, const Word* A, const Word* B, Size wide, float* C) {
  using Number = std::conditional_t<P == Precision::bf16, at::BFloat16, float>;
  if (m == 0 || k == 0) return;
  const Size inner = k * PER_WORD<P>;
  at::native::cpublas::brgemm(m, n, inner, inner, wide, n, false,
                              reinterpret_cast<const Number*>(A),
                              reinterpret_cast<const Number*>(B), C, P == Precision::bf16);
}

// ---------------------------------------------------------------------- transposition

template <class E>
using Eight [[gnu::vector_size(8 * sizeof(E))]] = E;

// Eight rows of eight: blocks off the diagonal change places, of sides 1, 2 and then 4.
template <class E>
inline void turn_eight(const E* from, Size apart, E* to, Size far) {
  Eight<E> a[8], b[8];
  for (int i = 0; i < 8; ++i) std::memcpy(&a[i], from + i * apart, sizeof a[i]);
  for (int i = 0; i < 8; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i : {0, 1, 4, 5}) {
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 2] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; ++i) std::memcpy(to + i * far, &b[i], sizeof b[i]);
}

// to (n, m) = from (m, n)ᵀ; rows are so many entries apart.
template <class E>
void turn(Size m, Size n, const E* from, Size apart, E* to, Size far) {
  for (Size j = 0; j < n; j += 8) {
    for (Size i = 0; i < m; i += 8) {
      if (i + 8 <= m && j + 8 <= n) {
        turn_eight(from + i * apart + j, apart, to + j * far + i, far);
      } else {
        for (Size y = j; y < std::min(j + 8, n); ++y) {
          for (Size x = i; x < std::min(i + 8, m); ++x) to[y * far + x] = from[x * apart + y];
        }
      }
    }
  }
}

}  // namespace genus
