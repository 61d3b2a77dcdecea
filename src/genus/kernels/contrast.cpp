// One whole step of contrastive divergence for a restricted machine of binary units.
//
// It does what genus.objectives.contrastive writes in separate operations, with the same draws.
// The visible units and their rows of the weights are split among threads, each of which keeps
// its part in its own caches: v W is a sum over threads, W h of each is its own. The product of a
// thread is one call of ATen's brgemm, in float32 or from bfloat16 to float32.
//
// V and H are the numbers of visible and hidden units. Where rows of both phases stand together,
// those of the data come first.

#include "draws.h"
#include "rows.h"
#include "step.h"
#include "words.h"

#include <ATen/Parallel.h>

#include <exception>
#include <string>

using namespace genus;

namespace {

// ---------------------------------------------------------------------- the step

constexpr Size LINE = 16;   // floats in one line of a cache
constexpr Size LEAST = 64;  // visible units that are worth a thread with a sum v W of its own
constexpr Size MOST = 1 << 26;  // numbers in all those sums, 256 MB
constexpr Size BLOCK = 48;      // rows of ΔW that a thread finds at once

struct Range {
  Size begin, end;
  Size size() const { return end - begin; }
};

// The share of one thread in so many things, by whole lines.
Range part(Size number, Size line, Size thread, Size threads) {
  const Size lines = (number + line - 1) / line;
  return {std::min(number, lines * thread / threads * line),
          std::min(number, lines * (thread + 1) / threads * line)};
}

// What a thread has for itself. U are its visible units.
struct Own {
  Range units, others;               // its visible and its hidden units
  Range data, chains;                // its rows
  std::vector<Word> seen;            // v, a left factor (rows, U)
  std::vector<float> sent;           // v W over its units (rows, H)
  std::vector<float> field;          // W h, turned (U, chains)
  std::vector<float> visible;        // W h and then v (chains, U)
  std::vector<float> visible_change; // ⟨v⟩: of chains less data
  std::vector<Word> centred;         // v − μ (rows, U)
  std::vector<Word> below;           // the same, turned: a left factor (U, rows)
  std::vector<float> slope;          // some rows of ΔW
  std::vector<float> pulled;         // Σᵢ ΔWᵢⱼ μᵢ over its units
  std::vector<float> sums, drawn;    // of units over rows; of one chain
  std::vector<std::uint64_t> room;   // for random bits
  double gap;
};

struct Machine {
  virtual ~Machine() = default;
  virtual void step(Step& step) = 0;
};

template <Precision P>
class Contrast final : public Machine {
 public:
  void step(Step& step) override {
    s = step;
    prepare();
    if (s.fresh) each([&](Own& mine) { pack(mine.units); });
    each([&](Own& mine) { see_data(mine); });
    if (!s.chains) take(draw, s.num_chains, H);
    each([&](Own& mine) {
      mine.gap -= cause(mine.data) / s.num_data;
      if (s.chains) remember(mine.chains, s.chains);
      else draw_hidden(mine, hidden_of(0), nullptr);
    });
    for (Size left = s.sweeps; left > 0; --left) {
      const bool last = left == 1;
      take(draw, s.num_chains, V);
      each([&](Own& mine) { see_chains(mine); });
      if (!last || s.chains) take(draw, s.num_chains, H);
      each([&](Own& mine) {
        const Range rows{s.num_data + mine.chains.begin, s.num_data + mine.chains.end};
        const double softplus = cause(rows);
        if (last) mine.gap += softplus / s.num_chains;
        if (!last || s.chains) {
          draw_hidden(mine, hidden_of(s.num_data), last ? s.chains_after : nullptr);
        }
      });
    }
    each([&](Own& mine) { centre_visible(mine), centre_hidden(mine); });
    each([&](Own& mine) { descend(mine); });
    step.gap = finish();
  }

 private:
  Step s{};
  bool sound = false;                        // whether there is room for all
  Size V = 0, H = 0, num_rows = 0;           // of data and chains
  Size H_words = 0, H_wide = 0, row_words = 0;
  std::vector<Word> up, across;              // W as a right and as a left factor (V, H)
  std::vector<float> hidden;                 // c + v W and then σ of it (rows, H)
  std::vector<Word> caused, causes;          // h of the chains (chains, H); turned, a right factor
  std::vector<Word> above;                   // (h − λ) · share: a right factor (rows, H)
  std::vector<float> hidden_change;          // ⟨h⟩: of chains less data
  std::vector<Own> own;
  Draw draw;                                 // the present one

