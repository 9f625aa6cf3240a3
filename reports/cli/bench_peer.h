// Another engine's llama-bench, run on the same file for one repetition at a time.
//   BenchPeer peer("/opt/llama.cpp/llama-bench", {"-rtr", "1"});
//   double ts = peer.measure(file, row);     // tokens per second of the test of `row`
// No shell is involved. Errors (Running) carry the last lines that the program wrote to stderr.
#pragma once

#include <string>
#include <vector>

#include "reports/bench_report.h"

namespace bandwall {

class BenchPeer {
 public:
  BenchPeer(std::string program, std::vector<std::string> extra);
  double measure(const std::string& model_file, const BenchRow& row) const;
  const std::string& name() const { return name_; }

 private:
  std::string program_, name_;
  std::vector<std::string> extra_;
  bool knows_depth_ = false;  // else -gp, as forks spell "generate after a prompt"
};

}  // namespace bandwall
