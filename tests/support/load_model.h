// A model from a file in memory, and what refusing it says.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "hwmodel/error.h"
#include "tests/support/gguf_writer.h"
#include "workload/model_spec.h"

namespace bandwall::testing {

inline ModelSpec load(const GgufWriter& w) {
  const Blob file = w.build();
  const GgufFile g = parse_gguf(file, "m.gguf");
  return model_from_gguf(std::span(&g, 1));
}

inline std::string failure(const GgufWriter& w) {
  try {
    load(w);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), Error::Kind::Input);
    return e.what();
  }
  return "no error";
}

}  // namespace bandwall::testing