  template <class Work>
  void each(const Work& work) {
    at::parallel_for(0, own.size(), 1, [&](Size begin, Size end) {
      for (Size thread = begin; thread < end; ++thread) work(own[thread]);
      at::native::cpublas::brgemm_release(P == Precision::bf16);
    });
  }

  float* hidden_of(Size row) { return hidden.data() + row * H; }

  // Room for everything; what fills up words stays 0.
  void prepare() {
    const Size rows = s.num_data + s.num_chains;
    const Size worth = std::min(s.visible / LEAST, MOST / (rows * s.hidden));
    const Size threads = std::min<Size>(at::get_num_threads(), std::max<Size>(worth, 1));
    const bool same = V == s.visible && H == s.hidden && num_rows == rows && sound;
    if (!same || Size(own.size()) != threads || Size(caused.size()) != s.num_chains * H_words) {
      make_room(threads);
      s.fresh = 1;
    }
    for (Own& mine : own) mine.gap = 0.0;
  }

  void make_room(Size threads) {
    sound = false;
    V = s.visible, H = s.hidden, num_rows = s.num_data + s.num_chains;
    H_words = words_for<P>(H), H_wide = H_words * PER_WORD<P>, row_words = words_for<P>(num_rows);
    if (P == Precision::bf16) {
      up.assign(words_for<P>(V) * H_wide, 0);
      across.assign(V * H_words, 0);
    }
    hidden.assign(row_words * PER_WORD<P> * H, 0.0f);
    caused.assign(s.num_chains * H_words, 0);
    causes.assign(H_words * s.num_chains, 0);
    above.assign(row_words * H, 0);
    hidden_change.resize(H);
    own.resize(threads);
    for (Size thread = 0; thread < threads; ++thread) {
      Own& mine = own[thread];
      mine.units = part(V, LINE, thread, threads), mine.others = part(H, LINE, thread, threads);
      mine.data = part(s.num_data, 1, thread, threads);
      mine.chains = part(s.num_chains, 1, thread, threads);
      const Size U = mine.units.size();
      mine.seen.assign(num_rows * words_for<P>(U), 0);
      mine.sent.resize(num_rows * H);
      mine.field.resize(U * s.num_chains), mine.visible.resize(s.num_chains * U);
      mine.visible_change.resize(U);
      mine.centred.resize(row_words * U), mine.below.resize(U * row_words);
      mine.slope.resize(BLOCK * H), mine.pulled.resize(H);
      mine.sums.resize(std::max(U, H)), mine.drawn.resize(H);
      mine.room.resize(std::max(U, H) / 4 + 2);
    }
    sound = true;
  }

  // What a thread's units, in so many rows of ``seen`` from one on, send to the hidden units.
  void send(Own& mine, Size begin, Size number) {
    const Size words = words_for<P>(mine.units.size());
    const Word* right = P == Precision::bf16 ? up.data() + mine.units.begin / 2 * H_wide
                                             : weights_of(mine.units.begin);
    multiply<P>(number, H, words, mine.seen.data() + begin * words, right, H_wide,
                mine.sent.data() + begin * H);
  }

  const Word* weights_of(Size unit) const {
    return reinterpret_cast<const Word*>(s.weights.value + unit * H);
  }

  void see_data(Own& mine) {
    const Size U = mine.units.size(), words = words_for<P>(U);
    double energy = 0.0;
    for (Size row = 0; row < s.num_data; ++row) {
      const float* v = s.data + row * V + mine.units.begin;
      along<P>(v, U, mine.seen.data() + row * words);
      energy += dot(v, s.visible_bias.value + mine.units.begin, U);
    }
    mine.gap -= energy / s.num_data;
    send(mine, 0, s.num_data);
  }

