// What Python hands over for one step: genus.kernels.contrast has the same fields in this order.

#pragma once

#include <cstdint>

namespace genus {

using Size = std::int64_t;

// A parameter θ and how it moves: v ← α v + ∇ + λ θ and θ ← θ − η v.
struct Moved {
  float* value;
  float* velocity;  // null without momentum
  float momentum;
  float decay;
};

struct Step {
  Size num_data;
  Size num_chains;
  Size visible;
  Size hidden;
  Size sweeps;            // k
  Size fresh;             // whether the weights are others than the last step left
  const float* data;      // (num_data, V)
  const float* chains;    // (num_chains, H): hidden units; null where chains begin at the data
  float* chains_after;    // the same after k sweeps
  Moved weights;          // W (V, H)
  Moved visible_bias;     // b
  Moved hidden_bias;      // c
  float* visible_offset;  // μ
  float* hidden_offset;   // λ
  float newest;           // the share that this batch gets in both; 0 where they stay
  float rate;             // η
  double gap;             // found: mean free energy of the data less that of the chains
};

inline float move(const Moved& p, Size place, float slope, float rate) {
  float change = slope + p.decay * p.value[place];
  if (p.velocity) change = p.velocity[place] = p.momentum * p.velocity[place] + change;
  return p.value[place] -= rate * change;
}

}  // namespace genus
