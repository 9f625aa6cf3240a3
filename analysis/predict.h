// Prices a Plan on a machine under a backend. Serial sum, op by op (not a max() roofline):
//   t_op = c_op + max(weights / stream(format, working set), ...) + kv / kv_stream
//          + flops / F(n) + attention flops / F_attn ;  T_step = t_step + layers * c_layer + sum
//          t_op
// with more per op in steps of several rows (other kernels), and the experts of such a step drawn
// with the backend's routing concentration. A backend that overlaps memory and compute says so.
// Evidence for the serial sum and for fixed costs per op: reports/decisions/. The speed of light is
// bytes / peak bandwidth or flops / peak rate, whichever is larger, with no other cost.
//   Prediction p = predict(machine, backend, plan, kv);   p.ledger.op_time()
// Pure: no I/O, no clock. Unknown formats use the backend's default and lower the basis.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hwmodel/machine.h"
#include "workload/plan.h"

namespace bandwall {

enum class Bound { WeightBandwidth, KvBandwidth, Compute, Dequantization, Overhead };
std::string_view name(Bound bound);

enum class Basis { MeasuredHere, CalibratedBackend, SameClass, DatasheetOnly };
std::string_view name(Basis basis);

struct OpPrediction {
  OpKey key;
  Seconds expected, speed_of_light;
  Bound bound;
};

struct Prediction {
  std::vector<OpPrediction> ops;
  Ledger ledger;  // plan's traffic with expected times; wall = step time
  Seconds step, speed_of_light;
  Bound bound;  // the largest share of the step
  Basis basis;
  double low = 1, high = 1;  // factors on the step time: [step*low, step*high]
  bool known_limit = false;  // the backend lists this case among those it misses; notes say why
  std::vector<std::string> notes;
};

// The experts of a step, as skewed as the backend says; predict() takes any routing.
Routing routing_of(const Backend& backend, const ModelSpec& model, const Step& step);

Prediction predict(const Machine& machine, const Backend& backend, const ModelSpec& model,
                   const KvConfig& kv, const Step& step, const Routing& routing, int threads = 0);

// The same machine and backend at the memory bandwidth of this moment: `now` is a probe like the
// one behind the far end of the read curve of as many threads. Rates of working sets beyond the
// last cache follow it in proportion; a rate never exceeds what its kernel reaches in the cache.
// `pages`: plain reading of the very pages of the weights, which the stream rates follow instead;
// 0 where it is not known.
void follow_bandwidth(Machine& machine, Backend& backend, BytesPerSecond now, int threads,
                      BytesPerSecond pages = BytesPerSecond(0));

// Throughputs of a scenario, tokens per second. Decode: mean over n_gen tokens from `depth`
// (T is linear in context: evaluated in the middle). Prefill: n_prompt tokens in micro-batches;
// several prompts that are shorter than a micro-batch share one.
struct Scenario {
  std::int64_t n_prompt = 0, n_gen = 0, depth = 0, batch = 1, n_ubatch = 512;
  KvConfig kv;
  int threads = 0;
  std::shared_ptr<const ExpertShares> shares = nullptr;  // as recorded; absent: the backend's skew
};
// The experts of a step of the scenario.
Routing routing_of(const Backend& backend, const ModelSpec& model, const Scenario& scenario,
                   const Step& step);

struct Throughput {
  double ts = 0, ts_low = 0, ts_high = 0, ts_speed_of_light = 0;
  Seconds total;
  Bound bound;
  Basis basis;
  Bytes bytes_weights, bytes_kv;  // of one decode step (or of the whole prompt)
  bool known_limit = false;       // as in Prediction
  Flops flops;                    // likewise
  std::vector<std::string> notes;
};
Throughput predict_decode(const Machine&, const Backend&, const ModelSpec&, const Scenario&);
Throughput predict_prefill(const Machine&, const Backend&, const ModelSpec&, const Scenario&);

}  // namespace bandwall