  // Draws the visible units of all chains.
  void see_chains(Own& mine) {
    const Size U = mine.units.size(), words = words_for<P>(U), n = s.num_chains;
    const Word* left = P == Precision::bf16 ? across.data() + mine.units.begin * H_words
                                            : weights_of(mine.units.begin);
    multiply<P>(U, n, H_words, left, causes.data(), n, mine.field.data());
    turn(U, n, mine.field.data(), n, mine.visible.data(), U);
    for (Size chain = 0; chain < n; ++chain) {
      float* v = mine.visible.data() + chain * U;
      means(v, s.visible_bias.value + mine.units.begin, U);
      draw_units(draw, chain, mine.units.begin, U, v, v, mine.room.data());
      along<P>(v, U, mine.seen.data() + (s.num_data + chain) * words);
    }
    send(mine, s.num_data, n);
  }

  // The hidden means of some rows; gives Σ log(1 + exp(c + v W)).
  double cause(Range rows) {
    double sum = 0.0;
    for (Size row = rows.begin; row < rows.end; ++row) {
      float* field = hidden_of(row);
      std::copy_n(s.hidden_bias.value, H, field);
      for (const Own& each : own) {
        if (each.units.size() > 0) add_to(field, each.sent.data() + row * H, H);
      }
      sum += means_and_softplus(field, H);
    }
    return sum;
  }

  // Draws the hidden units of a thread's chains, and writes them where they are wanted.
  void draw_hidden(Own& mine, const float* means, float* wanted) {
    for (Size chain = mine.chains.begin; chain < mine.chains.end; ++chain) {
      float* h = wanted ? wanted + chain * H : mine.drawn.data();
      draw_units(draw, chain, 0, H, means + chain * H, h, mine.room.data());
      along<P>(h, H, caused.data() + chain * H_words);
    }
    turn_caused(mine.chains);
  }

  void remember(Range chains, const float* h) {
    for (Size chain = chains.begin; chain < chains.end; ++chain) {
      along<P>(h + chain * H, H, caused.data() + chain * H_words);
    }
    turn_caused(chains);
  }

  void turn_caused(Range chains) {
    turn(chains.size(), H_words, caused.data() + chains.begin * H_words, H_words,
         causes.data() + chains.begin, s.num_chains);
  }

  // What a row weighs in ⟨·⟩; one that only fills up a word weighs nothing.
  float share(Size row) const {
    return row < s.num_data ? -1.0f / s.num_data : row < num_rows ? 1.0f / s.num_chains : 0.0f;
  }

  // An offset moves towards the mean of the data; gives the mean of chains less that of data.
  float slide(float& offset, float data, float chains) const {
    data /= s.num_data, chains /= s.num_chains;
    offset += s.newest * (data - offset);
    return chains - data;
  }

  void centre_visible(Own& mine) {
    const Size U = mine.units.size(), begin = mine.units.begin;
    const auto row_of = [&](Size row) {
      const Size chain = std::min(row, num_rows - 1) - s.num_data;
      return row < s.num_data ? s.data + row * V + begin : mine.visible.data() + chain * U;
    };
    float* __restrict mu = s.visible_offset + begin;
    double energy = 0.0;
    auto& change = mine.visible_change;
    std::fill(mine.sums.begin(), mine.sums.end(), 0.0f);
    std::fill(change.begin(), change.end(), 0.0f);
    for (Size row = 0; row < s.num_data; ++row) add_to(mine.sums.data(), row_of(row), U);
    for (Size row = s.num_data; row < num_rows; ++row) {
      add_to(change.data(), row_of(row), U);
      energy += dot(row_of(row), s.visible_bias.value + begin, U);
    }
    mine.gap += energy / s.num_chains;
    for (Size i = 0; i < U; ++i) change[i] = slide(mu[i], mine.sums[i], change[i]);
    for (Size place = 0; place < row_words; ++place) {
      const Size first = place * PER_WORD<P>, last = first + PER_WORD<P> - 1;
      const float *v = row_of(first), *w = row_of(last);
      Word* __restrict to = mine.centred.data() + place * U;
      for (Size i = 0; i < U; ++i) to[i] = word<P>(v[i] - mu[i], w[i] - mu[i]);
    }
    turn(row_words, U, mine.centred.data(), U, mine.below.data(), row_words);
  }

  void centre_hidden(Own& mine) {
    const Size begin = mine.others.begin, number = mine.others.size();
    float* __restrict lambda = s.hidden_offset + begin;
    float *data = mine.sums.data(), *chains = hidden_change.data() + begin;
    std::fill(data, data + number, 0.0f), std::fill(chains, chains + number, 0.0f);
    for (Size row = 0; row < num_rows; ++row) {
      add_to(row < s.num_data ? data : chains, hidden_of(row) + begin, number);
    }
    for (Size j = 0; j < number; ++j) chains[j] = slide(lambda[j], data[j], chains[j]);
    for (Size place = 0; place < row_words; ++place) {
      const Size first = place * PER_WORD<P>, last = first + PER_WORD<P> - 1;
      const float *h = hidden_of(first) + begin, *g = hidden_of(last) + begin;
      const float of_h = share(first), of_g = share(last);
      Word* __restrict to = above.data() + place * H + begin;
      for (Size j = 0; j < number; ++j) {
        to[j] = word<P>((h[j] - lambda[j]) * of_h, (g[j] - lambda[j]) * of_g);
      }
    }
  }

  // ΔW = ⟨(v − μ)(h − λ)ᵀ⟩ and Δb = ⟨v⟩ − ΔW λ of a thread's units, which move.
  void descend(Own& mine) {
    float* __restrict pulled = mine.pulled.data();
    std::fill(pulled, pulled + H, 0.0f);
    for (Size begin = mine.units.begin; begin < mine.units.end; begin += BLOCK) {
      const Range some{begin, std::min(begin + BLOCK, mine.units.end)};
      const Size first = begin - mine.units.begin;
      multiply<P>(some.size(), H, row_words, mine.below.data() + first * row_words, above.data(), H,
                  mine.slope.data());
      for (Size i = some.begin; i < some.end; ++i) {
        const float* slope = mine.slope.data() + (i - begin) * H;
        const float offset = s.visible_offset[i];
        for (Size j = 0; j < H; ++j) pulled[j] += offset * slope[j];
        for (Size j = 0; j < H; ++j) move(s.weights, i * H + j, slope[j], s.rate);
        const float change = mine.visible_change[i - mine.units.begin];
        move(s.visible_bias, i, change - dot(slope, s.hidden_offset, H), s.rate);
      }
      pack(some);
    }
  }

  // Some rows of W, of which the first is even, as both factors; float32 needs no other order.
  void pack(Range units) {
    if (P == Precision::float32) return;
    for (Size i = units.begin; i < units.end; ++i) {
      along<P>(s.weights.value + i * H, H, across.data() + i * H_words);
      if (i % 2 == 1 || i + 1 == V) pack_pair(i / 2);
    }
  }

  void pack_pair(Size pair) {
    const bool whole = 2 * pair + 1 < V;
    const float* row = s.weights.value + 2 * pair * H;
    const float* next = whole ? row + H : row;
    const Word kept = whole ? 0xffffffff : 0x0000ffff;
    Word* __restrict to = up.data() + pair * H_wide;
    for (Size j = 0; j < H; ++j) to[j] = word<P>(row[j], next[j]) & kept;
  }

  // Δc = ⟨h⟩ − ΔWᵀμ; gives the gap.
  double finish() {
    for (Size j = 0; j < H; ++j) {
      float slope = hidden_change[j];
      for (const Own& each : own) slope -= each.pulled[j];
      move(s.hidden_bias, j, slope, s.rate);
    }
    double gap = 0.0;
    for (const Own& each : own) gap += each.gap;
    return gap;
  }
};

thread_local std::string failure;

}  // namespace

extern "C" {

// Whether this machine has products in bfloat16: 2 = 1 · 1 + 1 · 1.
int genus_has_bf16() {
  const Word ones = word<Precision::bf16>(1.0f, 1.0f);
  float product = 0.0f;
  try {
    multiply<Precision::bf16>(1, 1, 1, &ones, &ones, 1, &product);
  } catch (const std::exception&) {
    return 0;
  }
  return product == 2.0f;
}

Machine* genus_contrast_new(int bf16) {
  if (bf16) return new Contrast<Precision::bf16>;
  return new Contrast<Precision::float32>;
}

void genus_contrast_delete(Machine* machine) { delete machine; }

// Null, or what went wrong.
const char* genus_contrast_step(Machine* machine, Step* step) {
  try {
    machine->step(*step);
    return nullptr;
  } catch (const std::exception& error) {
    failure = error.what();
    return failure.c_str();
  }
}

}  // extern "C"
